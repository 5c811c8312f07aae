//! One manifest becomes a running system.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{Api, api::ListParams};

use crate::city::City;

#[tokio::test]
async fn a_pipeline_becomes_ready_with_a_workload_for_each_role() {
    let city = City::start().await;
    let pipeline = city.ready().await;
    let status = pipeline.status.unwrap();
    assert_eq!(status.workers.as_deref(), Some("5/5"));
    let sets: Api<StatefulSet> = city.namespace.api();
    let deployments: Api<Deployment> = city.namespace.api();
    assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 3);
    assert_eq!(deployments.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert_eq!(city.strimzi.topics().len(), 4);
    assert_eq!(city.strimzi.problems(), Vec::<String>::new());
    assert_eq!(city.kubelet.problems(), Vec::<String>::new());
}
