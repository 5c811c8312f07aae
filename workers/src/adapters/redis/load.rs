//! Loading a stage's state page by page, as of one moment.
//!
//! Each page reads a part of the blocks and of the outbox between two looks at the version, which every
//! commit and trim moves. (No transaction: a full server takes none, and has to be read all the same.)
//! Invariant: what is answered was read under one version, and is as many blocks and pieces as the last
//! commit counted.

use bytes::Bytes;
use redis::{Pipeline, Value, pipe};

use super::{
    failure::{Effect, first_of, port_error},
    keys::{Keys, block_key},
    link::Turn,
    scripts::unreadable,
};
use crate::{
    adapters::outbox,
    ports::{
        ErrorKind, PortError, PortResult,
        state_store::{BlockKey, OutboxEntry, Stored},
    },
};

/// A page is to hold about this much, so that nobody waits long behind it.
const PAGE_BYTES: usize = 1 << 20;
const FIRST_COUNT: usize = 128;
const LEAST_COUNT: usize = 16;
const MOST_COUNT: usize = 20_000;
/// Outbox pieces of a page; each is about 256 KiB at most.
const PIECES: usize = 4;
/// After so many changes in the midst of loading, all is read with one command.
const RETRIES: usize = 4;
/// A state that changes between two commands again and again is not what stages write.
const MOST_RETRIES: usize = 50;
/// As a count: all of it.
const ALL: usize = 1 << 30;

const HEAD: &[&str] = &["version", "log", "next", "seq", "first", "blocks", "pieces"];

/// What stands in the stage's own hash.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    /// Absent before the first commit.
    version: Option<Bytes>,
    position: Option<(uuid::Uuid, u64)>,
    next_seq: u64,
    first_seq: u64,
    blocks: usize,
    pieces: usize,
}

/// What was read so far.
struct Loading {
    head: Option<Head>,
    blocks: Vec<(BlockKey, Bytes)>,
    pieces: Vec<(u64, Bytes)>,
    cursor: Option<Bytes>,
    after_piece: Option<Bytes>,
    count: usize,
    bytes: usize,
}

/// How a page left the whole.
enum Step {
    More,
    Complete,
    /// Somebody wrote meanwhile.
    Changed,
}

/// Reads all of a stage as of one moment; `None` before its first commit.
pub(super) async fn load(turn: &mut Turn<'_>, keys: &Keys) -> PortResult<Option<Stored>> {
    let mut expected = PAGE_BYTES;
    for tries in 0..MOST_RETRIES {
        let at_once = tries >= RETRIES;
        let mut loading = Loading::new(if at_once { ALL } else { FIRST_COUNT });
        let step = loop {
            let _room = turn.room(if at_once { expected } else { PAGE_BYTES }).await?;
            let page = ask(turn, &loading.page(keys)).await?;
            match loading.add(page).ok_or_else(|| unreadable(turn.attempt()))? {
                Step::More => {}
                done => break done,
            }
        };
        match step {
            Step::Complete => return loading.finish(turn.attempt()),
            Step::More | Step::Changed => expected = expected.max(loading.bytes),
        }
    }
    let reason = "the stage is written to faster than it can be read";
    Err(PortError::caused(ErrorKind::Transient, turn.attempt(), reason))
}

async fn ask(turn: &Turn<'_>, page: &Pipeline) -> PortResult<Value> {
    let mut connection = turn.master.connection();
    let asked = async { page.query_async::<Value>(&mut connection).await.map_err(first_of) };
    let answer = turn.answer(Effect::Reads, asked).await?;
    answer.map_err(|error| port_error(turn.attempt(), error, Effect::Reads))
}

impl Loading {
    fn new(count: usize) -> Self {
        Self {
            head: None,
            blocks: Vec::new(),
            pieces: Vec::new(),
            cursor: Some(Bytes::from_static(b"0")),
            after_piece: Some(Bytes::from_static(b"-")),
            count,
            bytes: 0,
        }
    }

