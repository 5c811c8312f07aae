use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    redis::{ELECTION_WAIT, LOADING_WAIT, Life, LoginSeen, Member, Passwords, Target, WAITING, digest},
    validate::KeptSecret,
};

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

#[test]
fn the_newest_data_lead_and_the_ordinal_only_breaks_a_tie() {
    for (data, leader) in [
        ([(1, 0), (2, 0), (1, 9)], 1),
        ([(1, 0), (1, 0), (1, 9)], 2),
        ([(0, 0), (0, 0), (0, 0)], 0),
        ([(5, 1), (9, 0), (9, 0)], 1),
    ] {
        let all = data.map(|(beat, offset)| Answer::Says(waiting_server(beat, offset)));
        let decision = look(&unled(all.to_vec()), &wanted());
        assert_eq!(promoted(&decision), [leader], "{data:?}");
        let told = decision.actions.iter().filter(|action| matches!(action, RedisAction::Monitor { .. }));
        assert_eq!(told.count(), 3);
    }
}

#[test]
fn an_election_waits_for_claims_but_not_for_ever_and_says_what_it_costs() {
    let seen =
        unled(vec![Answer::Silent, Answer::Says(waiting_server(3, 0)), Answer::Says(waiting_server(4, 0))]);
    let first = look(&seen, &wanted());
    assert_eq!(first.actions, []);
    assert!(first.report.problems[0].message.contains("[0]"));
    let almost = at(ELECTION_WAIT.as_secs() - 1);
    assert_eq!(decide(&seen, &wanted(), &first.waits, almost).actions, []);
    let late = decide(&seen, &wanted(), &first.waits, at(ELECTION_WAIT.as_secs()));
    assert_eq!(promoted(&late), [2]);
    assert!(late.report.data_loss.unwrap().contains("[0]"));
}

#[test]
fn a_server_without_a_claim_is_not_waited_for() {
    let seen = unled(vec![Answer::Says(waiting_server(0, 0)), Answer::Silent, Answer::Silent]);
    let decision = look(&seen, &Wanted { claims: BTreeSet::from([0]), ..wanted() });
    assert_eq!(promoted(&decision), [0]);
    assert_eq!(decision.report.data_loss, None);
}

#[test]
fn a_server_that_loads_is_waited_for_longer() {
    let seen =
        unled(vec![Answer::Loading, Answer::Says(waiting_server(3, 0)), Answer::Says(waiting_server(4, 0))]);
    let waits = Waits { nobody: Some(at(0)), ..Waits::default() };
    assert_eq!(decide(&seen, &wanted(), &waits, at(ELECTION_WAIT.as_secs())).actions, []);
    assert_eq!(promoted(&decide(&seen, &wanted(), &waits, at(LOADING_WAIT.as_secs()))), [2]);
}

#[test]
fn an_election_that_was_cut_short_goes_on_with_the_same_server() {
    let mut elected = waiting_server(3, 0);
    elected.min_replicas = 1;
    let newer = Answer::Says(waiting_server(9, 0));
    let decision = look(&unled(vec![Answer::Says(elected), newer.clone(), newer]), &wanted());
    assert!(promoted(&decision).is_empty());
    let host = member("r", 0).host;
    assert_eq!(decision.actions[0], RedisAction::Monitor { sentinel: 0, host });
}

#[test]
fn nobody_is_elected_while_most_sentinels_are_silent() {
    let mut seen = unled(vec![Answer::Says(waiting_server(1, 0)); 3]);
    seen.sentinels[0].answer = Answer::Silent;
    seen.sentinels[1].answer = Answer::Silent;
    let waits = Waits { nobody: Some(at(0)), ..Waits::default() };
    let decision = decide(&seen, &wanted(), &waits, at(3600));
    assert_eq!(decision.actions, []);
    assert!(decision.report.problems[0].message.contains("1 of 3 sentinels"));
}

