//! The object store in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::locked;
use crate::ports::{
    PortResult,
    object_store::{ObjectStore, PutNew, check_key},
};

/// See the module. A clone is another handle on the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryObjectStore {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        check_key(key)?;
        let mut objects = locked(&self.objects);
        if objects.contains_key(key) {
            return Ok(PutNew::AlreadyExists);
        }
        objects.insert(key.to_owned(), body);
        Ok(PutNew::Created)
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        check_key(key)?;
        Ok(locked(&self.objects).get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        let objects = locked(&self.objects);
        let from = objects.range(prefix.to_owned()..);
        Ok(from.map(|(key, _)| key.clone()).take_while(|key| key.starts_with(prefix)).collect())
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        check_key(key)?;
        locked(&self.objects).remove(key);
        Ok(())
    }
}
