//! A new password: admitted everywhere, then shown, then used everywhere, then the old one is dropped. Pure.

use super::{LoginSeen, RedisAction, RedisSeen, Target, Wanted, digest};
use crate::validate::KeptSecret;

/// A pod that answers, with what matters here.
struct Pod<'a> {
    target: Target,
    login: &'a LoginSeen,
    uses_current: bool,
    /// Whether it can be told what to use: a sentinel without a master is told with the master.
    told: bool,
}

/// How far all pods are with the passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not all of them accept and use the current one.
    Underway,
    /// All of them accept and use the current one.
    Adopted,
    /// All of them accept the next one, too.
    NextAdmitted,
}

/// The next step of every pod that answers, and how far all of them are.
pub(super) fn steps(seen: &RedisSeen, wanted: &Wanted) -> (Vec<RedisAction>, Progress) {
    let pods = pods(seen);
    let closed_to = |password: &KeptSecret, action: fn(Target) -> RedisAction| -> Vec<RedisAction> {
        let digest = digest(password);
        let closed = pods.iter().filter(|pod| !pod.login.digests.contains(&digest));
        closed.map(|pod| action(pod.target)).collect()
    };
    let closed = closed_to(&wanted.passwords.current, RedisAction::Admit);
    if !closed.is_empty() {
        return (closed, Progress::Underway);
    }
    // One that is away might admit the old password alone: who uses the new one could not reach it.
    if pods.len() < usize::from(wanted.servers) + usize::from(wanted.sentinels) {
        return (Vec::new(), Progress::Underway);
    }
    if pods.iter().any(|pod| !pod.uses_current) {
        let late = pods.iter().filter(|pod| !pod.uses_current && pod.told);
        return (late.map(|pod| RedisAction::UseCurrent(pod.target)).collect(), Progress::Underway);
    }
    if wanted.passwords.previous.is_some() {
        return (Vec::new(), Progress::Adopted);
    }
    if let Some(next) = &wanted.passwords.next {
        let closed = closed_to(next, RedisAction::AdmitNext);
        let progress = if closed.is_empty() { Progress::NextAdmitted } else { Progress::Adopted };
        return (closed, progress);
    }
    let extra = |pod: &&Pod<'_>| pod.login.open || pod.login.digests.len() > 1;
    let drop_old = pods.iter().filter(extra).map(|pod| RedisAction::AdmitOnlyCurrent(pod.target)).collect();
    (drop_old, Progress::Adopted)
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
