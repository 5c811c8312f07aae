//! Members of one group share its partitions, under either protocol of Kafka.

use std::{collections::BTreeSet, time::Duration};

use parking_crds::pipeline::GroupProtocol::{self, Classic, Consumer};
use parking_workers::{
    adapters::kafka::{KafkaGroup, KafkaSettings},
    ports::{
        event_log::{Partition, Stream},
        membership::{Change, Membership},
    },
};

use crate::broker::{Broker, Topics};

/// Enough for a group that is slow to notice.
const DEADLINE: Duration = Duration::from_mins(1);

struct Member {
    group: KafkaGroup,
    share: BTreeSet<Partition>,
}

impl Member {
    fn join(topics: &Topics, group_protocol: GroupProtocol, instance: Option<&str>) -> Self {
        let settings = KafkaSettings { group_protocol, ..topics.settings(Broker::shared()) };
        let group = KafkaGroup::join(&settings, Stream::Events, instance).unwrap();
        Self { group, share: BTreeSet::new() }
    }

    async fn hear(&mut self) {
        match self.group.change().await.unwrap() {
            Change::Assigned(partitions) => self.share.extend(partitions),
            Change::Revoked(partitions, release) => {
                self.share.retain(|one| !partitions.contains(one));
                drop(release);
            }
            Change::Lost(partitions) => self.share.retain(|one| !partitions.contains(one)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test that hangs says nothing")]
    async fn hear_until(&mut self, count: usize) {
        let heard = async {
            while self.share.len() != count {
                self.hear().await;
            }
        };
        tokio::time::timeout(DEADLINE, heard)
            .await
            .unwrap_or_else(|_| panic!("{:?}, wanted {count}", self.share));
    }
}

macro_rules! under_both {
    ($($behaviour:ident),+ $(,)?) => {
        mod classic {
            $(#[tokio::test] async fn $behaviour() { super::$behaviour(super::Classic).await; })+
        }
        mod consumer {
            $(#[tokio::test] async fn $behaviour() { super::$behaviour(super::Consumer).await; })+
        }
    };
}

under_both! {
    m1_a_member_alone_has_all_partitions_and_two_share_them,
    m2_a_partition_that_is_asked_back_is_nobody_elses_before_it_is_released,
}

async fn m1_a_member_alone_has_all_partitions_and_two_share_them(protocol: GroupProtocol) {
    let topics = Topics::random(4);
    topics.make(Broker::shared()).await;
    let mut one = Member::join(&topics, protocol, None);
    one.hear_until(4).await;
    let mut other = Member::join(&topics, protocol, None);
    tokio::join!(one.hear_until(2), other.hear_until(2));
    assert!(one.share.is_disjoint(&other.share));
    let (left, ()) = tokio::join!(one.group.leave(), other.hear_until(4));
    left.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "nobody tells that nothing will happen")]
async fn m2_a_partition_that_is_asked_back_is_nobody_elses_before_it_is_released(protocol: GroupProtocol) {
    let topics = Topics::random(2);
    topics.make(Broker::shared()).await;
    let mut one = Member::join(&topics, protocol, None);
    one.hear_until(2).await;
    let mut other = Member::join(&topics, protocol, None);
    let Change::Revoked(held, release) = one.group.change().await.unwrap() else {
        panic!("nothing was asked back")
    };
    let given = other.hear_until(1);
    // Nobody tells that nothing will be given.
    tokio::select! {
        () = given => panic!("it was given before it was released"),
        () = tokio::time::sleep(Duration::from_secs(1)) => drop(release),
    }
    other.hear_until(1).await;
    assert_eq!(other.share.into_iter().collect::<Vec<_>>(), held);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test that hangs says nothing")]
async fn who_leaves_without_having_heard_what_is_asked_back_is_gone_at_once() {
    let topics = Topics::random(2);
    topics.make(Broker::shared()).await;
    let mut one = Member::join(&topics, Classic, None);
    one.hear_until(2).await;
    let mut other = Member::join(&topics, Classic, None);
    // Now the first is asked for a partition; it has a second to be told.
    other.hear().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = tokio::time::timeout(Duration::from_secs(10), one.group.leave());
    left.await.expect("it waits for a release that nobody is to give").unwrap();
    other.hear_until(2).await;
}

#[tokio::test]
async fn m3_a_member_that_is_back_under_its_name_disturbs_nobody() {
    let topics = Topics::random(2);
    topics.make(Broker::shared()).await;
    let (mut one, mut other) =
        (Member::join(&topics, Classic, Some("pod-0")), Member::join(&topics, Classic, Some("pod-1")));
    tokio::join!(one.hear_until(1), other.hear_until(1));
    let (share, of_the_other) = (one.share.clone(), other.share.clone());
    one.group.leave().await.unwrap();
    drop(one);
    let mut back = Member::join(&topics, Classic, Some("pod-0"));
    // Whoever gave a partition away hears afterwards that nothing is added to its share: that is no disturbance.
    let disturbed = async {
        while other.share == of_the_other {
            other.hear().await;
        }
    };
    tokio::select! {
        () = back.hear_until(1) => {}
        () = disturbed => panic!("the other member was disturbed"),
    }
    assert_eq!(back.share, share);
}

#[tokio::test]
async fn a_member_whose_name_was_taken_is_no_longer_current() {
    let topics = Topics::random(1);
    topics.make(Broker::shared()).await;
    let mut old = Member::join(&topics, Classic, Some("pod-0"));
    old.hear_until(1).await;
    assert!(old.group.is_current((0, 0)).await.unwrap());
    let mut new = Member::join(&topics, Classic, Some("pod-0"));
    new.hear_until(1).await;
    assert!(!old.group.is_current((0, 0)).await.unwrap());
    assert!(new.group.is_current((0, 0)).await.unwrap());
}
