//! Where nobody leads.

use std::collections::BTreeSet;

use super::*;
use crate::redis::{ELECTION_WAIT, LOADING_WAIT};

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
