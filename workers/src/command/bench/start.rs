//! `bench start`: how soon `parking up` has done its first work, and what it holds when idle.

use std::{fs, io, path::Path};

use parking_crds::duration::Duration;
use serde::{Deserialize, Serialize};

use super::{
    BenchError, Row,
    child::Child,
    folder::Folder,
    gauge::{Stopwatch, processor_seconds, resident},
    row,
};
use crate::{
    adapters::embedded::{ADDRESS_FILE, SystemClock},
    domain::generator::Profile,
    ports::clock::Clock,
};

const RUNS: usize = 5;
/// A process that used no processor time for this many looks is idle.
const QUIET_LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(100);
const MOST_LOOKS: u32 = 600;
const READY_LOOK: Duration = Duration::from_millis(1);
const MOST_READY_LOOKS: u32 = 60_000;

/// One event.
const PROFILE: &str = "{tenant: start, seed: 1, timeZone: Europe/London, start: 2025-06-02T06:00:00Z, \
    duration: 1s, reportInterval: 1s, faults: {duplicates: 0, silent: 0, stuck: 0}, \
    groups: [{name: A, zones: 1, spaces: 1, archetype: onStreet}]}";

/// A day of a city: as many zones and events as Birmingham has in its example.
const CITY: &str = "{tenant: start, seed: 1, timeZone: Europe/London, start: 2025-06-02T00:00:00Z, \
    duration: 1d, reportInterval: 15m, groups: [{name: A, zones: 30, spaces: 12, archetype: onStreet}]}";

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartFigures {
    /// Median from the start of the process in a new folder until it shows the alert of its first event,
    /// which was appended, processed, committed and published by then.
    pub first_event_milliseconds: u128,
    /// Resident when nothing is left to do.
    pub idle_resident_bytes: Option<u64>,
    /// Median from the start of the process until every stage has its state, where a city's day was
    /// imported before and the last run was killed.
    pub restart_milliseconds: u128,
    /// Resident when that has nothing left to do.
    pub restarted_resident_bytes: Option<u64>,
}

/// Starts this binary some times.
pub(super) async fn measure(parent: &Path) -> Result<StartFigures, BenchError> {
    let place = Folder::new(parent, "start")?;
    let (one, city) = (place.path().join("one"), place.path().join("city"));
    write_files(&one, PROFILE)?;
    write_files(&city, CITY)?;
    let (mut first, mut idle_resident_bytes) = (Vec::with_capacity(RUNS), None);
    for run in 1..=RUNS {
        let data = place.path().join(format!("data-{run}"));
        let watch = Stopwatch::start();
        let process = serve(&one, &data)?;
        shows(&data, "v1/alerts", |alerts| alerts.contains("heard")).await?;
        first.push(watch.stop().wall.as_millis());
        if run == RUNS {
            idle_resident_bytes = idle_memory(&process).await;
        }
    }
    let data = place.path().join("data-city");
    up(&city, &data, &["--until-idle"])?.finish()?;
    let (mut again, mut restarted_resident_bytes) = (Vec::with_capacity(RUNS), None);
    for run in 1..=RUNS {
        let watch = Stopwatch::start();
        let city = serve(&city, &data)?;
        shows(&data, "readyz", |_| true).await?;
        again.push(watch.stop().wall.as_millis());
        if run == RUNS {
            restarted_resident_bytes = idle_memory(&city).await;
        }
    }
    Ok(StartFigures {
        first_event_milliseconds: median(first),
        idle_resident_bytes,
        restart_milliseconds: median(again),
        restarted_resident_bytes,
    })
}

fn median(mut runs: Vec<u128>) -> u128 {
    runs.sort_unstable();
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

fn up(files: &Path, data: &Path, more: &[&str]) -> Result<Child, BenchError> {
    let (file_text, data_text) = (files.to_string_lossy(), data.to_string_lossy());
    let mut arguments = vec!["up", "-f", &file_text, "--data", &data_text];
    arguments.extend(more);
    Child::start(&arguments, files)
}

fn serve(files: &Path, data: &Path) -> Result<Child, BenchError> {
    // The last run was killed, and the address that it left would be asked.
    if let Err(error) = fs::remove_file(data.join(ADDRESS_FILE))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    up(files, data, &["--listen", "127.0.0.1:0"])
}

/// Asks until the process answers what is waited for.
async fn shows(data: &Path, route: &str, wanted: fn(&str) -> bool) -> Result<(), BenchError> {
    let (clock, client, file) = (SystemClock::new(), reqwest::Client::new(), data.join(ADDRESS_FILE));
    for _ in 0..MOST_READY_LOOKS {
        if let Ok(address) = fs::read_to_string(&file)
            && let Ok(answer) = client.get(format!("http://{address}/{route}")).send().await
            && answer.status().is_success()
            && answer.text().await.is_ok_and(|text| wanted(&text))
        {
            return Ok(());
        }
        clock.pause(READY_LOOK).await;
    }
    Err(BenchError::Wrong(format!("a started process never answered what was waited for at {route}")))
}

async fn idle_memory(child: &Child) -> Option<u64> {
    let (clock, process) = (SystemClock::new(), child.id());
    let (mut used, mut quiet) = (processor_seconds(&process)?, 0);
    for _ in 0..MOST_LOOKS {
        clock.pause(LOOK).await;
        let now = processor_seconds(&process)?;
        quiet = if now > used { 0 } else { quiet + 1 };
        used = now;
        if quiet == QUIET_LOOKS {
            break;
        }
    }
    resident(&process)
}

fn write_files(files: &Path, profile: &str) -> Result<(), BenchError> {
    fs::create_dir_all(files)?;
    let city = Profile::parse(profile).map_err(BenchError::scenario)?;
    let inventory = serde_json::to_string(&city.inventory()).map_err(BenchError::scenario)?;
    let map = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "start-inventory", "namespace": "start"},
        "data": {"inventory.yaml": inventory},
    });
    fs::write(files.join("start.profile"), profile)?;
    fs::write(files.join("inventory.yaml"), map.to_string())?;
    fs::write(files.join("pipeline.yaml"), include_str!("start.yaml"))?;
    Ok(())
}

impl StartFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mebibytes = |memory: Option<u64>| {
            memory.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20))
        };
        vec![
            row("start to the first event's alert", format!("{} ms", self.first_event_milliseconds)),
            row("resident when idle", mebibytes(self.idle_resident_bytes)),
            row("start after a city's day", format!("{} ms", self.restart_milliseconds)),
            row("resident when idle", mebibytes(self.restarted_resident_bytes)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_a_deployment() {
        for profile in [PROFILE, CITY] {
            let folder = tempfile::tempdir().unwrap();
            write_files(folder.path(), profile).unwrap();
            let deployment = crate::deployment::load(&[folder.path().to_owned()]).unwrap();
            let (format, file) = deployment.replay.unwrap();
            assert_eq!(format, crate::command::feed::SIMULATE);
            assert!(Profile::parse(&fs::read_to_string(file).unwrap()).is_ok());
        }
    }
}
