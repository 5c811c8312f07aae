//! What bounds the stages: a loop as everybody writes it first, and reading in batches without any work.

use std::time::Duration;

use hashbrown::HashMap;
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
    message::BorrowedMessage,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        BenchError,
        gauge::{Spent, Stopwatch},
        stages::decode_all,
    },
    counts::Counts,
    place::Streams,
    timed,
};
use crate::ports::event_log::Stream;

/// Longest wait for the next record.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Named {
    curb_zone_id: Option<Uuid>,
}

/// Takes one record after the other, parses it, counts it by zone, and lets the client commit.
#[expect(clippy::disallowed_methods, reason = "the loop blocks, and what runs it names its group")]
pub(super) async fn plain(input: &Streams, expected: &Counts) -> Result<Spent, BenchError> {
    let topic = input.settings.topics.get(&Stream::Events).cloned().unwrap_or_default();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &input.settings.bootstrap_servers)
        .set("group.id", format!("{}.{}", input.name, Uuid::new_v4()))
        .set("auto.offset.reset", "earliest")
        .create()
        .map_err(BenchError::scenario)?;
    consumer.subscribe(&[&topic]).map_err(BenchError::scenario)?;
    let records = expected.records();
    let (counts, spent) = tokio::task::spawn_blocking(move || count_all(&consumer, records)).await??;
    expected.check_all(counts.into_iter())?;
    Ok(spent)
}

/// A poll may end early with news that are no record.
fn next(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>, BenchError> {
    let mut asked = None;
    loop {
        match consumer.poll(SILENCE) {
            Some(message) => return message.map_err(BenchError::scenario),
            None if asked.get_or_insert_with(Stopwatch::start).stop().wall < SILENCE => {}
            None => return Err(BenchError::Wrong(format!("no record came for {} s", SILENCE.as_secs()))),
        }
    }
}

type ByZone = HashMap<Option<Uuid>, u64>;

fn count_all(consumer: &BaseConsumer, records: u64) -> Result<(ByZone, Spent), BenchError> {
    let mut counts = ByZone::new();
    let mut count_next = || {
        let message = next(consumer)?;
        let named = serde_json::from_slice::<Named>(message.payload().unwrap_or_default());
        *counts.entry(named.ok().and_then(|named| named.curb_zone_id)).or_default() += 1;
        Ok::<_, BenchError>(())
    };
    // Joining the group is not measured.
    count_next()?;
    let watch = Stopwatch::start();
    for _ in 1..records {
        count_next()?;
    }
    let spent = watch.stop();
    Ok((counts, spent))
}

/// Reads all partitions side by side, and parses each record once.
pub(super) async fn read_and_parse(input: &Streams, records: u64) -> Result<Spent, BenchError> {
    let (read, spent) = timed(decode_all(&input.in_memory())).await?;
    if read == records {
        return Ok(spent);
    }
    Err(BenchError::Wrong(format!("{read} records were read of {records}")))
}
