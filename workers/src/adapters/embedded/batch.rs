//! How a batch of records stands in the database: `checksum u64 | count u32 | end u32 … | records`.
//!
//! The checksum covers everything after itself, so a batch is read whole as it was written or refused.
//! Integers are little-endian. Reading shares the stored buffer.

use std::io::Read;

use bytes::Bytes;
use fjall::Slice;
use xxhash_rust::xxh3::Xxh3;

use crate::ports::event_log::Records;

/// Most bytes of records in one batch; a record that is larger stands alone.
pub(super) const BATCH_BYTES: u32 = 256 * 1024;

const CHECKSUM_BYTES: usize = 8;
const COUNT_BYTES: usize = 4;

/// A batch ready to be stored.
#[derive(Debug)]
pub(super) struct EncodedBatch {
    pub(super) count: u32,
    pub(super) value: Slice,
}

/// Cuts records into batches. Fails only where a buffer cannot be had.
pub(super) fn encode(records: &Records) -> std::io::Result<Vec<EncodedBatch>> {
    let mut batches = Vec::with_capacity(records.bytes().len() / BATCH_BYTES as usize + 1);
    let (mut rest, mut start) = (records.ends(), 0);
    while !rest.is_empty() {
        let fits = rest.partition_point(|end| end - start <= BATCH_BYTES).max(1);
        let (ends, after) = rest.split_at(fits);
        let end = ends.last().copied().unwrap_or(start);
        let body = records.bytes().get(start as usize..end as usize).unwrap_or_default();
        batches.push(encode_one(ends, start, body)?);
        (rest, start) = (after, end);
    }
    Ok(batches)
}

fn encode_one(ends: &[u32], start: u32, body: &[u8]) -> std::io::Result<EncodedBatch> {
    let count = u32::try_from(ends.len()).map_err(std::io::Error::other)?;
    let mut head = Vec::with_capacity(COUNT_BYTES + size_of_val(ends));
    head.extend_from_slice(&count.to_le_bytes());
    for end in ends {
        head.extend_from_slice(&(end - start).to_le_bytes());
    }
    let checksum = checksum(&head, body).to_le_bytes();
    let length = checksum.len() + head.len() + body.len();
    let value = Slice::from_reader(&mut checksum.chain(head.as_slice()).chain(body), length)?;
    Ok(EncodedBatch { count, value })
}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(head);
    hasher.update(body);
    hasher.digest()
}

/// The records of a stored batch, sharing its buffer; `None` if it is not what was written.
pub(super) fn decode(value: Slice) -> Option<Records> {
    let value = Bytes::from(value);
    let (stored, rest) = value.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (count, tail) = rest.split_first_chunk::<COUNT_BYTES>()?;
    let head_length = COUNT_BYTES + u32::from_le_bytes(*count) as usize * size_of::<u32>();
    let (head, body) = rest.split_at_checked(head_length)?;
    if checksum(head, body) != u64::from_le_bytes(*stored) {
        return None;
    }
    let (ends, _) = tail.as_chunks::<4>();
    let ends = ends.iter().take(u32::from_le_bytes(*count) as usize).map(|end| u32::from_le_bytes(*end));
    Records::from_parts(value.slice(CHECKSUM_BYTES + head_length..), ends.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(sizes: &[usize]) -> Records {
        sizes.iter().enumerate().map(|(i, size)| vec![u8::try_from(i % 251).unwrap(); *size]).collect()
    }

    #[test]
    fn batches_hold_every_record_in_order_and_at_most_256_kib() {
        let all = records(&[100_000, 100_000, 100_000, 300_000, 0, 7]);
        let batches = encode(&all).unwrap();
        let counts: Vec<_> = batches.iter().map(|batch| batch.count).collect();
        assert_eq!(counts, [2, 1, 1, 2]);
        let back: Vec<Vec<u8>> = batches
            .into_iter()
            .flat_map(|batch| decode(batch.value).unwrap().iter().map(<[u8]>::to_vec).collect::<Vec<_>>())
            .collect();
        assert!(back.iter().map(Vec::as_slice).eq(all.iter()));
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed_wherever_it_stands() {
        let value = encode(&records(&[3, 5])).unwrap().remove(0).value;
        for at in 0..value.len() {
            let mut changed = value.to_vec();
            changed[at] ^= 1;
            assert_eq!(decode(changed.into()), None, "byte {at}");
            assert_eq!(decode(value[..at].into()), None, "length {at}");
        }
    }
}
