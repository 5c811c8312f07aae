//! What to do about a Redis as it was seen. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_crds::condition::{ConditionType, Reason};

use super::{
    AWAY_GRACE, Answer, Asked, Decision, FILES_WAIT, Part, RedisAction, RedisSeen, Sentinel, Server, Waits,
    Wanted, Watched,
    election::{Election, elect},
    password::{self, Progress},
    roll::{self, Step},
};
use crate::{error::Class, problem::Problem};

/// What to do about a Redis as it was seen. `waits` comes from the look before.
pub fn decide(seen: &RedisSeen, wanted: &Wanted, waits: &Waits, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    decision.report.keep_servers = wanted.servers;
    refusals(seen, &mut decision);
    passwords(seen, wanted, waits, now, &mut decision);
    match names(seen, wanted) {
        Names::Unknown(why) => decision.report.problems.push(waiting(why)),
        Names::Nobody => nobody(seen, wanted, waits, now, &mut decision),
        Names::Master(host) => named(seen, wanted, &host, waits, now, &mut decision),
    }
    for action in &decision.actions {
        if let RedisAction::DeletePod { pod } = action {
            decision.report.delete_pods.push(pod.clone());
        }
    }
    if wanted.passwords.next.is_some() || wanted.passwords.previous.is_some() {
        let changes = || "the password is being changed: every pod and worker takes the new one".to_owned();
        decision.report.progressing.get_or_insert_with(changes);
    }
    decision
}

fn passwords(seen: &RedisSeen, wanted: &Wanted, waits: &Waits, now: Timestamp, decision: &mut Decision) {
    let (actions, progress) = password::steps(seen, wanted);
    decision.actions = actions;
    decision.report.next_admitted = progress == Progress::NextAdmitted;
    decision.report.password_adopted = progress != Progress::Underway;
    if decision.report.password_adopted && wanted.passwords.previous.is_some() {
        let since = waits.adopted.unwrap_or(now);
        decision.waits.adopted = Some(since);
        decision.report.previous_may_go = now.duration_since(since) >= FILES_WAIT;
    }
}

/// Whom the sentinels name.
enum Names {
    /// Too few of them answer, or they disagree.
    Unknown(String),
    /// A majority answers and none of those knows a master.
    Nobody,
    /// Those that know a master agree on this host.
    Master(String),
}

fn names(seen: &RedisSeen, wanted: &Wanted) -> Names {
    let said: Vec<&Sentinel> = seen.sentinels.iter().filter_map(|asked| asked.answer.says()).collect();
    if said.len() < wanted.majority() {
        let (some, all) = (said.len(), wanted.sentinels);
        return Names::Unknown(format!("{some} of {all} sentinels answer, a majority is waited for"));
    }
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for watched in said.iter().filter_map(|said| said.watched.as_ref()) {
        *votes.entry(watched.host.as_str()).or_default() += 1;
    }
    let favourite = votes.iter().max_by_key(|(_, count)| **count);
    match favourite {
        None => Names::Nobody,
        // One answer is enough where the others know nobody: they lost what they knew.
        Some((host, count)) if *count >= wanted.majority() || votes.len() == 1 => {
            Names::Master((*host).to_owned())
        }
        Some(_) => Names::Unknown("the sentinels name different masters and are left to agree".to_owned()),
    }
}

fn refusals(seen: &RedisSeen, decision: &mut Decision) {
    let servers = seen.servers.iter().filter(|asked| asked.answer == Answer::Refused).map(|a| &a.member);
    let sentinels = seen.sentinels.iter().filter(|asked| asked.answer == Answer::Refused).map(|a| &a.member);
    for member in servers.chain(sentinels) {
        decision.report.problems.push(Problem {
            condition: ConditionType::RedisReady,
            reason: Reason::CredentialsRefused,
            class: Class::Blocked,
            message: format!(
                "pod {} accepts no password of the Secret: delete the pod, so that it reads the Secret again",
                member.pod
            ),
        });
    }
}

fn waiting(message: impl Into<String>) -> Problem {
    Problem::waiting(ConditionType::RedisReady, message)
}

/// A sentinel that can fail over.
pub(super) fn failover(seen: &RedisSeen) -> Option<RedisAction> {
    let knows = |asked: &&Asked<Sentinel>| asked.answer.says().is_some_and(|said| said.watched.is_some());
    let first = seen.sentinels.iter().find(knows)?;
    Some(RedisAction::Failover { sentinel: first.member.ordinal })
}

fn monitors(seen: &RedisSeen, host: &str) -> impl Iterator<Item = RedisAction> {
    let ignorant = |asked: &&Asked<Sentinel>| asked.answer.says().is_some_and(|said| said.watched.is_none());
    seen.sentinels
        .iter()
        .filter(ignorant)
        .map(|asked| RedisAction::Monitor { sentinel: asked.member.ordinal, host: host.to_owned() })
}

