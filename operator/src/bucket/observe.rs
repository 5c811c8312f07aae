//! Reads the bucket, its owner, rules and tags. Must not: write.

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::LifecycleRule,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{BucketSeen, Cause, Failure, Owner, OwnerSeen, Seen, Store, Wanted};

impl Store {
    /// Looks at everything about the bucket.
    pub async fn observe(&self, wanted: &Wanted, made_now: bool) -> BucketSeen {
        let (bucket, owner, lifecycle) =
            futures::join!(self.see_bucket(), self.see_owner(wanted), self.see_lifecycle());
        let made = made_now || made_before(&owner, wanted);
        let tags = if made { Some(self.see_tags().await) } else { None };
        BucketSeen { bucket, made_now, owner, lifecycle, tags }
    }

    /// Whether bucket and owner stand as `known` says: two small reads, for looks without a cause.
    pub async fn unchanged(&self, wanted: &Wanted, known: &OwnerSeen) -> bool {
        let (bucket, owner) = futures::join!(self.see_bucket(), self.see_owner(wanted));
        let there = matches!(bucket, Seen::Present(()))
            || matches!(bucket, Seen::Failed(Failure { cause: Cause::Denied, .. }));
        there && owner == Seen::Present(known.clone())
    }

    async fn see_bucket(&self) -> Seen<()> {
        match self.client.head_bucket().bucket(self.bucket.as_str()).send().await {
            Ok(_) => Seen::Present(()),
            Err(error) => match Failure::of(&error) {
                Failure { cause: Cause::NotThere | Cause::NoBucket, .. } => Seen::Absent,
                failure => Seen::Failed(failure),
            },
        }
    }

    /// Reads who owns the prefix. A missing bucket has no owner.
    pub(super) async fn see_owner(&self, wanted: &Wanted) -> Seen<OwnerSeen> {
        let sent =
            self.client.get_object().bucket(self.bucket.as_str()).key(wanted.owner_object()).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return absent_or_failed(&error, &[Cause::NotThere, Cause::NoBucket]),
        };
        let etag = answer.e_tag().unwrap_or_default().to_owned();
        if answer.content_length().is_none_or(|length| length > Owner::MAX_BYTES) {
            return Seen::Present(OwnerSeen { owner: None, etag });
        }
        match answer.body.collect().await {
            Ok(body) => Seen::Present(OwnerSeen { owner: Owner::parse(&body.into_bytes()), etag }),
            Err(_) => Seen::Failed(Failure::new(Cause::Answer)),
        }
    }

    async fn see_lifecycle(&self) -> Seen<Vec<LifecycleRule>> {
        let request = self.client.get_bucket_lifecycle_configuration().bucket(self.bucket.as_str());
        match request.send().await {
            Ok(answer) => Seen::Present(answer.rules.unwrap_or_default()),
            Err(error) => absent_or_failed(&error, &[Cause::NotThere, Cause::NoBucket]),
        }
    }

    async fn see_tags(&self) -> Seen<Vec<(String, String)>> {
        match self.client.get_bucket_tagging().bucket(self.bucket.as_str()).send().await {
            Ok(answer) => Seen::Present(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()),
            Err(error) => absent_or_failed(&error, &[Cause::NotThere, Cause::NoBucket]),
        }
    }
}

/// Whether the record says that the operator made the bucket for this owner.
fn made_before(owner: &Seen<OwnerSeen>, wanted: &Wanted) -> bool {
    let Seen::Present(OwnerSeen { owner: Some(owner), .. }) = owner else { return false };
    owner.created && owner.key == wanted.owner
}

fn absent_or_failed<T, E>(error: &SdkError<E, HttpResponse>, absent: &[Cause]) -> Seen<T>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = Failure::of(error);
    if absent.contains(&failure.cause) { Seen::Absent } else { Seen::Failed(failure) }
}
