//! The object store: immutable objects under keys.
//!
//! Guarantees:
//! - **O1** `put_new` makes the object or finds that one exists; of many racers one makes it.
//! - **O2** An object that was answered as made is durable and read back whole, byte for byte.
//! - **O3** A listing has every object that was made before it began and not deleted, in key order.

use async_trait::async_trait;
use bytes::Bytes;

use super::{ErrorKind, PortError, PortResult};

/// Whether an object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutNew {
    /// It was.
    Created,
    /// The key was taken; what stands there is unchanged.
    AlreadyExists,
}

/// Refuses a key that is not a plain relative path: empty, a segment that is empty or begins with a dot,
/// a control character or a backslash.
pub fn check_key(key: &str) -> PortResult<()> {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.contains(|c: char| c.is_control() || c == '\\')
    };
    if key.split('/').all(plain) {
        return Ok(());
    }
    Err(PortError::caused(
        ErrorKind::Invalid,
        format!("using object key {key:?}"),
        "it is no plain relative path",
    ))
}

/// The port. See the module for its guarantees. Keys are relative paths with `/`.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Makes an object (O1).
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew>;

    /// The object, if it exists (O2).
    async fn get(&self, key: &str) -> PortResult<Option<Bytes>>;

    /// Keys that begin with `prefix` (O3).
    async fn list(&self, prefix: &str) -> PortResult<Vec<String>>;

    /// Removes an object; one that is not there is fine.
    async fn delete(&self, key: &str) -> PortResult<()>;
}
