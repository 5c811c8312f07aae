//! The object store in a bucket: a key of the port is a key below the prefix.
//!
//! Invariant: what may have happened is settled by the mark of each create (O1), and only where that
//! cannot be asked for an error says so.

use async_trait::async_trait;
use bytes::Bytes;

use super::{S3Settings, bucket::Bucket, failure::S3Failure};
use crate::ports::{
    PortError, PortResult,
    object_store::{ObjectStore, PutNew, check_key},
};

/// See the module. A clone is another handle on the same store.
#[derive(Clone, Debug)]
pub struct S3ObjectStore {
    bucket: Bucket,
}

impl S3ObjectStore {
    /// The store below the settings' prefix; nothing is asked yet.
    pub fn open(settings: &S3Settings) -> PortResult<Self> {
        Ok(Self { bucket: Bucket::open(settings)? })
    }
}

#[async_trait]
impl ObjectStore for S3ObjectStore {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        check_key(key)?;
        let failed = |failure: S3Failure| {
            PortError::caused(failure.kind_of_write(), format!("making object {key}"), failure)
        };
        let made = self.bucket.create(key, body).await.map_err(failed)?;
        Ok(if made { PutNew::Created } else { PutNew::AlreadyExists })
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        check_key(key)?;
        self.bucket.get(key).await.map_err(|failure| failure.port_error(format!("reading object {key}")))
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        let failed = |failure: S3Failure| failure.port_error(format!("listing objects under {prefix:?}"));
        self.bucket.list(prefix).await.map_err(failed)
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        check_key(key)?;
        self.bucket.delete(key).await.map_err(|failure| failure.port_error(format!("deleting object {key}")))
    }
}
