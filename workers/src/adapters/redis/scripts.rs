//! The scripts: each is one atomic step of the server. See [`super`] for why they are no functions.
//!
//! Must not decide what an answer means beyond its form.

use std::sync::LazyLock;

use parking_crds::names::KeyPrefix;
use redis::{Cmd, ErrorKind as RedisErrorKind, RedisError, Script, ServerErrorKind, Value, cmd};

use super::{
    failure::{Effect, port_error},
    keys::{FIELD_BYTES, Keys, LiveKeys, field, statistics_key},
    link::Turn,
    statistics::WindowEntries,
};
use crate::{
    adapters::outbox,
    ports::{
        ErrorKind, PortError, PortResult,
        live_view::LiveRows,
        state_store::{Commit, Token},
    },
};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
static TRIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("trim.lua")));
const CLAIM_TEXT: &str = include_str!("claim.lua");
const COMMIT_TEXT: &str = include_str!("commit.lua");
const TRIM_TEXT: &str = include_str!("trim.lua");
static STATISTICS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("statistics.lua")));
const STATISTICS_TEXT: &str = include_str!("statistics.lua");
static LIVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("live.lua")));
const LIVE_TEXT: &str = include_str!("live.lua");

/// Blocks of one run, as many as fit on Lua's stack with room to spare (it takes 8,000 values).
const RUN: usize = 2_000;
/// Lua counts in doubles.
const LAST_SEQUENCE: u64 = 1 << 53;
/// Of a row's name, an id.
const NAME_BYTES: usize = 36;
/// Loaded anew this often for one call; somebody flushes the scripts all the time beyond it.
const LOADS: usize = 3;

/// A script and its arguments.
pub(super) struct Call {
    command: Cmd,
    text: &'static str,
    /// What it carries.
    pub(super) bytes: usize,
}

/// What a script answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It wrote.
    Stored,
    /// Another owner, or another base.
    Fenced,
    /// The outbox goes on elsewhere.
    Sequence,
    /// A key of the stage does not hold what was stored.
    Damaged,
    /// A number.
    Number(u64),
}

fn call(script: &Script, text: &'static str, keys: &[&str], arguments: usize, bytes: usize) -> Call {
    let mut command = Cmd::with_capacity(arguments + keys.len() + 3, bytes + 256);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(*key);
    }
    Call { command, text, bytes }
}

/// Takes a stage over.
pub(super) fn claim(keys: &Keys, owner: &str) -> Call {
    let mut call = call(&CLAIM, CLAIM_TEXT, &[&keys.stage, &keys.blocks, &keys.outbox], 1, 64);
    call.command.arg(owner);
    call
}

/// Removes outbox entries.
pub(super) fn trim(keys: &Keys, token: Token, through: u64) -> Call {
    let mut call = call(&TRIM, TRIM_TEXT, &[&keys.stage, &keys.outbox], 3, 96);
    call.command.arg(token.owner.to_string()).arg(token.epoch).arg(through);
    call
}

/// Replaces the result of a window.
pub(super) fn statistics(prefix: &KeyPrefix, window: &WindowEntries<'_>) -> Call {
    let WindowEntries { job, start, end, ttl, entries } = window;
    let keys = [statistics_key(prefix, job, &start.to_string()), statistics_key(prefix, job, "newest")];
    let bytes = entries.iter().map(|(field, value)| field.len() + value.len() + 32).sum();
    let named = keys.each_ref().map(String::as_str);
    let mut call = call(&STATISTICS, STATISTICS_TEXT, &named, 2 * entries.len() + 3, bytes);
    call.command.arg(ttl.millis().max(1)).arg(start).arg(end);
    for (field, value) in entries {
        call.command.arg(field.as_str()).arg(value.as_str());
    }
    call
}

