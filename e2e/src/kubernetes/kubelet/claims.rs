//! Binds claims to volumes that nothing stands behind, and lets them grow.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

const MANAGER: &str = "e2e-kubelet";

/// The default class, whose claims may grow; and `e2e-fixed`, whose may not.
pub(super) async fn storage_class(client: &Client) -> Result<(), kube::Error> {
    let classes = Api::<StorageClass>::all(client.clone());
    for (name, grows) in [("e2e", true), ("e2e-fixed", false)] {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": grows.to_string()});
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "annotations": annotations},
            "provisioner": "e2e.parking.tinyx.io/double", "allowVolumeExpansion": grows,
        });
        classes.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&class)).await?;
    }
    Ok(())
}

/// Gives the claim a volume of its own, and the size that it asks for.
pub(super) async fn bind(client: &Client, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
    let (Some(spec), Some(uid), Some(namespace)) = (&claim.spec, claim.uid(), claim.namespace()) else {
        return Ok(());
    };
    let wanted = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let has = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    let size = |sizes: Option<&std::collections::BTreeMap<String, _>>| {
        sizes.and_then(|sizes| sizes.get("storage").cloned())
    };
    if claim.metadata.deletion_timestamp.is_some() || size(wanted) == size(has) {
        return Ok(());
    }
    let volume = format!("e2e-{uid}");
    let object = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {
            "capacity": {"storage": size(wanted)},
            "accessModes": spec.access_modes, "storageClassName": spec.storage_class_name.clone().unwrap_or_default(),
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim.name_any(), "uid": uid},
            "hostPath": {"path": format!("/nonexistent/{uid}")},
        },
    });
    let volumes = Api::<PersistentVolume>::all(client.clone());
    volumes.patch(&volume, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?;
    if has.is_some() {
        let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace);
        let grown = json!({"status": {"capacity": {"storage": size(wanted)}}});
        claims.patch_status(&claim.name_any(), &PatchParams::default(), &Patch::Merge(grown)).await?;
    }
    Ok(())
}
