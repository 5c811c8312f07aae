//! Does what was decided about the bucket, round after round until nothing is left.

use aws_sdk_s3::{
    operation::create_bucket::CreateBucketError,
    types::{
        BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration, LifecycleRule,
        Tag, Tagging,
    },
};
use parking_crds::condition::{ConditionType, Reason};

use super::{
    BucketAction, BucketReport, Cause, Failure, Owner, Seen, Store, Wanted,
    decide::{decide, warning},
};
use crate::{error::Class, problem::Problem};

/// Rounds of looking and acting: made, claimed, tidied, and one more for a race.
const ROUNDS: u32 = 5;

/// What came of one action.
enum Outcome {
    /// It was done.
    Done,
    /// The bucket was made by this call.
    Made,
    /// It was done, but not as safely as it should be.
    DoneWith(String),
    /// It was not done, and the bucket cannot be used.
    Stuck(Problem),
    /// It was not done, and need not be.
    Warned(String),
}

impl Store {
    /// Makes the bucket what it shall be. Writes nothing when it is so already.
    pub async fn ensure(&self, wanted: &Wanted) -> BucketReport {
        let mut report = BucketReport::default();
        let (mut made_now, mut warned) = (false, Vec::new());
        for _ in 0..ROUNDS {
            let seen = Box::pin(self.observe(wanted, made_now)).await;
            let decision = decide(&seen, wanted);
            report.problems = decision.problems;
            report.warnings = decision.warnings;
            report.owner = match seen.owner {
                Seen::Present(owner) => Some(owner),
                Seen::Absent | Seen::Failed(_) => None,
            };
            let mut progress = false;
            for action in decision.actions {
                if warned.iter().any(|(refused, _)| *refused == std::mem::discriminant(&action)) {
                    continue;
                }
                report.writes += 1;
                let kind = std::mem::discriminant(&action);
                match self.act(action, wanted).await {
                    Outcome::Done => progress = true,
                    Outcome::Made => (progress, made_now) = (true, true),
                    Outcome::DoneWith(text) => {
                        progress = true;
                        warned.push((kind, text));
                    }
                    Outcome::Stuck(problem) => report.problems.push(problem),
                    Outcome::Warned(text) => warned.push((kind, text)),
                }
            }
            if !progress || !report.problems.is_empty() {
                report.warnings.extend(warned.into_iter().map(|(_, text)| text));
                return report;
            }
        }
        report.problems.push(Failure::new(Cause::Precondition).problem(&format!("settle {wanted}")));
        report
    }

    async fn act(&self, action: BucketAction, wanted: &Wanted) -> Outcome {
        match action {
            BucketAction::Create => self.create(wanted).await,
            BucketAction::Claim { owner, replaces } => self.claim(&owner, replaces, wanted).await,
            BucketAction::WriteLifecycle(rules) => match self.write_lifecycle(rules).await {
                Ok(()) => Outcome::Done,
                Err(failure) => Outcome::Warned(warning(
                    wanted,
                    "write its lifecycle rules",
                    "s3:PutLifecycleConfiguration",
                    &failure,
                )),
            },
            BucketAction::WriteTags(tags) => match self.write_tags(tags).await {
                Ok(()) => Outcome::Done,
                Err(failure) => {
                    Outcome::Warned(warning(wanted, "write its tags", "s3:PutBucketTagging", &failure))
                }
            },
        }
    }

    async fn create(&self, wanted: &Wanted) -> Outcome {
        let mut request = self.client.create_bucket().bucket(self.bucket.as_str());
        // AWS refuses the name of its first region as a constraint.
        if self.region != "us-east-1" {
            let region = BucketLocationConstraint::from(self.region.as_str());
            let place = CreateBucketConfiguration::builder().location_constraint(region).build();
            request = request.create_bucket_configuration(place);
        }
        match request.send().await {
            Ok(_) => Outcome::Made,
            Err(error) => {
                if error.as_service_error().is_some_and(CreateBucketError::is_bucket_already_owned_by_you) {
                    return Outcome::Done;
                }
                Outcome::Stuck(Failure::of(&error).problem(&format!("make {wanted} (right s3:CreateBucket)")))
            }
        }
    }

