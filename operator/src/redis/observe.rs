//! Asks every server and sentinel at once. Must not: change anything.

use std::collections::BTreeMap;

use ::redis::Value;

use super::{
    Answer, Asked, BEAT_KEY, LoginSeen, MASTER_NAME, Member, Members, Part, Passwords, RedisSeen,
    SENTINEL_PORT, SERVER_PORT, Sentinel, Server, Watched,
    wire::{Wire, WireError},
};

/// Settings that a sentinel reports by the name under which they are set.
const SETTINGS: [&str; 3] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs"];

/// Asks every pod, all at once; one that does not answer costs some seconds and no more.
pub async fn observe(members: &Members, passwords: &Passwords) -> RedisSeen {
    let servers = members.servers.iter().map(|member| async {
        Asked { member: member.clone(), answer: answer(server(member, passwords).await) }
    });
    let sentinels = members.sentinels.iter().map(|member| async {
        Asked { member: member.clone(), answer: answer(sentinel(member, passwords).await) }
    });
    let (servers, sentinels) =
        futures::join!(futures::future::join_all(servers), futures::future::join_all(sentinels));
    RedisSeen { servers, sentinels }
}

fn answer<T>(outcome: Result<T, WireError>) -> Answer<T> {
    match outcome {
        Ok(said) => Answer::Says(said),
        Err(WireError::Refused) => Answer::Refused,
        Err(WireError::Loading) => Answer::Loading,
        Err(WireError::Silent | WireError::Failed) => Answer::Silent,
    }
}

async fn server(member: &Member, passwords: &Passwords) -> Result<Server, WireError> {
    let mut wire = Wire::open(member.ip.ok_or(WireError::Silent)?, SERVER_PORT, passwords).await?;
    let info: String = wire.ask(&["INFO", "replication"]).await?;
    let beat: Option<u64> = wire.ask(&["GET", BEAT_KEY]).await?;
    let min_replicas = setting(&mut wire, "min-replicas-to-write").await?;
    let priority = setting(&mut wire, "replica-priority").await?;
    let master_auth = setting(&mut wire, "masterauth").await?;
    let login = login(&mut wire).await?;
    let (part, offset) = replication(&info).ok_or(WireError::Failed)?;
    Ok(Server {
        part,
        offset,
        followers: followers(&info),
        beat: beat.unwrap_or(0),
        min_replicas: min_replicas.parse().map_err(|_| WireError::Failed)?,
        priority: priority.parse().map_err(|_| WireError::Failed)?,
        login,
        uses_current: master_auth == passwords.current.0,
    })
}

async fn setting(wire: &mut Wire, name: &str) -> Result<String, WireError> {
    let mut found: BTreeMap<String, String> = wire.ask(&["CONFIG", "GET", name]).await?;
    found.remove(name).ok_or(WireError::Failed)
}

/// What `INFO replication` says: part and offset.
fn replication(info: &str) -> Option<(Part, u64)> {
    let fields: BTreeMap<&str, &str> =
        info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
    if *fields.get("role")? == "master" {
        return Some((Part::Master, number("master_repl_offset")?));
    }
    let up = fields.get("master_link_status") == Some(&"up");
    let offset = number("slave_repl_offset").or_else(|| number("master_repl_offset"))?;
    Some((Part::Replica { of: (*fields.get("master_host")?).to_owned(), up }, offset))
}

/// What `INFO replication` says of replicas in step; it says nothing where none is asked for.
fn followers(info: &str) -> u32 {
    let count = info.lines().find_map(|line| line.trim_end().strip_prefix("min_slaves_good_slaves:"));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

async fn login(wire: &mut Wire) -> Result<LoginSeen, WireError> {
    let mut user: BTreeMap<String, Value> = wire.ask(&["ACL", "GETUSER", "default"]).await?;
    let list = |value: Option<Value>| -> Vec<String> {
        value.and_then(|value| ::redis::from_redis_value(value).ok()).unwrap_or_default()
    };
    let flags = list(user.remove("flags"));
    Ok(LoginSeen {
        digests: list(user.remove("passwords")).into_iter().collect(),
        open: flags.iter().any(|flag| flag == "nopass"),
    })
}

async fn sentinel(member: &Member, passwords: &Passwords) -> Result<Sentinel, WireError> {
    let mut wire = Wire::open(member.ip.ok_or(WireError::Silent)?, SENTINEL_PORT, passwords).await?;
    let config: BTreeMap<String, String> = wire.ask(&["SENTINEL", "CONFIG", "GET", "sentinel-pass"]).await?;
    let login = login(&mut wire).await?;
    let uses_current = config.get("sentinel-pass") == Some(&passwords.current.0);
    let master = match wire.ask::<BTreeMap<String, String>>(&["SENTINEL", "MASTER", MASTER_NAME]).await {
        Ok(master) => master,
        Err(WireError::Failed) => return Ok(Sentinel { watched: None, login, uses_current }),
        Err(error) => return Err(error),
    };
    let replicas: Vec<BTreeMap<String, String>> = wire.ask(&["SENTINEL", "REPLICAS", MASTER_NAME]).await?;
    let watched = watched(&master, &replicas).ok_or(WireError::Failed)?;
    Ok(Sentinel { watched: Some(watched), login, uses_current })
}

fn watched(master: &BTreeMap<String, String>, replicas: &[BTreeMap<String, String>]) -> Option<Watched> {
    let flags: Vec<&str> = master.get("flags")?.split(',').collect();
    Some(Watched {
        host: master.get("ip")?.clone(),
        quorum: master.get("quorum")?.parse().ok()?,
        down: flags.contains(&"s_down") || flags.contains(&"o_down"),
        failing_over: flags.contains(&"failover_in_progress"),
        replicas: replicas.iter().filter_map(|replica| replica.get("ip").cloned()).collect(),
        others: master.get("num-other-sentinels")?.parse().ok()?,
        settings: SETTINGS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), master.get(*name)?.clone())))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_says_whom_it_follows_and_how_far_it_is() {
        let info = "# Replication\r\nrole:slave\r\nmaster_host:r-0\r\nmaster_link_status:down\r\n\
                    slave_repl_offset:42\r\nmaster_repl_offset:40\r\n";
        let part = Part::Replica { of: "r-0".into(), up: false };
        assert_eq!(replication(info), Some((part, 42)));
        assert_eq!(replication("role:slave\r\n"), None);
        assert_eq!(followers(info), 0);
        assert_eq!(followers("role:master\r\nmin_slaves_good_slaves:2\r\n"), 2);
    }
}
