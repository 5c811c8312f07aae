//! `pause`, `resume` and `stop`: one annotation, which goes before what the spec says.
//!
//! Invariant: only the annotation is written, under the plug-in's own field manager; `resume` gives it up.

use std::time::Duration;

use kube::ResourceExt;
use parking_crds::pipeline::{ParkingPipeline, Phase, PipelinePhase};

use super::{
    Answer, Failure, Session,
    annotations::{self, are_held},
    cli::PhaseArguments,
};
use crate::{labels, lifecycle, monotonic};

/// Pause between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(500);

/// Sets the annotation, or gives it up where `told` is none.
pub async fn run(
    session: &Session,
    arguments: &PhaseArguments,
    told: Option<Phase>,
) -> Result<Answer, Failure> {
    let name = arguments.name.as_str();
    let pipeline: ParkingPipeline = session.find(name).await?;
    let stored = annotations::tell(session, &pipeline, labels::PHASE, told).await?;
    if told.is_none() {
        check_resumed(&stored)?;
    }
    if arguments.wait {
        let limit = Duration::from(arguments.timeout);
        wait(session, name, lifecycle::wanted(&stored), limit).await?;
    }
    Ok(Answer::fine(format!("{}\n", said(&stored, arguments.wait))))
}

/// Another manager that holds the annotation keeps it: only that one can give it up.
fn check_resumed(stored: &ParkingPipeline) -> Result<(), Failure> {
    let Some(value) = stored.annotations().get(labels::PHASE) else { return Ok(()) };
    let holder = stored
        .managed_fields()
        .iter()
        .find(|entry| entry.fields_v1.as_ref().is_some_and(|fields| are_held(&fields.0, labels::PHASE)))
        .and_then(|entry| entry.manager.as_deref())
        .unwrap_or("somebody else");
    Err(Failure::Refused(format!(
        "the annotation {} stays `{value}`, as `{holder}` holds it: remove it there, or with `kubectl annotate pp {} {}-`",
        labels::PHASE,
        stored.name_any(),
        labels::PHASE
    )))
}

fn said(pipeline: &ParkingPipeline, done: bool) -> String {
    let name = pipeline.name_any();
    match (lifecycle::wanted(pipeline), done) {
        (Phase::Running, true) => format!("{name} runs"),
        (Phase::Running, false) => format!("{name} goes on"),
        (Phase::Paused, true) => format!("{name} is paused: `kubectl parking resume {name}` lets it go on"),
        (Phase::Stopped, true) => format!("{name} is stopped: `kubectl parking resume {name}` lets it go on"),
        _ if !pipeline.annotations().contains_key(labels::PHASE) => {
            format!(
                "{name} is told nothing any more, but its spec.lifecycle.phase keeps it at rest: edit that"
            )
        }
        (Phase::Paused, false) => format!(
            "{name} pauses: its stages work off what there is, events are still taken in; `kubectl parking resume {name}` lets it go on"
        ),
        (Phase::Stopped, false) => format!(
            "{name} stops: no more events are taken in, its stages work off what there is; `kubectl parking resume {name}` lets it go on"
        ),
    }
}

const fn reached(wanted: Phase) -> PipelinePhase {
    match wanted {
        Phase::Running => PipelinePhase::Running,
        Phase::Paused => PipelinePhase::Paused,
        Phase::Stopped => PipelinePhase::Stopped,
    }
}

async fn wait(session: &Session, name: &str, wanted: Phase, limit: Duration) -> Result<(), Failure> {
    let end = monotonic::now() + limit;
    let mut told = String::new();
    loop {
        let pipeline: ParkingPipeline = session.find(name).await?;
        let status = pipeline.status.as_ref();
        if status.and_then(|status| status.phase) == Some(reached(wanted)) {
            return Ok(());
        }
        let progress = progress(&pipeline);
        if progress != told {
            eprintln!("{name}: {progress}");
            told = progress;
        }
        if monotonic::now() >= end {
            return Err(Failure::Refused(format!(
                "{name} has not come there within {limit:?}: {told}; it goes on without you, look with `kubectl parking status {name}`"
            )));
        }
        monotonic::sleep(PAUSE).await;
    }
}

/// Where the pipeline is, in its own words.
fn progress(pipeline: &ParkingPipeline) -> String {
    let Some(status) = &pipeline.status else { return "the operator has not looked at it yet".to_owned() };
    let phase = status.phase.map_or("no phase yet".to_owned(), |phase| format!("{phase:?}"));
    let lag = status.lag.map(|lag| format!(", {lag} records to read")).unwrap_or_default();
    let workers = status.workers.as_ref().map(|workers| format!(", workers {workers}")).unwrap_or_default();
    format!("{phase}{workers}{lag}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pipeline(metadata: &Value, phase: &str) -> ParkingPipeline {
        let mut all = json!({"name": "city", "namespace": "parking", "uid": "u"});
        for (key, value) in metadata.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(json!({
            "metadata": all,
            "spec": {
                "kafka": {"external": {"bootstrapServers": "k1:9092"}}, "redis": {"managed": {}},
                "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake"},
                "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
                "lifecycle": {"phase": phase},
            },
        }))
        .unwrap()
    }

    #[test]
    fn an_annotation_of_somebody_else_is_named_with_its_holder() {
        let held = pipeline(
            &json!({
                "annotations": {labels::PHASE: "Paused"},
                "managedFields": [{"manager": "kubectl-annotate", "fieldsV1": {
                    "f:metadata": {"f:annotations": {"f:parking.tinyx.io/phase": {}}}}}],
            }),
            "Running",
        );
        let refused = check_resumed(&held).unwrap_err().to_string();
        assert!(refused.contains("stays `Paused`, as `kubectl-annotate` holds it"), "{refused}");
        assert!(check_resumed(&pipeline(&json!({}), "Running")).is_ok());
    }

    #[test]
    fn a_spec_that_rests_is_told_of_on_resume() {
        assert!(
            said(&pipeline(&json!({}), "Paused"), false).contains("spec.lifecycle.phase keeps it at rest")
        );
        assert_eq!(said(&pipeline(&json!({}), "Running"), true), "city runs");
    }
}
