//! `dwell`: a vehicle stays longer than it may.
//!
//! The condition holds from the limit on; grace is time that it must hold before the alert fires, so
//! `active_at` is the end of the allowed stay and `starts_at` the end of the grace.

use parking_crds::{
    alert_rule::{Dwell as Spec, DwellLimit},
    duration::Duration,
    event::Millis,
    inventory::Policy,
};

/// A compiled `dwell`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Dwell {
    limit: DwellLimit,
    fallback: Option<Millis>,
    grace: Option<Millis>,
    close_after: Millis,
}

/// What it allows one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Allowance {
    /// The longest allowed stay.
    pub(in super::super) limit: Millis,
    /// What is tolerated on top.
    pub(in super::super) grace: Millis,
    /// When a missed departure is assumed.
    pub(in super::super) close_after: Millis,
}

impl Dwell {
    pub(super) fn compile(spec: &Spec) -> Self {
        Self {
            limit: spec.limit,
            fallback: spec.fallback.map(Duration::millis),
            grace: spec.grace.map(Duration::millis),
            close_after: spec.close_after().millis(),
        }
    }

    /// What a policy allows a stay; nothing where no limit applies.
    pub(in super::super) fn allowance(&self, policy: &Policy) -> Option<Allowance> {
        let limit = match self.limit {
            DwellLimit::Fixed(limit) => limit.millis(),
            DwellLimit::Policy => policy.max_stay.map(Duration::millis).or(self.fallback)?,
        };
        let grace = self.grace.or(policy.grace.map(Duration::millis)).unwrap_or(0);
        Some(Allowance { limit, grace, close_after: self.close_after.max(limit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dwell(limit: DwellLimit, fallback: Option<i64>, grace: Option<i64>) -> Dwell {
        let duration = |secs: Option<i64>| secs.map(Duration::from_secs);
        Dwell::compile(&Spec {
            limit,
            fallback: duration(fallback),
            grace: duration(grace),
            close_after: None,
        })
    }

    fn policy(max_stay: Option<i64>, grace: Option<i64>) -> Policy {
        Policy {
            max_stay: max_stay.map(Duration::from_secs),
            grace: grace.map(Duration::from_secs),
            ..Policy::default()
        }
    }

    #[test]
    fn the_policy_limits_and_the_rule_falls_back() {
        let rule = dwell(DwellLimit::Policy, Some(60), None);
        assert_eq!(rule.allowance(&policy(Some(10), None)).unwrap().limit, 10_000);
        assert_eq!(rule.allowance(&policy(None, None)).unwrap().limit, 60_000);
        assert_eq!(dwell(DwellLimit::Policy, None, None).allowance(&policy(None, None)), None);
    }

    #[test]
    fn the_grace_of_the_rule_beats_that_of_the_policy() {
        let fixed = DwellLimit::Fixed(Duration::from_secs(5));
        assert_eq!(dwell(fixed, None, Some(1)).allowance(&policy(None, Some(2))).unwrap().grace, 1_000);
        assert_eq!(dwell(fixed, None, None).allowance(&policy(None, Some(2))).unwrap().grace, 2_000);
        assert_eq!(dwell(fixed, None, None).allowance(&policy(None, None)).unwrap().grace, 0);
    }
}
