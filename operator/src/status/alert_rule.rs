//! The status of an alert rule.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use parking_crds::{
    alert_rule::{AlertRuleStatus, Engines, Instances},
    condition::{ConditionType, Reason},
};

use crate::problem::Problem;

use super::Conditions;

/// What became of a rule in its pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands in the bundle, under this hash.
    Accepted {
        /// Hash of the rule's text.
        hash: String,
    },
    /// It is switched off by its spec.
    Disabled,
    /// It is left out of the bundle.
    Refused(Problem),
}

/// What the engines say of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Engines that should have the rule, and those that have this version of it.
    pub engines: Engines,
    /// Alerts by state, over all engines.
    pub instances: Instances,
    /// Why an engine does not evaluate the rule.
    pub refused: Option<String>,
    /// Whether the rule has more active alerts than it may have.
    pub saturated: bool,
    /// When an alert last changed its state.
    pub last_transition: Option<Timestamp>,
}

/// Everything that the status is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The status so far.
    pub before: Option<&'a AlertRuleStatus>,
    /// Generation of the spec.
    pub generation: i64,
    /// What became of the rule.
    pub verdict: &'a Verdict,
    /// What the engines say; none when they were not asked yet, since the operator started.
    pub loaded: Option<&'a Loaded>,
    /// The time.
    pub now: Timestamp,
}

/// The status that follows from the facts. What engines said of the same rule stands until they are asked again.
pub fn status(facts: &Facts<'_>) -> AlertRuleStatus {
    let hash = match facts.verdict {
        Verdict::Accepted { hash } => Some(hash.clone()),
        Verdict::Disabled | Verdict::Refused(_) => None,
    };
    let standing = facts.before.filter(|before| {
        facts.loaded.is_none()
            && before.observed_generation == Some(facts.generation)
            && before.compiled_hash == hash
    });
    if let (Some(standing), Verdict::Accepted { .. }) = (standing, facts.verdict) {
        return standing.clone();
    }
    let before = facts.before.map_or(&[][..], |status| &status.conditions);
    let mut conditions = Conditions::new(before, facts.generation, facts.now);
    let refused = facts.loaded.and_then(|loaded| loaded.refused.as_deref());
    match (facts.verdict, refused) {
        (Verdict::Refused(problem), _) => {
            conditions.set(ConditionType::Accepted, false, problem.reason, &problem.message);
        }
        (Verdict::Accepted { .. }, Some(why)) => {
            conditions.set(ConditionType::Accepted, false, Reason::Invalid, why);
        }
        (Verdict::Accepted { .. }, None) => {
            conditions.set(ConditionType::Accepted, true, Reason::Compiled, "the rule stands in the bundle");
        }
        (Verdict::Disabled, _) => {
            conditions.set(
                ConditionType::Accepted,
                true,
                Reason::Paused,
                "the rule is switched off by its spec",
            );
        }
    }
    set_active(&mut conditions, facts);
    if facts.loaded.is_some_and(|loaded| loaded.saturated) {
        let message = "more alerts than limits.maxActive: one alert stands for all; narrow the scope or raise the limit";
        conditions.set(ConditionType::Saturated, true, Reason::TooManyActive, message);
    }
    let engines = facts.loaded.map(|loaded| loaded.engines).or(standing.and_then(|before| before.engines));
    AlertRuleStatus {
        observed_generation: Some(facts.generation),
        conditions: conditions.done(),
        compiled_hash: hash,
        loaded: engines.map(|engines| format!("{}/{}", engines.loaded, engines.desired)),
        engines,
        instances: facts
            .loaded
            .map(|loaded| loaded.instances)
            .or(standing.and_then(|before| before.instances)),
        last_transition_time: facts
            .loaded
            .and_then(|loaded| loaded.last_transition)
            .map(Time)
            .or_else(|| facts.before.and_then(|before| before.last_transition_time.clone())),
    }
}

