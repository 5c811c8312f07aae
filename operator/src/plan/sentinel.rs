//! The sentinels of a managed Redis, which name its master and replace it when it dies.
//!
//! Must not: name a master; sentinels learn it at run time (see `redis`) and keep it on their claims.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};

use super::{
    Plan, metadata,
    redis::{Managed, Part, SENTINEL_PORT, budget, requests, service, stateful_set},
};
use crate::{owned_kinds::OwnedKind, validate::ValidPipeline};

/// Component of the sentinels.
pub const COMPONENT: &str = "sentinel";
/// Size of a sentinel's volume, which holds one small file.
const STORAGE: &str = "100Mi";

/// Adds the sentinels of a managed Redis.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let Some(managed) = Managed::of(pipeline) else { return };
    let name = pipeline.id.sentinel();
    plan.add(OwnedKind::Service, &service(pipeline, COMPONENT, &name, SENTINEL_PORT));
    let part = Part {
        component: COMPONENT,
        name: &name,
        script: "sentinel.sh",
        port: SENTINEL_PORT,
        resources: requests("50m", "64Mi"),
        environment: Vec::new(),
    };
    let sentinels = StatefulSet {
        metadata: metadata::unowned(pipeline, COMPONENT, name.as_str()),
        spec: Some(StatefulSetSpec {
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            ..stateful_set(pipeline, &managed, &part, managed.spec.sentinels(), STORAGE.to_owned())
        }),
        status: None,
    };
    plan.add(OwnedKind::StatefulSet, &sentinels);
    plan.add(OwnedKind::PodDisruptionBudget, &budget(pipeline, COMPONENT, &name));
}
