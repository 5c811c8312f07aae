//! A managed Redis is changed pod by pod, and takes writes all the while.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod, Secret},
};
use kube::{Api, ResourceExt as _, api::DeleteParams};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::{
    city::PIPELINE,
    redis::{LONG, RedisCity},
};

const IMAGE: &str = "registry.example/redis:next";

/// What was seen while pods were replaced.
#[derive(Debug, Default)]
struct Roll {
    /// Servers in the order in which they went.
    gone: Vec<String>,
    /// Who was named as the master when the first master went.
    master_then: Option<String>,
    /// Servers that were missing, ending or not ready again at one time. One that was not touched may be busy with
    /// the data of another master for a moment.
    worst: usize,
}

fn is_new(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.containers[0].image.as_deref() == Some(IMAGE))
}

fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|found| found.type_ == "Ready" && found.status == "True")
}

/// Whether it is one of the first pods, and shall not go.
fn is_untouched(pod: &Pod, first: &BTreeMap<String, Pod>) -> bool {
    let of_first = first.get(&pod.name_any()).is_some_and(|old| old.uid() == pod.uid());
    of_first && pod.metadata.deletion_timestamp.is_none()
}

/// Looks until `done` holds of the servers.
async fn watch(
    city: &RedisCity,
    roll: &RefCell<Roll>,
    first: &BTreeMap<String, Pod>,
    master: &str,
    done: impl Fn(&BTreeMap<String, Pod>) -> bool,
) {
    city.eventually("the roll", async || {
        let servers = city.members("redis").await;
        let named = city.master().await;
        let mut roll = roll.borrow_mut();
        let here = servers.values().filter(|pod| is_untouched(pod, first) || serves(pod)).count();
        let away = first.len().saturating_sub(here);
        roll.worst = roll.worst.max(away);
        for name in first.keys() {
            let stays = servers.get(name).is_some_and(|pod| is_untouched(pod, first));
            if !stays && !roll.gone.contains(name) {
                roll.gone.push(name.clone());
                if name == master {
                    roll.master_then.clone_from(&named);
                }
            }
        }
        if done(&servers) { Ok(()) } else { Err(format!("{roll:?}")) }
    })
    .await;
}

fn check(roll: &Roll, master: &str) {
    assert_eq!(roll.gone.len(), 3, "{roll:?}");
    assert_eq!(roll.gone.last().map(String::as_str), Some(master), "the old master goes last: {roll:?}");
    assert!(roll.master_then.as_deref().is_some_and(|named| named != master), "after a failover: {roll:?}");
    assert!(roll.worst <= 1, "one at a time: {roll:?}");
}

fn all_new(servers: &BTreeMap<String, Pod>) -> bool {
    servers.len() == 3 && servers.values().all(|pod| is_new(pod) && serves(pod))
}

#[tokio::test]
async fn a_new_image_rolls_replicas_first_and_the_old_master_last_after_a_failover() {
    let city = RedisCity::start(json!({})).await;
    city.write("before").await;
    let (servers, master) = (city.members("redis").await, city.master().await.unwrap());
    let roll = RefCell::new(Roll::default());
    city.change(json!({"image": IMAGE})).await;
    watch(&city, &roll, &servers, &master, all_new).await;
    check(&roll.into_inner(), &master);
    city.write("after").await;
    city.holds(&["before", "after"]).await.unwrap();
    city.eventually("the sentinels are new, too", async || {
        let sentinels = city.members("sentinel").await;
        let new = sentinels.values().filter(|pod| is_new(pod) && serves(pod)).count();
        if new == 3 { Ok(()) } else { Err(format!("{new} are")) }
    })
    .await;
    city.until("Ready", "True").await;
}

#[tokio::test]
async fn an_operator_that_dies_in_the_middle_of_a_roll_leaves_it_to_the_next() {
    let mut city = RedisCity::start(json!({})).await;
    city.write("before").await;
    let (servers, master) = (city.members("redis").await, city.master().await.unwrap());
    let roll = RefCell::new(Roll::default());
    city.change(json!({"image": IMAGE})).await;
    watch(&city, &roll, &servers, &master, |servers| servers.values().any(is_new)).await;
    city.city.operator.take().unwrap().kill().unwrap();
    city.city.start_operator().await;
    watch(&city, &roll, &servers, &master, all_new).await;
    check(&roll.into_inner(), &master);
    city.eventually("the data", async || city.holds(&["before"]).await).await;
}

#[tokio::test]
async fn a_redis_grows_and_shrinks_and_sentinel_forgets_who_is_gone() {
    let city = RedisCity::start(json!({})).await;
    city.write("at three").await;
    city.change(json!({"replicas": 5, "sentinels": 5})).await;
    knows(&city, 5).await;
    city.until("Ready", "True").await;
    city.write("at five").await;
    // The master is one of those that will go.
    let leaving = city.pods().get("city-redis-4").await.unwrap();
    let sentinel = city.pods().get("city-redis-sentinel-0").await.unwrap();
    city.eventually("the last server leads", async || {
        let named = city.master().await;
        if named.as_deref() == Some("city-redis-4") {
            return Ok(());
        }
        // The lowest priority above 0 is preferred; sentinels read it every ten seconds.
        city.ask(&leaving, &["CONFIG", "SET", "replica-priority", "1"]).await;
        let priorities = city.ask(&sentinel, &["SENTINEL", "REPLICAS", "mymaster"]).await;
        let seen = priorities.windows(2).any(|pair| pair[0] == "slave-priority" && pair[1] == "1");
        let answer =
            if seen { city.ask(&sentinel, &["SENTINEL", "FAILOVER", "mymaster"]).await } else { Vec::new() };
        Err(format!("{named:?} leads, {answer:?}"))
    })
    .await;
    city.write("led by the last").await;
    city.change(json!({"replicas": 3, "sentinels": 3})).await;
    knows(&city, 3).await;
    assert_eq!(city.members("redis").await.len(), 3);
    city.until("Ready", "True").await;
    city.eventually("the data", async || city.holds(&["at three", "at five", "led by the last"]).await).await;
}

