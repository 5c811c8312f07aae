//! `backfill`: a request for windows, as an annotation of the statistics job.

use jiff::{Timestamp, civil::Date};
use kube::ResourceExt;
use parking_crds::{
    stats_job::StatsJob,
    time::{Calendar, Window},
};

use super::{Answer, Failure, Session, annotations, cli::BackfillArguments};
use crate::{labels, stats_job::backfill::Backfill};

/// Asks for windows once more.
pub async fn run(
    session: &Session,
    arguments: &BackfillArguments,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let name = arguments.name.as_str();
    let job: StatsJob = session.find(name).await?;
    let backfill = asked(&job, &arguments.from, &arguments.until, now).map_err(Failure::Refused)?;
    annotations::tell(session, &job, labels::BACKFILL, Some(backfill.to_string())).await?;
    Ok(Answer::fine(said(&job, backfill)))
}

/// The request, or why it cannot be made.
fn asked(job: &StatsJob, from: &str, until: &str, now: Timestamp) -> Result<Backfill, String> {
    let calendar = Calendar::of(&job.spec);
    let (start, end) = (time("--from", from, &calendar)?, time("--until", until, &calendar)?);
    if start >= end {
        return Err(format!("--from {from} is not before --until {until}: the end is no longer part of it"));
    }
    if job.spec.suspend() {
        return Err(format!(
            "{} is suspended, so no run would start: set spec.suspend to false first",
            job.name_any()
        ));
    }
    Ok(Backfill { range: Window { start, end }, asked: now })
}

/// An instant, or midnight of a day where the job's days begin.
fn time(option: &str, text: &str, calendar: &Calendar) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    let day = text.parse::<Date>().ok().filter(|_| !text.contains('T'));
    let midnight = day.and_then(|day| day.to_zoned(calendar.zone.clone()).ok());
    midnight.map(|midnight| midnight.timestamp().as_millisecond()).ok_or_else(|| {
        format!("{option} {text} is neither a day nor an instant: write 2016-10-04 or 2016-10-04T06:00:00Z")
    })
}

fn said(job: &StatsJob, backfill: Backfill) -> String {
    let calendar = Calendar::of(&job.spec);
    let first = calendar.window_at(backfill.range.start);
    let last = calendar.window_at(backfill.range.end - 1);
    let windows = crate::stats_job::status::span(Window { start: first.start, end: last.end });
    let name = job.name_any();
    format!(
        "{name} computes {windows} once more, as far as the lake has it; watch its runs with `kubectl get jobs -l {}={name}`\n",
        labels::STATS_JOB
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2016-12-01T00:00:00Z";

    fn job(suspend: bool) -> StatsJob {
        serde_json::from_value(json!({
            "metadata": {"name": "hourly", "namespace": "parking", "uid": "u"},
            "spec": {
                "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "timeZone": "Europe/London",
                "statistics": ["occupancy"], "sinks": [{"lake": {"table": "hourly"}}], "suspend": suspend,
            },
        }))
        .unwrap()
    }

    fn request(from: &str, until: &str) -> Result<String, String> {
        let now = NOW.parse().map_err(|error: jiff::Error| error.to_string())?;
        asked(&job(false), from, until, now).map(|backfill| backfill.to_string())
    }

    #[test]
    fn days_begin_at_midnight_of_the_jobs_time_zone() {
        let expected = "2016-10-03T23:00:00Z/2016-10-31T00:00:00Z/2016-12-01T00:00:00Z";
        assert_eq!(request("2016-10-04", "2016-10-31").unwrap(), expected);
        assert_eq!(request("2016-10-03T23:00:00Z", "2016-10-31T00:00:00+00:00").unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_with_what_to_do() {
        assert!(request("monday", "2016-10-05").unwrap_err().contains("--from monday is neither a day nor"));
        assert!(request("2016-10-04T06:00", "2016-10-05").unwrap_err().contains("write 2016-10-04 or"));
        assert!(request("2016-10-05", "2016-10-05").unwrap_err().contains("is not before"));
        let suspended = asked(&job(true), "2016-10-04", "2016-10-05", NOW.parse().unwrap());
        assert!(suspended.unwrap_err().contains("set spec.suspend to false first"));
    }

    #[test]
    fn whole_windows_are_named() {
        let backfill =
            asked(&job(false), "2016-10-04T06:00:00Z", "2016-10-04T07:00:00Z", NOW.parse().unwrap());
        let text = said(&job(false), backfill.unwrap());
        assert!(
            text.starts_with("hourly computes 2016-10-03T23:00:00Z/2016-10-04T23:00:00Z once more"),
            "{text}"
        );
    }
}
