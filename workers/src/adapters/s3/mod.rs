//! Buckets that speak the S3 protocol, through the crate `object_store`.
//!
//! Must not know what is kept there. Invariants: a create is atomic (`If-None-Match`) and knows its own
//! earlier attempts; no call outlives its limit; of the environment only credentials are read.
//! Without the feature `s3` a place can be named, but not opened.

#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "s3")]
mod exact;
#[cfg(feature = "s3")]
mod failure;
#[cfg(feature = "s3")]
mod object_store;
mod settings;

pub use settings::{S3Credentials, S3Limits, S3Settings};

#[cfg(feature = "s3")]
pub use self::object_store::S3ObjectStore;
#[cfg(feature = "s3")]
pub(in crate::adapters) use self::{
    bucket::{Bucket, Put},
    failure::S3Failure,
};