fn nobody(seen: &RedisSeen, wanted: &Wanted, waits: &Waits, now: Timestamp, decision: &mut Decision) {
    let since = waits.nobody.unwrap_or(now);
    decision.waits.nobody = Some(since);
    let (elected, missing) = match elect(seen, wanted, None, since, now) {
        Election::Waits(why) => {
            return decision.report.problems.push(waiting(format!("no master yet: {why}")));
        }
        Election::Elects(elected, missing) => (elected, missing),
    };
    if !elected.answer.says().is_some_and(Server::leads) {
        let (server, min_replicas) = (elected.member.ordinal, wanted.min_replicas);
        decision.actions.push(RedisAction::Promote { server, min_replicas });
    }
    decision.actions.extend(monitors(seen, &elected.member.host));
    decision.report.data_loss = loss(&missing, &elected.member.pod);
    decision.report.progressing = Some(format!("pod {} becomes the master", elected.member.pod));
    decision.report.problems.push(waiting(format!("pod {} is being made the master", elected.member.pod)));
}

fn loss(missing: &[u16], pod: &str) -> Option<String> {
    (!missing.is_empty()).then(|| {
        format!(
            "pod {pod} leads without servers {missing:?}, which did not answer: what only they held is lost"
        )
    })
}

fn named(
    seen: &RedisSeen,
    wanted: &Wanted,
    host: &str,
    waits: &Waits,
    now: Timestamp,
    decision: &mut Decision,
) {
    decision.actions.extend(monitors(seen, host));
    settings(seen, wanted, decision);
    let master = seen.servers.iter().find(|asked| asked.member.host == host);
    let leading = master.filter(|asked| asked.answer.says().is_some_and(Server::leads));
    let Some(master) = leading else { return away(seen, wanted, host, waits, now, decision) };
    decision.report.keep_servers = wanted.servers.max(master.member.ordinal + 1);
    decision.report.master = Some(master.member.pod.clone());
    decision.report.problems.extend(unfollowed(master, wanted).or_else(|| irreplaceable(seen, wanted)));
    let strays: Vec<u16> = strays(seen, host).into_iter().chain(followers_of_others(seen, host)).collect();
    if !strays.is_empty() {
        decision.report.progressing =
            Some(format!("servers {strays:?} do not follow the master that the sentinels name"));
        return follow(strays, host, waits, now, decision);
    }
    // A password in motion would be lost with the pod that was told it.
    if !decision.actions.is_empty() {
        decision.report.progressing = Some("settings are being told to servers and sentinels".to_owned());
        return;
    }
    match roll::next(seen, wanted, master) {
        Step::None => {}
        Step::Wait(why) => decision.report.progressing = Some(format!("the next change waits: {why}")),
        Step::Act(actions, what) => {
            decision.actions.extend(actions);
            decision.report.progressing = Some(what);
        }
    }
}

/// A master that refuses writes because too few replicas are in step.
fn unfollowed(master: &Asked<Server>, wanted: &Wanted) -> Option<Problem> {
    let followers = master.answer.says()?.followers;
    (followers < wanted.min_replicas).then(|| {
        waiting(format!(
            "pod {} leads, but takes no writes before {} of its replicas is in step; {followers} are",
            master.member.pod, wanted.min_replicas
        ))
    })
}

/// A master whose loss would leave none: a sentinel learns of a replica by asking the master, every ten seconds.
fn irreplaceable(seen: &RedisSeen, wanted: &Wanted) -> Option<Problem> {
    let linked = |asked: &&Asked<Server>| {
        matches!(asked.answer.says().map(|said| &said.part), Some(Part::Replica { up: true, .. }))
    };
    let knows_one = |watched: &Watched| {
        seen.servers.iter().filter(linked).any(|asked| watched.replicas.contains(&asked.member.host))
    };
    let helpless = |asked: &&Asked<Sentinel>| watched(asked).is_some_and(|watched| !knows_one(watched));
    let first = seen.sentinels.iter().find(helpless).filter(|_| wanted.servers > 1)?;
    let pod = &first.member.pod;
    Some(waiting(format!(
        "sentinel {pod} knows no replica in step, so it could not replace a lost master yet"
    )))
}

fn watched(asked: &Asked<Sentinel>) -> Option<&Watched> {
    asked.answer.says()?.watched.as_ref()
}

fn strays(seen: &RedisSeen, host: &str) -> Vec<u16> {
    let stray =
        |asked: &&Asked<Server>| asked.member.host != host && asked.answer.says().is_some_and(Server::leads);
    seen.servers.iter().filter(stray).map(|asked| asked.member.ordinal).collect()
}

/// Replicas of another than the named one; Sentinel tells those that it knows.
fn followers_of_others(seen: &RedisSeen, host: &str) -> Vec<u16> {
    let of_other = |asked: &&Asked<Server>| {
        let part = asked.answer.says().map(|said| &said.part);
        matches!(part, Some(Part::Replica { of, .. }) if of != host) && asked.member.host != host
    };
    seen.servers.iter().filter(of_other).map(|asked| asked.member.ordinal).collect()
}