    fn page(&self, keys: &Keys) -> Pipeline {
        let mut page = pipe();
        page.cmd("HMGET").arg(&keys.stage).arg(HEAD);
        if let Some(cursor) = &self.cursor {
            page.cmd("HSCAN").arg(&keys.blocks).arg(cursor.as_ref()).arg("COUNT").arg(self.count);
        }
        if let Some(from) = &self.after_piece {
            let count = if self.count == ALL { ALL } else { PIECES };
            page.cmd("XRANGE").arg(&keys.outbox).arg(from.as_ref()).arg("+").arg("COUNT").arg(count);
        }
        page.cmd("HMGET").arg(&keys.stage).arg(HEAD);
        page
    }

    /// Takes a page in; `None` if it has another form than was asked for.
    fn add(&mut self, page: Value) -> Option<Step> {
        let mut parts = array(page)?.into_iter();
        let (head, after) = (Head::read(parts.next()?)?, Head::read(parts.next_back()?)?);
        if head != after || self.head.as_ref().is_some_and(|first| *first != head) {
            return Some(Step::Changed);
        }
        let is_committed = head.version.is_some();
        self.head = Some(head);
        if !is_committed {
            return Some(Step::Complete);
        }
        let before = self.bytes;
        if self.cursor.is_some() {
            self.add_blocks(parts.next()?)?;
        }
        if self.after_piece.is_some() {
            self.add_pieces(parts.next()?)?;
        }
        if self.count != ALL {
            self.count = next_count(self.count, self.bytes - before);
        }
        let complete = self.cursor.is_none() && self.after_piece.is_none();
        Some(if complete { Step::Complete } else { Step::More })
    }

    fn add_blocks(&mut self, scanned: Value) -> Option<()> {
        let [cursor, found] = exactly(scanned)?;
        let cursor = bulk(cursor)?;
        self.cursor = (cursor.as_ref() != b"0").then_some(cursor);
        let mut found = array(found)?.into_iter();
        while let Some(field) = found.next() {
            let (key, block) = (block_key(&bulk(field)?)?, bulk(found.next()?)?);
            self.bytes += block.len();
            self.blocks.push((key, block));
        }
        Some(())
    }

    fn add_pieces(&mut self, range: Value) -> Option<()> {
        let found = array(range)?;
        let full = self.count != ALL && found.len() == PIECES;
        let mut last = None;
        for entry in found {
            let [id, fields] = exactly(entry)?;
            let [first, piece] = exactly(fields)?;
            let piece = bulk(piece)?;
            self.bytes += piece.len();
            self.pieces.push((number(&bulk(first)?)?, piece));
            last = Some(bulk(id)?);
        }
        self.after_piece = last.filter(|_| full).map(|id| [b"(", id.as_ref()].concat().into());
        Some(())
    }

    fn finish(mut self, attempt: &str) -> PortResult<Option<Stored>> {
        let Some(head) = self.head else { return Ok(None) };
        // A scan may show an element twice while the server grows its table.
        self.blocks.sort_unstable_by_key(|(key, _)| *key);
        self.blocks.dedup_by_key(|(key, _)| *key);
        if self.blocks.len() != head.blocks || self.pieces.len() != head.pieces {
            return Err(damaged(attempt));
        }
        let Some((log_id, next_offset)) = head.position else { return Ok(None) };
        let mut entries: Vec<OutboxEntry> = Vec::new();
        for (first, piece) in &self.pieces {
            entries.extend(outbox::unpack(*first, piece).ok_or_else(|| damaged(attempt))?);
        }
        entries.retain(|entry| entry.seq >= head.first_seq);
        let Head { next_seq, .. } = head;
        Ok(Some(Stored { log_id, next_offset, blocks: self.blocks, outbox: entries, next_seq }))
    }
}

