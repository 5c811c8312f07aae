//! Who leads where nobody does. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{Answer, Asked, ELECTION_WAIT, LOADING_WAIT, RedisSeen, Server, Wanted};

/// What an election came to.
pub(super) enum Election<'a> {
    /// It waits for somebody.
    Waits(String),
    /// This server is elected, though the named ones did not answer.
    Elects(&'a Asked<Server>, Vec<u16>),
}

/// Elects among all servers but the one at `without`, which is known to be away. `since` is when it began.
pub(super) fn elect<'a>(
    seen: &'a RedisSeen,
    wanted: &Wanted,
    without: Option<&str>,
    since: Timestamp,
    now: Timestamp,
) -> Election<'a> {
    let asked = || seen.servers.iter().filter(|asked| Some(asked.member.host.as_str()) != without);
    let known_away = |ordinal: u16| {
        seen.servers
            .iter()
            .any(|asked| asked.member.ordinal == ordinal && Some(asked.member.host.as_str()) == without)
    };
    let answers =
        |ordinal: u16| asked().any(|asked| asked.member.ordinal == ordinal && asked.answer.says().is_some());
    let missing: Vec<u16> =
        wanted.claims.iter().copied().filter(|ordinal| !answers(*ordinal) && !known_away(*ordinal)).collect();
    let loading = asked().any(|asked| asked.answer == Answer::Loading);
    let patience = if loading { LOADING_WAIT } else { ELECTION_WAIT };
    if !missing.is_empty() && now.duration_since(since) < patience {
        return Election::Waits(format!(
            "servers {missing:?} are waited for, as they may hold the newest data"
        ));
    }
    // It may hold the newest data, or lead: it comes back on its volume.
    if let Some(ending) = asked().find(|asked| asked.member.terminating && asked.answer.says().is_some()) {
        return Election::Waits(format!("pod {} still ends", ending.member.pod));
    }
    match best(asked()) {
        Some(best) => Election::Elects(best, missing),
        None => Election::Waits("no server answers".to_owned()),
    }
}

/// The server with the newest data among those that answer.
fn best<'a>(servers: impl Iterator<Item = &'a Asked<Server>>) -> Option<&'a Asked<Server>> {
    servers
        .filter_map(|asked| asked.answer.says().map(|said| (asked, said)))
        .max_by_key(|(asked, said)| (said.leads(), said.beat, said.offset, Reverse(asked.member.ordinal)))
        .map(|(asked, _)| asked)
}
