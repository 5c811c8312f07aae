//! Namespaces with pipelines, and the doubles of what stands around them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use parking_crds::worker_status::{RulesReport, WorkerStatus};
use parking_e2e::kubernetes::{
    cluster::Cluster,
    error::Result,
    kubelet::Kubelet,
    namespace::Namespace,
    reports::{BUNDLE, COMPONENT, PIPELINE, load, loaded, running},
    strimzi::Strimzi,
    surroundings::Surroundings,
    worker::Behaviour,
};

const NAMESPACE: &str = "parking.tinyx.io/pipeline-namespace";

/// The rules that alert workers say they have loaded, by the namespace and name of their pipeline.
pub(crate) type Bundles = Arc<Mutex<BTreeMap<(String, String), RulesReport>>>;

/// A namespace with its Kafka and its kubelet; gone with the value.
pub(crate) struct Town {
    pub(crate) kubelet: Kubelet,
    pub(crate) _strimzi: Strimzi,
    pub(crate) namespace: Namespace,
}

impl Town {
    pub(crate) async fn start(cluster: &Cluster, bundles: &Bundles) -> Result<Self> {
        let namespace = Namespace::create(cluster).await?;
        let (bundles, name) = (Arc::clone(bundles), namespace.name().to_owned());
        let workers = Box::new(move |pod: &Pod| Some(Behaviour::Answers(status(&name, pod, &bundles)?)));
        let Surroundings { kubelet, strimzi } = Surroundings::start(&namespace, workers).await?;
        Ok(Self { kubelet, _strimzi: strimzi, namespace })
    }
}

fn status(namespace: &str, pod: &Pod, bundles: &Bundles) -> Option<WorkerStatus> {
    let pipeline = pod.labels().get(PIPELINE)?.clone();
    let bundles = bundles.lock().unwrap_or_else(PoisonError::into_inner);
    running(pod, bundles.get(&(namespace.to_owned(), pipeline)).cloned())
}

/// Lets every alert worker load what the bundle of its pipeline holds now.
pub(crate) async fn load_bundles(client: &Client, towns: &[Town], bundles: &Bundles) -> Result<()> {
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let list = maps.list(&ListParams::default().labels(&format!("{COMPONENT}={BUNDLE}"))).await?;
    let mut of_pipelines = BTreeMap::<(String, String), Vec<ConfigMap>>::new();
    for map in list {
        let label = |key| map.labels().get(key).cloned().unwrap_or_default();
        of_pipelines.entry((label(NAMESPACE), label(PIPELINE))).or_default().push(map);
    }
    let whole = of_pipelines.into_iter().filter_map(|(pipeline, maps)| Some((pipeline, loaded(maps)?)));
    let mut found: BTreeMap<(String, String), RulesReport> = whole.collect();
    let before = std::mem::replace(&mut *bundles.lock().unwrap(), found.clone());
    found.retain(|pipeline, report| before.get(pipeline) != Some(report));
    for town in towns.iter().filter(|_| !found.is_empty()) {
        load(&town.kubelet, |status| {
            let pipeline = (status.pipeline.namespace.to_string(), status.pipeline.name.to_string());
            found.get(&pipeline).cloned()
        });
    }
    Ok(())
}
