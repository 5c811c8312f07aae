//! What is read of a `SparkApplication` of the Spark operator (`sparkoperator.k8s.io/v1beta2`).

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::stats_job::runs::{Failure, RunState};

/// How the application stands. Restarts are switched off, so `FAILED` is final.
pub fn state(application: &DynamicObject) -> RunState {
    let text = |pointer| application.data.pointer(pointer).and_then(Value::as_str);
    let made = application.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let ended = || text("/status/terminationTime").and_then(|at| at.parse().ok()).unwrap_or(made);
    match text("/status/applicationState/state") {
        Some("COMPLETED") => RunState::Succeeded(ended()),
        Some("FAILED") => RunState::Failed(ended(), Failure::PodsFailed),
        _ => RunState::Active,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state_of(status: &Value) -> RunState {
        let object = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
            "metadata": {"name": "hourly-1", "creationTimestamp": "2016-10-05T00:15:00Z"}, "status": status,
        });
        state(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn only_the_two_last_states_end_a_run() {
        for going_on in ["", "SUBMITTED", "RUNNING", "SUCCEEDING", "FAILING", "UNKNOWN"] {
            assert_eq!(state_of(&json!({"applicationState": {"state": going_on}})), RunState::Active);
        }
        assert_eq!(state_of(&json!({})), RunState::Active);
        let at: Timestamp = "2016-10-05T00:20:00Z".parse().unwrap();
        let ended = |state| {
            state_of(
                &json!({"applicationState": {"state": state}, "terminationTime": "2016-10-05T00:20:00Z"}),
            )
        };
        assert_eq!(ended("COMPLETED"), RunState::Succeeded(at));
        assert_eq!(ended("FAILED"), RunState::Failed(at, Failure::PodsFailed));
    }

    #[test]
    fn an_application_without_an_end_time_ended_when_it_was_made() {
        let made: Timestamp = "2016-10-05T00:15:00Z".parse().unwrap();
        assert_eq!(
            state_of(&json!({"applicationState": {"state": "COMPLETED"}, "terminationTime": null})),
            RunState::Succeeded(made)
        );
    }
}