#[test]
fn a_sentinel_that_lost_its_volume_is_told_the_master() {
    let mut seen = calm();
    seen.sentinels[2] = sentinels(None, 3, 3).remove(2);
    let host = member("r", 1).host;
    assert_eq!(look(&seen, &wanted()).actions, [RedisAction::Monitor { sentinel: 2, host }]);
}

#[test]
fn a_sentinel_that_was_told_half_is_told_again() {
    let spoil: [fn(&mut Watched); 2] = [|watched| watched.settings.clear(), |watched| watched.quorum = 1];
    for spoil in spoil {
        let mut seen = calm();
        if let Answer::Says(Sentinel { watched: Some(watched), .. }) = &mut seen.sentinels[1].answer {
            spoil(watched);
        }
        assert_eq!(look(&seen, &wanted()).actions, [RedisAction::SetSettings { sentinel: 1 }]);
    }
}

#[test]
fn a_second_master_follows_only_after_sentinel_had_its_time() {
    let mut seen = calm();
    said(&mut seen, 2).part = Part::Master;
    let first = look(&seen, &wanted());
    assert_eq!(first.actions, []);
    let late = decide(&seen, &wanted(), &first.waits, at(AWAY_GRACE.as_secs()));
    assert_eq!(late.actions, [RedisAction::Follow { server: 2, host: member("r", 1).host }]);
}

#[test]
fn a_master_that_stays_away_is_replaced_through_sentinel() {
    let mut seen = calm();
    seen.servers[1].answer = Answer::Silent;
    for (ordinal, beat) in [(0, 8), (2, 7)] {
        *said(&mut seen, ordinal) = Server { beat, priority: 0, ..replica(1) };
    }
    let first = look(&seen, &wanted());
    assert_eq!(first.actions, []);
    let late = decide(&seen, &wanted(), &first.waits, at(AWAY_GRACE.as_secs()));
    let helped = [RedisAction::SetPriority { server: 0, to: 100 }, RedisAction::Failover { sentinel: 0 }];
    assert_eq!(late.actions, helped);
    assert!(late.report.data_loss.is_some());
}

#[test]
fn a_master_that_died_before_sentinel_knew_its_replicas_is_replaced_all_the_same() {
    let mut seen = calm();
    seen.servers[1].answer = Answer::Silent;
    for (ordinal, beat) in [(0, 8), (2, 7)] {
        *said(&mut seen, ordinal) = Server { beat, ..replica(1) };
    }
    for asked in &mut seen.sentinels {
        if let Answer::Says(Sentinel { watched: Some(watched), .. }) = &mut asked.answer {
            watched.replicas.clear();
        }
    }
    let waits = Waits { away: Some(at(0)), ..Waits::default() };
    let host = member("r", 0).host;
    let mut told: Vec<RedisAction> =
        (0..3).map(|sentinel| RedisAction::Remonitor { sentinel, host: host.clone() }).collect();
    told.push(RedisAction::Promote { server: 0, min_replicas: 1 });
    assert_eq!(decide(&seen, &wanted(), &waits, at(30)).actions, told);
}

#[test]
fn a_replica_of_another_master_follows_the_named_one_after_sentinel_had_its_time() {
    let mut seen = calm();
    *said(&mut seen, 2) = replica(0);
    let first = look(&seen, &wanted());
    assert_eq!(first.actions, []);
    let late = decide(&seen, &wanted(), &first.waits, at(AWAY_GRACE.as_secs()));
    assert_eq!(late.actions, [RedisAction::Follow { server: 2, host: member("r", 1).host }]);
}

#[test]
fn nobody_is_helped_while_a_sentinel_fails_over() {
    let mut seen = calm();
    seen.servers[1].answer = Answer::Silent;
    if let Answer::Says(Sentinel { watched: Some(watched), .. }) = &mut seen.sentinels[2].answer {
        watched.failing_over = true;
    }
    let waits = Waits { away: Some(at(0)), ..Waits::default() };
    assert_eq!(decide(&seen, &wanted(), &waits, at(3600)).actions, []);
}

