//! Pods of an old template, and members that are too many. Pure.
//!
//! Only asked while a majority of the sentinels names a master that leads. Invariant: at most one pod goes at a
//! time, and one that answers only while every other one is in step.

use super::{Answer, Asked, IN_STEP, Life, Part, RedisAction, RedisSeen, Sentinel, Server, Wanted, Watched};

/// What is next.
pub(super) enum Step {
    /// Nothing is to be rolled or forgotten.
    None,
    /// Something is, but must wait.
    Wait(String),
    /// These actions, and what they are for.
    Act(Vec<RedisAction>, String),
}

/// The next step towards pods of the newest template, in the wanted number.
pub(super) fn next(seen: &RedisSeen, wanted: &Wanted, master: &Asked<Server>) -> Step {
    if let Some(step) = broken(seen) {
        return step;
    }
    let surplus = seen.servers.iter().any(|asked| asked.member.ordinal >= wanted.servers);
    let outdated = outdated(&seen.servers).or_else(|| outdated(&seen.sentinels)).is_some();
    let crowded = seen.sentinels.iter().any(|asked| knows_too_many(asked, seen, wanted));
    if !surplus && !outdated && !crowded {
        return Step::None;
    }
    if let Some(why) = unrest(seen, wanted, master) {
        return Step::Wait(why);
    }
    leaving_master(seen, wanted, master)
        .or_else(|| server(seen, wanted, master))
        .or_else(|| sentinel(seen, wanted))
        .or_else(|| forget(seen, wanted))
        .unwrap_or(Step::None)
}

/// A pod of an old template whose program does not run: nothing is lost with it. One that runs and is slow to answer
/// waits for its turn.
fn broken(seen: &RedisSeen) -> Option<Step> {
    let silent_server = seen.servers.iter().filter(|asked| asked.answer == Answer::Silent).map(|a| &a.member);
    let silent_sentinel =
        seen.sentinels.iter().filter(|asked| asked.answer == Answer::Silent).map(|a| &a.member);
    let member = silent_server
        .chain(silent_sentinel)
        .find(|member| !member.revision_current && member.life == Life::Waits && !member.terminating)?;
    Some(delete(&member.pod, "does not start and has an old template"))
}

/// Why nothing may be moved now.
fn unrest(seen: &RedisSeen, wanted: &Wanted, master: &Asked<Server>) -> Option<String> {
    let present = |ordinal: u16| seen.servers.iter().any(|asked| asked.member.ordinal == ordinal);
    if let Some(ordinal) = (0..wanted.servers).find(|ordinal| !present(*ordinal)) {
        return Some(format!("server {ordinal} has no pod yet"));
    }
    if let Some(asked) = seen.servers.iter().find(|asked| asked.member.terminating || !in_step(asked, master))
    {
        return Some(format!("pod {} is not in step with its master", asked.member.pod));
    }
    // One of the old template may never be ready, and the new one may be the cure.
    if let Some(asked) =
        seen.servers.iter().find(|asked| asked.member.revision_current && asked.member.life != Life::Ready)
    {
        return Some(format!("pod {} is not ready yet", asked.member.pod));
    }
    let calm = |asked: &&Asked<Sentinel>| {
        let watched = asked.answer.says().and_then(|said| said.watched.as_ref());
        !asked.member.terminating
            && watched.is_some_and(|watched| {
                watched.host == master.member.host && !watched.down && !watched.failing_over
            })
    };
    if let Some(asked) = seen.sentinels.iter().find(|asked| !calm(asked)) {
        return Some(format!("sentinel {} does not agree on the master", asked.member.pod));
    }
    (seen.sentinels.len() < usize::from(wanted.sentinels)).then(|| "a sentinel has no pod yet".to_owned())
}

/// Whether a server leads as `master`, or has nearly all of its data.
fn in_step(asked: &Asked<Server>, master: &Asked<Server>) -> bool {
    let (Some(said), Some(leader)) = (asked.answer.says(), master.answer.says()) else { return false };
    match &said.part {
        Part::Master => asked.member.ordinal == master.member.ordinal,
        Part::Replica { of, up } => {
            *up && *of == master.member.host && leader.offset.saturating_sub(said.offset) <= IN_STEP
        }
    }
}

/// A master beyond the wanted number hands over to one that stays.
fn leaving_master(seen: &RedisSeen, wanted: &Wanted, master: &Asked<Server>) -> Option<Step> {
    if master.member.ordinal < wanted.servers {
        return None;
    }
    let stays = |asked: &&Asked<Server>| asked.member.ordinal < wanted.servers;
    let priority = |asked: &Asked<Server>| asked.answer.says().map_or(0, |said| said.priority);
    let lower: Vec<_> = seen
        .servers
        .iter()
        .filter(|asked| !stays(asked) && priority(asked) > 0)
        .map(|asked| RedisAction::SetPriority { server: asked.member.ordinal, to: 0 })
        .collect();
    let what = format!("the master moves away from {}, which leaves", master.member.pod);
    if !lower.is_empty() {
        return Some(Step::Act(lower, what));
    }
    if !seen.servers.iter().filter(stays).any(|asked| priority(asked) > 0) {
        return Some(Step::Wait("no server that stays may be promoted yet".to_owned()));
    }
    Some(failover(seen, what))
}

