//! Copies of each role's login and of the cluster's authority in the pipeline's namespace, where pods can mount
//! them.
//!
//! Must not: copy members that no worker reads, such as key stores and their passwords.
//! Invariants: nothing is planned that is not known yet; a renewed login changes `secret_hash` and so rolls
//! the pods; the copies carry no owner, so that a foreground deletion leaves workers their login while they drain.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use parking_crds::{names::ObjectName, role::Role, topology::PipelineId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Plan, metadata::unowned, topic, user};
use crate::{
    labels,
    owned_kinds::OwnedKind,
    validate::{Credentials, ValidKafka, ValidPipeline},
};

/// Key of the authority in its Secret.
pub const CA_KEY: &str = "ca.crt";

/// Every Secret that the operator may ever make for a pipeline.
pub fn own_secrets(id: &PipelineId) -> BTreeSet<ObjectName> {
    let logins = Role::ALL.into_iter().map(|role| id.kafka_login(role));
    logins.chain([id.scaler_login(), id.kafka_ca_secret(), id.redis_secret()]).collect()
}

/// Adds the copies that are known.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let ValidKafka::Strimzi(cluster) = &pipeline.kafka else { return };
    let id = &pipeline.id;
    for worker in &pipeline.topology.workers {
        let role = worker.config.role;
        if let Some(Credentials { data }) = cluster.credentials.get(&role) {
            add_secret(plan, pipeline, id.kafka_login(role).as_str(), labels::component(role), data);
        }
    }
    if let (true, Some(Credentials { data })) = (user::needs_scaler(pipeline), &cluster.scaler_credentials) {
        add_secret(plan, pipeline, id.scaler_login().as_str(), user::SCALER, data);
    }
    if let Some(ca) = &cluster.ca {
        let data = [(CA_KEY.to_owned(), ca.clone())].into();
        add_secret(plan, pipeline, id.kafka_ca_secret().as_str(), topic::COMPONENT, &data);
    }
}

/// Adds a Secret without an owner; `data` holds values in base64.
pub(super) fn add_secret(
    plan: &mut Plan,
    pipeline: &ValidPipeline,
    name: &str,
    component: &str,
    data: &BTreeMap<String, String>,
) {
    let secret = Secret {
        metadata: unowned(pipeline, component, name),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    plan.add(OwnedKind::Secret, &secret);
    if let Some(manifest) = plan.objects.last_mut().and_then(|planned| planned.manifest.as_object_mut()) {
        let data = data.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        manifest.insert("data".to_owned(), Value::Object(data));
    }
}

/// Hash over the Secrets that a pod mounts: each with its name, and its data keys with their values in any one
/// encoding. The order in which they are given does not matter.
pub fn secret_hash<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a BTreeMap<String, String>)>) -> String {
    let secrets: BTreeMap<&str, &BTreeMap<String, String>> = secrets.into_iter().collect();
    let mut digest = Sha256::new();
    let mut feed = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    for (name, data) in secrets {
        feed(name);
        feed(&data.len().to_string());
        for (key, value) in data {
            feed(key);
            feed(value);
        }
    }
    format!("{:x}", digest.finalize())
}

#[cfg(test)]
mod tests {
    use parking_crds::role::Role;
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::{owned_kinds::Seen, plan::sample, validate::StrimziCluster};

    fn planned(change: impl FnOnce(&mut StrimziCluster)) -> BTreeMap<String, Value> {
        let mut pipeline = sample::pipeline("");
        change(sample::strimzi(&mut pipeline));
        let mut plan = Plan::default();
        add(&mut plan, &pipeline);
        plan.objects.into_iter().map(|object| (object.name, object.manifest)).collect()
    }

    #[test]
    fn nothing_is_copied_that_is_not_known_yet() {
        assert!(planned(|_| ()).is_empty());
    }

    #[test]
    fn a_role_gets_its_own_login_and_the_authority() {
        let login = |text: &str| Credentials { data: [("user.crt".to_owned(), text.to_owned())].into() };
        let copies = planned(|cluster| {
            cluster.credentials = [(Role::Alert, login("YQ==")), (Role::Ingest, login("Yg=="))].into();
            cluster.ca = Some("Yw==".to_owned());
        });
        let id = sample::pipeline("").id;
        assert_eq!(copies.len(), 3);
        assert_eq!(
            copies[id.kafka_login(Role::Alert).as_str()]["data"],
            serde_json::json!({"user.crt": "YQ=="})
        );
        assert_eq!(
            copies[id.kafka_login(Role::Ingest).as_str()]["data"],
            serde_json::json!({"user.crt": "Yg=="})
        );
        assert_eq!(copies["city-kafka-ca"]["data"], serde_json::json!({"ca.crt": "Yw=="}));
        assert!(copies.values().all(|copy| copy["metadata"]["namespace"] == "parking"));
        assert!(copies.values().all(|copy| copy["metadata"].get("ownerReferences").is_none()));
        assert_eq!(OwnedKind::Secret.row().seen, Seen::ByName);
    }

    #[test]
    fn the_workers_configuration_names_the_secrets_that_are_planned() {
        let pipeline = sample::pipeline("");
        for worker in &pipeline.topology.workers {
            let parking_crds::worker_config::Log::Kafka { credentials, ca, .. } = &worker.config.log else {
                panic!("{:?}", worker.config.log)
            };
            assert_eq!(credentials.as_ref(), Some(&pipeline.id.kafka_login(worker.config.role)));
            assert_eq!(ca.as_ref(), Some(&pipeline.id.kafka_ca_secret()));
        }
    }

    fn data() -> impl Strategy<Value = BTreeMap<String, String>> {
        btree_map("[a-c.]{1,3}", "[a-c]{0,3}", 0..4)
    }

    proptest! {
        #[test]
        fn equal_hashes_mean_equal_secrets(a in data(), b in data(), c in data(), d in data()) {
            let one = secret_hash([("a", &a), ("b", &b)]);
            prop_assert_eq!(&one, &secret_hash([("b", &b), ("a", &a)]));
            prop_assert_eq!(one == secret_hash([("a", &c), ("b", &d)]), a == c && b == d);
        }
    }
}