fn settings(seen: &RedisSeen, wanted: &Wanted, decision: &mut Decision) {
    for asked in &seen.servers {
        let Some(said) = asked.answer.says() else { continue };
        if said.min_replicas != super::WAITING && said.min_replicas != wanted.min_replicas {
            let (server, to) = (asked.member.ordinal, wanted.min_replicas);
            decision.actions.push(RedisAction::SetMinReplicas { server, to });
        }
    }
    // The password is not reported, and told before the settings: it is told again where a setting is missing.
    let differs = |watched: &Watched| {
        let told = |(name, value): &(String, String)| watched.settings.get(name) == Some(value);
        watched.quorum != wanted.quorum || !wanted.settings.iter().all(told)
    };
    for asked in &seen.sentinels {
        if watched(asked).is_some_and(differs) {
            decision.actions.push(RedisAction::SetSettings { sentinel: asked.member.ordinal });
        }
    }
}

/// The named master does not lead: Sentinel is left to it, then helped.
fn away(
    seen: &RedisSeen,
    wanted: &Wanted,
    host: &str,
    waits: &Waits,
    now: Timestamp,
    decision: &mut Decision,
) {
    let since = waits.away.unwrap_or(now);
    decision.waits.away = Some(since);
    let what = format!("the master {host} does not lead");
    let named = seen.servers.iter().find(|asked| asked.member.host == host).map(|asked| &asked.answer);
    let follows = named.and_then(Answer::says).is_some_and(|said| said.part != Part::Master);
    if !follows && named.is_some_and(|answer| *answer != Answer::Silent) {
        // It leads once it has loaded its data and learned from the sentinels that it is named.
        return decision.report.problems.push(waiting(format!("{what}, but is there: it is waited for")));
    }
    let failing_over = seen.sentinels.iter().filter_map(watched).any(|watched| watched.failing_over);
    if failing_over || now.duration_since(since) < AWAY_GRACE {
        return decision.report.problems.push(waiting(format!("{what}: Sentinel is left to replace it")));
    }
    let strays = strays(seen, host);
    if !strays.is_empty() {
        // Whom Sentinel has just promoted looks like this too. One that it has not may be promoted only as a
        // replica; its data stay until then.
        decision.report.problems.push(waiting(format!("{what}: servers {strays:?} lead unnamed")));
        return follow(strays, host, waits, now, decision);
    }
    let without = (!follows).then_some(host);
    match elect(seen, wanted, without, since, now) {
        Election::Waits(why) => decision.report.problems.push(waiting(format!("{what}: {why}"))),
        Election::Elects(elected, missing) => {
            decision.report.data_loss = loss(&missing, &elected.member.pod);
            replace(seen, wanted, host, elected, decision);
        }
    }
}

/// Makes the elected server the master in place of the named one.
fn replace(seen: &RedisSeen, wanted: &Wanted, host: &str, elected: &Asked<Server>, decision: &mut Decision) {
    let (server, pod) = (elected.member.ordinal, &elected.member.pod);
    let what = format!("the master {host} does not lead: pod {pod} is made the master");
    decision.report.problems.push(waiting(what));
    if elected.member.host == host {
        decision.actions.push(RedisAction::Promote { server, min_replicas: wanted.min_replicas });
        return;
    }
    if elected.answer.says().is_some_and(|said| said.priority == 0) {
        decision.report.data_loss.get_or_insert_with(|| {
            format!("pod {pod} leads with the data of its volume: what only the master {host} held is lost")
        });
        decision.actions.push(RedisAction::SetPriority { server, to: 100 });
    }
    let known = |asked: &&Asked<Sentinel>| {
        watched(asked).is_some_and(|watched| watched.replicas.contains(&elected.member.host))
    };
    if let Some(asked) = seen.sentinels.iter().find(known) {
        decision.actions.push(RedisAction::Failover { sentinel: asked.member.ordinal });
        return;
    }
    // The sentinels first: cut off in between, the server is promoted as one that is named and follows.
    let tell = |asked: &Asked<Sentinel>| {
        let host = elected.member.host.clone();
        watched(asked).map(|_| RedisAction::Remonitor { sentinel: asked.member.ordinal, host })
    };
    decision.actions.extend(seen.sentinels.iter().filter_map(tell));
    decision.actions.push(RedisAction::Promote { server, min_replicas: wanted.min_replicas });
}

/// Servers that lead unnamed or follow another follow the named one, once Sentinel had its time.
fn follow(strays: Vec<u16>, host: &str, waits: &Waits, now: Timestamp, decision: &mut Decision) {
    let since = waits.stray.unwrap_or(now);
    decision.waits.stray = Some(since);
    if now.duration_since(since) >= AWAY_GRACE {
        let follow = |server| RedisAction::Follow { server, host: host.to_owned() };
        decision.actions.extend(strays.into_iter().map(follow));
    }
}

#[cfg(test)]
mod tests;
