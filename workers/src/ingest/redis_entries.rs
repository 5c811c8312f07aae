//! The stream `<prefix>ingest` of a Redis, as one of several consumers.
//!
//! | key | type | content |
//! |---|---|---|
//! | `<prefix>ingest` | stream | one entry a record; its field `record` holds the record as JSON |
//!
//! Writers use `XADD <prefix>ingest * record <json>`, with a `MAXLEN` if the memory of Redis is to be bounded
//! while no ingest runs. The consumer group is `ingest`; each process is a consumer of its own name.
//! Entries are taken without blocking, so that the connection can be shared.
//!
//! Invariant: an entry stays pending until it is forgotten; what a consumer left pending for a minute is
//! taken over by another.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use async_trait::async_trait;
use redis::{
    Cmd, FromRedisValue, Value, cmd,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};

use super::entries::{Entry, EntryStream};
use crate::ports::{ErrorKind, PortError, PortResult};

const GROUP: &str = "ingest";
const FIELD: &str = "record";
/// After how long another's entries are taken over, ms.
const ABANDONED_MS: usize = 60_000;
/// Acknowledges entries and deletes them, both at once.
const FORGET: &str = "local group = table.remove(ARGV, 1)
for _, id in ipairs(ARGV) do redis.call('XACK', KEYS[1], group, id); redis.call('XDEL', KEYS[1], id) end
return #ARGV";
/// Every so many rounds it is looked for entries that were abandoned.
const ROUNDS_BETWEEN_LOOKS: u32 = 100;

/// A connection to the master of a Redis, as far as it is needed here.
#[async_trait]
pub trait RedisCalls: Send + Sync {
    /// Runs one command.
    async fn call(&self, command: &Cmd) -> PortResult<Value>;
}

#[async_trait]
impl RedisCalls for redis::aio::MultiplexedConnection {
    async fn call(&self, command: &Cmd) -> PortResult<Value> {
        let answer = self.clone().send_packed_command(command).await;
        let answer = answer.and_then(Value::extract_error);
        answer.map_err(|error| PortError::caused(ErrorKind::Ambiguous, "a command to Redis", error))
    }
}

/// See the module.
pub struct RedisEntries<C> {
    calls: C,
    key: String,
    consumer: String,
    /// Whether the group is there, and this consumer's own entries were taken again.
    begun: AtomicBool,
    rounds: AtomicU32,
}

impl<C: RedisCalls> RedisEntries<C> {
    /// The stream below `prefix`, for the consumer of this name. Names of processes that run at the same
    /// time differ.
    pub fn new(calls: C, prefix: &str, consumer: impl Into<String>) -> Self {
        let (key, consumer) = (format!("{prefix}ingest"), consumer.into());
        Self { calls, key, consumer, begun: AtomicBool::new(false), rounds: AtomicU32::new(0) }
    }

    async fn make_group(&self) -> PortResult<()> {
        let mut command = cmd("XGROUP");
        command.arg("CREATE").arg(&self.key).arg(GROUP).arg("0").arg("MKSTREAM");
        match self.calls.call(&command).await {
            Ok(_) => Ok(()),
            Err(error) if tells(&error, "BUSYGROUP") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, from: &str, count: usize) -> PortResult<Vec<Entry>> {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(count);
        command.arg("STREAMS").arg(&self.key).arg(from);
        let answer = self.calls.call(&command).await?;
        let reply: Option<StreamReadReply> = parse(answer)?;
        let streams = reply.map(|reply| reply.keys).unwrap_or_default();
        Ok(streams.into_iter().flat_map(|stream| stream.ids).map(entry).collect())
    }

    async fn take_over(&self, count: usize) -> PortResult<Vec<Entry>> {
        let mut command = cmd("XAUTOCLAIM");
        command.arg(&self.key).arg(GROUP).arg(&self.consumer).arg(ABANDONED_MS).arg("0-0");
        command.arg("COUNT").arg(count);
        let reply: StreamAutoClaimReply = parse(self.calls.call(&command).await?)?;
        Ok(reply.claimed.into_iter().map(entry).collect())
    }

    async fn next(&self, count: usize) -> PortResult<Vec<Entry>> {
        if !self.begun.load(Ordering::Acquire) {
            self.make_group().await?;
            // What this consumer took before it was restarted; entries that are forgotten leave no trace.
            let again = self.read("0", count).await?;
            if !again.is_empty() {
                return Ok(again);
            }
            self.begun.store(true, Ordering::Release);
        }
        if self.rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(ROUNDS_BETWEEN_LOOKS) {
            let abandoned = self.take_over(count).await?;
            if !abandoned.is_empty() {
                return Ok(abandoned);
            }
        }
        self.read(">", count).await
    }
}

#[async_trait]
impl<C: RedisCalls> EntryStream for RedisEntries<C> {
    async fn take(&self, count: usize) -> PortResult<Vec<Entry>> {
        let taken = self.next(count).await;
        if taken.as_ref().is_err() {
            // A Redis that was emptied lost the group, and an answer that was lost left entries pending.
            self.begun.store(false, Ordering::Release);
        }
        taken
    }

    async fn forget(&self, ids: &[String]) -> PortResult<()> {
        let mut command = cmd("EVAL");
        command.arg(FORGET).arg(1).arg(&self.key).arg(GROUP).arg(ids);
        let forgotten = self.calls.call(&command).await;
        if forgotten.is_err() {
            self.begun.store(false, Ordering::Release);
        }
        forgotten.map(|_| ())
    }
}

/// An entry without the field is kept whole, so that it is refused with all that it says.
fn entry(id: StreamId) -> Entry {
    let text = |value: &Value| Vec::<u8>::from_redis_value_ref(value).unwrap_or_default();
    let record = match id.map.get(FIELD) {
        Some(record) => Some(text(record)),
        None if id.map.is_empty() => None,
        None => {
            let fields =
                id.map.iter().map(|(name, value)| (name, String::from_utf8_lossy(&text(value)).into_owned()));
            let fields: BTreeMap<_, _> = fields.collect();
            Some(serde_json::to_vec(&fields).unwrap_or_default())
        }
    };
    Entry { id: id.id, record }
}

fn parse<T: FromRedisValue>(value: Value) -> PortResult<T> {
    T::from_redis_value(value)
        .map_err(|error| PortError::caused(ErrorKind::Corrupt, "reading an answer of Redis", error))
}

fn tells(error: &PortError, word: &str) -> bool {
    error.source.as_ref().is_some_and(|source| source.to_string().contains(word))
}
