//! Snapshots of a stage's state in the object store, for the day the state store has lost it (G9).
//!
//! Must not decide when one is due or what a loss means: that is the stage's.
//! Invariants: a snapshot is all of a stage's state at the offset that it names, every output before that offset
//! published. State is a function of the log up to an offset, so it does not matter which owner wrote it. One is
//! removed only when two newer ones stand, the newest of them answered as made (O2).

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::duration::Duration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{Offset, Partition},
    object_store::{ObjectStore, PutNew},
    state_store::{BlockKey, StageKey, Stored},
};

/// When a stage writes a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Time between two.
    pub age: Duration,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(600) }
    }
}

/// Where a stage keeps its snapshots, and when it writes one.
#[derive(Clone)]
pub struct SnapshotPlace {
    /// The store.
    pub objects: Arc<dyn ObjectStore>,
    /// When.
    pub limits: SnapshotLimits,
}

/// The state of a stage at an offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The role.
    pub role: String,
    /// The partition.
    pub partition: Partition,
    /// Identity of the log that the offset belongs to.
    pub log_id: Uuid,
    /// First offset not yet part of the state.
    pub next_offset: Offset,
    /// Sequence of the next outbox entry.
    pub next_seq: u64,
    /// Every block, in the order of keys.
    pub blocks: Vec<(BlockKey, Bytes)>,
}

/// Why an object cannot be used as the snapshot that its key names.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Its bytes are not those that were written.
    #[error("its checksum does not fit")]
    Checksum,
    /// It was written by another version.
    #[error("its format is not known")]
    Format,
    /// Its content has another form.
    #[error("its content cannot be read")]
    Content(#[from] postcard::Error),
    /// It says itself that it is another one.
    #[error("it is of {role}/{partition} at offset {next} of log {log_id}")]
    Misplaced {
        /// Its role.
        role: String,
        /// Its partition.
        partition: Partition,
        /// Its log.
        log_id: Uuid,
        /// Its offset.
        next: Offset,
    },
}

/// First bytes of a snapshot; the last one is the version of its content.
const FORMAT: [u8; 4] = *b"pks\x01";

impl Snapshot {
    /// As an object: format, content, checksum of both.
    pub fn encode(&self) -> Bytes {
        let mut bytes = postcard::to_extend(self, FORMAT.to_vec()).unwrap_or_default();
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.into()
    }

    /// Takes an object back.
    pub fn decode(object: &[u8]) -> Result<Self, SnapshotError> {
        let (bytes, checksum) = object.split_last_chunk().ok_or(SnapshotError::Checksum)?;
        if xxh3_64(bytes) != u64::from_le_bytes(*checksum) {
            return Err(SnapshotError::Checksum);
        }
        Ok(postcard::from_bytes(bytes.strip_prefix(&FORMAT).ok_or(SnapshotError::Format)?)?)
    }
}

/// The snapshots of one stage on one log.
pub(super) struct Snapshots<'a> {
    objects: &'a dyn ObjectStore,
    stage: &'a StageKey,
    log_id: Uuid,
}

impl<'a> Snapshots<'a> {
    pub(super) fn of(place: &'a SnapshotPlace, stage: &'a StageKey, log_id: Uuid) -> Self {
        Self { objects: &*place.objects, stage, log_id }
    }

    fn folder(&self) -> String {
        let StageKey { role, partition } = self.stage;
        format!("snapshots/{role}/{}/{partition}/", self.log_id.simple())
    }

    fn key(&self, next: Offset) -> String {
        format!("{}{next:020}", self.folder())
    }

    /// Offsets of all that there are, the newest first.
    pub(super) async fn offsets(&self) -> PortResult<Vec<Offset>> {
        let folder = self.folder();
        let keys = self.objects.list(&folder).await?;
        let offset = |key: &String| key.strip_prefix(&folder)?.parse().ok();
        Ok(keys.iter().rev().filter_map(offset).collect())
    }

    /// The snapshot at an offset that was listed.
    pub(super) async fn read(&self, next: Offset) -> PortResult<Result<Snapshot, SnapshotError>> {
        let object = self.objects.get(&self.key(next)).await?;
        // Only an owner who wrote newer ones removes any.
        let object = object.ok_or_else(|| {
            PortError::caused(ErrorKind::Transient, "reading a snapshot", "another owner has removed it")
        })?;
        Ok(Snapshot::decode(&object).and_then(|snapshot| self.check_place(snapshot, next)))
    }

    fn check_place(&self, snapshot: Snapshot, next: Offset) -> Result<Snapshot, SnapshotError> {
        let is_this_stage = snapshot.role == self.stage.role && snapshot.partition == self.stage.partition;
        if is_this_stage && snapshot.log_id == self.log_id && snapshot.next_offset == next {
            return Ok(snapshot);
        }
        let Snapshot { role, partition, log_id, next_offset: next, .. } = snapshot;
        Err(SnapshotError::Misplaced { role, partition, log_id, next })
    }

    /// Writes what the state store holds, and removes all but the newest two.
    pub(super) async fn write(&self, stored: Stored, next_seq: u64) -> PortResult<()> {
        let next = stored.next_offset;
        let snapshot = Snapshot {
            role: self.stage.role.to_owned(),
            partition: self.stage.partition,
            log_id: self.log_id,
            next_offset: next,
            next_seq,
            blocks: stored.blocks,
        };
        match self.objects.put_new(&self.key(next), snapshot.encode()).await? {
            PutNew::Created => self.remove_older(next).await,
            PutNew::AlreadyExists => {}
        }
        Ok(())
    }

    /// Keeps the newest and the one before it. One that stays is removed with the next.
    async fn remove_older(&self, newest: Offset) {
        let Ok(offsets) = self.offsets().await else { return };
        for offset in offsets.into_iter().filter(|offset| *offset < newest).skip(1) {
            if self.objects.delete(&self.key(offset)).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            role: "alert".to_owned(),
            partition: 3,
            log_id: Uuid::from_u128(7),
            next_offset: 9,
            next_seq: 4,
            blocks: vec![(BlockKey { class: 1, id: u128::MAX }, Bytes::from("block"))],
        }
    }

    #[test]
    fn a_snapshot_is_taken_back_as_it_was_written() {
        assert_eq!(Snapshot::decode(&snapshot().encode()).unwrap(), snapshot());
    }

    #[test]
    fn a_snapshot_that_was_cut_or_changed_anywhere_is_refused() {
        let whole = snapshot().encode();
        for length in 0..whole.len() {
            assert!(Snapshot::decode(&whole[..length]).is_err(), "{length} bytes");
            let mut changed = whole.to_vec();
            changed[length] ^= 1;
            assert!(matches!(Snapshot::decode(&changed), Err(SnapshotError::Checksum)), "byte {length}");
        }
    }

    #[test]
    fn a_snapshot_of_another_version_is_refused() {
        let mut other = b"pks\x02".to_vec();
        other.extend_from_slice(&xxh3_64(b"pks\x02").to_le_bytes());
        assert!(matches!(Snapshot::decode(&other), Err(SnapshotError::Format)));
    }
}
