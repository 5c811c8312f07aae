//! Who leads at first, after a loss, and after all have died.

use std::{fs, path::Path};

use parking_operator::plan::redis;

use crate::{cluster::Cluster, plan::PASSWORD};

fn arguments_of_all_processes() -> String {
    let read = |path: &Path| fs::read_to_string(path.join("cmdline")).ok();
    fs::read_dir("/proc").unwrap().filter_map(|entry| read(&entry.ok()?.path())).collect()
}

#[test]
fn nobody_leads_before_somebody_is_elected_and_a_dead_master_is_replaced() {
    let mut cluster = Cluster::new(21);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    assert!((0..3).all(|index| cluster.probe(index, "live") && !cluster.probe(index, "ready")));
    assert!(cluster.say(0, &["SET", "a", "1"])[0].starts_with("NOREPLICAS"));

    cluster.elect(1);
    assert_eq!(cluster.settle(), 1);
    cluster.write(1, "a");
    assert!(!arguments_of_all_processes().contains(PASSWORD));
    cluster.wait_for("the beat is replicated", |cluster| {
        (cluster.beat(0) > 1 && cluster.beat(2) > 1).then_some(())
    });

    cluster.kill(1);
    let second = cluster.wait_for("another leads", |cluster| cluster.master().filter(|&index| index != 1));
    cluster.write(second, "b");
    cluster.start(1);
    assert_eq!(cluster.settle(), second);
    assert_eq!(cluster.say(1, &["EXISTS", "a", "b"]), ["2"]);

    // Told to end, a master hands over first.
    cluster.terminate(second);
    let third = cluster.master().expect("a master as soon as the old one ended");
    assert_ne!(third, second);
}

#[test]
fn after_all_died_none_with_less_data_leads() {
    let mut cluster = Cluster::new(22);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    cluster.elect(2);
    assert_eq!(cluster.settle(), 2);
    cluster.write(2, "old");
    let before = cluster.beat(0);
    cluster.kill(0);
    cluster.write(2, "new");
    cluster.wait_for("the other replica goes on", |cluster| {
        (cluster.say(1, &["EXISTS", "new"]) == ["1"] && cluster.beat(1) > before + 1).then_some(())
    });
    (0..6).for_each(|index| cluster.kill(index));

    // Ordinal 0 has less than the others, the master's volume is lost, and the sentinels remember the master.
    cluster.wipe(2);
    cluster.start_all();
    cluster.wait_for("both replicas follow", |cluster| {
        let follows = |index| cluster.replication(index, "role").as_deref() == Some("slave");
        (follows(0) && follows(1)).then_some(())
    });
    cluster.wait_for("a sentinel takes the master for dead and finds nobody to promote", |cluster| {
        assert_eq!(cluster.master(), None, "{}", cluster.logs());
        (3..6).any(|index| cluster.log(index).contains("-failover-abort-no-good-slave")).then_some(())
    });
    assert!(cluster.say(2, &["PING"]).is_empty(), "an empty server must not listen while it is named");
    assert!(cluster.probe(2, "live"));

    assert!(cluster.beat(1) > cluster.beat(0));
    assert_eq!(cluster.say(1, &["CONFIG", "SET", "replica-priority", "100"]), ["OK"]);
    cluster.wait_for("the failover begins", |cluster| {
        let answer = cluster.say(3, &["SENTINEL", "FAILOVER", redis::MASTER_NAME]);
        (answer == ["OK"] || cluster.master() == Some(1)).then_some(())
    });
    assert_eq!(cluster.settle(), 1);
    assert!((0..3).all(|index| cluster.say(index, &["EXISTS", "old", "new"]) == ["2"]));
}

#[test]
fn a_restarted_cluster_goes_on_under_its_last_master() {
    let mut cluster = Cluster::new(23);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    cluster.elect(1);
    cluster.settle();
    cluster.write(1, "a");
    (0..6).for_each(|index| cluster.kill(index));
    cluster.start_all();
    assert_eq!(cluster.settle(), 1);
    assert_eq!(cluster.say(1, &["EXISTS", "a"]), ["1"]);
}
