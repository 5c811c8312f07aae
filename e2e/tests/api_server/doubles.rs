//! The doubles keep their contracts: of a kubelet, of Strimzi's operators, of a worker, of the operator's login.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod, Secret},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use parking_crds::worker_status::WorkerStatus;
use parking_e2e::{
    kubernetes::{
        cluster::Cluster,
        kubelet::{Kubelet, Outcome, Rules},
        namespace::Namespace,
        operator::{Identity, Operator},
        strimzi::{FINALIZER, Listener, Mode, Strimzi, make_kafka},
        wait::eventually,
        worker::Behaviour,
    },
    process::run,
};
use serde_json::{Value, json};

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

    let address = kubelet.worker("city-1", parking_e2e::kubernetes::worker::WorkerDouble::address).unwrap();
    kubelet.worker("city-1", |worker| worker.change(|status| status.partitions[0].end = 9)).unwrap();
    let answer = get(address, "/status");
    let body: WorkerStatus = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body.partitions[0].lag(), 6);
    assert_eq!(kubelet.worker("city-1", parking_e2e::kubernetes::worker::WorkerDouble::asked), Some(1));
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

/// A topic's condition `Ready` with reason, or the type of its only condition.
fn verdict(object: &DynamicObject) -> String {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let told: Vec<String> = conditions
        .iter()
        .map(|one| {
            format!("{}={} {}", text(one, "type"), text(one, "status"), text(one, "reason")).trim().to_owned()
        })
        .collect();
    told.join(", ")
}

fn strimzi(namespace: &Namespace, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kafka.strimzi.io", "v1", kind));
    Api::namespaced_with(namespace.client(), namespace.name(), &resource)
}

async fn judged(api: &Api<DynamicObject>, name: &str, wanted: &str) -> DynamicObject {
    eventually(&format!("{name}: {wanted}"), LIMIT, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
        if current && verdict(&object) == wanted {
            Ok(object)
        } else {
            Err(format!("{:?}", object.data["status"]))
        }
    })
    .await
    .unwrap()
}

fn topic(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic, metadata: {{name: {name}, labels: {{strimzi.io/cluster: events}}}}, spec: {spec}}}"
    )
}

