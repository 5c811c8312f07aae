//! Whether a planned system can work, told from its files alone: the static check behind `plan`.
//!
//! Must not: name a client, a runtime or a clock, or change a plan.
//! Invariant: the same input gives the same findings in the same order; a plan without findings has a producer
//! and a consumer for each stream, rights for each edge, and a network that is open exactly along the edges.

use std::fmt;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule,
    inventory,
    stats_job::StatsJob,
    topology::{PipelineId, Topology},
};

use crate::{plan::Plan, validate::ValidPipeline};

mod connections;
mod flow;
pub mod network;
mod references;
mod rights;
mod scale;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but perhaps not as meant.
    Warning,
    /// It cannot work.
    Error,
}

impl Severity {
    /// The word that people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that is wrong with a planned system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The field to edit, after the object's kind and name where it is not the pipeline.
    pub field: String,
    /// What is wrong and what to do, as one sentence without a full stop.
    pub message: String,
}

impl Finding {
    fn error(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, field: field.into(), message: message.into() }
    }

    fn warning(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity.as_str(), self.field, self.message)
    }
}

/// Everything that is wrong with one pipeline, its rules and its jobs. Those of other pipelines are left out.
pub fn check(
    topology: &Topology,
    pipeline: &ValidPipeline,
    plan: &Plan,
    rules: &[AlertRule],
    jobs: &[StatsJob],
) -> Vec<Finding> {
    let id = &topology.pipeline;
    let rules: Vec<&AlertRule> =
        rules.iter().filter(|rule| belongs(*rule, rule.spec.pipeline_ref.name.as_str(), id)).collect();
    let jobs: Vec<&StatsJob> =
        jobs.iter().filter(|job| belongs(*job, job.spec.pipeline_ref.name.as_str(), id)).collect();
    let mut findings = flow::check(topology, &pipeline.spec, &jobs);
    findings.extend(rights::check(topology, pipeline, plan));
    findings.extend(scale::check(topology, pipeline, plan));
    findings.extend(references::check(&pipeline.spec, &rules));
    findings.extend(connections::check(pipeline, plan));
    findings
}

/// Rules and jobs whose pipeline is not among those given.
pub fn orphans(pipelines: &[PipelineId], rules: &[AlertRule], jobs: &[StatsJob]) -> Vec<Finding> {
    let orphan = |kind: &str, name: String, wanted: &str| {
        Finding::error(
            format!("{kind}/{name} spec.pipelineRef.name"),
            format!("pipeline `{wanted}` is not in these files: add it, or correct the name"),
        )
    };
    let known = |object: &dyn Fn(&PipelineId) -> bool| pipelines.iter().any(object);
    let rules = rules
        .iter()
        .filter(|rule| !known(&|id| belongs(*rule, rule.spec.pipeline_ref.name.as_str(), id)))
        .map(|rule| orphan("AlertRule", rule.name_any(), rule.spec.pipeline_ref.name.as_str()));
    let jobs = jobs
        .iter()
        .filter(|job| !known(&|id| belongs(*job, job.spec.pipeline_ref.name.as_str(), id)))
        .map(|job| orphan("StatsJob", job.name_any(), job.spec.pipeline_ref.name.as_str()));
    rules.chain(jobs).collect()
}

/// Whether the inventory of a pipeline is among the given objects and can be read. One that lies in the bucket
/// cannot be looked at here.
pub fn check_inventory(pipeline: &ValidPipeline, config_maps: &[ConfigMap]) -> Vec<Finding> {
    let Some(reference) = &pipeline.spec.inventory.config_map_ref else {
        return Vec::new();
    };
    let field = "spec.inventory.configMapRef";
    let here = |map: &&ConfigMap| {
        let namespace = map.namespace().unwrap_or_else(|| pipeline.id.namespace.to_string());
        map.name_any() == reference.name.as_str() && namespace == pipeline.id.namespace.as_str()
    };
    let key = reference.key.as_ref().map_or("inventory.yaml", |key| key.as_str());
    let Some(map) = config_maps.iter().find(here) else {
        let message =
            format!("ConfigMap `{}` is not in these files: add it, or correct the name", reference.name);
        return vec![Finding::error(format!("{field}.name"), message)];
    };
    let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else {
        let message = format!("ConfigMap `{}` has no key `{key}`: add it, or name another", reference.name);
        return vec![Finding::error(format!("{field}.key"), message)];
    };
    let problem = inventory::Inventory::parse(text).err();
    problem
        .map(|error| Finding::error(field, format!("the inventory cannot be read: {error}")))
        .into_iter()
        .collect()
}

fn belongs<T: ResourceExt>(object: &T, wanted: &str, id: &PipelineId) -> bool {
    wanted == id.name.as_str()
        && object.namespace().is_none_or(|namespace| namespace == id.namespace.as_str())
}
