use super::*;
use crate::{
    redis::{Life, LoginSeen, Member, Passwords, WAITING, digest},
    validate::KeptSecret,
};

mod election;
mod masters;
mod password;
mod properties;
mod roll;

fn secret(text: &str) -> KeptSecret {
    KeptSecret(text.to_owned())
}

fn wanted() -> Wanted {
    Wanted {
        servers: 3,
        sentinels: 3,
        quorum: 2,
        min_replicas: 1,
        settings: vec![("failover-timeout".to_owned(), "10000".to_owned())],
        claims: (0..3).collect(),
        passwords: Passwords { current: secret("new"), next: None, previous: None },
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn member(kind: &str, ordinal: u16) -> Member {
    Member {
        pod: format!("{kind}-{ordinal}"),
        ordinal,
        host: format!("{kind}-{ordinal}.host"),
        ip: Some([10, 0, 0, u8::try_from(ordinal).unwrap()].into()),
        life: Life::Ready,
        terminating: false,
        revision_current: true,
    }
}

fn login(passwords: &[&str]) -> LoginSeen {
    LoginSeen { digests: passwords.iter().map(|one| digest(&secret(one))).collect(), open: false }
}

fn server(part: Part, beat: u64, offset: u64) -> Server {
    Server {
        part,
        offset,
        beat,
        min_replicas: 1,
        followers: 2,
        priority: 100,
        login: login(&["new"]),
        uses_current: true,
    }
}

fn waiting_server(beat: u64, offset: u64) -> Server {
    Server { min_replicas: WAITING, priority: 0, ..server(Part::Master, beat, offset) }
}

fn replica(of: u16) -> Server {
    server(Part::Replica { of: member("r", of).host, up: true }, 7, 100)
}

fn servers(all: Vec<Answer<Server>>) -> Vec<Asked<Server>> {
    (0_u16..).zip(all).map(|(n, answer)| Asked { member: member("r", n), answer }).collect()
}

fn sentinels(named: Option<u16>, servers: u16, count: u16) -> Vec<Asked<Sentinel>> {
    let watched = named.map(|master| Watched {
        host: member("r", master).host,
        quorum: 2,
        down: false,
        failing_over: false,
        replicas: (0..servers).filter(|n| *n != master).map(|n| member("r", n).host).collect(),
        others: count - 1,
        settings: [("failover-timeout".to_owned(), "10000".to_owned())].into(),
    });
    let said = Sentinel { watched, login: login(&["new"]), uses_current: true };
    (0..count).map(|n| Asked { member: member("s", n), answer: Answer::Says(said.clone()) }).collect()
}

fn calm() -> RedisSeen {
    let all = vec![replica(1), server(Part::Master, 7, 100), replica(1)];
    RedisSeen {
        servers: servers(all.into_iter().map(Answer::Says).collect()),
        sentinels: sentinels(Some(1), 3, 3),
    }
}

fn unled(all: Vec<Answer<Server>>) -> RedisSeen {
    RedisSeen { servers: servers(all), sentinels: sentinels(None, 3, 3) }
}

fn look(seen: &RedisSeen, wanted: &Wanted) -> Decision {
    decide(seen, wanted, &Waits::default(), at(0))
}

fn said(seen: &mut RedisSeen, ordinal: usize) -> &mut Server {
    match &mut seen.servers[ordinal].answer {
        Answer::Says(said) => said,
        other => panic!("{other:?}"),
    }
}

fn promoted(decision: &Decision) -> Vec<u16> {
    let promotes = decision.actions.iter().filter_map(|action| match action {
        RedisAction::Promote { server, .. } => Some(*server),
        _ => None,
    });
    promotes.collect()
}

#[test]
fn nothing_is_done_about_a_redis_that_is_as_wanted() {
    let decision = look(&calm(), &wanted());
    assert_eq!(decision.actions, []);
    assert_eq!(decision.report.master.as_deref(), Some("r-1"));
    assert_eq!(decision.report.problems, []);
    assert_eq!(decision.report.progressing, None);
    assert!(decision.report.password_adopted);
}

#[test]
fn a_master_that_no_sentinel_could_replace_is_told_of() {
    let mut seen = calm();
    let Answer::Says(first) = &mut seen.sentinels[0].answer else { panic!("it answers") };
    first.watched.as_mut().unwrap().replicas.clear();
    let decision = look(&seen, &wanted());
    assert_eq!(decision.actions, []);
    assert!(decision.report.problems[0].message.contains("s-0 knows no replica in step"));
    let alone = Wanted { servers: 1, min_replicas: 0, ..wanted() };
    assert!(look(&seen, &alone).report.problems.iter().all(|problem| !problem.message.contains("in step")));
}

#[test]
fn a_master_that_refuses_writes_for_want_of_replicas_is_told_of() {
    let mut seen = calm();
    said(&mut seen, 1).followers = 0;
    let decision = look(&seen, &wanted());
    assert_eq!(decision.actions, []);
    assert!(decision.report.problems[0].message.contains("takes no writes"));
    let alone = Wanted { servers: 1, min_replicas: 0, ..wanted() };
    said(&mut seen, 1).min_replicas = 0;
    assert!(look(&seen, &alone).report.problems.iter().all(|problem| !problem.message.contains("writes")));
}
