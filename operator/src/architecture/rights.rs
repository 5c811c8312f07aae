//! Whether the planned rights at Kafka cover the edges of the topology.

use std::collections::BTreeSet;

use parking_crds::topology::{Topology, WorkerPlan};
use serde_json::Value;

use super::Finding;
use crate::{
    owned_kinds::OwnedKind,
    plan::Plan,
    validate::{ValidKafka, ValidPipeline},
};

/// Rights at a Kafka that somebody else runs are granted there.
pub(super) fn check(topology: &Topology, pipeline: &ValidPipeline, plan: &Plan) -> Vec<Finding> {
    match &pipeline.kafka {
        ValidKafka::External(_) => Vec::new(),
        ValidKafka::Strimzi(_) => {
            topology.workers.iter().flat_map(|worker| of_worker(topology, worker, plan)).collect()
        }
    }
}

fn of_worker(topology: &Topology, worker: &WorkerPlan, plan: &Plan) -> Vec<Finding> {
    let field = format!("KafkaUser/{}", worker.user);
    let user = plan
        .objects
        .iter()
        .find(|object| object.kind == OwnedKind::KafkaUser && object.name == worker.user.as_str());
    let Some(user) = user else {
        return vec![Finding::error(field, format!("the role {} has no user at Kafka", worker.config.role))];
    };
    let acls = user.manifest.pointer("/spec/authorization/acls").and_then(Value::as_array);
    let acls = acls.map(Vec::as_slice).unwrap_or_default();
    let missing =
        wanted(topology, worker).into_iter().filter(|right| !acls.iter().any(|acl| right.granted_by(acl)));
    missing
        .map(|right| {
            let message =
                format!("the role {} may not {} {}", worker.config.role, right.operation, right.name);
            Finding::error(&field, message)
        })
        .collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    kind: &'static str,
    name: String,
    operation: &'static str,
}

impl Right {
    fn granted_by(&self, acl: &Value) -> bool {
        let text = |pointer: &str| acl.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/resource/name");
        let meant = match text("/resource/patternType") {
            "prefix" => self.name.starts_with(name),
            _ => self.name == name || name == "*",
        };
        let operations = acl.get("operations").and_then(Value::as_array);
        let operations = operations.map(Vec::as_slice).unwrap_or_default();
        let may =
            operations.iter().filter_map(Value::as_str).any(|one| one == self.operation || one == "All");
        text("/resource/type") == self.kind && text("/type") != "deny" && meant && may
    }
}

fn wanted(topology: &Topology, worker: &WorkerPlan) -> BTreeSet<Right> {
    let role = worker.config.role;
    let of = |operation: &'static str| move |name: String| Right { kind: "topic", name, operation };
    let topic =
        |stream: &parking_crds::stream::Stream| topology.stream(*stream).map(|plan| plan.topic.to_string());
    let mut wanted: BTreeSet<Right> = role.reads().iter().filter_map(topic).map(of("Read")).collect();
    wanted.extend(role.writes().iter().filter_map(topic).map(of("Write")));
    if !role.reads().is_empty() {
        let group = worker.config.group.to_string();
        wanted.insert(Right { kind: "group", name: group, operation: "Read" });
    }
    wanted
}
