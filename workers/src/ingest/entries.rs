//! Records that others put into a stream, such as one in Redis, and that are taken from there.
//!
//! Must not know what keeps the stream. Nobody waits for an answer here: what is refused becomes a
//! letter. The rights are those of a sender without keys and of the pipeline's own tenant: who may put
//! entries in is for the stream to say.
//!
//! Invariants: an entry is forgotten only after the log has its record or its letter (G1, G5); an entry that
//! is taken twice is written twice, with the same id, and counted once by the stages; entries of one
//! consumer keep their order.

use std::sync::Arc;

use async_trait::async_trait;
use parking_crds::duration::Duration;
use tokio::sync::watch;

use super::{
    gather::Held,
    grant::{Grant, Limits, Rights},
    intake::{Intake, Transport, Turned},
    letter::letter,
    refusal::Refusal,
};
use crate::ports::{PortResult, event_log::Stream};

/// Entries taken at a time.
const BATCH: usize = 1_000;
/// Most bytes of a batch that are counted as under way to the log.
const MOST_HELD: usize = 4 * 1024 * 1024;
/// Pause where there was none.
const IDLE: Duration = Duration::from_millis(100);
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_millis(1_000);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names it to the stream.
    pub id: String,
    /// Its record; `None` where the stream has dropped it since it was given to a consumer.
    pub record: Option<Vec<u8>>,
}

/// A stream of which this process is a consumer. Errors are as those of every port.
#[async_trait]
pub trait EntryStream: Send + Sync {
    /// The next entries that no other consumer has, at most `count`, in their order; none if there are none.
    /// What was taken by a consumer that is gone is given to another after a while.
    async fn take(&self, count: usize) -> PortResult<Vec<Entry>>;

    /// Forgets entries.
    async fn forget(&self, ids: &[String]) -> PortResult<()>;
}

/// Takes entries until it is told to end.
pub async fn consume(
    entries: Arc<dyn EntryStream>,
    intake: Arc<Intake>,
    pipeline: String,
    stop: watch::Receiver<bool>,
) {
    let rights = Rights { write: true, replay: false };
    let grant = Grant { id: Arc::from("redis"), tenant: Some(pipeline), rights, limits: Limits::default() };
    let consumer = Consumer { entries, intake, grant };
    while !*stop.borrow() {
        let rest = consumer.round(&stop).await;
        let mut told = stop.clone();
        let Some(rest) = rest else { continue };
        tokio::select! {
            () = consumer.intake.clock.pause(rest) => {}
            // That nobody is left to tell is an end, too.
            ended = told.wait_for(|stop| *stop) => if ended.is_err() { return },
        }
    }
}

struct Consumer {
    entries: Arc<dyn EntryStream>,
    intake: Arc<Intake>,
    grant: Grant,
}

impl Consumer {
    /// Takes what is there; answers how long to rest before the next round.
    async fn round(&self, stop: &watch::Receiver<bool>) -> Option<Duration> {
        let taken = match self.entries.take(BATCH).await {
            Ok(taken) if taken.is_empty() => return Some(IDLE),
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!("entries were not taken: {}", crate::sentence::sentence(&error));
                self.intake.meter.turned_away(Transport::Redis.as_str(), "stream");
                return Some(AFTER_FAILURE);
            }
        };
        while let Err(away) = self.write(&taken).await {
            tracing::warn!("entries were not written: {away}");
            self.intake.meter.turned_away(Transport::Redis.as_str(), away.as_str());
            if *stop.borrow() {
                return None;
            }
            self.intake.clock.pause(AFTER_FAILURE).await;
        }
        let gone = taken.iter().filter(|entry| entry.record.is_none()).count();
        if gone > 0 {
            tracing::error!("{gone} entries were dropped by the stream before they were written");
            self.intake.meter.turned_away(Transport::Redis.as_str(), "dropped");
        }
        let ids: Vec<_> = taken.into_iter().map(|entry| entry.id).collect();
        if let Err(error) = self.entries.forget(&ids).await {
            // They are taken again later, and known by their ids.
            tracing::warn!("entries were not forgotten: {}", crate::sentence::sentence(&error));
            return Some(AFTER_FAILURE);
        }
        None
    }

    /// Writes records, and letters of those that are refused.
    async fn write(&self, taken: &[Entry]) -> Result<(), Turned> {
        let records: Vec<&[u8]> = taken.iter().filter_map(|entry| entry.record.as_deref()).collect();
        let bytes: usize = records.iter().map(|record| record.len()).sum();
        let _held: Option<Held> = self.intake.gather.wait_for_room(bytes.min(MOST_HELD)).await;
        let pending = self.intake.begin(Transport::Redis, &self.grant, &records)?;
        let letters: Vec<_> =
            pending.refused().iter().filter_map(|refused| to_write(refused, &records)).collect();
        if !letters.is_empty() {
            let submitted = self.intake.gather.submit(Stream::Events, letters).map_err(Turned::Log)?;
            submitted.appended().await.map_err(Turned::Log)?;
        }
        self.intake.finish(pending).await.map(|_| ())
    }
}

/// Letters stand where the records of no zone stand: in partition 0.
fn to_write((place, refusal): &(usize, Refusal), records: &[&[u8]]) -> Option<(u32, Vec<u8>)> {
    Some((0, letter(records.get(*place)?, refusal)))
}
