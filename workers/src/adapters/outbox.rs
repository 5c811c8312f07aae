//! How outbox entries stand in a store: in pieces of consecutive entries, each
//! `stream u8 | length u32 | record` again and again, under the sequence of its first entry.
//!
//! Must not know the store. Pieces, since the entries of one commit are written, published and removed
//! together. Integers are little-endian.

use bytes::Bytes;

use crate::ports::{event_log::Stream, state_store::OutboxEntry};

/// A piece is closed when it holds this much.
const PIECE_BYTES: usize = 256 * 1024;
const HEAD_BYTES: usize = 1 + size_of::<u32>();

/// A stream's number in keys and outbox entries.
pub(super) fn stream_number(stream: Stream) -> u8 {
    match stream {
        Stream::Events => 0,
        Stream::Sessions => 1,
        Stream::Alerts => 2,
        Stream::DeadLetters => 3,
    }
}

/// The stream of a number.
pub(super) fn stream_of(number: u8) -> Option<Stream> {
    Stream::ALL.into_iter().find(|stream| stream_number(*stream) == number)
}

/// A piece ready to be stored.
#[derive(Debug)]
pub(super) struct Piece {
    /// Sequence of its first entry.
    pub(super) first: u64,
    /// Sequence of its last entry.
    pub(super) last: u64,
    pub(super) value: Vec<u8>,
}

/// Packs entries, which follow each other.
pub(super) fn pack(entries: &[OutboxEntry]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for OutboxEntry { seq, stream, record } in entries {
        // A record is at most an append's part, whose bounds are 32 bits wide.
        let Ok(length) = u32::try_from(record.len()) else { continue };
        if pieces.last().is_none_or(|piece| piece.value.len() >= PIECE_BYTES) {
            let value = Vec::with_capacity(PIECE_BYTES.min(entries.len() * 512));
            pieces.push(Piece { first: *seq, last: *seq, value });
        }
        if let Some(Piece { last, value, .. }) = pieces.last_mut() {
            *last = *seq;
            value.push(stream_number(*stream));
            value.extend_from_slice(&length.to_le_bytes());
            value.extend_from_slice(record);
        }
    }
    pieces
}

/// The entries of a piece, sharing its buffer; `None` if it is not what was written.
pub(super) fn unpack(first: u64, piece: &Bytes) -> Option<Vec<OutboxEntry>> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < piece.len() {
        let (head, _) = piece.get(at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let [stream, length @ ..] = *head;
        let start = at + HEAD_BYTES;
        let end = start + u32::from_le_bytes(length) as usize;
        piece.get(start..end)?;
        let (seq, stream) = (first + entries.len() as u64, stream_of(stream)?);
        entries.push(OutboxEntry { seq, stream, record: piece.slice(start..end) });
        at = end;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64, size: usize) -> Vec<OutboxEntry> {
        let record = |seq: u64| Bytes::from(vec![u8::try_from(seq % 251).unwrap(); size]);
        (7..7 + count).map(|seq| OutboxEntry { seq, stream: Stream::Alerts, record: record(seq) }).collect()
    }

    #[test]
    fn entries_come_back_as_they_were_whatever_their_size() {
        for (count, size, pieces) in [(0, 1, 0), (3, 0, 1), (1_000, 700, 3), (2, 1 << 20, 2)] {
            let all = entries(count, size);
            let packed = pack(&all);
            assert_eq!(packed.len(), pieces, "{count} of {size}");
            assert!(packed.last().is_none_or(|piece| piece.last == 6 + count), "{count} of {size}");
            let back = packed.into_iter().flat_map(|piece| unpack(piece.first, &piece.value.into()).unwrap());
            assert_eq!(back.collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn a_piece_that_was_cut_is_refused() {
        let value = pack(&entries(2, 5)).remove(0).value;
        for length in [1, 4, 7, value.len() - 1] {
            assert_eq!(unpack(0, &Bytes::copy_from_slice(&value[..length])), None, "{length}");
        }
    }
}