async fn annotate(api: &Api<DynamicObject>, name: &str, annotation: &str, value: Value) {
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn topics_get_the_verdicts_of_the_topic_operator() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let double = Strimzi::start(&namespace, "events", Mode::Prompt).unwrap();
    let topics = strimzi(&namespace, "KafkaTopic");
    namespace.apply(&topic("one", "{topicName: a, partitions: 3, replicas: 1}")).await.unwrap();
    let first = judged(&topics, "one", "Ready=True").await;
    assert_eq!(first.finalizers(), [FINALIZER]);
    let id = first.data["status"]["topicId"].clone();
    assert_eq!(json!(double.topics()["a"].id), id);

    for (spec, refused) in [
        ("{topicName: a, partitions: 2, replicas: 1}", "Ready=False NotSupported"),
        ("{topicName: a, partitions: 3, replicas: 2}", "Ready=False NotSupported"),
        ("{topicName: b, partitions: 3, replicas: 1}", "Ready=False NotSupported"),
        ("{topicName: a, partitions: 4, replicas: 1}", "Ready=True"),
    ] {
        namespace.apply(&topic("one", spec)).await.unwrap();
        judged(&topics, "one", refused).await;
    }
    namespace.apply(&topic("two", "{topicName: a, partitions: 4, replicas: 1}")).await.unwrap();
    judged(&topics, "two", "Ready=False ResourceConflict").await;
    topics.delete("two", &DeleteParams::default()).await.unwrap();

    annotate(&topics, "one", "strimzi.io/pause-reconciliation", json!("true")).await;
    assert!(
        judged(&topics, "one", "ReconciliationPaused=True").await.data["status"].get("topicId").is_none()
    );
    annotate(&topics, "one", "strimzi.io/pause-reconciliation", Value::Null).await;
    judged(&topics, "one", "Ready=True").await;

    double.delete_in_kafka("a");
    eventually("another topicId", LIMIT, async || {
        let now = topics.get("one").await.unwrap().data["status"]["topicId"].clone();
        if now == id { Err(now.to_string()) } else { Ok(()) }
    })
    .await
    .unwrap();

    annotate(&topics, "one", "strimzi.io/managed", json!("false")).await;
    assert!(judged(&topics, "one", "Unmanaged=True").await.data["status"].get("topicId").is_none());
    topics.delete("one", &DeleteParams::default()).await.unwrap();
    eventually("the object is gone", LIMIT, async || match topics.get_opt("one").await.unwrap() {
        None => Ok(()),
        Some(left) => Err(format!("{left:?}")),
    })
    .await
    .unwrap();
    assert!(double.topics().contains_key("a"), "an unmanaged topic stays in Kafka");
    assert_eq!(double.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_topic_operator_that_is_gone_leaves_its_finalizer_and_one_that_is_absent_says_nothing() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let double = Strimzi::start(&namespace, "events", Mode::Slow(Duration::from_millis(300))).unwrap();
    let topics = strimzi(&namespace, "KafkaTopic");
    let made = namespace.apply(&topic("one", "{partitions: 1, replicas: 1}")).await.unwrap();
    assert_eq!(verdict(&made[0]), "");
    judged(&topics, "one", "Ready=True").await;
    double.set(Mode::Absent);
    namespace.apply(&topic("two", "{partitions: 1, replicas: 1}")).await.unwrap();
    topics.delete("one", &DeleteParams::default()).await.unwrap();
    let left = topics.get("one").await.unwrap();
    assert_eq!(
        (left.finalizers(), left.metadata.deletion_timestamp.is_some()),
        (&[FINALIZER.to_owned()][..], true)
    );
    assert_eq!(topics.get("two").await.unwrap().data.get("status"), None);
    double.set(Mode::Prompt);
    judged(&topics, "two", "Ready=True").await;
    topics.delete("two", &DeleteParams::default()).await.unwrap();
    eventually("both are gone from Kafka", LIMIT, async || {
        let left = double.topics();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn users_get_a_secret_by_their_authentication_and_another_one_on_demand() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let _double = Strimzi::start(&namespace, "events", Mode::Prompt).unwrap();
    let listener = Listener { name: "tls", port: 9093, tls: true, authentication: Some("tls") };
    make_kafka(&namespace, "events", &[listener], Some("simple")).await.unwrap();
    let kafka = strimzi(&namespace, "Kafka").get("events").await.unwrap();
    assert!(kafka.data["status"]["listeners"][0]["bootstrapServers"].as_str().unwrap().ends_with(":9093"));

    let users = strimzi(&namespace, "KafkaUser");
    let secrets = namespace.api::<Secret>();
    for (name, kind, username, keys) in [
        ("one", "tls", "CN=one", vec!["ca.crt", "user.crt", "user.key"]),
        ("two", "scram-sha-512", "two", vec!["password", "sasl.jaas.config"]),
    ] {
        let user = format!(
            "{{apiVersion: kafka.strimzi.io/v1, kind: KafkaUser, metadata: {{name: {name}, labels: {{strimzi.io/cluster: events}}}}, spec: {{authentication: {{type: {kind}}}}}}}"
        );
        namespace.apply(&user).await.unwrap();
        let ready = judged(&users, name, "Ready=True").await;
        assert_eq!(
            (&ready.data["status"]["username"], &ready.data["status"]["secret"]),
            (&json!(username), &json!(name))
        );
        let data = secrets.get(name).await.unwrap().data.unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), keys);
        annotate(&users, name, "strimzi.io/force-renew", json!("true")).await;
        eventually("renewed credentials", LIMIT, async || {
            let renewed = secrets.get(name).await.unwrap().data.unwrap() != data;
            if renewed { Ok(()) } else { Err("the same".to_owned()) }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_operator_logs_in_as_its_service_account_and_may_do_what_that_may() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let rights = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reads}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads}
subjects: [{kind: ServiceAccount, name: operator}]
";
    let identity = Identity { namespace: namespace.name().to_owned(), account: "operator".to_owned() };
    let identity = identity.create(&cluster, rights).await.unwrap();
    let kubeconfig = identity.kubeconfig(&cluster, Duration::from_mins(10)).await.unwrap();
    let kubectl = parking_e2e::locate::tool("kubectl").unwrap();
    for (resource, allowed) in [("configmaps", true), ("secrets", false)] {
        let mut command = Command::new(&kubectl);
        let process = Operator::run(command.args(["get", resource]), &kubeconfig).unwrap();
        let mut again = Command::new(&kubectl);
        let finished =
            run(again.arg("--kubeconfig").arg(process.kubeconfig()).args(["get", resource]), LIMIT).unwrap();
        assert_eq!(finished.status.success(), allowed, "{}", finished.stderr);
        assert!(allowed || finished.stderr.contains(&identity.user()), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_stopped_operator_stands_still_until_it_is_resumed() {
    let cluster = Cluster::join().await.unwrap();
    let script = "while :; do echo tick; sleep 0.02; done";
    let operator = Operator::run(Command::new("sh").args(["-c", script]), cluster.kubeconfig()).unwrap();
    let longer = async |than: usize| {
        eventually("more output", LIMIT, async || {
            let log = operator.log().unwrap();
            if log.len() > than { Ok(log.len()) } else { Err("none".to_owned()) }
        })
        .await
        .unwrap()
    };
    longer(0).await;
    operator.stop().unwrap();
    eventually("a process that stands still", LIMIT, async || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", operator.id())).unwrap();
        if state.contains(") T ") { Ok(()) } else { Err(state) }
    })
    .await
    .unwrap();
    let stood = operator.log().unwrap().len();
    operator.resume().unwrap();
    longer(stood).await;
    let ended = operator.terminate(LIMIT).unwrap();
    assert_eq!(ended.status.code(), None);
}
