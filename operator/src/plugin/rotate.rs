//! `rotate-password`: one annotation, each new value of which gives a managed Redis a new password.
//!
//! Must not: see a password.

use jiff::Timestamp;
use kube::ResourceExt;
use parking_crds::pipeline::ParkingPipeline;

use super::{Answer, Failure, Session, annotations, cli::RotateArguments};
use crate::labels;

/// Asks for a new password.
pub async fn run(session: &Session, arguments: &RotateArguments, now: Timestamp) -> Result<Answer, Failure> {
    let name = arguments.name.as_str();
    let pipeline: ParkingPipeline = session.find(name).await?;
    check_managed(&pipeline).map_err(Failure::Refused)?;
    annotations::tell(session, &pipeline, labels::ROTATE_REDIS_PASSWORD, Some(now.to_string())).await?;
    Ok(Answer::fine(format!(
        "{name} gets a new Redis password; old and new are let in until every pod has the new one, look with `kubectl parking status {name}`\n"
    )))
}

fn check_managed(pipeline: &ParkingPipeline) -> Result<(), String> {
    if pipeline.spec.redis.managed.is_none() {
        return Err(format!(
            "the Redis of {} is not the operator's: change its password where it is run, then in the Secret that spec.redis.external names",
            pipeline.name_any()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_redis_of_somebody_else_is_left_to_them() {
        let external = serde_json::from_value(json!({
            "metadata": {"name": "city"},
            "spec": {
                "kafka": {"external": {"bootstrapServers": "k1:9092"}},
                "redis": {"external": {"sentinels": ["s:26379"]}},
                "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake"},
                "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
            },
        }));
        let refused = check_managed(&external.unwrap()).unwrap_err();
        assert!(refused.contains("not the operator's"), "{refused}");
    }
}