/// Shows live rows.
pub(super) fn live(keys: &Keys, of: &LiveKeys, token: Token, rows: &LiveRows) -> Call {
    let written = || rows.rows.iter().filter_map(|(id, row)| Some((id, row.as_ref()?)));
    let removed = || rows.rows.iter().filter(|(_, row)| row.is_none());
    let all = rows.all.as_deref().unwrap_or_default();
    let bytes =
        written().map(|(_, row)| row.len()).sum::<usize>() + NAME_BYTES * (rows.rows.len() + all.len());
    let arguments = 2 * rows.rows.len() + all.len() + 5;
    let mut call = call(&LIVE, LIVE_TEXT, &[&keys.stage, &of.rows, &of.own], arguments, bytes);
    let command = &mut call.command;
    command.arg(token.owner.to_string()).arg(token.epoch).arg(written().count());
    for (id, row) in written() {
        command.arg(id.to_string()).arg(row.as_ref());
    }
    command.arg(removed().count());
    for (id, _) in removed() {
        command.arg(id.to_string());
    }
    if rows.all.is_some() {
        command.arg("all");
        for id in all {
            command.arg(id.to_string());
        }
    }
    call
}

/// A commit: one buffer for all that it carries, whatever the number of blocks.
pub(super) fn commit(keys: &Keys, attempt: &str, commit: &Commit) -> PortResult<Call> {
    if commit.outbox.last().is_some_and(|entry| entry.seq >= LAST_SEQUENCE) {
        let reason = format!("outbox sequences end at {LAST_SEQUENCE}");
        return Err(PortError::caused(ErrorKind::Invalid, attempt, reason));
    }
    let goes_on = commit.check_outbox(0).is_ok();
    // A broken sequence is told to whoever still owns the stage, and carries nothing.
    let pieces = if goes_on { outbox::pack(&commit.outbox) } else { Vec::new() };
    let blocks = if goes_on { commit.blocks.as_slice() } else { &[] };
    let first = match commit.outbox.first() {
        None => String::new(),
        Some(_) if !goes_on => "-1".to_owned(),
        Some(entry) => entry.seq.to_string(),
    };
    let next_seq = commit.outbox.last().map_or(0, |entry| entry.seq + 1);
    let carried = |block: &Option<bytes::Bytes>| FIELD_BYTES + block.as_ref().map_or(0, bytes::Bytes::len);
    let bytes = blocks.iter().map(|(_, block)| carried(block)).sum::<usize>()
        + pieces.iter().map(|piece| piece.value.len() + 32).sum::<usize>();
    let arguments = 2 * blocks.len() + blocks.len() / 64 + 3 * pieces.len() + 16;
    let named = [keys.stage.as_str(), &keys.blocks, &keys.outbox];
    let mut call = call(&COMMIT, COMMIT_TEXT, &named, arguments, bytes);
    let Commit { token, base, next, log_id, .. } = commit;
    let command = &mut call.command;
    command.arg(token.owner.to_string()).arg(token.epoch).arg(base).arg(next).arg(log_id.to_string());
    command.arg(first).arg(next_seq).arg(pieces.len());
    for piece in &pieces {
        command.arg(piece.last + 1).arg(piece.first).arg(piece.value.as_slice());
    }
    for run in blocks.chunk_by(|(_, a), (_, b)| a.is_some() == b.is_some()).flat_map(|run| run.chunks(RUN)) {
        let written = run.first().is_some_and(|(_, block)| block.is_some());
        let count = i64::try_from(run.len()).unwrap_or(0);
        command.arg(if written { count } else { -count });
        for (key, block) in run {
            command.arg(field(*key).as_slice());
            if let Some(block) = block {
                command.arg(block.as_ref());
            }
        }
    }
    Ok(call)
}

