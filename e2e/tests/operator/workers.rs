//! What the worker doubles of a namespace say of themselves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use parking_crds::{
    names::RuleName,
    role::Role,
    topology::PipelineId,
    worker_status::{RuleReport, RulesReport, WorkerPhase, WorkerStatus},
};
use parking_e2e::kubernetes::{
    error::Result,
    kubelet::{Kubelet, WorkerOf},
    namespace::Namespace,
    wait::eventually,
    worker::Behaviour,
};
use serde_json::Value;

use crate::city::LIMIT;

/// Workers that do what they are told; those of alerts have loaded the rules that a test gave them.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    loaded: Arc<Mutex<Option<RulesReport>>>,
}

impl Workers {
    /// What the kubelet double asks for each pod.
    pub(crate) fn behaviour(&self) -> Box<WorkerOf> {
        let loaded = Arc::clone(&self.loaded);
        Box::new(move |pod: &Pod| {
            let role = role_of(pod)?;
            Some(Behaviour::Answers(status(pod, role, loaded.lock().unwrap().clone())))
        })
    }

    /// Lets the alert workers load the pipeline's bundle, once it holds so many rules.
    pub(crate) async fn load_rules(
        &self,
        namespace: &Namespace,
        kubelet: &Kubelet,
        pipeline: &str,
        count: u64,
    ) -> Result<()> {
        let maps: Api<ConfigMap> = namespace.api();
        let report = eventually("the rule bundle", LIMIT, async || {
            let manifest = maps.get(&format!("{pipeline}-rules")).await.map_err(|error| error.to_string())?;
            let text = manifest.data.unwrap_or_default().remove("manifest.json").ok_or("no manifest.json")?;
            let manifest: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if manifest["rules"] != count {
                return Err(text);
            }
            let bundle = manifest["hash"].as_str().ok_or("no hash")?.to_owned();
            Ok(RulesReport { bundle, rules: bundled(&maps, pipeline).await })
        })
        .await?;
        *self.loaded.lock().unwrap() = Some(report.clone());
        for pod in kubelet.workers() {
            kubelet.worker(&pod, |worker| {
                worker.change(|status| {
                    if status.role == Role::Alert {
                        status.rules = Some(report.clone());
                    }
                });
            });
        }
        Ok(())
    }
}

async fn bundled(maps: &Api<ConfigMap>, pipeline: &str) -> BTreeMap<RuleName, RuleReport> {
    let list = maps.list(&ListParams::default()).await.unwrap();
    let shards =
        list.items.into_iter().filter(|map| map.name_any().starts_with(&format!("{pipeline}-rules-")));
    shards
        .flat_map(|map| map.data.unwrap_or_default())
        .filter(|(key, _)| key.starts_with("shard-"))
        .flat_map(|(_, text)| serde_json::from_str::<BTreeMap<RuleName, String>>(&text).unwrap())
        .map(|(name, hash)| (name, RuleReport { hash, ..RuleReport::default() }))
        .collect()
}

fn role_of(pod: &Pod) -> Option<Role> {
    let component = pod.labels().get("app.kubernetes.io/component")?;
    Role::ALL.into_iter().find(|role| role.as_str() == component)
}

fn status(pod: &Pod, role: Role, rules: Option<RulesReport>) -> WorkerStatus {
    let (namespace, name) = (pod.namespace().unwrap(), &pod.labels()["parking.tinyx.io/pipeline"]);
    WorkerStatus {
        pipeline: PipelineId { namespace: namespace.parse().unwrap(), name: name.parse().unwrap() },
        role,
        version: "0.1.0".to_owned(),
        phase: WorkerPhase::Running,
        partitions: Vec::new(),
        rules: rules.filter(|_| role == Role::Alert),
        problems: Vec::new(),
    }
}