    /// Writes the owner record. A lost race is no failure: the next round sees who won.
    async fn claim(&self, owner: &Owner, replaces: Option<String>, wanted: &Wanted) -> Outcome {
        let read_before = matches!(self.see_owner(wanted).await, Seen::Present(_) | Seen::Absent);
        let failure = match self.put_owner(owner, replaces.as_deref(), true, wanted).await {
            Ok(()) if replaces.is_none() => return self.prove_conditions(owner, wanted).await,
            Ok(()) => return Outcome::Done,
            Err(failure) => failure,
        };
        match failure.cause {
            Cause::Precondition if read_before => Outcome::Done,
            Cause::Precondition => Outcome::Stuck(unreadable(wanted)),
            Cause::NotImplemented if read_before => self.claim_unguarded(owner, replaces, wanted).await,
            _ => Outcome::Stuck(
                failure
                    .problem(&format!("write {} into {wanted} (right s3:PutObject)", wanted.owner_object())),
            ),
        }
    }

    /// For endpoints without conditional writes: the owner was read just before, and is read again in the next round.
    async fn claim_unguarded(&self, owner: &Owner, replaces: Option<String>, wanted: &Wanted) -> Outcome {
        let seen = match self.see_owner(wanted).await {
            Seen::Present(seen) => Some(seen.etag),
            Seen::Absent => None,
            Seen::Failed(failure) => return Outcome::Stuck(failure.problem(&format!("read {wanted}"))),
        };
        if seen != replaces {
            return Outcome::Done;
        }
        match self.put_owner(owner, None, false, wanted).await {
            Ok(()) => Outcome::DoneWith(unguarded(wanted)),
            Err(failure) => Outcome::Stuck(failure.problem(&format!("write into {wanted}"))),
        }
    }

    /// Writes the same record again under the condition that there is none: it must be refused.
    async fn prove_conditions(&self, owner: &Owner, wanted: &Wanted) -> Outcome {
        match self.put_owner(owner, None, true, wanted).await {
            Ok(()) => Outcome::DoneWith(unguarded(wanted)),
            Err(_) => Outcome::Done,
        }
    }

    async fn put_owner(
        &self,
        owner: &Owner,
        replaces: Option<&str>,
        guarded: bool,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        let request = self
            .client
            .put_object()
            .bucket(self.bucket.as_str())
            .key(wanted.owner_object())
            .content_type("application/json")
            .body(owner.to_bytes().into());
        let request = match (guarded, replaces) {
            (true, Some(etag)) => request.if_match(etag),
            (true, None) => request.if_none_match("*"),
            (false, _) => request,
        };
        request.send().await.map(drop).map_err(|error| Failure::of(&error))
    }

    async fn write_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<(), Failure> {
        let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let request = self
            .client
            .put_bucket_lifecycle_configuration()
            .bucket(self.bucket.as_str())
            .lifecycle_configuration(all.map_err(|_| Failure::new(Cause::Answer))?);
        request.send().await.map(drop).map_err(|error| Failure::of(&error))
    }

    async fn write_tags(&self, tags: Vec<(String, String)>) -> Result<(), Failure> {
        let tag = |(key, value)| Tag::builder().key(key).value(value).build();
        let set: Result<Vec<Tag>, _> = tags.into_iter().map(tag).collect();
        let all = set.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
        let all = all.map_err(|_| Failure::new(Cause::Answer))?;
        let request = self.client.put_bucket_tagging().bucket(self.bucket.as_str()).tagging(all);
        request.send().await.map(drop).map_err(|error| Failure::of(&error))
    }
}

fn unguarded(wanted: &Wanted) -> String {
    format!(
        "{wanted}: the endpoint ignores conditions on writes, so two operators that claim the bucket at the same \
         time are not told apart: let one cluster alone use it"
    )
}

fn unreadable(wanted: &Wanted) -> Problem {
    Problem {
        condition: ConditionType::BucketReady,
        reason: Reason::MissingRight,
        class: Class::Blocked,
        message: format!(
            "{wanted} has an owner that cannot be read: grant the right s3:GetObject on {}*",
            wanted.prefix
        ),
    }
}
