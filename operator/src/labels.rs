//! Labels, annotations and field managers: how the operator recognises what is its own.

use std::collections::BTreeMap;

use parking_crds::{role::Role, topology::PipelineId};

/// Field manager of every object that the operator makes.
pub const MANAGER: &str = "parking-operator";
/// Field manager of the status of the three kinds.
pub const STATUS_MANAGER: &str = "parking-operator/status";
/// Field manager that holds `spec.replicas` while an autoscaler takes it over.
pub const REPLICAS_MANAGER: &str = "parking-operator/replicas";

/// Group of the three kinds; first part of every key below.
pub const GROUP: &str = "parking.tinyx.io";
/// Name of the pipeline that an object belongs to. With `PIPELINE_NAMESPACE`, the owner label.
pub const PIPELINE: &str = "parking.tinyx.io/pipeline";
/// Namespace of the pipeline that an object belongs to; topics and users may stand in another.
pub const PIPELINE_NAMESPACE: &str = "parking.tinyx.io/pipeline-namespace";
/// What the object is for: a role, `redis`, `sentinel`, `streams`, `rules`, `inventory`, `stats`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The statistics job that a Job belongs to.
pub const STATS_JOB: &str = "parking.tinyx.io/stats-job";
/// The program that made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Hash of the object as it was planned: tells a changed plan from a changed object.
pub const PLAN_HASH: &str = "parking.tinyx.io/plan-hash";
/// Hash of configuration and mounted Secrets, on pod templates: a change rolls the pods.
pub const CONFIG_HASH: &str = "parking.tinyx.io/config-hash";
/// On our kinds: `"true"` makes the operator leave everything as it is.
pub const PAUSE_RECONCILIATION: &str = "parking.tinyx.io/pause-reconciliation";
/// On a pipeline, set by `kubectl parking`: `Running`, `Paused` or `Stopped`, before what the spec says.
pub const PHASE: &str = "parking.tinyx.io/phase";

/// On a pipeline, set by `kubectl parking`: the loss of data with this fingerprint is dealt with.
pub const DATA_LOSS_ACKNOWLEDGED: &str = "parking.tinyx.io/data-loss-acknowledged";

/// On a pipeline, set by `kubectl parking`: any new value gives its managed Redis a new password. On the password's
/// Secret, the value that was answered last.
pub const ROTATE_REDIS_PASSWORD: &str = "parking.tinyx.io/rotate-redis-password";

/// On the Secret of a managed Redis' password: every server and sentinel uses the password; there while the one before
/// is still let in.
pub const PASSWORD_ADOPTED: &str = "parking.tinyx.io/password-adopted";

/// On a statistics job, set by `kubectl parking`: windows to compute once more; on its runs, the request that they answer.
pub const BACKFILL: &str = "parking.tinyx.io/backfill";

/// Holds back the deletion of a pipeline or job until its children are gone.
pub const FINALIZER: &str = "parking.tinyx.io/cleanup";

/// Labels that every object of a pipeline carries.
pub fn of(id: &PipelineId, component: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "parking"),
        ("app.kubernetes.io/instance", id.name.as_str()),
        ("app.kubernetes.io/part-of", "parking"),
        (COMPONENT, component),
        (MANAGED_BY, MANAGER),
        (PIPELINE, id.name.as_str()),
        (PIPELINE_NAMESPACE, id.namespace.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Labels that select the pods of a component; they never change once a workload exists.
pub fn selector(id: &PipelineId, component: &str) -> BTreeMap<String, String> {
    [(PIPELINE, id.name.as_str()), (COMPONENT, component)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The component of a role.
pub const fn component(role: Role) -> &'static str {
    role.as_str()
}