/// Waits until every sentinel knows so many servers and sentinels, itself included, and no others.
async fn knows(city: &RedisCity, count: usize) {
    city.eventually(&format!("{count} are known"), async || {
        let sentinels = city.members("sentinel").await;
        let mut told = Vec::new();
        for sentinel in sentinels.values() {
            let lines = city.ask(sentinel, &["SENTINEL", "MASTER", "mymaster"]).await;
            let field = |name: &str| {
                let found = lines.iter().zip(lines.iter().skip(1)).find(|(key, _)| *key == name);
                found.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or_default()
            };
            told.push((field("num-slaves") + 1, field("num-other-sentinels") + 1, field("quorum")));
        }
        let wanted = vec![(count, count, count / 2 + 1); count];
        if told == wanted { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

#[tokio::test]
async fn volumes_grow_around_the_running_pods_and_never_shrink() {
    let city = RedisCity::start(json!({})).await;
    let sets: Api<StatefulSet> = city.city.namespace.api();
    let claims: Api<PersistentVolumeClaim> = city.city.namespace.api();
    let (set, servers) = (sets.get("city-redis").await.unwrap(), city.members("redis").await);
    city.change(json!({"storage": "2Gi"})).await;
    city.eventually("the volumes have grown", async || {
        for ordinal in 0..3 {
            let claim = claims.get(&format!("data-city-redis-{ordinal}")).await.map_err(|e| e.to_string())?;
            let capacity = claim.status.and_then(|status| status.capacity).unwrap_or_default();
            if capacity["storage"].0 != "2Gi" {
                return Err(format!("server {ordinal} has {capacity:?}"));
            }
        }
        let now = sets.get("city-redis").await.map_err(|error| error.to_string())?;
        let template = now.spec.unwrap().volume_claim_templates.unwrap()[0].clone();
        let size = template.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone();
        let adopted = now.status.and_then(|status| status.ready_replicas) == Some(3);
        if now.metadata.uid != set.metadata.uid && size == "2Gi" && adopted { Ok(()) } else { Err(size) }
    })
    .await;
    city.until("Ready", "True").await;
    for (name, pod) in city.members("redis").await {
        assert_eq!(pod.uid(), servers[&name].uid(), "{name} runs on");
        assert!(pod.metadata.deletion_timestamp.is_none(), "{name} runs on");
    }
    city.change(json!({"storage": "1Gi"})).await;
    city.until("RedisReady", "False").await;
    let (reason, message) = city.told("RedisReady").await;
    assert_eq!(reason, "Invalid");
    assert!(message.contains("spec.redis.managed.storage") && message.contains("2Gi"), "{message}");
    city.try_write("all the same").await.unwrap();
    city.change(json!({"storage": "2Gi"})).await;
    city.until("RedisReady", "True").await;
}

#[tokio::test]
async fn a_class_that_forbids_growth_is_told_of_and_everything_goes_on() {
    let city = RedisCity::start(json!({"storageClassName": "e2e-fixed"})).await;
    city.change(json!({"storage": "2Gi"})).await;
    city.until("RedisReady", "False").await;
    let (reason, message) = city.told("RedisReady").await;
    assert_eq!(reason, "NotSupported");
    assert!(message.contains("allowVolumeExpansion"), "{message}");
    city.try_write("all the same").await.unwrap();
}

async fn deleted(city: &RedisCity) {
    let pipelines = city.city.pipelines();
    pipelines.delete(PIPELINE, &DeleteParams::background()).await.unwrap();
    eventually("the pipeline is gone", LONG + Duration::from_secs(30), async || {
        match pipelines.get_opt(PIPELINE).await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(pipeline) => Err(format!("{:?}", pipeline.status.map(|status| status.conditions))),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.city.log()));
}

#[tokio::test]
async fn a_retained_redis_comes_back_with_its_data_and_a_deleted_one_leaves_nothing() {
    let city = RedisCity::start(json!({})).await;
    city.write("kept").await;
    let password = city.password().await;
    let claims: Api<PersistentVolumeClaim> = city.city.namespace.api();
    let secrets: Api<Secret> = city.city.namespace.api();
    deleted(&city).await;
    assert!(city.members("redis").await.is_empty() && city.members("sentinel").await.is_empty());
    assert_eq!(claims.list(&kube::api::ListParams::default()).await.unwrap().items.len(), 6);
    city.apply(json!({}), json!({"redis": "Delete"})).await;
    city.until("RedisReady", "True").await;
    assert_eq!(city.password().await, password);
    city.eventually("the data", async || city.holds(&["kept"]).await).await;
    deleted(&city).await;
    assert!(secrets.get_opt("city-redis").await.unwrap().is_none());
    city.eventually("the claims are gone", async || {
        let left = claims.list(&kube::api::ListParams::default()).await.map_err(|error| error.to_string())?;
        if left.items.is_empty() { Ok(()) } else { Err(format!("{} are left", left.items.len())) }
    })
    .await;
}