impl Head {
    /// The hash's fields, each of which may be absent.
    fn read(value: Value) -> Option<Self> {
        let [version, log, next, seq, first, blocks, pieces] = exactly(value)?;
        let position = match (bulk(log), bulk(next)) {
            (Some(log), Some(next)) => Some((uuid::Uuid::try_parse_ascii(&log).ok()?, number(&next)?)),
            _ => None,
        };
        let counted = |value: Value| bulk(value).map_or(Some(0), |text| number(&text));
        Some(Self {
            version: bulk(version),
            position,
            next_seq: counted(seq)?,
            first_seq: counted(first)?,
            blocks: usize::try_from(counted(blocks)?).ok()?,
            pieces: usize::try_from(counted(pieces)?).ok()?,
        })
    }
}

/// How many blocks to ask for next, after `count` were `bytes`.
fn next_count(count: usize, bytes: usize) -> usize {
    (count.saturating_mul(PAGE_BYTES) / bytes.max(1)).clamp(LEAST_COUNT, MOST_COUNT)
}

/// Part of a stage's keys is gone or was changed by others: nothing of it can be believed.
pub(super) fn damaged(attempt: &str) -> PortError {
    let reason = "a key of the stage was evicted, removed or changed by somebody: set maxmemory-policy to \
                  noeviction, and remove the stage's keys, so that its state is built from the log anew";
    PortError::caused(ErrorKind::Corrupt, attempt, reason)
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn exactly<const N: usize>(value: Value) -> Option<[Value; N]> {
    array(value)?.try_into().ok()
}

fn bulk(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_holds_about_a_mebibyte_whatever_the_size_of_blocks() {
        assert_eq!(next_count(128, 128 * 8 * 1024), 128);
        assert_eq!(next_count(128, 128 * 1024 * 1024), LEAST_COUNT);
        assert_eq!(next_count(128, 0), MOST_COUNT);
        assert_eq!(next_count(1_000, 300_000), 3_495);
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn page(version: &str, cursor: &str, blocks: Vec<Value>) -> Value {
        let mut head = vec![text(version), text("00000000-0000-0000-0000-000000000007"), text("9")];
        head.extend(["0", "0", "1", "0"].map(text));
        let scan = Value::Array(vec![text(cursor), Value::Array(blocks)]);
        let head = Value::Array(head);
        Value::Array(vec![head.clone(), scan, Value::Array(vec![]), head])
    }

    #[test]
    fn a_block_that_a_scan_shows_twice_is_one() {
        let block = || vec![Value::BulkString(vec![0; 17]), text("x")];
        let mut loading = Loading::new(FIRST_COUNT);
        assert!(matches!(loading.add(page("1", "5", block())), Some(Step::More)));
        let Value::Array(mut second) = page("1", "0", block()) else { panic!("no array") };
        // The outbox was read.
        second.remove(2);
        assert!(matches!(loading.add(Value::Array(second)), Some(Step::Complete)));
        let stored = loading.finish("loading").unwrap().unwrap();
        assert_eq!((stored.next_offset, stored.blocks.len()), (9, 1));
    }

    #[test]
    fn pages_of_two_versions_do_not_fit_together() {
        let mut loading = Loading::new(FIRST_COUNT);
        assert!(matches!(loading.add(page("1", "5", vec![])), Some(Step::More)));
        assert!(matches!(loading.add(page("2", "0", vec![])), Some(Step::Changed)));
    }

    #[test]
    fn a_page_in_whose_midst_somebody_wrote_is_read_again() {
        let (Value::Array(mut first), Value::Array(second)) =
            (page("1", "0", vec![]), page("2", "0", vec![]))
        else {
            panic!("no array")
        };
        first[3] = second[3].clone();
        assert!(matches!(Loading::new(FIRST_COUNT).add(Value::Array(first)), Some(Step::Changed)));
    }

    #[test]
    fn fewer_blocks_than_were_counted_are_damage() {
        let mut loading = Loading::new(FIRST_COUNT);
        assert!(matches!(loading.add(page("1", "0", vec![])), Some(Step::Complete)));
        assert_eq!(loading.finish("loading").unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn another_form_is_refused() {
        let mut loading = Loading::new(FIRST_COUNT);
        for odd in [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Int(1)])] {
            assert!(loading.add(odd).is_none());
        }
    }
}
