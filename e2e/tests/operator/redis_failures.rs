//! A managed Redis keeps what it has acknowledged, whatever dies, and says what it cannot do meanwhile.

use kube::ResourceExt as _;
use serde_json::json;

use crate::redis::{RedisCity, say};

#[tokio::test]
async fn a_managed_redis_gets_ready_and_takes_writes_through_the_master_that_sentinel_names() {
    let city = RedisCity::start(json!({"replicas": 3, "sentinels": 3})).await;
    assert_eq!(city.members("redis").await.len(), 3);
    assert_eq!(city.members("sentinel").await.len(), 3);
    city.try_write("a").await.unwrap();
    let (secret, _) = city.secret().await;
    assert_eq!(secret.len(), 1);
    assert!(secret["password"].len() >= 32, "the password is long");
    for (name, pod) in city.members("redis").await {
        let refused = say(&pod, "another", &["GET", "a"]);
        assert!(
            refused.iter().any(|line| line.contains("WRONGPASS") || line.contains("NOAUTH")),
            "{name}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_lost_master_is_replaced_and_the_condition_tells_of_it_meanwhile() {
    let city = RedisCity::start(json!({})).await;
    city.until_replaceable().await;
    city.write("before").await;
    let old = city.master().await.unwrap();
    let before = city.pods().get(&old).await.unwrap().uid();
    city.take_away(&[&old]);
    city.lose(&old).await;
    let pipeline = city.until("RedisReady", "False").await;
    let ready = pipeline.status.unwrap().conditions.into_iter().find(|found| found.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "False", "what needs Redis is not ready without it");
    let new = city
        .eventually("another master", async || {
            city.master().await.filter(|named| *named != old).ok_or_else(|| format!("{old} is named"))
        })
        .await;
    city.until("RedisReady", "True").await;
    city.holds(&["before"]).await.unwrap();
    city.try_write("after").await.unwrap();
    city.take_away(&[]);
    city.eventually("the old master follows", async || {
        let pod = city.pods().get(&old).await.map_err(|error| error.to_string())?;
        let (of, up) =
            (city.replication(&pod, "master_host").await, city.replication(&pod, "master_link_status").await);
        if pod.uid() != before && of.starts_with(&new) && up == "up" {
            Ok(())
        } else {
            Err(format!("{of} {up}"))
        }
    })
    .await;
    city.until("Ready", "True").await;
}

#[tokio::test]
async fn after_all_pods_were_lost_at_once_everything_acknowledged_is_there() {
    let city = RedisCity::start(json!({})).await;
    city.until_replaceable().await;
    for key in ["a", "b", "c"] {
        city.write(key).await;
    }
    let pods: Vec<String> =
        city.members("redis").await.into_keys().chain(city.members("sentinel").await.into_keys()).collect();
    for pod in &pods {
        city.lose(pod).await;
    }
    city.until("RedisReady", "False").await;
    city.until("RedisReady", "True").await;
    city.holds(&["a", "b", "c"]).await.unwrap();
    city.write("d").await;
    city.until("Ready", "True").await;
}

#[tokio::test]
async fn where_the_master_stays_away_the_server_with_the_newest_data_leads_and_never_an_older_one() {
    let city = RedisCity::start(json!({})).await;
    city.write("old").await;
    let master = city.master().await.unwrap();
    let servers = city.members("redis").await;
    let mut replicas = servers.keys().filter(|name| **name != master).cloned();
    // The one that falls behind has the lowest ordinal, so that an order by name would choose it.
    let (stale, newest) = (replicas.next().unwrap(), replicas.next().unwrap());
    city.take_away(&[&stale]);
    city.eventually("the stale one is gone", async || {
        let answer = city.ask(&servers[&stale], &["PING"]).await;
        if answer.is_empty() { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    city.write("new").await;
    let beat = city.beat(&servers[&newest]).await;
    city.eventually("the other replica has it, and a later beat than the stale one", async || {
        let answer = city.ask(&servers[&newest], &["EXISTS", "new"]).await;
        let later = city.beat(&servers[&newest]).await;
        if answer == ["1"] && later > beat { Ok(()) } else { Err(format!("{answer:?}, beat {later}")) }
    })
    .await;
    let sentinels: Vec<String> = city.members("sentinel").await.into_keys().collect();
    city.take_away(&[&master]);
    for pod in sentinels.iter().chain(servers.keys()) {
        city.lose(pod).await;
    }
    let chosen = city
        .eventually("another master", async || {
            city.master().await.filter(|named| *named != master).ok_or_else(|| format!("{master} is named"))
        })
        .await;
    assert_eq!(chosen, newest, "{stale} has less");
    city.eventually("the keys", async || city.holds(&["old", "new"]).await).await;
    city.take_away(&[]);
    city.until("RedisReady", "True").await;
    city.eventually("all follow", async || {
        for (name, pod) in city.members("redis").await {
            let found = city.ask(&pod, &["EXISTS", "old", "new"]).await;
            if found != ["2"] {
                return Err(format!("{name} answers {found:?}"));
            }
        }
        Ok(())
    })
    .await;
}
