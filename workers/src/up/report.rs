//! What a run did, read from what the stages stored: the same after every run on the same data.

use std::{collections::BTreeMap, fmt::Write};

use parking_crds::{alert_rule::AlertRule, event::Millis};
use serde::{Deserialize, Serialize};

use super::{
    UpError,
    tables::{JobReport, TableReport},
};
use crate::{
    ports::{
        event_log::Partition,
        lake::Table,
        state_store::{BlockKey, StageKey, StateStore, Stored},
    },
    runtime::{
        alert::{self, RuleTotals},
        occupancy::{self, EventTotals, Totals},
        role::{Duty, Together},
    },
};

/// Alerts of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Raised.
    pub fired: u64,
    /// Over.
    pub resolved: u64,
    /// Not over.
    pub firing: u64,
}

/// The report of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// Verdicts.
    pub events: EventTotals,
    /// Zones of which something was accepted.
    pub zones: u64,
    /// Stays that began.
    pub sessions: u64,
    /// Alerts by rule.
    pub alerts: BTreeMap<String, RuleReport>,
    /// Tables of the lake.
    pub lake: BTreeMap<Table, TableReport>,
    /// Results of statistics jobs.
    pub stats: BTreeMap<String, JobReport>,
    /// Time of this run, ms.
    pub elapsed_ms: u64,
    /// Records that this run appended, a second.
    pub events_per_second: u64,
}

impl Report {
    /// Adds up what the stages stored.
    pub async fn collect(
        pipeline: &str,
        store: &dyn StateStore,
        partitions: Partition,
        rules: &[AlertRule],
    ) -> Result<Self, UpError> {
        let mut report = Self { pipeline: pipeline.to_owned(), ..Self::default() };
        for rule in rules {
            report.alerts.insert(rule.metadata.name.clone().unwrap_or_default(), RuleReport::default());
        }
        for partition in 0..partitions {
            let Some(stored) = store.peek(&StageKey { role: Together::ROLE, partition }).await? else {
                continue;
            };
            let totals: Option<(Totals, Option<Millis>)> =
                block(&stored, partition, occupancy::TOTALS_BLOCK)?;
            if let Some((totals, _)) = totals {
                report.add_events(&totals);
            }
            let totals: Option<(BTreeMap<String, RuleTotals>, Option<Millis>)> =
                block(&stored, partition, alert::TOTALS_BLOCK)?;
            for (rule, totals) in totals.into_iter().flat_map(|(rules, _)| rules) {
                let rule = report.alerts.entry(rule).or_default();
                rule.fired += totals.fired;
                rule.resolved += totals.resolved;
                rule.firing = rule.fired.saturating_sub(rule.resolved);
            }
        }
        Ok(report)
    }

    /// With the time that the run took.
    #[must_use]
    pub fn timed(mut self, elapsed: Millis, appended: u64) -> Self {
        self.elapsed_ms = u64::try_from(elapsed).unwrap_or(0);
        self.events_per_second = appended.saturating_mul(1_000) / self.elapsed_ms.max(1);
        self
    }

    fn add_events(&mut self, totals: &Totals) {
        self.events.add(totals);
        self.zones += totals.zones;
        self.sessions += totals.sessions;
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let events = &self.events;
        let dead: u64 = events.dead_letters.values().sum();
        let reasons: Vec<_> = events
            .dead_letters
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.as_str()))
            .collect();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "pipeline {}", self.pipeline);
        let _ = writeln!(
            text,
            "  events       read {}, accepted {}, duplicates {}, late {}",
            events.read, events.accepted, events.duplicates, events.late
        );
        let _ =
            writeln!(text, "  dead letters {dead}{}{}", if dead > 0 { ": " } else { "" }, reasons.join(", "));
        let _ = writeln!(text, "  zones        {}", self.zones);
        let _ = writeln!(text, "  sessions     {}", self.sessions);
        for (rule, RuleReport { fired, resolved, firing }) in &self.alerts {
            let _ =
                writeln!(text, "  alert        {rule}: fired {fired}, resolved {resolved}, firing {firing}");
        }
        for (table, TableReport { rows, files, bytes }) in &self.lake {
            let _ = writeln!(
                text,
                "  table        {}: {rows} rows in {files} files, {bytes} bytes",
                table.as_str()
            );
        }
        for (job, JobReport { windows, rows }) in &self.stats {
            let _ = writeln!(text, "  statistics   {job}: {windows} windows, {rows} rows");
        }
        let _ = writeln!(text, "  took         {} ms, {} events/s", self.elapsed_ms, self.events_per_second);
        text
    }
}

fn block<T: for<'de> Deserialize<'de>>(
    stored: &Stored,
    partition: Partition,
    wanted: BlockKey,
) -> Result<Option<T>, UpError> {
    let found = stored.blocks.iter().find(|(key, _)| *key == wanted);
    let unreadable = |source| UpError::Totals { role: Together::ROLE, partition, source };
    found.map(|(_, bytes)| postcard::from_bytes(bytes)).transpose().map_err(unreadable)
}
