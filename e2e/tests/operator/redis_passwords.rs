//! The password of a managed Redis: made once, kept, and changed while everyone goes on.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Secret,
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::redis::{RedisCity, say};

/// How soon a client that tries again must be let in.
const RETRY: Duration = Duration::from_secs(1);
const ROTATE: &str = "parking.tinyx.io/rotate-redis-password";

/// The configuration hash of every workload that logs in at Redis.
async fn hashes(city: &RedisCity) -> BTreeMap<String, String> {
    let sets: Api<StatefulSet> = city.city.namespace.api();
    let deployments: Api<Deployment> = city.city.namespace.api();
    let mut found = BTreeMap::new();
    for name in ["city-occupancy", "city-alert"] {
        let template = sets.get(name).await.unwrap().spec.unwrap().template;
        found.insert(name.to_owned(), template.metadata.unwrap());
    }
    let template = deployments.get("city-notify").await.unwrap().spec.unwrap().template;
    found.insert("city-notify".to_owned(), template.metadata.unwrap());
    found
        .into_iter()
        .map(|(name, metadata)| (name, metadata.annotations.unwrap()["parking.tinyx.io/config-hash"].clone()))
        .collect()
}

#[tokio::test]
async fn a_password_is_changed_while_who_logs_in_with_the_shown_one_can_always_write() {
    let city = RedisCity::start(json!({})).await;
    city.write("before").await;
    let (old, rolls) = (city.password().await, hashes(&city).await);
    city.city.patch(json!({"metadata": {"annotations": {ROTATE: "1"}}})).await;
    let (both, seen) = (Cell::new(false), RefCell::new(BTreeSet::from([old.clone()])));
    city.eventually("the new password is the only one", async || {
        eventually("a write with the shown password", RETRY, async || city.try_write("while").await)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", city.city.log()));
        let (shown, secret) = city.secret().await;
        seen.borrow_mut().insert(shown["password"].clone());
        if shown.contains_key("previous") {
            both.set(true);
            assert_eq!(shown["previous"], old, "who has the old one is let in meanwhile");
            return Err("both are let in".to_owned());
        }
        let answered = secret.annotations().get(ROTATE).map(String::as_str) == Some("1");
        if answered && shown["password"] != old { Ok(()) } else { Err("the old one is shown".to_owned()) }
    })
    .await;
    assert!(both.get(), "both passwords are let in for a while");
    assert_eq!(seen.borrow().len(), 2, "one new password for one request");
    let members = [city.members("redis").await, city.members("sentinel").await];
    city.eventually("the old password is refused", async || {
        for (name, pod) in members.iter().flatten() {
            let answer = say(pod, &old, &["PING"]);
            if !answer.iter().any(|line| line.contains("NOAUTH") || line.contains("WRONGPASS")) {
                return Err(format!("{name} answers {answer:?}"));
            }
        }
        Ok(())
    })
    .await;
    let now = hashes(&city).await;
    for (name, hash) in &rolls {
        assert_ne!(hash, &now[name], "{name} is rolled to the new password");
    }
    city.until("Ready", "True").await;
    city.holds(&["before", "while"]).await.unwrap();
    for (name, pod) in city.members("redis").await {
        let kept = &members[0][&name];
        assert_eq!(pod.uid(), kept.uid(), "{name} runs on");
    }
}

#[tokio::test]
async fn a_password_that_is_edited_by_hand_is_put_back() {
    let city = RedisCity::start(json!({})).await;
    let password = city.password().await;
    let secrets: Api<Secret> = city.city.namespace.api();
    let edit = json!({"stringData": {"password": "chosen-by-hand"}});
    secrets.patch("city-redis", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    city.eventually("the password is back", async || {
        if city.password().await == password { Ok(()) } else { Err("another".to_owned()) }
    })
    .await;
    city.write("a").await;
    city.until("Ready", "True").await;
}
