//! A stage, and what a careless one does.

use bytes::Bytes;
use parking_crds::event::Millis;
use parking_workers::{
    domain::{alert::AlertState, track::Tracker},
    ports::{event_log::Offset, state_store::BlockKey},
    runtime::{
        outputs::Outputs,
        stage::{BoxError, Stage},
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::Plant;

/// Classes of the blocks of a judge.
const CLOCK: u8 = 1;
const IDS: u8 = 2;
const WINDOWS: u8 = 3;
/// Where a flawed stage keeps its last record.
const LAST: BlockKey = BlockKey { class: 200, id: 0 };

/// See the module.
pub(crate) struct Flawed<S> {
    inner: S,
    plant: Plant,
    commits: u64,
    last: Option<(Offset, Bytes)>,
    /// What was last stepped before the restart.
    again: Option<(Offset, Bytes)>,
    /// Blocks of zones that are taken back when the zone speaks.
    asleep: Vec<(BlockKey, Bytes)>,
}

impl<S: Stage> Flawed<S> {
    pub(crate) fn new(inner: S, plant: Plant) -> Self {
        Self { inner, plant, commits: 0, last: None, again: None, asleep: Vec::new() }
    }

    fn wake(&mut self, record: &[u8]) -> Result<(), BoxError> {
        if self.asleep.is_empty() {
            return Ok(());
        }
        let record: Value = serde_json::from_slice(record).unwrap_or_default();
        let zone = record["curb_zone_id"].as_str().and_then(|text| Uuid::parse_str(text).ok());
        let spoken = |(key, _): &(BlockKey, Bytes)| zone.is_some_and(|zone| zone.as_u128() == key.id);
        match self.asleep.iter().position(spoken) {
            Some(index) => self.inner.restore(&[self.asleep.remove(index)]),
            None => Ok(()),
        }
    }

    fn is_forgotten(&self, key: BlockKey) -> bool {
        match self.plant {
            Plant::DuplicateWindowsNotStored => key.class == WINDOWS,
            Plant::IdsNotStored => key.class == IDS,
            Plant::ZoneNotStored => key.class == Tracker::CLASS && self.commits.is_multiple_of(2),
            _ => false,
        }
    }
}

impl<S: Stage> Stage for Flawed<S> {
    const ROLE: &'static str = S::ROLE;

    fn step(&mut self, records: &[(Offset, &[u8])], outputs: &mut Outputs) {
        if let Some((before, bytes)) = self.again.take() {
            self.inner.step(&[(before, &bytes)], outputs);
        }
        if self.plant == Plant::LastRecordSteppedAgain {
            self.last = records.last().map(|(offset, record)| (*offset, Bytes::copy_from_slice(record)));
        }
        if self.asleep.is_empty() {
            return self.inner.step(records, outputs);
        }
        for (offset, record) in records {
            self.wake(record).unwrap();
            self.inner.step(&[(*offset, record)], outputs);
        }
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        self.commits += 1;
        let mut blocks = self.inner.changed_blocks();
        blocks.retain(|(key, _)| !self.is_forgotten(*key));
        if let Some((offset, bytes)) = &self.last {
            blocks.push((LAST, Some([&offset.to_be_bytes()[..], bytes].concat().into())));
        }
        blocks
    }

    fn time_to_tell(&self) -> Option<Millis> {
        self.inner.time_to_tell()
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        let mut blocks = blocks.to_vec();
        if let Some(index) = blocks.iter().position(|(key, _)| *key == LAST) {
            let (_, last) = blocks.remove(index);
            self.again = Some((u64::from_be_bytes(last[..8].try_into()?), last.slice(8..)));
        }
        if self.plant == Plant::WatermarkNotRestored {
            blocks.retain(|(key, _)| key.class != CLOCK);
        }
        if self.plant == Plant::TimersNotRearmed && S::ROLE != "occupancy" {
            self.asleep = blocks.extract_if(.., |(key, _)| key.class == AlertState::ZONE_CLASS).collect();
        }
        self.inner.restore(&blocks)
    }
}
