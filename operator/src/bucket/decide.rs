//! What to do about a bucket as it was seen.
//!
//! Must not: do I/O. Invariants: nothing is written before the prefix is ours; what is as wanted causes no action;
//! only what stops reading and writing objects is a problem.

use aws_sdk_s3::types::LifecycleRule;
use parking_crds::condition::{ConditionType, Reason};

use super::{
    BucketAction, BucketSeen, Cause, Failure, MANAGED_TAG, Owner, OwnerSeen, Seen, TAKE_OVER, Wanted,
    lifecycle,
};
use crate::{error::Class, problem::Problem};

/// What to do, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What to do, in order.
    pub actions: Vec<BucketAction>,
    /// What works less well than it could.
    pub warnings: Vec<String>,
    /// Why the bucket cannot be used.
    pub problems: Vec<Problem>,
}

/// What to do about a bucket as it was seen. After the actions it is seen again, until there are none.
pub fn decide(seen: &BucketSeen, wanted: &Wanted) -> Decision {
    let mut decision = Decision::default();
    // The answer to a HEAD has no body: the read of the owner says more exactly why access fails.
    if let Some(failure) = cut_off(seen) {
        decision.problems.push(failure.problem(&format!("reach {wanted}")));
        return decision;
    }
    match &seen.bucket {
        Seen::Absent if wanted.create => {
            decision.actions.push(BucketAction::Create);
            return decision;
        }
        Seen::Absent => {
            decision.problems.push(Failure::new(Cause::NoBucket).problem(&format!("use {wanted}")));
            return decision;
        }
        Seen::Failed(failure) => decision.warn(wanted, "see it", "s3:ListBucket", failure),
        Seen::Present(()) => {}
    }
    if !ownership(seen, wanted, &mut decision) {
        return decision;
    }
    rules(&seen.lifecycle, wanted, &mut decision);
    if let Some(tags) = &seen.tags {
        tag(tags, wanted, &mut decision);
    }
    decision
}

impl Decision {
    fn warn(&mut self, wanted: &Wanted, what: &str, right: &str, failure: &Failure) {
        self.warnings.push(warning(wanted, what, right, failure));
    }
}

/// What is said of a call that is not needed.
pub(super) fn warning(wanted: &Wanted, what: &str, right: &str, failure: &Failure) -> String {
    if failure.cause == Cause::Denied {
        format!("{wanted}: the right {right} is missing to {what}: grant it or do it yourself")
    } else {
        format!("{wanted}: cannot {what}: {failure}")
    }
}

/// The failure for which no call can be expected to work.
fn cut_off(seen: &BucketSeen) -> Option<&Failure> {
    let hopeless = |failure: &&Failure| !matches!(failure.cause, Cause::Denied | Cause::NotImplemented);
    let of_owner = match &seen.owner {
        Seen::Failed(failure) => Some(failure),
        Seen::Present(_) | Seen::Absent => None,
    };
    let of_bucket = match &seen.bucket {
        Seen::Failed(failure) => Some(failure),
        Seen::Present(()) | Seen::Absent => None,
    };
    of_owner.filter(hopeless).or(of_bucket.filter(hopeless))
}

/// Whether the prefix is ours; else what to do to make it so.
fn ownership(seen: &BucketSeen, wanted: &Wanted, decision: &mut Decision) -> bool {
    let claim = |created, replaces| BucketAction::Claim {
        owner: Owner { key: wanted.owner.clone(), created },
        replaces,
    };
    match &seen.owner {
        Seen::Present(OwnerSeen { owner: Some(owner), .. }) if owner.key == wanted.owner => return true,
        Seen::Present(OwnerSeen { owner, etag }) if wanted.take_over => {
            let created = owner.as_ref().is_some_and(|owner| owner.created);
            decision.actions.push(claim(created, Some(etag.clone())));
        }
        Seen::Present(OwnerSeen { owner, .. }) => {
            decision.problems.push(owned_by_other(owner.as_ref(), wanted));
        }
        // Without the right to read, the conditional write still tells whether there is an owner.
        Seen::Absent | Seen::Failed(_) => decision.actions.push(claim(seen.made_now, None)),
    }
    false
}

fn owned_by_other(owner: Option<&Owner>, wanted: &Wanted) -> Problem {
    let whose = owner.map_or_else(
        || format!("its object {} is no owner record", wanted.owner_object()),
        |owner| format!("it belongs to {}", owner.key),
    );
    Problem {
        condition: ConditionType::BucketReady,
        reason: Reason::OwnedByOther,
        class: Class::Blocked,
        message: format!(
            "{wanted}, prefix {}: {whose}; choose another bucket, or set the annotation {TAKE_OVER}: \"true\" \
             once the other no longer writes there",
            wanted.prefix
        ),
    }
}

fn rules(seen: &Seen<Vec<LifecycleRule>>, wanted: &Wanted, decision: &mut Decision) {
    let standing = match seen {
        Seen::Present(rules) => rules.as_slice(),
        Seen::Absent => &[],
        Seen::Failed(failure) => {
            return decision.warn(
                wanted,
                "read its lifecycle rules",
                "s3:GetLifecycleConfiguration",
                failure,
            );
        }
    };
    decision.actions.extend(lifecycle::merged(standing, wanted).map(BucketAction::WriteLifecycle));
}

