//! Keys of the database. Integers are big-endian, so that keys sort as numbers do.

use crate::{
    adapters::outbox::stream_number,
    ports::{
        event_log::{Offset, Partition, StreamPartition},
        state_store::{BlockKey, StageKey},
    },
};

/// The log's identity.
pub(super) const LOG_ID: &[u8] = b"log-id";

const STREAM_BYTES: usize = 1 + size_of::<Partition>();

/// What all batches of a partition begin with.
pub(super) fn partition(at: StreamPartition) -> [u8; STREAM_BYTES] {
    let mut key = [0; STREAM_BYTES];
    key[0] = stream_number(at.stream);
    key[1..].copy_from_slice(&at.partition.to_be_bytes());
    key
}

/// A batch of records.
pub(super) fn batch(at: StreamPartition, first: Offset) -> [u8; STREAM_BYTES + 8] {
    let mut key = [0; STREAM_BYTES + 8];
    key[..STREAM_BYTES].copy_from_slice(&partition(at));
    key[STREAM_BYTES..].copy_from_slice(&first.to_be_bytes());
    key
}

/// First offset of the batch under a key.
pub(super) fn first_offset(key: &[u8]) -> Option<Offset> {
    let (_, offset) = key.split_at_checked(STREAM_BYTES)?;
    Some(Offset::from_be_bytes(offset.try_into().ok()?))
}

/// A producer's mark.
pub(super) fn mark(name: &str) -> Vec<u8> {
    [b"mark/", name.as_bytes()].concat()
}

/// What a stage's owner and position stand under.
pub(super) fn stage(stage: &StageKey) -> Vec<u8> {
    [b"stage/", stage_prefix(stage).as_slice()].concat()
}

/// What all blocks and outbox entries of a stage begin with. The role ends with a byte that no role
/// contains, so no stage's prefix begins with another's.
pub(super) fn stage_prefix(stage: &StageKey) -> Vec<u8> {
    [stage.role.as_bytes(), &[0], &stage.partition.to_be_bytes()].concat()
}

/// A block of a stage.
pub(super) fn block(stage_prefix: &[u8], key: BlockKey) -> Vec<u8> {
    [stage_prefix, &[key.class], &key.id.to_be_bytes()].concat()
}

/// The block key in a key.
pub(super) fn block_key(stage_prefix: &[u8], key: &[u8]) -> Option<BlockKey> {
    let (class, id) = key.strip_prefix(stage_prefix)?.split_first()?;
    Some(BlockKey { class: *class, id: u128::from_be_bytes(id.try_into().ok()?) })
}

/// A piece of a stage's outbox, by its first sequence.
pub(super) fn outbox(stage_prefix: &[u8], seq: u64) -> Vec<u8> {
    [stage_prefix, &seq.to_be_bytes()].concat()
}
