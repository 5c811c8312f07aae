//! What the README tells a newcomer to type, typed, on a cluster of its own.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Container,
};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use parking_e2e::{
    kubernetes::{
        cluster::Cluster,
        control_plane::ControlPlane,
        definitions::{Definitions, Family, install},
        namespace::Namespace,
        operator::{Identity, Operator},
        surroundings,
    },
    locate::{self, repository, tool},
    minio::{KEYS, Minio},
};

use crate::workers::Workers;

/// The commands below the heading of the README, continued lines joined and comments left out.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("\n## On Kubernetes\n").nth(1).unwrap();
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let joined = block.replace("\\\n", " ");
    joined.lines().map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// Types one command in the repository; what it printed.
fn type_in(cluster: &Cluster, operator: Option<&Operator>, command: &str) -> String {
    // The README leaves the keys to its reader.
    let command = command
        .replace("accessKey=…", &format!("accessKey={}", KEYS.0))
        .replace("secretKey=…", &format!("secretKey={}", KEYS.1));
    let kubectl = cluster.kubectl().unwrap();
    let folder = |program: PathBuf| program.parent().unwrap().display().to_string();
    let (tools, plugins) = (folder(tool("kubectl").unwrap()), folder(locate::kubectl_plugin().unwrap()));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command])
        .current_dir(repository())
        .envs(kubectl.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("PATH", format!("{tools}:{plugins}:{path}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failure = String::from_utf8_lossy(&output.stderr);
    let log = || operator.map(|operator| operator.log().unwrap()).unwrap_or_default();
    assert!(output.status.success(), "{command}\n{said}{failure}\noperator:\n{}", log());
    said
}

/// The operator as the chart's Deployment says it, as a process that knows where `minio.minio` is.
async fn run_operator(cluster: &Cluster, store: IpAddr, folder: &Path) -> Operator {
    const NAMESPACE: &str = "parking-system";
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), NAMESPACE);
    let deployment = deployments.get("parking-operator").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let container: &Container = pod.containers.iter().find(|container| container.name == "operator").unwrap();
    let hosts = folder.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost\n{store} minio.minio\n")).unwrap();
    let account = pod.service_account_name.clone().unwrap();
    let identity = Identity { namespace: NAMESPACE.to_owned(), account };
    let kubeconfig = identity.kubeconfig(cluster, Duration::from_hours(1)).await.unwrap();
    // All pods are in one network namespace here: the operator on every address would leave none to the workers.
    let own = |argument: &String| argument.replace("--listen=0.0.0.0:", "--listen=127.0.0.1:");
    let arguments: Vec<String> = container.args.iter().flatten().map(own).collect();
    assert_ne!(Some(&arguments), container.args.as_ref(), "the address that the chart names has changed");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#])
        .arg(&hosts)
        .arg(locate::operator().unwrap())
        .args(&arguments)
        .env("POD_NAME", "parking-operator-0")
        .env("POD_NAMESPACE", NAMESPACE);
    Operator::run(&mut command, &kubeconfig).unwrap()
}

async fn names(cluster: &Cluster, group: &str, version: &str, kind: &str, namespace: &str) -> Vec<String> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), namespace, &resource);
    let mut names: Vec<String> =
        api.list(&ListParams::default()).await.unwrap().items.iter().map(DynamicObject::name_any).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_commands_of_the_readme_make_a_running_pipeline() {
    if std::env::var_os("KUBECONFIG").is_some() {
        return eprintln!("skipped: the README's namespaces of a cluster from outside are not ours");
    }
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().unwrap()));
    let cluster = Cluster::on(plane).await.unwrap();
    let foreign = [Family::Strimzi, Family::Keda, Family::Monitoring, Family::Spark];
    install(&cluster.client(), &Definitions::of(&foreign).unwrap()).await.unwrap();
    type_in(&cluster, None, "kubectl create namespace kafka");
    let kafka = Namespace::of(&cluster, "kafka").await.unwrap();
    let _strimzi = surroundings::kafka(&kafka).await.unwrap();
    let store: IpAddr = plane.address().parse().unwrap();
    let _store = Minio::start_at(SocketAddr::new(store, 9000)).unwrap();
    let folder = tempfile::tempdir().unwrap();

    let workers = Workers::default();
    let (mut operator, mut home) = (None, None);
    let mut waited = String::new();
    for command in commands() {
        waited = type_in(&cluster, operator.as_ref(), &command);
        if command.starts_with("helm install parking-operator ") {
            operator = Some(run_operator(&cluster, store, folder.path()).await);
        } else if command.starts_with("kubectl create namespace parking") {
            let parking = Namespace::of(&cluster, "parking").await.unwrap();
            home = Some((surroundings::kubelet(&parking, workers.behaviour()).await.unwrap(), parking));
        } else if command.starts_with("kubectl apply") {
            let (kubelet, parking) = home.as_ref().unwrap();
            workers.load_rules(parking, kubelet, "birmingham", 2).await.unwrap();
        }
    }
    let (_kubelet, parking) = home.unwrap();
    assert!(waited.contains("parkingpipeline.parking.tinyx.io/birmingham condition met"), "{waited}");

    let topics = names(&cluster, "kafka.strimzi.io", "v1", "KafkaTopic", "kafka").await;
    assert_eq!(topics.len(), 4, "{topics:?}");
    let users = names(&cluster, "kafka.strimzi.io", "v1", "KafkaUser", "kafka").await;
    assert_eq!(users.len(), 5, "{users:?}");
    let sets: Api<StatefulSet> = parking.api();
    let mut sets: Vec<String> =
        sets.list(&ListParams::default()).await.unwrap().items.iter().map(StatefulSet::name_any).collect();
    sets.sort();
    assert_eq!(
        sets,
        ["alert", "archive", "occupancy", "redis", "redis-sentinel"].map(|role| format!("birmingham-{role}"))
    );
    let mut operator = operator.unwrap();
    assert!(operator.is_running().unwrap(), "{}", operator.log().unwrap());
    let listed = type_in(&cluster, Some(&operator), "kubectl get ar -n parking --no-headers");
    assert!(listed.lines().count() == 2 && listed.lines().all(|rule| rule.contains("True")), "{listed}");
    let differences = type_in(&cluster, Some(&operator), "kubectl parking -n parking diff birmingham");
    assert_eq!(differences.trim(), "", "nothing is left to change");
}
