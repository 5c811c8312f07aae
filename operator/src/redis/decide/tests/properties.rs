//! What holds whatever servers and sentinels say.

use proptest::prelude::*;

use super::*;

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
