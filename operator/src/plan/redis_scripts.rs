//! The `ConfigMap` with the scripts that start servers and sentinels, and with what they are told.
//!
//! Must not: hold a password.
//! Invariants: scripts are the same for every pipeline, and a changed script rolls the pods; `settings` may change
//! while pods run, which read it again each second.

use k8s_openapi::api::core::v1::ConfigMap;
use parking_crds::{pipeline::ManagedRedis, topology::PipelineId};
use sha2::{Digest, Sha256};

use super::{
    Plan, metadata,
    redis::{
        COMPONENT, MASTER_NAME, Managed, SENTINEL_PORT, min_replicas_to_write, quorum, sentinel_host,
        sentinel_settings,
    },
};
use crate::{owned_kinds::OwnedKind, validate::ValidPipeline};

const SCRIPTS: [(&str, &str); 4] = [
    ("ask.sh", include_str!("redis/ask.sh")),
    ("probe.sh", include_str!("redis/probe.sh")),
    ("redis.sh", include_str!("redis/redis.sh")),
    ("sentinel.sh", include_str!("redis/sentinel.sh")),
];

/// Name of the `ConfigMap`.
pub fn name(id: &PipelineId) -> String {
    id.redis().to_string()
}

/// Hash over the scripts, for the pods' templates.
pub(super) fn hash() -> String {
    let mut digest = Sha256::new();
    for (name, text) in SCRIPTS {
        digest.update(format!("{name} {}\n{text}", text.len()));
    }
    format!("{:x}", digest.finalize())
}

/// Adds the scripts of a managed Redis.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let Some(managed) = Managed::of(pipeline) else { return };
    let settings = settings(&pipeline.id, &pipeline.settings.cluster_domain, managed.spec);
    let files = SCRIPTS.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let map = ConfigMap {
        metadata: metadata::unowned(pipeline, COMPONENT, name(&pipeline.id)),
        data: Some(files.into_iter().chain([("settings".to_owned(), settings)]).collect()),
        ..ConfigMap::default()
    };
    plan.add(OwnedKind::ConfigMap, &map);
}

fn settings(id: &PipelineId, cluster_domain: &str, spec: &ManagedRedis) -> String {
    let (replicas, sentinels) = (spec.replicas(), spec.sentinels());
    let address = |ordinal| format!("{}:{SENTINEL_PORT}", sentinel_host(id, cluster_domain, ordinal));
    let addresses: Vec<String> = (0..sentinels).map(address).collect();
    let monitor: Vec<String> =
        sentinel_settings().iter().map(|(setting, value)| format!("{setting} {value}")).collect();
    format!(
        "MASTER_NAME={MASTER_NAME}\nREPLICAS={replicas}\nMIN_REPLICAS={}\nMAJORITY={}\nQUORUM={}\n\
         SENTINELS='{}'\nMONITOR_SETTINGS='{}'\n",
        min_replicas_to_write(replicas),
        sentinels / 2 + 1,
        quorum(sentinels),
        addresses.join(" "),
        monitor.join("\n"),
    )
}
