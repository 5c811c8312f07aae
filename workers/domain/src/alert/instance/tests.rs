//! Each row of the lifecycle table (parking-domain.md §3.4) is a test that names it.

use proptest::prelude::*;

use super::*;

const AT_ONCE: Pace = Pace { hold: 0, keep_firing: 0 };
const PATIENT: Pace = Pace { hold: 120, keep_firing: 300 };
const PENDING: State = State::Pending { active_at: 10, due: 130, held: false };
const FIRING: State = State::Firing { starts_at: 130, no_data: false };
const RECOVERING: State = State::Recovering { starts_at: 130, until: 700 };
const RESOLVED: State = State::Resolved { starts_at: 130, ended_at: 700 };
const KEEP: Input = Input::Unknown { at: 800, means: Meaning::Keep };
const ALERT: Input = Input::Unknown { at: 800, means: Meaning::Alert };

fn raised(active_at: Millis, starts_at: Millis) -> Emit {
    Emit::Raised { active_at, starts_at, no_data: false }
}

#[test]
fn inactive_and_true_without_for_fires() {
    let (state, emit) = State::Inactive.next(Input::True(10), AT_ONCE);
    assert_eq!((state, emit), (State::Firing { starts_at: 10, no_data: false }, Some(raised(10, 10))));
}

#[test]
fn inactive_and_true_with_for_is_pending_and_silent() {
    assert_eq!(State::Inactive.next(Input::True(10), PATIENT), (PENDING, None));
}

#[test]
fn pending_and_false_before_for_is_inactive_and_silent() {
    assert_eq!(PENDING.next(Input::False(100), PATIENT), (State::Inactive, None));
}

#[test]
fn pending_and_its_timer_fires() {
    assert_eq!(PENDING.deadline(), Some(130));
    assert_eq!(PENDING.next(Input::Due, PATIENT), (FIRING, Some(raised(10, 130))));
}

#[test]
fn pending_and_true_keeps_its_deadline() {
    assert_eq!(PENDING.next(Input::True(90), PATIENT), (PENDING, None));
}

#[test]
fn firing_and_false_with_keep_firing_is_recovering_and_silent() {
    assert_eq!(FIRING.next(Input::False(400), PATIENT), (RECOVERING, None));
}

#[test]
fn recovering_and_true_fires_on_as_the_same_alert_and_silent() {
    assert_eq!(RECOVERING.next(Input::True(500), PATIENT), (FIRING, None));
}

#[test]
fn recovering_and_its_timer_resolves() {
    let over = Some(Emit::Resolved { ends_at: 700, rule_changed: false });
    assert_eq!(RECOVERING.next(Input::Due, PATIENT), (RESOLVED, over));
}

#[test]
fn firing_and_false_without_keep_firing_resolves() {
    let over = Some(Emit::Resolved { ends_at: 700, rule_changed: false });
    assert_eq!(FIRING.next(Input::False(700), AT_ONCE), (RESOLVED, over));
}

#[test]
fn resolved_is_kept_15_minutes_then_inactive() {
    assert_eq!(RESOLVED.deadline(), Some(700 + 15 * 60_000));
    assert_eq!(RESOLVED.next(Input::Due, PATIENT), (State::Inactive, None));
}

#[test]
fn resolved_and_true_is_a_new_alert_at_once_even_at_the_same_time() {
    assert_eq!(RESOLVED.next(Input::True(800), AT_ONCE).1, Some(raised(800, 800)));
    assert_eq!(RESOLVED.next(Input::True(130), AT_ONCE).1, Some(raised(131, 131)));
}

#[test]
fn coverage_lost_keeps_the_state_and_stops_a_pending_alert_from_firing() {
    for state in [State::Inactive, FIRING, RECOVERING, RESOLVED] {
        assert_eq!(state.next(KEEP, PATIENT), (state, None));
    }
    let (held, emit) = PENDING.next(KEEP, PATIENT);
    assert_eq!((emit, held.deadline()), (None, None));
    assert_eq!(held.next(Input::Due, PATIENT), (held, None));
    assert_eq!(held.next(Input::True(900), PATIENT).1, Some(raised(10, 900)));
    assert_eq!(held.next(Input::True(100), PATIENT), (PENDING, None));
    assert_eq!(held.next(Input::False(900), PATIENT), (State::Inactive, None));
}

#[test]
fn coverage_lost_that_alerts_emits_nodata_once() {
    for (state, active_at) in [(State::Inactive, 800), (PENDING, 10), (RESOLVED, 800)] {
        let (next, emit) = state.next(ALERT, PATIENT);
        assert_eq!(emit, Some(Emit::Raised { active_at, starts_at: 800, no_data: true }));
        assert_eq!(next.next(ALERT, PATIENT), (next, None));
    }
    for state in [FIRING, RECOVERING] {
        let (next, emit) = state.next(ALERT, PATIENT);
        assert_eq!(emit, Some(Emit::DataLost));
        assert_eq!(next.next(Input::True(900), PATIENT), (FIRING, Some(Emit::DataBack)));
    }
}

#[test]
fn rule_edited_or_deleted_resolves_what_was_raised() {
    let over = Some(Emit::Resolved { ends_at: 900, rule_changed: true });
    for state in [FIRING, RECOVERING] {
        assert_eq!(state.next(Input::RuleChanged(900), PATIENT).1, over);
    }
    for state in [State::Inactive, PENDING, RESOLVED] {
        assert_eq!(state.next(Input::RuleChanged(900), PATIENT).1, None);
    }
}

#[test]
fn engine_restart_keeps_the_state() {
    for state in [State::Inactive, PENDING, FIRING, RECOVERING, RESOLVED] {
        let stored = postcard::to_allocvec(&state).unwrap();
        let restored: State = postcard::from_bytes(&stored).unwrap();
        assert_eq!((restored, restored.deadline()), (state, state.deadline()));
    }
}

fn input() -> impl Strategy<Value = u8> {
    0_u8..6
}

proptest! {
    #[test]
    fn raised_and_resolved_alternate_and_no_identity_comes_twice(
        steps in prop::collection::vec((input(), 0_i64..200), 0..200),
        hold in 0_i64..3,
        keep in 0_i64..3,
    ) {
        let pace = Pace { hold: hold * 100, keep_firing: keep * 100 };
        let (mut state, mut now, mut open) = (State::Inactive, 0, None);
        let mut starts = std::collections::BTreeSet::new();
        for (kind, wait) in steps {
            now += wait;
            let input = match kind {
                0 | 1 => Input::True(now),
                2 => Input::False(now),
                3 => Input::Unknown { at: now, means: Meaning::Alert },
                4 => Input::Unknown { at: now, means: Meaning::Keep },
                _ if state.deadline().is_some_and(|deadline| deadline <= now) => Input::Due,
                _ => continue,
            };
            let (next, emit) = state.next(input, pace);
            match emit {
                Some(Emit::Raised { active_at, starts_at, .. }) => {
                    prop_assert!(open.is_none() && active_at <= starts_at);
                    prop_assert!(starts.insert(starts_at));
                    open = Some(starts_at);
                }
                Some(Emit::Resolved { ends_at, .. }) => prop_assert!(ends_at >= open.take().unwrap()),
                Some(Emit::DataLost | Emit::DataBack) => prop_assert!(open.is_some()),
                None => {}
            }
            prop_assert_eq!(next.is_raised(), open.is_some());
            state = next;
        }
    }
}