#[test]
fn a_named_master_that_follows_somebody_is_promoted_if_it_is_the_newest() {
    let mut seen = calm();
    *said(&mut seen, 1) = Server { beat: 9, ..replica(0) };
    let waits = Waits { away: Some(at(0)), ..Waits::default() };
    assert_eq!(promoted(&decide(&seen, &wanted(), &waits, at(30))), [1]);
    said(&mut seen, 2).beat = 10;
    let decision = decide(&seen, &wanted(), &waits, at(30));
    assert_eq!(decision.actions, [RedisAction::Failover { sentinel: 0 }]);
}

#[test]
fn replicas_roll_from_the_highest_ordinal_and_the_master_last() {
    let mut seen = calm();
    let old = |seen: &mut RedisSeen, all: &[usize]| {
        for (n, asked) in seen.servers.iter_mut().enumerate() {
            asked.member.revision_current = !all.contains(&n);
        }
    };
    old(&mut seen, &[0, 1, 2]);
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["r-2"]);
    old(&mut seen, &[0, 1]);
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["r-0"]);
    old(&mut seen, &[1]);
    assert_eq!(look(&seen, &wanted()).actions, [RedisAction::Failover { sentinel: 0 }]);
    old(&mut seen, &[]);
    seen.sentinels[1].member.revision_current = false;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["s-1"]);
}

#[test]
fn nothing_rolls_while_anything_is_out_of_step() {
    let spoil: [fn(&mut RedisSeen); 6] = [
        |seen| said(seen, 0).part = Part::Replica { of: "r-1.host".into(), up: false },
        |seen| said(seen, 1).offset = 100 + (1 << 20) + 1,
        |seen| seen.servers[0].answer = Answer::Loading,
        |seen| seen.servers[0].member.terminating = true,
        |seen| seen.sentinels[0].answer = Answer::Silent,
        |seen| drop(seen.servers.remove(0)),
    ];
    for (n, spoil) in spoil.iter().enumerate() {
        let mut seen = calm();
        seen.servers[2].member.revision_current = false;
        spoil(&mut seen);
        let decision = look(&seen, &wanted());
        assert_eq!(decision.report.delete_pods, Vec::<String>::new(), "{n}");
        assert!(decision.report.progressing.unwrap().contains("waits"), "{n}");
    }
}

#[test]
fn the_next_pod_waits_until_the_new_one_is_ready_though_it_has_all_data() {
    let mut seen = calm();
    seen.servers[2].member.revision_current = false;
    seen.servers[0].member.life = Life::Runs;
    let waits = look(&seen, &wanted()).report;
    assert_eq!(waits.delete_pods, Vec::<String>::new());
    assert!(waits.progressing.is_some_and(|why| why.contains("r-0 is not ready")));
    seen.servers[0].member.life = Life::Ready;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["r-2"]);
    seen.servers[2].member.life = Life::Runs;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["r-2"], "what is old need not be ready");
}

#[test]
fn a_pod_that_cannot_start_is_made_anew_without_waiting_for_it() {
    let mut seen = calm();
    seen.servers[2].answer = Answer::Silent;
    seen.servers[2].member.life = Life::Waits;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, Vec::<String>::new());
    seen.servers[2].member.revision_current = false;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, ["r-2"]);
    seen.servers[2].member.life = Life::Runs;
    assert_eq!(look(&seen, &wanted()).report.delete_pods, Vec::<String>::new(), "it is only slow");
}

#[test]
fn a_master_beyond_the_wanted_number_hands_over_before_it_leaves() {
    let less = Wanted { servers: 1, ..wanted() };
    let first = look(&calm(), &less);
    assert_eq!(first.report.keep_servers, 2);
    let lowered = [1, 2].map(|server| RedisAction::SetPriority { server, to: 0 });
    assert_eq!(first.actions, lowered);
    let mut seen = calm();
    said(&mut seen, 1).priority = 0;
    said(&mut seen, 2).priority = 0;
    assert_eq!(look(&seen, &less).actions, [RedisAction::Failover { sentinel: 0 }]);
}

