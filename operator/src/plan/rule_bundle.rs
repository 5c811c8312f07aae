//! Where the rules of a pipeline lie for its alert workers.

use parking_crds::topology::PipelineId;

/// Shards that alert workers mount, whether they exist or not: more rules never roll a pod.
pub const SHARDS: usize = 16;

/// The `ConfigMap` of a shard, counted from 0.
pub fn shard_name(id: &PipelineId, shard: usize) -> String {
    format!("{}-rules-{shard}", id.name)
}

/// The `ConfigMap` that says which shards belong together.
pub fn manifest_name(id: &PipelineId) -> String {
    format!("{}-rules", id.name)
}
