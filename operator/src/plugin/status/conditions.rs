//! Conditions as branches of the tree.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use parking_crds::condition::ConditionType;

use crate::plugin::{Branch, Tone};

/// Seconds since a time.
pub(super) fn since(time: Option<&Time>, now: Timestamp) -> Option<i64> {
    time.map(|time| now.as_second() - time.0.as_second())
}

/// One branch a condition; a message is shown where it asks for something.
pub(super) fn branches(conditions: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Branch> {
    conditions
        .iter()
        .map(|condition| {
            let tone = tone(condition);
            let branch = Branch::new(&condition.type_, &condition.status, tone)
                .since(since(Some(&condition.last_transition_time), now));
            let stale = generation.is_some() && condition.observed_generation != generation;
            match (tone, stale) {
                (_, true) => branch.because(format!(
                    "{}: {} (the newest edit was not looked at yet)",
                    condition.reason, condition.message
                )),
                (Tone::Plain | Tone::Good, false) => branch,
                (Tone::Waiting | Tone::Bad, false) => {
                    branch.because(format!("{}: {}", condition.reason, condition.message))
                }
            }
        })
        .collect()
}

fn tone(condition: &Condition) -> Tone {
    let holds = condition.status == "True";
    match ConditionType::parse(&condition.type_) {
        Some(
            ConditionType::Degraded
            | ConditionType::RetentionAtRisk
            | ConditionType::DataLost
            | ConditionType::Saturated,
        ) => {
            if holds {
                Tone::Bad
            } else {
                Tone::Good
            }
        }
        Some(ConditionType::Progressing | ConditionType::ReconciliationPaused) => {
            if holds {
                Tone::Waiting
            } else {
                Tone::Good
            }
        }
        _ if holds => Tone::Good,
        _ if condition.status == "Unknown"
            || matches!(condition.reason.as_str(), "Waiting" | "LakeBehind") =>
        {
            Tone::Waiting
        }
        _ => Tone::Bad,
    }
}
