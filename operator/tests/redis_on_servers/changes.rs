//! Templates, passwords and numbers that change.

use std::collections::BTreeSet;

use parking_operator::redis::{Decision, MASTER_NAME, Passwords, RedisSeen, SENTINEL_PORT, SERVER_PORT};

use crate::cluster::{Cluster, ask, connect, secret};

#[tokio::test]
async fn a_new_template_rolls_replicas_first_and_the_master_after_a_failover() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    for pod in cluster.servers.iter_mut().chain(cluster.sentinels.iter_mut()) {
        pod.member.revision_current = false;
    }
    let mut deleted = Vec::new();
    cluster
        .until("all rolled", |cluster, _, decision| {
            assert!(decision.report.delete_pods.len() <= 1);
            for name in &decision.report.delete_pods {
                deleted.push(name.clone());
                // The kubelet's part: the process ends, another one of the new template starts on its volume.
                let is_server = name.starts_with("redis");
                let pods = if is_server { &mut cluster.servers } else { &mut cluster.sentinels };
                let pod = pods.iter_mut().find(|pod| pod.member.pod == *name).unwrap();
                pod.kill();
                pod.member.revision_current = true;
                let ordinal = pod.member.ordinal;
                if is_server {
                    assert_ne!(
                        decision.report.master.as_ref(),
                        Some(name),
                        "a leading master is not deleted"
                    );
                    cluster.start_server(ordinal);
                } else {
                    cluster.start_sentinel(ordinal);
                }
            }
            let all = cluster.servers.iter().chain(&cluster.sentinels);
            all.into_iter().all(|pod| pod.member.revision_current)
        })
        .await;
    assert_eq!(deleted.len(), 6, "{deleted:?}");
    assert_eq!(deleted[2], master, "{deleted:?}");
    cluster.settled().await;
    assert_eq!(cluster.promoted.len(), 1);
}

#[tokio::test]
async fn no_write_fails_while_the_password_changes() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let old = cluster.password();
    let mut client = connect(&cluster.server(&master).member.clone(), &old, SERVER_PORT).await.unwrap();
    cluster.wanted.passwords =
        Passwords { current: secret("second"), next: None, previous: Some(secret("first")) };
    let mut writes = 0;
    let mut adopted = false;
    while !adopted {
        let (_, decision) = cluster.look().await;
        adopted = decision.report.password_adopted;
        redis::cmd("INCR")
            .arg("n")
            .query_async::<u64>(&mut client)
            .await
            .expect("the old password still does");
        writes += 1;
        assert!(writes < 100, "{decision:?}");
    }
    // The workers have rolled: they use the new password.
    let mut client = connect(&cluster.server(&master).member.clone(), "second", SERVER_PORT).await.unwrap();
    cluster.wanted.passwords.previous = None;
    for _ in 0..5 {
        cluster.look().await;
        redis::cmd("INCR").arg("n").query_async::<u64>(&mut client).await.expect("the new password does");
    }
    assert_eq!(cluster.settled().await, master);
    for pod in cluster.servers.iter().chain(&cluster.sentinels) {
        let port = if pod.member.pod.starts_with("redis") { SERVER_PORT } else { SENTINEL_PORT };
        assert!(connect(&pod.member, "first", port).await.is_none(), "{}", pod.member.pod);
        assert!(connect(&pod.member, "second", port).await.is_some(), "{}", pod.member.pod);
    }
    cluster.server(&master).kill();
    let new = cluster.until("a new master", |_, _, decision| decision.report.master.is_some()).await;
    assert_ne!(new.report.master.unwrap(), master, "sentinels fail over with the new password");
}

#[tokio::test]
async fn fewer_members_are_forgotten_by_every_sentinel() {
    let mut cluster = Cluster::start(3, 3);
    cluster.settled().await;
    cluster.wanted.servers = 2;
    cluster.wanted.sentinels = 1;
    cluster.wanted.quorum = 1;
    cluster.wanted.claims = (0..2).collect::<BTreeSet<u16>>();
    let stays = |_: &mut Cluster, _: &RedisSeen, decision: &Decision| decision.report.keep_servers == 2;
    cluster.until("the master stays", stays).await;
    cluster.servers.truncate(2);
    cluster.sentinels.truncate(1);
    cluster.settled().await;
    let sentinel = cluster.sentinels[0].member.clone();
    let words = ["SENTINEL", "CKQUORUM", MASTER_NAME];
    assert!(
        ask::<String>(&sentinel, &cluster.password(), SENTINEL_PORT, &words)
            .await
            .unwrap()
            .starts_with("OK 1")
    );
}
