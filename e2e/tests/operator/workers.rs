//! What the worker doubles of a namespace say of themselves.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, api::ListParams};
use parking_crds::worker_status::RulesReport;
use parking_e2e::kubernetes::{
    error::Result,
    kubelet::{Kubelet, WorkerOf},
    namespace::Namespace,
    reports::{BUNDLE, COMPONENT, PIPELINE as LABEL, load, loaded, running},
    wait::eventually,
    worker::Behaviour,
};

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
        Box::new(move |pod: &Pod| Some(Behaviour::Answers(running(pod, loaded.lock().unwrap().clone())?)))
    }

    /// Lets the alert workers load the pipeline's bundle, once it holds so many rules.
    pub(crate) async fn load_rules(
        &self,
        namespace: &Namespace,
        kubelet: &Kubelet,
        pipeline: &str,
        count: usize,
    ) -> Result<()> {
        let maps: Api<ConfigMap> = namespace.api();
        let of_bundle = ListParams::default().labels(&format!("{COMPONENT}={BUNDLE},{LABEL}={pipeline}"));
        let report = eventually("the rule bundle", LIMIT, async || {
            let maps = maps.list(&of_bundle).await.map_err(|error| error.to_string())?;
            let report = loaded(maps.items).ok_or("no whole bundle")?;
            let rules = report.rules.len();
            if rules == count { Ok(report) } else { Err(format!("{rules} rules")) }
        })
        .await?;
        *self.loaded.lock().unwrap() = Some(report.clone());
        load(kubelet, |_| Some(report.clone()));
        Ok(())
    }
}
