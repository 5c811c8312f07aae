//! The files that a worker sees, as whole folders.
//!
//! Invariant: the rules' volume has the same sources however many rules there are, and all of them may be
//! missing, so that rules come and go without a new pod.

use k8s_openapi::{
    api::core::v1::{
        ConfigMapProjection, ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource,
        SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use parking_crds::{names::ObjectName, pipeline::Inventory, role::Role, topology::WorkerPlan};
use sha2::{Digest, Sha256};

use super::{
    rule_bundle,
    secret_mount::{Keys, secrets_of},
};
use crate::validate::ValidPipeline;

/// Where the worker configuration is mounted.
pub(super) const CONFIG_FOLDER: &str = "/etc/parking/config";
const INVENTORY_FOLDER: &str = "/etc/parking/inventory";
const INVENTORY_FILE: &str = "inventory.yaml";
const RULES_FOLDER: &str = "/etc/parking/rules";
const SECRETS_FOLDER: &str = "/etc/parking/secrets";

/// A volume and the folder at which the worker finds it.
pub(super) struct Mount {
    pub(super) volume: Volume,
    folder: String,
}

impl Mount {
    fn new(folder: impl Into<String>, volume: Volume) -> Self {
        Self { volume, folder: folder.into() }
    }

    /// The mount in the container; only scratch space can be written.
    pub(super) fn in_container(&self) -> VolumeMount {
        VolumeMount {
            name: self.volume.name.clone(),
            mount_path: self.folder.clone(),
            read_only: self.volume.empty_dir.is_none().then_some(true),
            ..VolumeMount::default()
        }
    }
}

/// Everything that a role mounts.
pub(super) fn mounts(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Vec<Mount> {
    let role = worker.config.role;
    let mut mounts = vec![Mount::new(CONFIG_FOLDER, config_map("config", worker.name.as_str(), None))];
    mounts.extend(inventory(role, &pipeline.spec.inventory));
    if role == Role::Alert {
        mounts.push(Mount::new(RULES_FOLDER, rules(pipeline)));
    }
    mounts.extend(secrets_of(worker).iter().map(|(name, keys)| secret(name, keys)));
    mounts.push(Mount::new("/tmp", scratch(role)));
    mounts
}

fn config_map(volume: &str, name: &str, item: Option<KeyToPath>) -> Volume {
    Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.to_owned(),
            items: item.map(|item| vec![item]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// An inventory in the bucket is read from there by the worker itself.
fn inventory(role: Role, inventory: &Inventory) -> Option<Mount> {
    let reference = inventory.config_map_ref.as_ref().filter(|_| role.uses_inventory())?;
    let key = reference.key.as_ref().map_or(INVENTORY_FILE, |key| key.as_str());
    let item = KeyToPath { key: key.to_owned(), path: INVENTORY_FILE.to_owned(), ..KeyToPath::default() };
    Some(Mount::new(INVENTORY_FOLDER, config_map("inventory", reference.name.as_str(), Some(item))))
}

fn rules(pipeline: &ValidPipeline) -> Volume {
    let shards = (0..rule_bundle::SHARDS).map(|shard| rule_bundle::shard_name(&pipeline.id, shard));
    let sources = std::iter::once(rule_bundle::manifest_name(&pipeline.id)).chain(shards).map(|name| {
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name,
                optional: Some(true),
                ..ConfigMapProjection::default()
            }),
            ..VolumeProjection::default()
        }
    });
    Volume {
        name: "rules".to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources.collect()),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn secret(name: &ObjectName, keys: &Keys) -> Mount {
    let items = match keys {
        Keys::All => None,
        Keys::Only(keys) => Some(
            keys.iter()
                .map(|key| KeyToPath { key: key.clone(), path: key.clone(), ..KeyToPath::default() })
                .collect(),
        ),
    };
    let volume = Volume {
        name: secret_volume(name),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.to_string()),
            items,
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    Mount::new(format!("{SECRETS_FOLDER}/{name}"), volume)
}

/// A volume's name is a DNS label of 63 characters at most, the name of a Secret is not always one.
fn secret_volume(name: &ObjectName) -> String {
    let text = name.as_str();
    if text.len() <= 56 && !text.contains('.') {
        return format!("secret-{text}");
    }
    let digest = Sha256::digest(text);
    let short: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("secret-{short}")
}

/// The root file system cannot be written; the archive builds its files here.
fn scratch(role: Role) -> Volume {
    let size = if role == Role::Archive { "1Gi" } else { "64Mi" };
    Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(size.to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}
