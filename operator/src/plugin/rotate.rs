//! `rotate-password`: one annotation, each new value of which gives a managed Redis a new password.
//!
//! Must not: see a password.

use jiff::Timestamp;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use parking_crds::pipeline::ParkingPipeline;
use serde_json::{Value, json};

use super::{Answer, Failure, MANAGER, Session, cli::RotateArguments};
use crate::labels;

/// Asks for a new password.
pub async fn run(session: &Session, arguments: &RotateArguments, now: Timestamp) -> Result<Answer, Failure> {
    let name = arguments.name.as_str();
    let pipeline: ParkingPipeline = session.find(name).await?;
    let patch = patch(&pipeline, now).map_err(Failure::Refused)?;
    let doing = format!("annotating ParkingPipeline {}/{name}", session.namespace);
    let params = PatchParams::apply(MANAGER).force();
    let stored = session.api::<ParkingPipeline>().patch(name, &params, &Patch::Apply(patch)).await;
    stored.map_err(Failure::request(doing))?;
    Ok(Answer::fine(format!(
        "{name} gets a new Redis password; old and new are let in until every pod has the new one, look with `kubectl parking status {name}`\n"
    )))
}

/// The annotation, with the phase that the plug-in has set before: what an apply leaves out is given up.
fn patch(pipeline: &ParkingPipeline, now: Timestamp) -> Result<Value, String> {
    if pipeline.spec.redis.managed.is_none() {
        return Err(format!(
            "the Redis of {} is not the operator's: change its password where it is run, then in the Secret that spec.redis.external names",
            pipeline.name_any()
        ));
    }
    let mut annotations = json!({labels::ROTATE_REDIS_PASSWORD: now.to_string()});
    if let (Some(phase), Some(members)) = (own_phase(pipeline), annotations.as_object_mut()) {
        members.insert(labels::PHASE.to_owned(), phase.into());
    }
    Ok(super::connect::manifest::<ParkingPipeline>(&json!({
        "name": pipeline.name_any(), "namespace": pipeline.namespace(), "uid": pipeline.uid(),
        "annotations": annotations,
    })))
}

fn own_phase(pipeline: &ParkingPipeline) -> Option<String> {
    let field = format!("f:{}", labels::PHASE);
    let ours = pipeline.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    let mut fields =
        ours.filter_map(|entry| entry.fields_v1.as_ref()?.0.pointer("/f:metadata/f:annotations"));
    fields.any(|all| all.get(&field).is_some()).then(|| pipeline.annotations().get(labels::PHASE).cloned())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(redis: &Value, paused_by: &str) -> ParkingPipeline {
        serde_json::from_value(json!({
            "metadata": {
                "name": "city", "namespace": "parking", "uid": "u", "annotations": {labels::PHASE: "Paused"},
                "managedFields": [{"manager": paused_by, "fieldsV1": {
                    "f:metadata": {"f:annotations": {"f:parking.tinyx.io/phase": {}}}}}],
            },
            "spec": {
                "kafka": {"external": {"bootstrapServers": "k1:9092"}}, "redis": redis,
                "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake"},
                "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pause_by_the_plug_in_is_kept_and_that_of_others_left_to_them() {
        let managed = json!({"managed": {}});
        let now = Timestamp::UNIX_EPOCH;
        let annotations =
            |by| patch(&pipeline(&managed, by), now).unwrap()["metadata"]["annotations"].clone();
        assert_eq!(
            annotations(MANAGER),
            json!({labels::ROTATE_REDIS_PASSWORD: "1970-01-01T00:00:00Z", labels::PHASE: "Paused"})
        );
        assert_eq!(annotations("kubectl"), json!({labels::ROTATE_REDIS_PASSWORD: "1970-01-01T00:00:00Z"}));
    }

    #[test]
    fn a_redis_of_somebody_else_is_left_to_them() {
        let external = json!({"external": {"sentinels": ["s:26379"]}});
        assert!(
            patch(&pipeline(&external, "x"), Timestamp::UNIX_EPOCH)
                .unwrap_err()
                .contains("not the operator's")
        );
    }
}