/// Replicas of an old template from the highest ordinal down, then the master, which becomes a replica first.
fn server(seen: &RedisSeen, wanted: &Wanted, master: &Asked<Server>) -> Option<Step> {
    let old =
        |asked: &&Asked<Server>| !asked.member.revision_current && asked.member.ordinal < wanted.servers;
    let leads = |asked: &&Asked<Server>| asked.member.ordinal == master.member.ordinal;
    let replicas = seen.servers.iter().filter(old).filter(|asked| !leads(asked));
    if let Some(asked) = replicas.max_by_key(|asked| asked.member.ordinal) {
        return Some(delete(&asked.member.pod, "has an old template"));
    }
    let old_master = seen.servers.iter().filter(old).find(leads)?;
    if seen.servers.len() == 1 {
        return Some(delete(
            &old_master.member.pod,
            "has an old template, and there is no other to lead meanwhile",
        ));
    }
    let may_lead = |asked: &Asked<Server>| asked.answer.says().is_some_and(|said| said.priority > 0);
    if seen.servers.iter().any(|asked| !leads(&asked) && may_lead(asked)) {
        return Some(failover(seen, format!("the master moves away from {}", old_master.member.pod)));
    }
    Some(Step::Wait("no replica may be promoted yet".to_owned()))
}

fn sentinel(seen: &RedisSeen, wanted: &Wanted) -> Option<Step> {
    let pod = outdated(&seen.sentinels)?;
    if let Some(asked) = seen.sentinels.iter().find(|asked| knows_too_few(asked, seen, wanted)) {
        return Some(Step::Wait(format!("sentinel {} does not know all others yet", asked.member.pod)));
    }
    Some(delete(pod, "has an old template"))
}

/// One sentinel at a time forgets who is gone, while the others know everyone.
fn forget(seen: &RedisSeen, wanted: &Wanted) -> Option<Step> {
    let crowded = seen.sentinels.iter().find(|asked| knows_too_many(asked, seen, wanted))?;
    // Pods that leave are still there: the reset would only bring them back.
    let there = seen.servers.iter().any(|asked| asked.member.ordinal >= wanted.servers)
        || seen.sentinels.len() > usize::from(wanted.sentinels);
    if there {
        return Some(Step::Wait("pods that are too many still run".to_owned()));
    }
    if let Some(asked) = seen.sentinels.iter().find(|asked| knows_too_few(asked, seen, wanted)) {
        return Some(Step::Wait(format!("sentinel {} does not know all others yet", asked.member.pod)));
    }
    let what = format!("sentinel {} forgets members that are gone", crowded.member.pod);
    Some(Step::Act(vec![RedisAction::Reset { sentinel: crowded.member.ordinal }], what))
}

fn watched(asked: &Asked<Sentinel>) -> Option<&Watched> {
    asked.answer.says()?.watched.as_ref()
}

fn knows_too_many(asked: &Asked<Sentinel>, seen: &RedisSeen, wanted: &Wanted) -> bool {
    let is_server = |host: &String| {
        seen.servers.iter().any(|asked| asked.member.host == *host && asked.member.ordinal < wanted.servers)
    };
    let planned = |watched: &Watched| watched.replicas.iter().all(is_server);
    watched(asked).is_some_and(|watched| !planned(watched) || watched.others + 1 > wanted.sentinels)
}

fn knows_too_few(asked: &Asked<Sentinel>, seen: &RedisSeen, wanted: &Wanted) -> bool {
    watched(asked).is_none_or(|watched| {
        let knows = |host: &String| *host == watched.host || watched.replicas.contains(host);
        let planned = seen.servers.iter().filter(|asked| asked.member.ordinal < wanted.servers);
        watched.others + 1 < wanted.sentinels || !planned.map(|asked| &asked.member.host).all(knows)
    })
}

fn outdated<T>(asked: &[Asked<T>]) -> Option<&str> {
    let old = asked.iter().filter(|asked| !asked.member.revision_current);
    old.max_by_key(|asked| asked.member.ordinal).map(|asked| asked.member.pod.as_str())
}

fn delete(pod: &str, why: &str) -> Step {
    Step::Act(
        vec![RedisAction::DeletePod { pod: pod.to_owned() }],
        format!("pod {pod} is made anew: it {why}"),
    )
}

fn failover(seen: &RedisSeen, what: String) -> Step {
    match super::decide::failover(seen) {
        Some(action) => Step::Act(vec![action], what),
        None => Step::Wait("no sentinel answers".to_owned()),
    }
}
