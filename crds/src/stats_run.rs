//! The file that tells a statistics run what to compute, and the arguments that tell it which windows: the contract
//! between the operator and a run in the cluster.
//!
//! Must not: hold a secret; secrets are named and read from files below `secrets`.
//! Invariants: unknown fields and other versions are refused; the file depends on the job and its pipeline alone, never
//! on the windows, so all runs of one computation share it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    names::{JobName, TopicName},
    stats_job::Computation,
    time::{Window, day::timestamp},
    topology::PipelineId,
    version::Version,
    worker_config::{Lake, Log, Store},
};

/// Most windows in one run.
pub const MOST_WINDOWS: usize = 400;
/// Exit code of a run that can never succeed as it was asked for: it is not tried again.
pub const EXIT_REFUSED: i32 = 2;

/// What a run computes and where it finds everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatsRunConfig {
    /// Version of this contract.
    pub version: Version<1>,
    /// Name of the statistics job.
    pub job: JobName,
    /// The pipeline whose lake is read.
    pub pipeline: PipelineId,
    /// What is computed.
    pub computation: Computation,
    /// Partitions of every stream: a table is complete when each has a watermark.
    pub partitions: u16,
    /// Where the tables are.
    pub lake: Lake,
    /// Where the Redis sink writes; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Store>,
    /// Where the Kafka sink writes; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaTarget>,
    /// Path of the folder with one folder per secret and one file per key.
    pub secrets: String,
}

/// Where the Kafka sink writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaTarget {
    /// The cluster.
    pub log: Log,
    /// The topic.
    pub topic: TopicName,
}

impl StatsRunConfig {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, StatsRunConfigError> {
        serde_saphyr::from_str(text).map_err(|error| StatsRunConfigError(error.without_snippet().to_string()))
    }

    /// The file's text.
    pub fn to_yaml(&self) -> Result<String, StatsRunConfigError> {
        serde_saphyr::to_string(self).map_err(|error| StatsRunConfigError(error.to_string()))
    }
}

/// The text is no configuration of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration of the statistics run cannot be read: {0}")]
pub struct StatsRunConfigError(String);

/// Arguments of `parking` for the windows from `range.start` to `range.end`; `again` also computes those that have a
/// result already.
pub fn arguments(config: &str, range: Window, again: bool) -> Vec<String> {
    let [from, until] = [range.start, range.end].map(instant);
    let told = ["stats", "run", "--config", config, "--from", &from, "--until", &until];
    told.into_iter().chain(again.then_some("--again")).map(str::to_owned).collect()
}

/// An instant as arguments and annotations write it.
pub fn instant(time: crate::event::Millis) -> String {
    timestamp(time).to_string()
}

/// Reads an instant that [`instant`] wrote.
pub fn parse_instant(text: &str) -> Option<crate::event::Millis> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_stand_in_the_arguments_as_utc() {
        let range = Window { start: 1_475_535_600_000, end: 1_475_622_000_000 };
        let arguments = arguments("/run.yaml", range, false);
        assert_eq!(
            arguments.join(" "),
            "stats run --config /run.yaml --from 2016-10-03T23:00:00Z --until 2016-10-04T23:00:00Z"
        );
        assert_eq!(parse_instant(&arguments[5]), Some(range.start));
        assert_eq!(super::arguments("/run.yaml", range, true).last().unwrap(), "--again");
    }
}
