//! The one way into the log, whatever the transport: key, rate, verdicts, append, answer.
//!
//! Must not know a transport. Invariants: an answer that names records as accepted comes after the log's;
//! records of a request keep their order within a partition; nothing of a key is logged.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use parking_crds::{duration::Duration, event::Millis};
use tokio::sync::watch;

use super::{
    bucket::Bucket,
    gather::{AppendFailed, Gather, Submitted},
    grant::{Grant, Limits},
    judge::{Passed, Place, judge, of_partition},
    keyring::Keyring,
    meter::Meter,
    plate::PlateKeys,
    refusal::Refusal,
};
use crate::{
    domain::partitioner::partition_of_zone,
    ports::{
        clock::Clock,
        event_log::{Partition, Stream},
    },
};

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Door {
    /// Whoever has a key, of those that are valid now.
    Keys(watch::Receiver<Arc<Keyring>>),
    /// Anybody, with these limits for all together.
    Open(Limits),
}

/// See the module.
pub struct Intake {
    pub(super) door: Door,
    pub(super) plates: watch::Receiver<Arc<PlateKeys>>,
    pub(super) partitions: Partition,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gather: Gather,
    pub(super) meter: Meter,
    buckets: Mutex<BTreeMap<Arc<str>, Spent>>,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    records: Bucket,
    bytes: Bucket,
}

/// A way in, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `POST /v1/events`.
    Http,
    /// `Publish`.
    Grpc,
    /// Entries of a stream in Redis.
    Redis,
}

impl Transport {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Redis => "redis",
        }
    }
}

/// Why a request was turned away as a whole; none of its records is known to be in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// It carries no key.
    #[error("a key is needed: send the header `Authorization: Bearer <key>`")]
    NoKey,
    /// It carries a key that is not, or no longer, valid.
    #[error("the key is not valid")]
    UnknownKey,
    /// The key's rate is used up.
    #[error("more was sent than this key may send: wait")]
    TooFast(Duration),
    /// Too much is under way to the log.
    #[error("too much is under way to the log: wait")]
    Busy,
    /// The log failed; the records may be in it. Sent again with the same ids, none is counted twice.
    #[error("the log did not take the records: send them again, with the same ids")]
    Log(AppendFailed),
}

impl Turned {
    /// The label of the metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::TooFast(_) => "too_fast",
            Self::Busy => "busy",
            Self::Log(_) => "log",
        }
    }
}

/// The verdicts on a request whose accepted records are in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// How many records it had.
    pub records: usize,
    /// Those that were refused, by their place in the request, from 0; all others were accepted.
    pub refused: Vec<(usize, Refusal)>,
}

impl Verdicts {
    /// How many records are in the log.
    pub fn accepted(&self) -> usize {
        self.records - self.refused.len()
    }
}

/// What is to be written, each to its partition.
pub type Placed<'a> = Vec<(Partition, Cow<'a, [u8]>)>;

/// Records that were judged, and are under way to the log as far as they pass.
#[derive(Debug)]
pub struct Pending {
    transport: Transport,
    verdicts: Verdicts,
    bytes: usize,
    submitted: Option<Submitted>,
}

impl Pending {
    /// Records that were refused, by their place.
    pub fn refused(&self) -> &[(usize, Refusal)] {
        &self.verdicts.refused
    }
}

impl Intake {
    /// An intake for a log of so many partitions.
    pub fn new(
        door: Door,
        plates: watch::Receiver<Arc<PlateKeys>>,
        partitions: Partition,
        clock: Arc<dyn Clock>,
        gather: Gather,
        meter: Meter,
    ) -> Self {
        Self { door, plates, partitions, clock, gather, meter, buckets: Mutex::default() }
    }

    /// What the holder of the value of an `Authorization` header may do.
    pub fn let_in(&self, authorization: Option<&str>) -> Result<Arc<Grant>, Turned> {
        match &self.door {
            Door::Open(limits) => Ok(Arc::new(Grant::without_keys(*limits))),
            Door::Keys(keys) => {
                let key = authorization.and_then(bearer).ok_or(Turned::NoKey)?;
                let keys = Arc::clone(&keys.borrow());
                keys.find(key).ok_or(Turned::UnknownKey)
            }
        }
    }

