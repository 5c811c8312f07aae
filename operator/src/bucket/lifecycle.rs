//! The one lifecycle rule of a pipeline, merged with the rules of others.
//!
//! Must not: expire current objects; the lake's tables name them.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration,
};

use super::Wanted;

/// Days after which an upload that was never completed is dropped.
const UPLOAD_DAYS: i32 = 7;
/// Days for which a replaced or deleted version is kept where the bucket keeps versions.
const NONCURRENT_DAYS: i32 = 30;

fn rule_id(wanted: &Wanted) -> String {
    let pipeline = &wanted.owner.pipeline;
    format!("parking-{}-{}", pipeline.namespace, pipeline.name)
}

/// The rule that the pipeline's prefix shall have.
pub fn rule(wanted: &Wanted) -> Option<LifecycleRule> {
    LifecycleRule::builder()
        .id(rule_id(wanted))
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(wanted.prefix.as_str()).build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(UPLOAD_DAYS).build(),
        )
        .noncurrent_version_expiration(
            NoncurrentVersionExpiration::builder().noncurrent_days(NONCURRENT_DAYS).build(),
        )
        .build()
        .ok()
}

/// All rules as they shall be, the others' as they are; `None` when nothing is to be written.
pub(super) fn merged(seen: &[LifecycleRule], wanted: &Wanted) -> Option<Vec<LifecycleRule>> {
    let ours = rule(wanted)?;
    let is_ours = |rule: &&LifecycleRule| rule.id() == ours.id();
    let mut standing = seen.iter().filter(is_ours);
    if let (Some(one), None) = (standing.next(), standing.next())
        && serves(one, &ours)
    {
        return None;
    }
    let foreign = seen.iter().filter(|rule| !is_ours(rule)).cloned();
    Some(foreign.chain([ours.clone()]).collect())
}

/// Whether a rule does what ours does. A server that ends uploads by itself may not give that part back.
fn serves(standing: &LifecycleRule, ours: &LifecycleRule) -> bool {
    let noncurrent = |rule: &LifecycleRule| {
        rule.noncurrent_version_expiration().and_then(NoncurrentVersionExpiration::noncurrent_days)
    };
    let uploads = standing.abort_incomplete_multipart_upload();
    standing.status() == ours.status()
        && standing.filter().and_then(LifecycleRuleFilter::prefix)
            == ours.filter().and_then(LifecycleRuleFilter::prefix)
        && standing.expiration().is_none()
        && standing.transitions().is_empty()
        && noncurrent(standing) == noncurrent(ours)
        && (uploads.is_none() || uploads == ours.abort_incomplete_multipart_upload())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::LifecycleExpiration;

    use super::*;
    use crate::bucket::decide::tests::wanted;

    fn foreign() -> LifecycleRule {
        LifecycleRule::builder()
            .id("theirs")
            .status(ExpirationStatus::Enabled)
            .expiration(LifecycleExpiration::builder().days(3).build())
            .build()
            .unwrap()
    }

    #[test]
    fn foreign_rules_stay_and_ours_deletes_no_current_object() {
        let rules = merged(&[foreign()], &wanted()).unwrap();
        assert_eq!(rules[0], foreign());
        assert!(rules[1].expiration().is_none());
        assert_eq!(rules[1].filter().unwrap().prefix(), Some(wanted().prefix.as_str()));
        assert_eq!(merged(&rules, &wanted()), None);
    }

    #[test]
    fn a_changed_rule_of_ours_is_put_right_once() {
        let mut bent = rule(&wanted()).unwrap();
        bent.expiration = Some(LifecycleExpiration::builder().days(1).build());
        let rules = merged(&[bent.clone(), foreign(), bent], &wanted()).unwrap();
        assert_eq!(rules, [foreign(), rule(&wanted()).unwrap()]);
    }

    #[test]
    fn a_server_that_drops_the_part_on_uploads_is_not_written_again() {
        let mut kept = rule(&wanted()).unwrap();
        kept.abort_incomplete_multipart_upload = None;
        assert_eq!(merged(&[kept], &wanted()), None);
    }
}