#[test]
fn one_sentinel_at_a_time_forgets_who_is_gone() {
    let mut seen = calm();
    seen.servers.pop();
    let less = Wanted { servers: 2, ..wanted() };
    assert_eq!(look(&seen, &less).actions, [RedisAction::Reset { sentinel: 0 }]);
    if let Answer::Says(Sentinel { watched: Some(watched), .. }) = &mut seen.sentinels[0].answer {
        watched.replicas.clear();
        watched.others = 0;
    }
    let waits = look(&seen, &less);
    assert_eq!(waits.actions, []);
    assert!(waits.report.progressing.unwrap().contains("s-0 does not know all others"));
}

#[test]
fn a_password_is_admitted_by_all_before_anybody_uses_it_and_dropped_last() {
    let mut seen = calm();
    let each = |seen: &mut RedisSeen, known: &[&str], uses: bool| {
        for asked in &mut seen.servers {
            if let Answer::Says(said) = &mut asked.answer {
                (said.login, said.uses_current) = (login(known), uses);
            }
        }
        for asked in &mut seen.sentinels {
            if let Answer::Says(said) = &mut asked.answer {
                (said.login, said.uses_current) = (login(known), uses);
            }
        }
    };
    let passwords = Passwords { current: secret("new"), next: None, previous: Some(secret("old")) };
    let both = Wanted { passwords, ..wanted() };
    // Before the Secret shows it, while the old one is current.
    each(&mut seen, &["old"], true);
    let passwords = Passwords { current: secret("old"), next: Some(secret("new")), previous: None };
    let coming = Wanted { passwords, ..wanted() };
    let unknown = look(&seen, &coming);
    assert!(unknown.actions.iter().all(|action| matches!(action, RedisAction::AdmitNext(_))));
    assert!(unknown.actions.len() == 6 && !unknown.report.next_admitted);
    each(&mut seen, &["old", "new"], true);
    let known = look(&seen, &coming);
    assert!(known.actions.is_empty() && known.report.next_admitted);
    assert!(known.report.progressing.unwrap().contains("password"));
    // A pod that was started meanwhile knows the old one alone.
    each(&mut seen, &["old"], false);
    let admitted = look(&seen, &both);
    assert!(admitted.actions.iter().all(|action| matches!(action, RedisAction::Admit(_))));
    assert_eq!(admitted.actions.len(), 6);
    each(&mut seen, &["old", "new"], false);
    assert_eq!(look(&seen, &both).actions[0], RedisAction::UseCurrent(Target::Server(0)));
    let mut one_away = seen.clone();
    one_away.servers[0].answer = Answer::Silent;
    assert_eq!(look(&one_away, &both).actions, []);
    each(&mut seen, &["old", "new"], true);
    let adopted = look(&seen, &both);
    assert!(adopted.actions.is_empty() && adopted.report.password_adopted);
    assert!(!adopted.report.previous_may_go, "the files of some pod may still hold the old one alone");
    let later = decide(&seen, &both, &adopted.waits, at(FILES_WAIT.as_secs()));
    assert!(later.report.previous_may_go);
    let dropped = look(&seen, &wanted());
    assert_eq!(dropped.actions.len(), 6);
    assert_eq!(dropped.actions[0], RedisAction::AdmitOnlyCurrent(Target::Server(0)));
}

#[test]
fn a_pod_with_another_password_is_named_with_the_cure() {
    let mut seen = calm();
    seen.servers[0].answer = Answer::Refused;
    let problem = look(&seen, &wanted()).report.problems.remove(0);
    assert_eq!(problem.reason, Reason::CredentialsRefused);
    assert!(problem.message.contains("r-0") && problem.message.contains("delete the pod"));
}

