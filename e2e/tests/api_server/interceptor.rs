//! Whoever stands between a client and the API server forwards faithfully, and spoils exactly what it is told to.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config,
    api::{ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
    config::KubeConfigOptions,
};
use parking_e2e::kubernetes::{
    cluster::Cluster,
    interceptor::{Fault, Interceptor, WatchEnd},
    namespace::Namespace,
    operator::Identity,
    wait::eventually,
};

const LIMIT: Duration = Duration::from_secs(30);

const RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: maps}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [create, get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: maps}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: maps}
subjects: [{kind: ServiceAccount, name: client}]
";

struct Between {
    interceptor: Interceptor,
    maps: Api<ConfigMap>,
    identity: Identity,
    namespace: Namespace,
}

impl Between {
    /// A client that may do little, and asks through an interceptor.
    async fn start() -> Self {
        let cluster = Cluster::join().await.unwrap();
        let namespace = Namespace::create(&cluster).await.unwrap();
        let identity = Identity { namespace: namespace.name().to_owned(), account: "client".to_owned() };
        let identity = identity.create(&cluster, RIGHTS).await.unwrap();
        let interceptor = Interceptor::start(&cluster).unwrap();
        let kubeconfig = identity.kubeconfig(&cluster, Duration::from_mins(10)).await.unwrap();
        let options = KubeConfigOptions::default();
        let mut config =
            Config::from_custom_kubeconfig(interceptor.redirect(&kubeconfig), &options).await.unwrap();
        config.default_retry = false;
        let maps = Api::default_namespaced(Client::try_from(config).unwrap());
        Self { interceptor, maps, identity, namespace }
    }

    async fn create(&self, name: &str) -> Result<ConfigMap, kube::Error> {
        self.maps.create(&PostParams::default(), &map(name)).await
    }

    /// Names that the API server holds.
    async fn stored(&self) -> Vec<String> {
        let maps: Api<ConfigMap> = self.namespace.api();
        let names = maps.list(&ListParams::default()).await.unwrap().items.into_iter();
        names.filter_map(|map| map.metadata.name).filter(|name| name != "kube-root-ca.crt").collect()
    }
}

fn map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let data = BTreeMap::from([("key".to_owned(), "v".repeat(100_000))]);
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

fn code(outcome: Result<ConfigMap, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_keeps_its_own_rights_and_name_and_gets_whole_answers() {
    let between = Between::start().await;
    let made = between.create("one").await.unwrap();
    assert_eq!(made.data, map("one").data);
    assert_eq!(between.maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let refused = between.maps.delete("one", &kube::api::DeleteParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
    let seen = between.interceptor.take_seen();
    let calls: Vec<_> = seen.iter().map(|seen| (seen.call.verb, seen.call.write)).collect();
    assert_eq!(calls, [("create", Some(1)), ("list", None), ("delete", Some(2))]);
    let Some(audit) = between.namespace.cluster().audit_log() else { return };
    let events = audit.all().unwrap();
    let mut ours = events.iter().filter(|event| event.namespace() == between.namespace.name());
    assert!(ours.any(|event| event.user() == between.identity.user() && event.verb == "create"));
}

#[tokio::test]
async fn what_is_refused_or_lost_was_not_stored_and_what_lost_its_answer_was() {
    let between = Between::start().await;
    between.interceptor.set(|call| match call.write {
        Some(1) => Fault::Refuse { code: 409, retry_after: None },
        Some(2) => Fault::Refuse { code: 429, retry_after: Some(7) },
        Some(3) => Fault::Lose,
        Some(4) => Fault::LoseAnswer,
        _ => Fault::Pass,
    });
    assert_eq!(code(between.create("conflicts").await), 409);
    assert_eq!(code(between.create("throttled").await), 429);
    assert!(!matches!(between.create("lost").await, Ok(_) | Err(kube::Error::Api(_))));
    assert_eq!(between.stored().await, Vec::<String>::new());
    assert!(!matches!(between.create("applied").await, Ok(_) | Err(kube::Error::Api(_))));
    between.create("passes").await.unwrap();
    assert_eq!(between.stored().await, ["applied", "passes"]);
}

#[tokio::test]
async fn what_is_held_reaches_the_server_only_where_its_answer_is_held() {
    let between = Between::start().await;
    for (name, fault, stored) in [("held", Fault::Hold, false), ("applied", Fault::HoldAnswer, true)] {
        between.interceptor.set(move |call| if call.write.is_some() { fault } else { Fault::Pass });
        let before = between.interceptor.held();
        tokio::select! {
            outcome = between.create(name) => panic!("{outcome:?}"),
            held = between.interceptor.until_held(before, LIMIT) => held.unwrap(),
        }
        assert_eq!(between.stored().await.contains(&name.to_owned()), stored, "{name}");
    }
}

#[tokio::test]
async fn a_watch_passes_event_by_event_until_it_is_ended() {
    let between = Between::start().await;
    for how in [WatchEnd::Broken, WatchEnd::Expired] {
        let mut events = between.maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        let name = format!("{how:?}").to_lowercase();
        let maps: Api<ConfigMap> = between.namespace.api();
        maps.create(&PostParams::default(), &map(&name)).await.unwrap();
        loop {
            match events.try_next().await.unwrap().unwrap() {
                WatchEvent::Added(map) if map.metadata.name.as_ref() == Some(&name) => break,
                WatchEvent::Added(_) | WatchEvent::Bookmark(_) => {}
                other => panic!("{other:?}"),
            }
        }
        between.interceptor.end_watches(how);
        let last = events.next().await;
        match how {
            WatchEnd::Broken => assert!(matches!(last, None | Some(Err(_))), "{last:?}"),
            WatchEnd::Expired => {
                assert!(
                    matches!(&last, Some(Ok(WatchEvent::Error(status))) if status.code == 410),
                    "{last:?}"
                );
            }
        }
        eventually("its end", LIMIT, async || match events.next().await {
            None => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
        .unwrap();
    }
}