impl Call {
    /// Runs it; where the server does not know the script, nothing happened, and it is loaded.
    pub(super) async fn run(&self, turn: &Turn<'_>) -> PortResult<Answer> {
        let mut connection = turn.master.connection();
        for _ in 0..LOADS {
            let sent = self.command.query_async::<Value>(&mut connection);
            match turn.answer(Effect::Writes, sent).await? {
                Ok(value) => return answer(&value).ok_or_else(|| unreadable(turn.attempt())),
                Err(error) if is_unknown(&error) => {
                    let mut load = cmd("SCRIPT");
                    load.arg("LOAD").arg(self.text);
                    let loaded = turn.answer(Effect::Reads, load.exec_async(&mut connection)).await?;
                    loaded.map_err(|error| port_error(turn.attempt(), error, Effect::Reads))?;
                }
                Err(error) => return Err(port_error(turn.attempt(), error, Effect::Writes)),
            }
        }
        let reason = "somebody flushes the scripts of the Redis again and again";
        Err(PortError::caused(ErrorKind::Transient, turn.attempt(), reason))
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == RedisErrorKind::Server(ServerErrorKind::NoScript)
}

fn answer(value: &Value) -> Option<Answer> {
    match value {
        Value::Int(number) => Some(Answer::Number(u64::try_from(*number).ok()?)),
        Value::SimpleString(text) => match text.split(' ').next()? {
            "stored" => Some(Answer::Stored),
            "fenced" => Some(Answer::Fenced),
            "sequence" => Some(Answer::Sequence),
            "damaged" => Some(Answer::Damaged),
            _ => None,
        },
        _ => None,
    }
}

/// An answer that no script of ours gives.
pub(super) fn unreadable(attempt: &str) -> PortError {
    PortError::caused(ErrorKind::Corrupt, attempt, "the Redis answers in another form than was asked for")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::ports::{
        event_log::Stream,
        state_store::{BlockKey, OutboxEntry, StageKey},
    };

    fn wire(blocks: Vec<(u128, Option<&'static str>)>, outbox: &[u64]) -> Vec<String> {
        let block = |(id, block): (u128, Option<&'static str>)| {
            (
                BlockKey { class: 0, id: u128::from_be_bytes([b'0' + u8::try_from(id).unwrap(); 16]) },
                block.map(Bytes::from),
            )
        };
        let entry = |seq: &u64| OutboxEntry { seq: *seq, stream: Stream::Events, record: Bytes::new() };
        let one = Commit {
            token: Token { owner: Uuid::nil(), epoch: 4 },
            log_id: Uuid::nil(),
            base: 5,
            next: 6,
            blocks: blocks.into_iter().map(block).collect(),
            outbox: outbox.iter().map(entry).collect(),
        };
        let keys = Keys::of(&"p:".parse().unwrap(), &StageKey { role: "r", partition: 0 });
        let call = commit(&keys, "committing", &one).unwrap();
        let redis::Arg::Simple(_) = call.command.args_iter().next().unwrap() else { panic!("no argument") };
        let text = |argument| match argument {
            redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).replace('\0', ""),
            _ => "cursor".to_owned(),
        };
        // After the name, the hash, the number of keys, and the keys.
        call.command.args_iter().skip(6).map(text).collect()
    }

    const NIL: &str = "00000000-0000-0000-0000-000000000000";

    #[test]
    fn blocks_keep_their_order_in_runs_of_one_kind() {
        let sent = wire(vec![(1, Some("a")), (2, Some("b")), (1, None), (1, Some("c"))], &[]);
        let (one, two) = ("1".repeat(16), "2".repeat(16));
        let head = [NIL, "4", "5", "6", NIL, "", "0", "0"];
        let runs = ["2", &one, "a", &two, "b", "-1", &one, "1", &one, "c"];
        let expected = [&head[..], &runs[..]].concat();
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_run_is_no_longer_than_lua_takes() {
        let sent = wire(vec![(1, Some("a")); 2 * RUN + 1], &[]);
        assert_eq!(sent.iter().filter(|argument| **argument == RUN.to_string()).count(), 2);
        assert_eq!(sent.len(), 8 + 3 + 2 * (2 * RUN + 1));
    }

    #[test]
    fn a_broken_sequence_carries_nothing() {
        assert_eq!(wire(vec![(1, Some("a"))], &[3, 5]), [NIL, "4", "5", "6", NIL, "-1", "6", "0"]);
        let good = wire(vec![], &[3, 4]);
        assert_eq!(good[..10], [NIL, "4", "5", "6", NIL, "3", "5", "1", "5", "3"]);
    }
}