fn tag(seen: &Seen<Vec<(String, String)>>, wanted: &Wanted, decision: &mut Decision) {
    let mut tags = match seen {
        Seen::Present(tags) => tags.clone(),
        Seen::Absent => Vec::new(),
        Seen::Failed(failure) => {
            return decision.warn(wanted, "read its tags", "s3:GetBucketTagging", failure);
        }
    };
    // Whoever gave the tag another value meant it: only a missing tag is added.
    if tags.iter().all(|(key, _)| key != MANAGED_TAG.0) {
        tags.push((MANAGED_TAG.0.to_owned(), MANAGED_TAG.1.to_owned()));
        decision.actions.push(BucketAction::WriteTags(tags));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bucket::{OwnerKey, owner::PipelineKey};

    fn key(cluster: &str) -> OwnerKey {
        let pipeline = PipelineKey { namespace: "parking".into(), name: "city".into() };
        OwnerKey { cluster: cluster.into(), pipeline }
    }

    pub(crate) fn wanted() -> Wanted {
        Wanted {
            bucket: "city-lake".parse().unwrap(),
            prefix: "parking/city/".parse().unwrap(),
            create: true,
            owner: key("here"),
            take_over: false,
        }
    }

    fn owner(cluster: &str, created: bool) -> Seen<OwnerSeen> {
        let owner = Some(Owner { key: key(cluster), created });
        Seen::Present(OwnerSeen { owner, etag: "\"1\"".into() })
    }

    fn settled() -> BucketSeen {
        BucketSeen {
            bucket: Seen::Present(()),
            made_now: false,
            owner: owner("here", false),
            lifecycle: Seen::Present(vec![lifecycle::rule(&wanted()).unwrap()]),
            tags: None,
        }
    }

    fn denied<T>() -> Seen<T> {
        Seen::Failed(Failure::of_answer(Some("AccessDenied"), Some(403)))
    }

    #[test]
    fn nothing_is_done_about_a_bucket_that_is_as_wanted() {
        assert_eq!(decide(&settled(), &wanted()), Decision::default());
    }

    #[test]
    fn a_missing_bucket_is_made_only_where_the_spec_allows() {
        let seen = BucketSeen { bucket: Seen::Absent, owner: Seen::Absent, ..settled() };
        assert_eq!(decide(&seen, &wanted()).actions, [BucketAction::Create]);
        let refused = decide(&seen, &Wanted { create: false, ..wanted() });
        assert_eq!(refused.actions, []);
        assert_eq!(refused.problems[0].reason, Reason::RefNotFound);
    }

    #[test]
    fn nothing_is_written_into_the_prefix_of_another_owner() {
        let seen = BucketSeen { owner: owner("there", false), lifecycle: Seen::Absent, ..settled() };
        let decision = decide(&seen, &wanted());
        assert_eq!(decision.actions, []);
        assert_eq!(decision.problems[0].reason, Reason::OwnedByOther);
        assert!(decision.problems[0].message.contains("of cluster there"));
    }

    #[test]
    fn a_take_over_replaces_exactly_the_owner_that_was_seen() {
        let seen = BucketSeen { owner: owner("there", true), ..settled() };
        let decision = decide(&seen, &Wanted { take_over: true, ..wanted() });
        let owner = Owner { key: key("here"), created: true };
        assert_eq!(decision.actions, [BucketAction::Claim { owner, replaces: Some("\"1\"".into()) }]);
    }

    #[test]
    fn missing_rights_on_the_bucket_are_warnings() {
        let seen = BucketSeen {
            bucket: denied(),
            owner: owner("here", true),
            lifecycle: denied(),
            tags: Some(denied()),
            made_now: false,
        };
        let decision = decide(&seen, &wanted());
        assert_eq!((decision.actions.len(), decision.problems.len(), decision.warnings.len()), (0, 0, 3));
        for (warning, right) in decision.warnings.iter().zip([
            "s3:ListBucket",
            "s3:GetLifecycleConfiguration",
            "s3:GetBucketTagging",
        ]) {
            assert!(warning.contains(right), "{warning}");
        }
    }

    #[test]
    fn refused_keys_are_told_from_a_missing_right() {
        let bad = Failure::of_answer(Some("SignatureDoesNotMatch"), Some(403));
        let seen = BucketSeen { bucket: denied(), owner: Seen::Failed(bad), ..settled() };
        assert_eq!(decide(&seen, &wanted()).problems[0].reason, Reason::CredentialsRefused);
    }

    #[test]
    fn foreign_tags_stay() {
        let theirs = ("team".to_owned(), "city".to_owned());
        let seen = BucketSeen { tags: Some(Seen::Present(vec![theirs.clone()])), ..settled() };
        let ours = (MANAGED_TAG.0.to_owned(), MANAGED_TAG.1.to_owned());
        assert_eq!(decide(&seen, &wanted()).actions, [BucketAction::WriteTags(vec![theirs, ours])]);
    }

    #[test]
    fn an_unknown_error_code_is_not_repeated() {
        let failure = Failure::of_answer(Some("<b>secret of the metadata service</b>"), Some(403));
        assert!(!failure.problem("use it").message.contains("secret"));
    }
}
