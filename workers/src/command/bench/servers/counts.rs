//! How many records of each zone the topic holds, for those who do no more than count.
//!
//! Must share no code with what it checks: another parser, and all identifiers kept.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use serde::Deserialize;
use uuid::Uuid;

use super::super::{
    BenchError,
    oracle::Answer,
    scenario::PARTITIONS,
    stages::{Ports, read_all},
};
use crate::ports::event_log::{Stream, StreamPartition};

#[derive(Deserialize)]
struct Counted {
    event_id: Option<Uuid>,
    curb_zone_id: Option<Uuid>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Counts {
    /// All records; those without a zone have none.
    all: BTreeMap<Option<Uuid>, u64>,
    /// Each record once.
    once: BTreeMap<Uuid, u64>,
}

impl Counts {
    /// Reads the topic, and compares with what the oracle accepted.
    pub(super) async fn of(ports: &Ports, oracle: &Answer) -> Result<Self, BenchError> {
        let (mut counts, mut seen) = (Self::default(), HashSet::new());
        for partition in 0..PARTITIONS {
            let at = StreamPartition { stream: Stream::Events, partition };
            read_all(ports.log.as_ref(), at, |record| {
                let read = serde_json::from_slice::<Counted>(record).ok();
                let (id, zone) = read.map_or((None, None), |read| (read.event_id, read.curb_zone_id));
                *counts.all.entry(zone).or_default() += 1;
                if let Some((id, zone)) = id.zip(zone)
                    && seen.insert(id)
                {
                    *counts.once.entry(zone).or_default() += 1;
                }
            })
            .await?;
        }
        let (once, buried): (u64, u64) = (counts.once.values().sum(), oracle.dead_letters.values().sum());
        if (oracle.accepted..=oracle.accepted + buried).contains(&once) {
            return Ok(counts);
        }
        Err(BenchError::Wrong(format!(
            "{once} records are there once, the oracle accepted {}",
            oracle.accepted
        )))
    }

    pub(super) fn records(&self) -> u64 {
        self.all.values().sum()
    }

    /// Compares with the counts of somebody who counted everything.
    pub(super) fn check_all(
        &self,
        found: impl Iterator<Item = (Option<Uuid>, u64)>,
    ) -> Result<(), BenchError> {
        same("the plain loop", &self.all, &found.collect())
    }

    /// Compares with the counts of somebody who counted each record once.
    pub(super) fn check_once(&self, who: &str, found: &BTreeMap<Uuid, u64>) -> Result<(), BenchError> {
        same(who, &self.once, found)
    }
}

fn same<K: Ord>(who: &str, expected: &BTreeMap<K, u64>, found: &BTreeMap<K, u64>) -> Result<(), BenchError> {
    if expected == found {
        return Ok(());
    }
    let sum = |counts: &BTreeMap<K, u64>| counts.values().sum::<u64>();
    let (zones, others, records, expected) = (found.len(), expected.len(), sum(found), sum(expected));
    Err(BenchError::Wrong(format!(
        "{who} counts {records} records in {zones} zones, there are {expected} in {others}"
    )))
}
