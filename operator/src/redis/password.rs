//! A new password: admitted everywhere, then used everywhere, then the old one is dropped. Pure.

use super::{LoginSeen, RedisAction, RedisSeen, Target, Wanted, digest};

/// A pod that answers, with what matters here.
struct Pod<'a> {
    target: Target,
    login: &'a LoginSeen,
    uses_current: bool,
    /// Whether it can be told what to use: a sentinel without a master is told with the master.
    told: bool,
}

/// The next step of every pod that answers, and whether all of them are through.
pub(super) fn steps(seen: &RedisSeen, wanted: &Wanted) -> (Vec<RedisAction>, bool) {
    let current = digest(&wanted.passwords.current);
    let pods = pods(seen);
    let admits = |pod: &&Pod<'_>| pod.login.digests.contains(&current);
    let closed: Vec<_> =
        pods.iter().filter(|pod| !admits(pod)).map(|pod| RedisAction::Admit(pod.target)).collect();
    if !closed.is_empty() {
        return (closed, false);
    }
    // One that is away might admit the old password alone: who uses the new one could not reach it.
    if pods.len() < usize::from(wanted.servers) + usize::from(wanted.sentinels) {
        return (Vec::new(), false);
    }
    if pods.iter().any(|pod| !pod.uses_current) {
        let late = pods.iter().filter(|pod| !pod.uses_current && pod.told);
        return (late.map(|pod| RedisAction::UseCurrent(pod.target)).collect(), false);
    }
    if wanted.passwords.previous.is_some() {
        return (Vec::new(), true);
    }
    let extra = |pod: &&Pod<'_>| pod.login.open || pod.login.digests.len() > 1;
    let drop_old = pods.iter().filter(extra).map(|pod| RedisAction::AdmitOnlyCurrent(pod.target)).collect();
    (drop_old, true)
}

fn pods(seen: &RedisSeen) -> Vec<Pod<'_>> {
    let servers = seen.servers.iter().filter_map(|asked| {
        let said = asked.answer.says()?;
        let target = Target::Server(asked.member.ordinal);
        Some(Pod { target, login: &said.login, uses_current: said.uses_current, told: true })
    });
    let sentinels = seen.sentinels.iter().filter_map(|asked| {
        let said = asked.answer.says()?;
        let target = Target::Sentinel(asked.member.ordinal);
        Some(Pod {
            target,
            login: &said.login,
            uses_current: said.uses_current,
            told: said.watched.is_some(),
        })
    });
    servers.chain(sentinels).collect()
}
