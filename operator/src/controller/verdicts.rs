//! What became of the rules of a pipeline in its last look, and which of them are to be looked at for that: pure.
//!
//! Invariant: whatever a look at a rule reads from here asks for that look when it changes, and once a resync of its
//! pipeline: a rule has none of its own.

use std::collections::BTreeMap;

use parking_crds::names::RuleName;

use crate::{monotonic::Instant, status::alert_rule::Verdict};

/// What became of the rules of a pipeline.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// Each rule's, with the generation that it is about.
    pub of: BTreeMap<RuleName, (i64, Verdict)>,
    /// Whether the engines were asked before.
    asked: bool,
    /// When a look at each of them was asked for.
    all_at: Instant,
}

impl Verdicts {
    /// Those of a look that comes after another, and the rules to be looked at. `is_due` tells whether what was done
    /// once a resync at that time is to be done again.
    pub(super) fn after(
        before: Option<&Self>,
        of: BTreeMap<RuleName, (i64, Verdict)>,
        asked: bool,
        now: Instant,
        is_due: impl FnOnce(Instant) -> bool,
    ) -> (Self, Vec<RuleName>) {
        let stand = before.filter(|before| before.asked == asked && !is_due(before.all_at));
        let is_known = |name: &RuleName| stand.is_some_and(|before| before.of.get(name) == of.get(name));
        let changed = of.keys().filter(|name| !is_known(name)).cloned().collect();
        (Self { asked, all_at: stand.map_or(now, |before| before.all_at), of }, changed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monotonic;

    fn of(verdicts: &[(&str, i64, Verdict)]) -> BTreeMap<RuleName, (i64, Verdict)> {
        let named = verdicts
            .iter()
            .map(|(name, generation, verdict)| (name.parse().unwrap(), (*generation, verdict.clone())));
        named.collect()
    }

    fn accepted(name: &'static str, generation: i64) -> (&'static str, i64, Verdict) {
        (name, generation, Verdict::Accepted { hash: format!("{name}@{generation}") })
    }

    fn names(rules: &[RuleName]) -> Vec<&str> {
        rules.iter().map(RuleName::as_str).collect()
    }

    #[test]
    fn rules_are_looked_at_when_their_verdict_changes_when_engines_answer_first_and_once_a_resync() {
        let (start, resync) = (monotonic::now(), Duration::from_mins(10));
        let after = |before: Option<&Verdicts>, rules: &[_], asked, minutes| {
            let now = start + Duration::from_mins(minutes);
            Verdicts::after(before, of(rules), asked, now, |last| now - last >= resync)
        };
        let (full, stale) = (accepted("full", 1), accepted("stale", 1));
        let (first, asked) = after(None, &[full.clone(), stale.clone()], false, 0);
        assert_eq!(names(&asked), ["full", "stale"]);
        let (second, asked) = after(Some(&first), &[full.clone(), accepted("stale", 2)], false, 1);
        assert_eq!(names(&asked), ["stale"]);
        let refound = [full.clone(), accepted("stale", 2), accepted("new", 1)];
        let (third, asked) = after(Some(&second), &refound, false, 2);
        assert_eq!(names(&asked), ["new"]);
        let (fourth, asked) = after(Some(&third), &refound, true, 9);
        assert_eq!(names(&asked), ["full", "new", "stale"], "what the engines say is known now");
        let (fifth, asked) = after(Some(&fourth), &refound, true, 12);
        assert!(asked.is_empty(), "all were asked for three minutes before");
        let (_, asked) = after(Some(&fifth), &refound, true, 19);
        assert_eq!(names(&asked), ["full", "new", "stale"]);
    }
}
