//! Membership in a consumer group: the member is given partitions, and reads none of them.
//!
//! Must not process records: those come from the log's own reader, from where the state store says. Its partitions
//! stay paused. Invariant: a partition that is asked back goes when it is released or after [`PATIENCE`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking_mpsc,
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Offset as Place, TopicPartitionList,
    client::ClientContext,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task,
};

use super::{error::read_error, settings::KafkaSettings};
use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{Offset, Partition, Stream},
    membership::{Change, Membership, Release},
};

/// How long a partition that is asked back may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the group may take to hear that a member leaves.
const LEAVING: Duration = Duration::from_secs(10);
/// How often the member hears of its group.
const HEARING: Duration = Duration::from_millis(100);

type Client = BaseConsumer<Member>;

/// Hears of changes, on the thread that polls.
struct Member {
    changes: mpsc::UnboundedSender<PortResult<Change>>,
    leaves: Arc<AtomicBool>,
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka group: {error}: {reason}");
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let moved = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(client, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoked(client, list),
            failed => Err(KafkaError::Rebalance(failed.into())),
        };
        if let Err(error) = moved {
            self.tell(Err(read_error("sharing the partitions", &error)));
        }
    }
}

impl Member {
    fn assigned(&self, client: &Client, list: &TopicPartitionList) -> KafkaResult<()> {
        client.incremental_assign(list)?;
        client.pause(list)?;
        self.tell(Ok(Change::Assigned(partitions(list))));
        Ok(())
    }

    fn revoked(&self, client: &Client, list: &TopicPartitionList) -> KafkaResult<()> {
        if client.assignment_lost() || self.leaves.load(Ordering::Acquire) {
            self.tell(Ok(Change::Lost(partitions(list))));
        } else {
            let (release, released) = blocking_mpsc::channel();
            // Whoever waits no more has taken the partitions already.
            let release = Release::new(move || release.send(()).unwrap_or_default());
            self.tell(Ok(Change::Revoked(partitions(list), release)));
            if released.recv_timeout(PATIENCE) == Err(blocking_mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!("partitions were not released within {PATIENCE:?}: others take them");
            }
        }
        client.incremental_unassign(list)
    }

    fn tell(&self, change: PortResult<Change>) {
        // Nobody listens to a member that leaves.
        let _ = self.changes.send(change);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().filter_map(|element| element.partition().try_into().ok()).collect()
}

/// See the module.
pub struct KafkaGroup {
    client: Arc<Client>,
    topic: String,
    changes: Mutex<mpsc::UnboundedReceiver<PortResult<Change>>>,
    leaves: Arc<AtomicBool>,
    left: watch::Receiver<bool>,
    /// Whose turn it is to commit.
    turn: Arc<Mutex<()>>,
}

impl KafkaGroup {
    /// Joins the group of `settings` for the partitions of a stream. `instance` names the member over restarts: none
    /// other may have that name at the same time.
    pub fn join(settings: &KafkaSettings, stream: Stream, instance: Option<&str>) -> PortResult<Self> {
        let attempt = || format!("joining the group {}", settings.group);
        let topic = settings.topics.get(&stream).cloned();
        let topic = topic.ok_or_else(|| PortError::new(ErrorKind::Invalid, attempt()))?;
        let (tell, changes) = mpsc::unbounded_channel();
        let leaves = Arc::new(AtomicBool::new(false));
        let member = Member { changes: tell, leaves: Arc::clone(&leaves) };
        let failed = |error| read_error(attempt(), &error);
        let client = Client::from_config_and_context(&settings.member(instance), member).map_err(failed)?;
        client.subscribe(&[&topic]).map_err(failed)?;
        let client = Arc::new(client);
        let left = listen(&client, &leaves)
            .map_err(|error| PortError::caused(ErrorKind::Transient, attempt(), error))?;
        Ok(Self { client, topic, changes: Mutex::new(changes), leaves, left, turn: Arc::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "a server that does not answer holds nobody here")]
    async fn wait_until_left(&self) {
        let mut left = self.left.clone();
        if tokio::time::timeout(LEAVING, left.wait_for(|left| *left)).await.is_err() {
            tracing::warn!("the group does not answer: it will notice by itself that this member left");
        }
    }

    async fn commit(
        &self,
        positions: &[(Partition, Offset)],
        mode: CommitMode,
    ) -> PortResult<KafkaResult<()>> {
        let failed = |error| read_error("reporting positions", &error);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let place = Place::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            list.add_partition_offset(&self.topic, number, place).map_err(failed)?;
        }
        // A question to brokers that do not answer may take for ever: another one waits for it.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let client = Arc::clone(&self.client);
        let done = task::spawn_blocking(move || {
            let done = client.commit(&list, mode);
            drop(turn);
            done
        });
        done.await.map_err(|error| PortError::caused(ErrorKind::Closed, "reporting positions", error))
    }
}

/// Hears of the group until the member leaves; then true is told.
#[expect(clippy::disallowed_methods, reason = "the library wants a thread that polls")]
fn listen(client: &Arc<Client>, leaves: &Arc<AtomicBool>) -> std::io::Result<watch::Receiver<bool>> {
    let (client, leaves) = (Arc::clone(client), Arc::clone(leaves));
    let (told, left) = watch::channel(false);
    let hear = move || {
        while !leaves.load(Ordering::Acquire) {
            match client.poll(HEARING) {
                None | Some(Ok(_)) => {}
                Some(Err(error)) => match client.client().fatal_error() {
                    None => tracing::debug!("kafka group: {error}"),
                    Some((_, reason)) => {
                        let attempt = "staying in the group";
                        client.context().tell(Err(PortError::caused(ErrorKind::Closed, attempt, reason)));
                        break;
                    }
                },
            }
        }
        if let Err(error) = client.close_queue() {
            tracing::warn!("leaving the group: {error}");
        } else {
            while !client.closed() {
                drop(client.poll(HEARING));
            }
        }
        told.send_replace(true);
    };
    thread::Builder::new().name("kafka-group".to_owned()).spawn(hear)?;
    Ok(left)
}

#[async_trait]
impl Membership for KafkaGroup {
    async fn change(&self) -> PortResult<Change> {
        let change = self.changes.lock().await.recv().await;
        change.unwrap_or_else(|| Err(PortError::new(ErrorKind::Closed, "staying in the group")))
    }

    async fn report(&self, positions: &[(Partition, Offset)]) -> PortResult<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let done = self.commit(positions, CommitMode::Async).await?;
        done.map_err(|error| read_error("reporting positions", &error))
    }

    async fn is_current(&self, position: (Partition, Offset)) -> PortResult<bool> {
        match self.commit(&[position], CommitMode::Sync).await? {
            Ok(()) => Ok(true),
            Err(error) => match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::StaleMemberEpoch
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::FencedMemberEpoch
                    | RDKafkaErrorCode::AssignmentLost
                    | RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::NoOffset,
                ) => Ok(false),
                _ => Err(read_error("asking whether the group still knows this member", &error)),
            },
        }
    }

    async fn leave(&self) -> PortResult<()> {
        self.leaves.store(true, Ordering::Release);
        // What was asked back and nobody heard of is released; whoever hears of changes now does that himself.
        if let Ok(mut changes) = self.changes.try_lock() {
            changes.close();
            while changes.try_recv().is_ok() {}
        }
        // The sender goes only after it told.
        self.wait_until_left().await;
        Ok(())
    }
}

impl Drop for KafkaGroup {
    fn drop(&mut self) {
        self.leaves.store(true, Ordering::Release);
    }
}