    /// Whether the key may send at all now; else how long it has to wait.
    pub fn check_rate(&self, grant: &Grant) -> Result<(), Turned> {
        self.spend(grant, None)
    }

    /// Judges records and appends those that pass.
    pub async fn publish(
        &self,
        transport: Transport,
        grant: &Grant,
        records: &[&[u8]],
    ) -> Result<Verdicts, Turned> {
        let pending = self.begin(transport, grant, records)?;
        self.finish(pending).await
    }

    /// Judges records and hands in those that pass, in the order of the calls.
    pub fn begin(&self, transport: Transport, grant: &Grant, records: &[&[u8]]) -> Result<Pending, Turned> {
        let bytes = records.iter().map(|record| record.len()).sum();
        self.spend(grant, Some((records.len(), bytes)))?;
        let (passed, verdicts) = self.judge_all(grant, records);
        let bytes = passed.iter().map(|(_, bytes)| bytes.len()).sum();
        let submitted = if passed.is_empty() {
            None
        } else {
            Some(self.gather.submit(Stream::Events, passed).map_err(Turned::Log)?)
        };
        Ok(Pending { transport, verdicts, bytes, submitted })
    }

    /// Waits until what was handed in is in the log.
    pub async fn finish(&self, pending: Pending) -> Result<Verdicts, Turned> {
        let Pending { transport, verdicts, bytes, submitted } = pending;
        if let Some(submitted) = submitted {
            submitted.appended().await.map_err(Turned::Log)?;
            self.meter.accepted(transport.as_str(), verdicts.accepted(), bytes);
        }
        for (_, refusal) in &verdicts.refused {
            self.meter.refused(transport.as_str(), refusal.reason.as_str());
        }
        Ok(verdicts)
    }

    /// Verdicts, and by partition what is to be written.
    pub fn judge_all<'a>(&self, grant: &Grant, records: &[&'a [u8]]) -> (Placed<'a>, Verdicts) {
        let (now, plates) = (self.clock.now(), Arc::clone(&self.plates.borrow()));
        let mut verdicts = Verdicts { records: records.len(), refused: Vec::new() };
        let mut passed = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let placed = judge(record, grant, &plates, now).and_then(|one| self.place(one, &mut passed));
            if let Err(refusal) = placed {
                verdicts.refused.push((place, refusal));
            }
        }
        (passed, verdicts)
    }

    fn place<'a>(&self, one: Passed<'a>, passed: &mut Placed<'a>) -> Result<(), Refusal> {
        match one.place {
            Place::Zone(zone) => passed.push((partition_of_zone(zone, self.partitions), one.bytes)),
            Place::Everywhere { id } => {
                for partition in 0..self.partitions {
                    passed.push((partition, of_partition(&one.bytes, id, partition)?.into()));
                }
            }
        }
        Ok(())
    }

    /// Takes records and bytes from the key's buckets, both or none.
    fn spend(&self, grant: &Grant, request: Option<(usize, usize)>) -> Result<(), Turned> {
        let Limits { records_per_second, bytes_per_second } = grant.limits;
        if records_per_second.is_none() && bytes_per_second.is_none() {
            return Ok(());
        }
        let now: Millis = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = buckets.entry(Arc::clone(&grant.id)).or_default();
        let records = records_per_second.and_then(|rate| spent.records.wait(rate, now));
        let bytes = bytes_per_second.and_then(|rate| spent.bytes.wait(rate, now));
        if let Some(wait) = records.max(bytes) {
            return Err(Turned::TooFast(wait));
        }
        if let Some((count, size)) = request {
            spent.records.take(if records_per_second.is_some() { count } else { 0 });
            spent.bytes.take(if bytes_per_second.is_some() { size } else { 0 });
        }
        Ok(())
    }
}

/// The key of an `Authorization` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