fn set_active(conditions: &mut Conditions<'_>, facts: &Facts<'_>) {
    let all_loaded = facts
        .loaded
        .is_some_and(|loaded| loaded.engines.desired > 0 && loaded.engines.loaded == loaded.engines.desired);
    match facts.verdict {
        Verdict::Disabled => {
            conditions.set(
                ConditionType::Active,
                false,
                Reason::Paused,
                "the rule is switched off by its spec",
            );
        }
        Verdict::Accepted { .. } if all_loaded => {
            conditions.set(
                ConditionType::Active,
                true,
                Reason::EngineLoaded,
                "every engine evaluates the rule",
            );
        }
        Verdict::Accepted { .. } => {
            let message =
                "engines load the rule within 90 seconds of being ready; see RulesLoaded of the pipeline";
            conditions.set(ConditionType::Active, false, Reason::Waiting, message);
        }
        Verdict::Refused(_) => {
            conditions.set(ConditionType::Active, false, Reason::Invalid, "the rule was not accepted");
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_crds::condition::{find, holds};

    use super::*;

    fn facts<'a>(verdict: &'a Verdict, loaded: Option<&'a Loaded>) -> Facts<'a> {
        Facts { before: None, generation: 2, verdict, loaded, now: Timestamp::UNIX_EPOCH }
    }

    fn accepted() -> Verdict {
        Verdict::Accepted { hash: "abc".to_owned() }
    }

    fn loaded(loaded: i64, desired: i64) -> Loaded {
        Loaded { engines: Engines { desired, loaded }, ..Loaded::default() }
    }

    #[test]
    fn a_rule_is_active_once_every_engine_has_it() {
        let some = status(&facts(&accepted(), Some(&loaded(2, 3))));
        assert_eq!(some.loaded.as_deref(), Some("2/3"));
        assert!(holds(&some.conditions, ConditionType::Accepted, 2));
        assert!(!holds(&some.conditions, ConditionType::Active, 2));
        let all = status(&facts(&accepted(), Some(&loaded(3, 3))));
        assert!(holds(&all.conditions, ConditionType::Active, 2));
    }

    #[test]
    fn no_engine_at_all_is_not_active() {
        let none = status(&facts(&accepted(), Some(&loaded(0, 0))));
        assert!(!holds(&none.conditions, ConditionType::Active, 2));
    }

    #[test]
    fn what_engines_said_stands_until_they_are_asked_again() {
        let refusal = Loaded { refused: Some("aggregate `p95` is not known".to_owned()), ..loaded(0, 3) };
        let refused = Verdict::Refused(Problem::missing(ConditionType::Accepted, "no such zone"));
        for (verdict, said) in [
            (accepted(), loaded(3, 3)),
            (accepted(), refusal),
            (Verdict::Disabled, loaded(0, 3)),
            (refused, loaded(0, 3)),
        ] {
            let before = status(&facts(&verdict, Some(&said)));
            let after = status(&Facts { before: Some(&before), ..facts(&verdict, None) });
            assert_eq!(after, before, "{verdict:?}");
        }
        let same = accepted();
        let before = status(&facts(&same, Some(&loaded(3, 3))));
        let edited = status(&Facts { before: Some(&before), generation: 3, ..facts(&same, None) });
        assert!(!holds(&edited.conditions, ConditionType::Active, 3));
        let other = Verdict::Accepted { hash: "def".to_owned() };
        let other = status(&Facts { before: Some(&before), ..facts(&other, None) });
        assert!(!holds(&other.conditions, ConditionType::Active, 2));
        assert_eq!(other.loaded, None);
    }

    #[test]
    fn what_an_engine_refuses_is_not_accepted() {
        let refusal = Loaded { refused: Some("aggregate `p95` is not known".to_owned()), ..loaded(0, 1) };
        let refused = status(&facts(&accepted(), Some(&refusal)));
        assert!(find(&refused.conditions, ConditionType::Accepted).unwrap().message.contains("p95"));
        assert!(!holds(&refused.conditions, ConditionType::Accepted, 2));
    }

    #[test]
    fn a_disabled_rule_is_accepted_but_rests() {
        let disabled = status(&facts(&Verdict::Disabled, None));
        assert!(holds(&disabled.conditions, ConditionType::Accepted, 2));
        assert_eq!(find(&disabled.conditions, ConditionType::Active).unwrap().reason, "Paused");
    }
}
