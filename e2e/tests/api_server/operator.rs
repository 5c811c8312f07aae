//! An operator of a test logs in, stands still and ends as it is told.

use std::{process::Command, time::Duration};

use parking_e2e::{
    kubernetes::{
        cluster::Cluster,
        namespace::Namespace,
        operator::{Identity, Operator},
        wait::eventually,
    },
    process::run,
};

const LIMIT: Duration = Duration::from_secs(30);

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
