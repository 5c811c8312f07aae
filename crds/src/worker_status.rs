//! What a worker answers on `/status`: the contract between worker and operator in the other direction.
//!
//! Must not: hold a secret or the text of a record.
//! Invariants: unknown fields are ignored, so that an older operator reads a newer worker; absent optional
//! members mean "not known", never zero.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{names::RuleName, role::Role, stream::Stream, topology::PipelineId};

/// How one worker stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// The pipeline that it works for.
    pub pipeline: PipelineId,
    /// What it does.
    pub role: Role,
    /// Version of the program.
    pub version: String,
    /// What it is about.
    pub phase: WorkerPhase,
    /// Its share of the input, by partition; absent where the role owns none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionReport>,
    /// The rules that it evaluates; only for the role `alert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesReport>,
    /// What is wrong, in plain sentences; nothing when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<WorkerProblem>,
}

/// What a worker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerPhase {
    /// Loads state and configuration.
    Starting,
    /// Processes records.
    Running,
    /// Was told to end: commits what it has.
    Draining,
}

/// How far a stage has read one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReport {
    /// The stream that is read.
    pub stream: Stream,
    /// The partition.
    pub partition: u16,
    /// Offset of the next record to process, as the last commit stored it.
    pub position: u64,
    /// Offset after the newest record.
    pub end: u64,
    /// When the oldest record that is not processed was appended; absent when all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unread: Option<Timestamp>,
}

impl PartitionReport {
    /// Records not yet processed.
    pub const fn lag(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }
}

/// The rules that a worker evaluates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesReport {
    /// Hash of the bundle's manifest that is loaded.
    pub bundle: String,
    /// Each rule of the bundle.
    pub rules: BTreeMap<RuleName, RuleReport>,
}

/// How one rule stands in one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleReport {
    /// Why the rule is not evaluated; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Hash of the rule's text in the bundle.
    pub hash: String,
    /// Alerts waiting for `for` to pass.
    pub pending: u64,
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts waiting for `keepFiringFor` to pass.
    pub recovering: u64,
    /// Alerts without data.
    pub no_data: u64,
    /// Whether `limits.maxActive` was exceeded.
    #[serde(default)]
    pub saturated: bool,
    /// When an alert of the rule last changed its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<Timestamp>,
}

/// Something that is wrong with a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerProblem {
    /// What it is about.
    pub kind: WorkerProblemKind,
    /// What to do about it.
    pub message: String,
}

/// What a worker's problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkerProblemKind {
    /// The log cannot be read or written.
    Log,
    /// State cannot be read or written.
    Store,
    /// Tables or snapshots cannot be read or written.
    Lake,
    /// A topic was made anew or an offset went back: records are gone.
    DataLost,
    /// Rules, inventory or configuration cannot be used.
    Configuration,
    /// Anything that a newer worker may add.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_worker_is_understood_as_far_as_it_goes() {
        let text = r#"{"pipeline":{"namespace":"parking","name":"city"},"role":"alert","version":"9.0.0",
            "phase":"Running","mood":"good","problems":[{"kind":"Weather","message":"rain"}],
            "partitions":[{"stream":"events","partition":3,"position":10,"end":12}]}"#;
        let status: WorkerStatus = serde_json::from_str(text).unwrap();
        assert_eq!(status.problems[0].kind, WorkerProblemKind::Other);
        assert_eq!(status.partitions[0].lag(), 2);
    }
}
