//! Pipelines from texts and files, and objects of their plans.

use std::{fs, path::Path, sync::Arc};

use k8s_openapi::api::core::v1::ConfigMap;
use parking_crds::{
    alert_rule::AlertRule,
    manifest::{Manifest, parse},
    pipeline::ParkingPipeline,
    stats_job::StatsJob,
};
use parking_operator::{
    owned_kinds::OwnedKind,
    plan::{Plan, plan},
    settings::PlanSettings,
    validate::{ValidPipeline, offline},
};
use serde_json::Value;

/// The objects of some files.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) pipelines: Vec<ParkingPipeline>,
    pub(crate) rules: Vec<AlertRule>,
    pub(crate) jobs: Vec<StatsJob>,
    pub(crate) config_maps: Vec<ConfigMap>,
}

impl Files {
    pub(crate) fn of_text(text: &str) -> Self {
        let mut files = Self::default();
        for document in parse(text).unwrap() {
            match document.manifest {
                Manifest::Pipeline(pipeline) => files.pipelines.push(*pipeline),
                Manifest::Rule(rule) => files.rules.push(*rule),
                Manifest::StatsJob(job) => files.jobs.push(*job),
                Manifest::ConfigMap(map) => files.config_maps.push(*map),
                Manifest::Secret(_) => {}
            }
        }
        files
    }

    pub(crate) fn of_example(name: &str) -> Self {
        let folder = Path::new("../examples").join(name);
        let texts = ["pipeline.yaml", "rules.yaml", "stats.yaml", "inventory.yaml"]
            .map(|file| fs::read_to_string(folder.join(file)).unwrap());
        Self::of_text(&texts.join("\n---\n"))
    }

    pub(crate) fn valid(&self) -> ValidPipeline {
        offline(&self.pipelines[0], &self.rules, Arc::new(PlanSettings::default())).unwrap()
    }
}

/// A small pipeline with further lines of its spec.
pub(crate) fn text(spec: &str) -> String {
    format!(
        "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {{name: city, namespace: parking}}\n\
         spec:\n  kafka: {{strimzi: {{cluster: events, namespace: kafka}}}}\n  redis: {{managed: {{}}}}\n  \
         objectStore: {{endpoint: \"http://minio.minio:9000\", bucket: city-lake, credentialsSecretRef: {{name: minio}}}}\n  \
         inventory: {{configMapRef: {{name: city-inventory}}}}\n  events: {{partitions: 4}}\n{spec}"
    )
}

pub(crate) fn valid(spec: &str) -> ValidPipeline {
    Files::of_text(&text(spec)).valid()
}

pub(crate) fn planned(spec: &str) -> Plan {
    plan(&valid(spec))
}

pub(crate) fn find<'a>(plan: &'a Plan, kind: OwnedKind, name: &str) -> Option<&'a Value> {
    let object = plan.objects.iter().find(|object| object.kind == kind && object.name == name);
    object.map(|object| &object.manifest)
}

#[track_caller]
pub(crate) fn object<'a>(plan: &'a Plan, kind: OwnedKind, name: &str) -> &'a Value {
    find(plan, kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}"))
}
