//! The bucket of a pipeline: made where it is missing, claimed by one pipeline for each prefix, kept tidy, and
//! emptied by policy.
//!
//! A look is `observe -> decide -> act`: [`decide()`] is pure and says what to do about what was [seen](BucketSeen);
//! [`Store`] talks S3. [`Store::ensure`] goes round until nothing is left to do.
//!
//! # Ownership
//! The object `<prefix>_parking/owner` names cluster, namespace and pipeline. It is made with
//! `If-None-Match: *`, so of two operators that claim at once one wins. The names, not a uid, make the owner: a
//! pipeline that was deleted with `Retain` and made again goes on. [`TAKE_OVER`] replaces the object of another
//! owner with `If-Match`. An endpoint that ignores conditions is found out when claiming and reported.
//!
//! # Must not
//! - Write a lifecycle rule that deletes current objects: the lake's tables name them.
//! - Change foreign lifecycle rules or tags, or tag a bucket that was there before.
//! - Copy a response into a message: of an answer only an error code from a closed list is said.
//! - Delete a bucket that it did not make, or one that holds objects of others.
//! - Talk to an address that the [`ConnectPolicy`] refuses; no proxy is used, no redirect is followed.
//!
//! Invariants: a missing right for anything but reading and writing objects is a warning; nothing is written when
//! nothing changed; every call is bounded in time and every answer in size.

mod act;
mod connect;
mod decide;
mod failure;
mod lifecycle;
mod observe;
mod owner;
mod purge;

use std::fmt;

use parking_crds::names::{BucketName, KeyPrefix};

pub use self::{
    connect::{Access, AccessError, ConnectPolicy, Connections, Login, Store},
    decide::{Decision, decide},
    failure::{Cause, Failure},
    lifecycle::rule as lifecycle_rule,
    owner::{Owner, OwnerKey},
    purge::PurgeProgress,
};
use crate::problem::Problem;

/// Annotation on a pipeline: with `"true"`, the bucket's prefix is taken over from another owner.
pub const TAKE_OVER: &str = "parking.tinyx.io/take-over-bucket";

/// Tag of a bucket that the operator made.
pub const MANAGED_TAG: (&str, &str) = ("parking.tinyx.io/managed-by", "parking-operator");

/// What the bucket shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the bucket.
    pub bucket: BucketName,
    /// First part of every key of this pipeline.
    pub prefix: KeyPrefix,
    /// Whether a missing bucket is made.
    pub create: bool,
    /// Whom the prefix shall belong to.
    pub owner: OwnerKey,
    /// Whether another owner is replaced.
    pub take_over: bool,
}

impl Wanted {
    /// Key of the object that names the owner.
    pub fn owner_object(&self) -> String {
        format!("{}_parking/owner", self.prefix)
    }
}

/// What a read of one thing brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// It is there.
    Present(T),
    /// It is not there.
    Absent,
    /// It could not be read.
    Failed(Failure),
}

/// What was seen of the bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSeen {
    /// The bucket itself.
    pub bucket: Seen<()>,
    /// Whether the bucket was made during this look.
    pub made_now: bool,
    /// The object that names the owner.
    pub owner: Seen<OwnerSeen>,
    /// The lifecycle rules of the bucket.
    pub lifecycle: Seen<Vec<aws_sdk_s3::types::LifecycleRule>>,
    /// The tags of the bucket; read only for a bucket that the operator made.
    pub tags: Option<Seen<Vec<(String, String)>>>,
}

/// The object that names the owner, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSeen {
    /// Its content; `None` when it is no owner record.
    pub owner: Option<Owner>,
    /// Its entity tag.
    pub etag: String,
}

/// One thing to do about the bucket.
#[derive(Clone, Debug, PartialEq)]
pub enum BucketAction {
    /// Make the bucket.
    Create,
    /// Write the object that names the owner.
    Claim {
        /// What it says.
        owner: Owner,
        /// Entity tag of the object that it replaces; `None` when there must be none.
        replaces: Option<String>,
    },
    /// Replace the bucket's lifecycle rules.
    WriteLifecycle(Vec<aws_sdk_s3::types::LifecycleRule>),
    /// Replace the bucket's tags.
    WriteTags(Vec<(String, String)>),
}

/// What a look at the bucket came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketReport {
    /// What works less well than it could, and what to do about it; blocks nothing.
    pub warnings: Vec<String>,
    /// Why the bucket cannot be used; empty when it is ready.
    pub problems: Vec<Problem>,
    /// The owner as it stands in the bucket, with its entity tag for [`Store::unchanged`].
    pub owner: Option<OwnerSeen>,
    /// How many writes were sent.
    pub writes: u32,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}", self.bucket)
    }
}
