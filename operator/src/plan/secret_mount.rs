//! Which Secrets the pods of a role see, and which keys of each.
//!
//! Invariants: a role sees what its configuration names and nothing else; of a Secret of which one key is
//! meant (an authority, a URL), the other keys stay outside the pod.

use std::collections::{BTreeMap, BTreeSet};

use parking_crds::{
    names::ObjectName,
    pipeline::{Route, Target, Url},
    topology::WorkerPlan,
    worker_config::{Lake, Log, Store, WorkerConfig},
};

/// The keys of a Secret that a pod sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All of them.
    All,
    /// Those that are named.
    Only(BTreeSet<String>),
}

/// The Secrets that the workers of a role mount, by name. A hash over them belongs to the pods' template.
pub fn secrets_of(worker: &WorkerPlan) -> BTreeMap<ObjectName, Keys> {
    let mut mounts = Mounts::default();
    let config = &worker.config;
    mounts.of_log(&config.log);
    if config.role.uses_store() {
        mounts.of_store(&config.store);
    }
    if needs_bucket(config) {
        mounts.of_lake(&config.lake);
    }
    for route in &config.routes {
        mounts.of_route(route);
    }
    if let Some(ingest) = &config.ingest {
        mounts.all(ingest.api_keys.as_ref());
        mounts.all(ingest.tls.as_ref());
        mounts.all(ingest.plate_keys.as_ref());
    }
    mounts.0
}

/// Whether a worker talks to the object store: for the lake, or for an inventory that lies there.
pub(crate) fn needs_bucket(config: &WorkerConfig) -> bool {
    config.role.uses_lake() || (config.role.uses_inventory() && config.inventory_object.is_some())
}

#[derive(Default)]
struct Mounts(BTreeMap<ObjectName, Keys>);

impl Mounts {
    fn all(&mut self, secret: Option<&ObjectName>) {
        if let Some(name) = secret {
            self.0.insert(name.clone(), Keys::All);
        }
    }

    fn only(&mut self, secret: Option<&ObjectName>, key: &str) {
        let Some(name) = secret else {
            return;
        };
        match self.0.entry(name.clone()).or_insert_with(|| Keys::Only(BTreeSet::new())) {
            Keys::All => {}
            Keys::Only(keys) => {
                keys.insert(key.to_owned());
            }
        }
    }

    fn of_log(&mut self, log: &Log) {
        match log {
            Log::Embedded {} => {}
            Log::Kafka { credentials, ca, .. } => {
                self.all(credentials.as_ref());
                self.only(ca.as_ref(), "ca.crt");
            }
        }
    }

    fn of_store(&mut self, store: &Store) {
        match store {
            Store::Embedded {} => {}
            Store::Redis { credentials, sentinel_credentials, ca, .. } => {
                self.all(credentials.as_ref());
                self.all(sentinel_credentials.as_ref());
                self.only(ca.as_ref(), "ca.crt");
            }
        }
    }

    fn of_lake(&mut self, lake: &Lake) {
        match lake {
            Lake::Embedded { .. } => {}
            Lake::S3 { credentials, ca, .. } => {
                self.only(credentials.as_ref(), "accessKey");
                self.only(credentials.as_ref(), "secretKey");
                self.only(ca.as_ref(), "ca.crt");
            }
        }
    }

    fn of_route(&mut self, route: &Route) {
        let target = route.target();
        if let Some(Url::Secret(secret)) = target.and_then(Target::url) {
            self.only(Some(&secret.name), secret.key.as_str());
        }
        match target {
            Some(Target::Webhook(webhook)) => {
                if let Some(key) = &webhook.signing_key_secret_ref {
                    self.only(Some(&key.name), key.key.as_str());
                }
            }
            Some(Target::Email(email)) => {
                let login = email.credentials_secret_ref.as_ref().map(|secret| &secret.name);
                self.only(login, "username");
                self.only(login, "password");
            }
            Some(Target::Slack(_) | Target::Discord(_) | Target::Console) | None => {}
        }
    }
}