fn any_server() -> impl Strategy<Value = Answer<Server>> {
    let part = prop_oneof![
        Just(Part::Master),
        (0_u16..3, any::<bool>()).prop_map(|(of, up)| Part::Replica { of: member("r", of).host, up }),
    ];
    let said = (part, 0_u64..4, 0_u64..4, any::<bool>(), any::<bool>()).prop_map(
        |(part, beat, offset, waits, low)| {
            let mut said = server(part, beat, offset);
            if waits {
                said.min_replicas = WAITING;
            }
            said.priority = if low { 0 } else { 100 };
            Answer::Says(said)
        },
    );
    prop_oneof![8 => said, 1 => Just(Answer::Silent), 1 => Just(Answer::Loading), 1 => Just(Answer::Refused)]
}

fn any_seen() -> impl Strategy<Value = RedisSeen> {
    let life = prop_oneof![8 => Just(Life::Ready), 1 => Just(Life::Runs), 1 => Just(Life::Waits)];
    let pod = (any_server(), life, prop::bool::weighted(0.1), any::<bool>());
    let sentinel = (prop::option::of(0_u16..3), prop::bool::weighted(0.8), any::<bool>());
    (prop::collection::vec(pod, 3), prop::collection::vec(sentinel, 3)).prop_map(|(pods, watchers)| {
        let mut seen = RedisSeen { servers: Vec::new(), sentinels: Vec::new() };
        for (n, (answer, life, terminating, revision_current)) in (0_u16..).zip(pods) {
            let member = Member { life, terminating, revision_current, ..member("r", n) };
            seen.servers.push(Asked { member, answer });
        }
        for (n, (named, answers, revision_current)) in watchers.into_iter().enumerate() {
            let mut asked = sentinels(named, 3, 3).remove(n);
            asked.member.revision_current = revision_current;
            if !answers {
                asked.answer = Answer::Silent;
            }
            seen.sentinels.push(asked);
        }
        seen
    })
}

proptest! {
    #[test]
    fn at_most_one_is_promoted_and_never_with_older_data(seen in any_seen(), waited in 0_i64..2000) {
        let waits = Waits { nobody: Some(at(0)), away: Some(at(0)), stray: Some(at(0)), adopted: None };
        let decision = decide(&seen, &wanted(), &waits, at(waited));
        let promoted = promoted(&decision);
        prop_assert!(promoted.len() <= 1);
        let answering = seen.sentinels.iter().filter(|asked| asked.answer.says().is_some()).count();
        prop_assert!(promoted.is_empty() || answering >= 2);
        for ordinal in promoted {
            let data = |asked: &Asked<Server>| asked.answer.says().map(|said| (said.beat, said.offset));
            let chosen = data(&seen.servers[usize::from(ordinal)]);
            prop_assert!(chosen.is_some() && seen.servers.iter().map(data).all(|other| other <= chosen));
            prop_assert!(!seen.servers.iter().any(|asked| asked.answer.says().is_some_and(Server::leads)));
        }
    }

    #[test]
    fn a_pod_that_answers_is_deleted_only_while_a_master_leads_and_never_the_master(
        seen in any_seen(), waited in 0_i64..2000
    ) {
        let waits = Waits { nobody: Some(at(0)), away: Some(at(0)), stray: Some(at(0)), adopted: None };
        let report = decide(&seen, &wanted(), &waits, at(waited)).report;
        prop_assert!(report.delete_pods.len() <= 1);
        for pod in &report.delete_pods {
            prop_assert!(report.master.as_ref().is_some_and(|master| master != pod));
            let others = seen.servers.iter().filter(|asked| asked.member.pod != *pod);
            let gone = seen.servers.iter().find(|asked| asked.member.pod == *pod);
            if gone.is_some_and(|asked| asked.answer.says().is_some()) {
                prop_assert!(others.into_iter().all(|asked| asked.answer.says().is_some()));
            }
        }
    }
}
