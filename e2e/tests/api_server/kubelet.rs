//! The double of a kubelet keeps its contract, and that of a worker with it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use parking_crds::worker_status::WorkerStatus;
use parking_e2e::kubernetes::{
    cluster::Cluster,
    kubelet::{Kubelet, Outcome, Rules},
    namespace::Namespace,
    wait::eventually,
    worker::{Behaviour, WorkerDouble},
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

const STATEFUL: &str = "
apiVersion: v1
kind: Service
metadata: {name: city}
spec: {clusterIP: None, selector: {app: city}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: city}
spec:
  replicas: 2
  serviceName: city
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: city}}
  template:
    metadata: {labels: {app: city}}
    spec:
      containers: [{name: worker, image: 'worker:good', ports: [{name: http, containerPort: 8080}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

fn status() -> WorkerStatus {
    let text = json!({
        "pipeline": {"namespace": "parking", "name": "city"}, "role": "alert", "version": "0.1.0", "phase": "Running",
        "partitions": [{"stream": "events", "partition": 0, "position": 3, "end": 5}],
    });
    serde_json::from_value(text).unwrap()
}

/// Waits until the set has this many ready replicas of its newest revision.
async fn ready(sets: &Api<StatefulSet>, kubelet: &Kubelet, wanted: i32) {
    eventually("ready replicas", LIMIT, async || {
        let set = sets.get("city").await.map_err(|error| error.to_string())?;
        let status = set.status.clone().unwrap_or_default();
        let counts = (status.ready_replicas.unwrap_or_default(), status.updated_replicas.unwrap_or_default());
        let newest = status.observed_generation == set.metadata.generation;
        if counts == (wanted, 2) && newest {
            Ok(())
        } else {
            Err(format!("{status:?} {:?}", kubelet.problems()))
        }
    })
    .await
    .unwrap();
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn pods_of_a_stateful_set_become_ready_with_bound_claims_and_answer_for_their_worker() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let workers = Box::new(|_: &Pod| Some(Behaviour::Answers(status())));
    let kubelet = Kubelet::start(&namespace, Rules { workers, ..Rules::default() }).await.unwrap();
    namespace.apply(STATEFUL).await.unwrap();
    ready(&namespace.api(), &kubelet, 2).await;

    for claim in namespace.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap() {
        assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));
    }
    let slices = namespace.api::<EndpointSlice>();
    eventually("both pods in the EndpointSlice", LIMIT, async || {
        let found = slices.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let addresses: Vec<String> = found
            .into_iter()
            .flat_map(|slice| slice.endpoints.unwrap_or_default())
            .flat_map(|endpoint| endpoint.addresses)
            .collect();
        if addresses.len() == 2 { Ok(()) } else { Err(format!("{addresses:?}")) }
    })
    .await
    .unwrap();

    let address = kubelet.worker("city-1", WorkerDouble::address).unwrap();
    kubelet.worker("city-1", |worker| worker.change(|status| status.partitions[0].end = 9)).unwrap();
    let answer = get(address, "/status");
    let body: WorkerStatus = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body.partitions[0].lag(), 6);
    assert_eq!(kubelet.worker("city-1", WorkerDouble::asked), Some(1));
    assert_eq!(kubelet.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_never_ready_until_it_is_replaced() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let kubelet = Kubelet::start(&namespace, Rules::default()).await.unwrap();
    namespace.apply(&STATEFUL.replace("worker:good", "worker:bad")).await.unwrap();
    let pods = namespace.api::<Pod>();
    eventually("a pod without image", LIMIT, async || {
        let pod = pods.get("city-0").await.map_err(|error| error.to_string())?;
        let states = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let waiting = states.into_iter().find_map(|status| status.state?.waiting?.reason);
        if waiting.as_deref() == Some("ImagePullBackOff") { Ok(()) } else { Err(format!("{waiting:?}")) }
    })
    .await
    .unwrap();
    pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    namespace.apply(STATEFUL).await.unwrap();
    ready(&namespace.api(), &kubelet, 2).await;
    assert_eq!(kubelet.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_that_a_test_calls_unready_is_no_ready_replica() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let unready = Box::new(|pod: &Pod| pod.name_any() == "city-0");
    let kubelet = Kubelet::start(&namespace, Rules { unready, ..Rules::default() }).await.unwrap();
    namespace.apply(STATEFUL).await.unwrap();
    ready(&namespace.api(), &kubelet, 1).await;
    kubelet.change(|rules| rules.unready = Box::new(|_| false));
    ready(&namespace.api(), &kubelet, 2).await;
}

#[tokio::test]
async fn pods_of_jobs_end_as_told() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let kubelet =
        Kubelet::start(&namespace, Rules { jobs: Outcome::Never, ..Rules::default() }).await.unwrap();
    let job = "{apiVersion: batch/v1, kind: Job, metadata: {name: NAME}, spec: {backoffLimit: 0, template: {spec: \
               {restartPolicy: Never, containers: [{name: a, image: b}]}}}}";
    namespace.apply(&job.replace("NAME", "good")).await.unwrap();
    let jobs = namespace.api::<Job>();
    let ended = async |name: &str, how: &str| {
        eventually(how, LIMIT, async || {
            let status = jobs.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let conditions = status.conditions.clone().unwrap_or_default();
            let holds =
                conditions.iter().any(|condition| condition.type_ == how && condition.status == "True");
            if holds { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await
        .unwrap();
    };
    eventually("a running pod", LIMIT, async || {
        let status = jobs.get("good").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.ready == Some(1) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
    .unwrap();
    kubelet.change(|rules| rules.jobs = Outcome::Succeeds);
    ended("good", "Complete").await;
    kubelet.change(|rules| rules.jobs = Outcome::Fails);
    namespace.apply(&job.replace("NAME", "poor")).await.unwrap();
    ended("poor", "Failed").await;
}
