//! Where sentinels name a master, and it is away or not the only one.

use super::*;

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
