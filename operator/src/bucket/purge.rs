//! Empties a pipeline's prefix, page by page, for a pipeline whose `deletionPolicy.bucket` is `Delete`.
//!
//! Must not: touch a prefix that is not ours, or delete a bucket that others use or made.
//! Invariants: the owner record goes last, so a purge that was cut short goes on; each call is bounded.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{Cause, Failure, Owner, OwnerSeen, Seen, Store, Wanted};
use crate::problem::Problem;

/// How far a purge came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PurgeProgress {
    /// Objects, versions and uploads deleted by this call.
    pub deleted: u64,
    /// Whether nothing of the pipeline is left.
    pub done: bool,
    /// Whether the bucket itself was deleted.
    pub bucket_deleted: bool,
    /// Why it does not go on.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Deletes at most `pages` pages of 1,000 objects below the prefix; called again until `done`.
    pub async fn purge(&self, wanted: &Wanted, pages: u32) -> PurgeProgress {
        let mut progress = PurgeProgress::default();
        match self.purge_some(wanted, pages, &mut progress).await {
            Ok(()) | Err(Failure { cause: Cause::NoBucket, .. }) => {}
            Err(failure) => progress.problems.push(failure.problem(&format!("empty {wanted}"))),
        }
        progress
    }

    async fn purge_some(
        &self,
        wanted: &Wanted,
        pages: u32,
        progress: &mut PurgeProgress,
    ) -> Result<(), Failure> {
        let owner = match self.see_owner(wanted).await {
            Seen::Present(OwnerSeen { owner: Some(owner), .. }) if owner.key == wanted.owner => owner,
            // Nothing was claimed, or all of it is gone, or it is somebody else's: nothing of ours is left.
            Seen::Present(_) | Seen::Absent => {
                progress.done = true;
                return Ok(());
            }
            Seen::Failed(failure) => return Err(failure),
        };
        progress.deleted += self.abort_uploads(wanted).await?;
        for _ in 0..pages {
            let page = self.page(wanted).await?;
            if page.is_empty() {
                progress.bucket_deleted = self.leave(wanted, &owner).await?;
                progress.done = true;
                return Ok(());
            }
            progress.deleted += self.delete(page).await?;
        }
        Ok(())
    }

    /// Versions below the prefix, without those of the owner record; plain objects where there are no versions.
    async fn page(&self, wanted: &Wanted) -> Result<Vec<ObjectIdentifier>, Failure> {
        let owner = wanted.owner_object();
        let mut found = self.versions(wanted.prefix.as_str(), Some(&owner)).await?;
        found.retain(|object| object.key() != owner);
        Ok(found)
    }

    /// The first versions whose key begins with `prefix`; a second page when the first holds the owner record alone.
    async fn versions(&self, prefix: &str, skip: Option<&str>) -> Result<Vec<ObjectIdentifier>, Failure> {
        let (mut key, mut version) = (None, None);
        loop {
            let sent = self
                .client
                .list_object_versions()
                .bucket(self.bucket.as_str())
                .prefix(prefix)
                .set_key_marker(key)
                .set_version_id_marker(version)
                .send()
                .await;
            let answer = match sent.map_err(|error| Failure::of(&error)) {
                Ok(answer) => answer,
                Err(Failure { cause: Cause::NotImplemented, .. }) => return self.objects(prefix).await,
                Err(failure) => return Err(failure),
            };
            let versions = answer.versions().iter().map(|one| (one.key(), one.version_id()));
            let markers = answer.delete_markers().iter().map(|one| (one.key(), one.version_id()));
            let found: Vec<ObjectIdentifier> = versions.chain(markers).filter_map(identifier).collect();
            if found.iter().any(|one| Some(one.key()) != skip) || !answer.is_truncated().unwrap_or(false) {
                return Ok(found);
            }
            (key, version) = (answer.next_key_marker, answer.next_version_id_marker);
        }
    }

    async fn objects(&self, prefix: &str) -> Result<Vec<ObjectIdentifier>, Failure> {
        let request = self.client.list_objects_v2().bucket(self.bucket.as_str()).prefix(prefix);
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        Ok(answer.contents().iter().filter_map(|one| identifier((one.key(), None))).collect())
    }

    async fn delete(&self, page: Vec<ObjectIdentifier>) -> Result<u64, Failure> {
        let wished = page.len() as u64;
        let all = Delete::builder().set_objects(Some(page)).quiet(true).build();
        let all = all.map_err(|_| Failure::new(Cause::Answer))?;
        let request = self.client.delete_objects().bucket(self.bucket.as_str()).delete(all);
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        match answer.errors().first() {
            // A locked object would be listed for ever: one that stays ends the purge.
            Some(error) => Err(Failure::of_answer(error.code(), None)),
            None => Ok(wished),
        }
    }

    async fn abort_uploads(&self, wanted: &Wanted) -> Result<u64, Failure> {
        let bucket = self.bucket.as_str();
        let request = self.client.list_multipart_uploads().bucket(bucket).prefix(wanted.prefix.as_str());
        let answer = match request.send().await.map_err(|error| Failure::of(&error)) {
            Ok(answer) => answer,
            // The lifecycle rule ends them too.
            Err(Failure { cause: Cause::Denied | Cause::NotImplemented, .. }) => return Ok(0),
            Err(failure) => return Err(failure),
        };
        let mut ended = 0;
        for upload in answer.uploads() {
            let request = self.client.abort_multipart_upload().bucket(bucket);
            let request = request.set_key(upload.key.clone()).set_upload_id(upload.upload_id.clone());
            ended += u64::from(request.send().await.is_ok());
        }
        Ok(ended)
    }

    /// Deletes the owner record, then the bucket if the operator made it and nobody else uses it.
    async fn leave(&self, wanted: &Wanted, owner: &Owner) -> Result<bool, Failure> {
        let record = self.versions(&wanted.owner_object(), None).await?;
        let others = owner.created && self.others(wanted).await?;
        if !record.is_empty() {
            self.delete(record).await?;
        }
        if !owner.created || others {
            return Ok(false);
        }
        Ok(self.client.delete_bucket().bucket(self.bucket.as_str()).send().await.is_ok())
    }

    async fn others(&self, wanted: &Wanted) -> Result<bool, Failure> {
        let owner = wanted.owner_object();
        Ok(self.versions("", Some(&owner)).await?.iter().any(|one| one.key() != owner))
    }
}

/// Endpoints without versions say the version `null` or none; both name the object itself.
fn identifier((key, version): (Option<&str>, Option<&str>)) -> Option<ObjectIdentifier> {
    let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
    ObjectIdentifier::builder().key(key?).set_version_id(version).build().ok()
}
