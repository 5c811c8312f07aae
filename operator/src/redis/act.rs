//! Sends what was decided, in order, and stops at the first command that fails.

use std::net::IpAddr;

use super::{
    MASTER_NAME, Members, RedisAction, SENTINEL_PORT, SERVER_PORT, Target, Wanted, digest,
    wire::{Wire, WireError},
};

/// A command was not done; those after it were not sent.
#[derive(Debug, thiserror::Error)]
#[error("pod {pod}: {what}: {why}")]
pub struct ActError {
    /// The pod.
    pub pod: String,
    /// What was to be done.
    pub what: &'static str,
    /// Why it was not.
    why: WireError,
}

impl crate::error::Classify for ActError {
    fn class(&self) -> crate::error::Class {
        match self.why {
            WireError::Refused => crate::error::Class::Blocked,
            WireError::Silent | WireError::Loading | WireError::Failed => crate::error::Class::Transient,
        }
    }
}

/// Sends what was decided. Deletions of pods are left to the caller.
pub async fn act(actions: &[RedisAction], members: &Members, wanted: &Wanted) -> Result<(), ActError> {
    for action in actions {
        let Some((target, what)) = addressee(action) else { continue };
        let Some((pod, ip, port)) = find(target, members) else { continue };
        let failed = |why| ActError { pod: pod.to_owned(), what, why };
        let ip = ip.ok_or(WireError::Silent).map_err(failed)?;
        let mut wire = Wire::open(ip, port, &wanted.passwords).await.map_err(failed)?;
        for words in commands(action, wanted) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            wire.ask::<::redis::Value>(&words).await.map_err(failed)?;
        }
    }
    Ok(())
}

fn addressee(action: &RedisAction) -> Option<(Target, &'static str)> {
    Some(match action {
        RedisAction::Promote { server, .. } => (Target::Server(*server), "make it the master"),
        RedisAction::Follow { server, .. } => (Target::Server(*server), "make it follow"),
        RedisAction::SetMinReplicas { server, .. } => (Target::Server(*server), "set min-replicas-to-write"),
        RedisAction::SetPriority { server, .. } => (Target::Server(*server), "set replica-priority"),
        RedisAction::Monitor { sentinel, .. } => (Target::Sentinel(*sentinel), "tell it the master"),
        RedisAction::Remonitor { sentinel, .. } => (Target::Sentinel(*sentinel), "tell it another master"),
        RedisAction::SetSettings { sentinel } => (Target::Sentinel(*sentinel), "tell it the settings"),
        RedisAction::Failover { sentinel } => (Target::Sentinel(*sentinel), "fail over"),
        RedisAction::Reset { sentinel } => (Target::Sentinel(*sentinel), "forget who is gone"),
        RedisAction::Admit(target) | RedisAction::AdmitNext(target) => (*target, "admit the new password"),
        RedisAction::UseCurrent(target) => (*target, "use the new password"),
        RedisAction::AdmitOnlyCurrent(target) => (*target, "drop the old password"),
        RedisAction::DeletePod { .. } => return None,
    })
}

fn find(target: Target, members: &Members) -> Option<(&str, Option<IpAddr>, u16)> {
    let (list, ordinal, port) = match target {
        Target::Server(ordinal) => (&members.servers, ordinal, SERVER_PORT),
        Target::Sentinel(ordinal) => (&members.sentinels, ordinal, SENTINEL_PORT),
    };
    let member = list.iter().find(|member| member.ordinal == ordinal)?;
    Some((member.pod.as_str(), member.ip, port))
}

fn command<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn set(name: &str, value: u32) -> Vec<String> {
    command(["CONFIG", "SET", name, &value.to_string()])
}

fn tell(name: &str, value: &str) -> Vec<String> {
    command(["SENTINEL", "SET", MASTER_NAME, name, value])
}

/// The commands of an action; every one may be sent again.
fn commands(action: &RedisAction, wanted: &Wanted) -> Vec<Vec<String>> {
    let password = wanted.passwords.current.0.as_str();
    let admitted = format!("#{}", digest(&wanted.passwords.current));
    match action {
        RedisAction::Promote { min_replicas, .. } => {
            vec![command(["REPLICAOF", "NO", "ONE"]), set("min-replicas-to-write", *min_replicas)]
        }
        RedisAction::Follow { host, .. } => vec![command(["REPLICAOF", host, &SERVER_PORT.to_string()])],
        RedisAction::SetMinReplicas { to, .. } => vec![set("min-replicas-to-write", *to)],
        RedisAction::SetPriority { to, .. } => vec![set("replica-priority", *to)],
        RedisAction::Monitor { host, .. } => monitor(host, wanted),
        RedisAction::Remonitor { host, .. } => {
            let forget = command(["SENTINEL", "REMOVE", MASTER_NAME]);
            [forget].into_iter().chain(monitor(host, wanted)).collect()
        }
        RedisAction::SetSettings { .. } => settings(wanted),
        RedisAction::Failover { .. } => vec![command(["SENTINEL", "FAILOVER", MASTER_NAME])],
        RedisAction::Reset { .. } => vec![command(["SENTINEL", "RESET", MASTER_NAME])],
        RedisAction::Admit(_) => vec![command(["ACL", "SETUSER", "default", &admitted])],
        RedisAction::AdmitNext(_) => wanted
            .passwords
            .next
            .iter()
            .map(|next| command(["ACL", "SETUSER", "default", &format!("#{}", digest(next))]))
            .collect(),
        RedisAction::UseCurrent(Target::Server(_)) => {
            vec![command(["CONFIG", "SET", "masterauth", password])]
        }
        // The last one is what is looked at, so a cut in between is made good.
        RedisAction::UseCurrent(Target::Sentinel(_)) => vec![
            tell("auth-pass", password),
            command(["SENTINEL", "CONFIG", "SET", "sentinel-pass", password]),
        ],
        RedisAction::AdmitOnlyCurrent(_) => {
            vec![command(["ACL", "SETUSER", "default", "resetpass", &admitted])]
        }
        RedisAction::DeletePod { .. } => Vec::new(),
    }
}

fn monitor(host: &str, wanted: &Wanted) -> Vec<Vec<String>> {
    let (port, quorum) = (SERVER_PORT.to_string(), wanted.quorum.to_string());
    let mut all = vec![command(["SENTINEL", "MONITOR", MASTER_NAME, host, &port, &quorum])];
    all.extend(settings(wanted));
    all
}

/// The password first: a sentinel with all settings has it.
fn settings(wanted: &Wanted) -> Vec<Vec<String>> {
    let mut all = vec![tell("auth-pass", &wanted.passwords.current.0)];
    all.extend(wanted.settings.iter().map(|(name, value)| tell(name, value)));
    all.push(tell("quorum", &wanted.quorum.to_string()));
    all
}
