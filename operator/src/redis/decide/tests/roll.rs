//! Pods that are replaced, and numbers that change.

use super::*;

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
