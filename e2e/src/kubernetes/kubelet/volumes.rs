//! What a pod sees of its volumes: files of a ConfigMap or Secret, empty folders, and claims that outlive it.
//!
//! Contract: everything lies below one folder of the pod, at the paths where the container would have it. Files of
//! a ConfigMap or Secret follow it within a moment, each whole at every moment; a claim is a folder by
//! the claim's uid. Must not: know what any of it is for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Volume};
use kube::{
    ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};

/// Where volumes come from.
pub(super) struct Sources {
    pub(super) config_maps: Store<ConfigMap>,
    pub(super) secrets: Store<Secret>,
    pub(super) claims: Store<PersistentVolumeClaim>,
}

/// Why a pod cannot start yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountError {
    /// It will come.
    #[error("{0} is not there")]
    Missing(String),
    /// A kind of volume that the double does not have.
    #[error("volume {0} is of a kind that the double does not have")]
    Unknown(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Brings the volumes of the pod's first container to where it looks for them below `root`. Done again, it brings
/// what has changed.
pub(super) fn mount(root: &Path, claims: &Path, pod: &Pod, sources: &Sources) -> Result<(), MountError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let volumes: BTreeMap<String, Volume> =
        spec.volumes.into_iter().flatten().map(|volume| (volume.name.clone(), volume)).collect();
    for mount in spec.containers.first().and_then(|first| first.volume_mounts.as_deref()).unwrap_or_default()
    {
        let volume = volumes.get(&mount.name).ok_or_else(|| MountError::Unknown(mount.name.clone()))?;
        let place = within(root, &mount.mount_path);
        bring(volume, &place, claims, &pod.namespace().unwrap_or_default(), sources)?;
    }
    Ok(())
}

/// The path as it is below the pod's folder.
pub(super) fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn bring(
    volume: &Volume,
    place: &Path,
    claims: &Path,
    namespace: &str,
    sources: &Sources,
) -> Result<(), MountError> {
    let absent = |kind: &str, name: &str| MountError::Missing(format!("{kind} {name}"));
    if let Some(source) = &volume.config_map {
        let map = sources.config_maps.get(&ObjectRef::new(&source.name).within(namespace));
        let map = map.ok_or_else(|| absent("ConfigMap", &source.name))?;
        let texts = map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        return Ok(fill(place, &texts.collect())?);
    }
    if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()) {
        let secret = sources.secrets.get(&ObjectRef::new(name).within(namespace));
        let secret = secret.ok_or_else(|| absent("Secret", name))?;
        let values = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        return Ok(fill(place, &values.collect())?);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        let claim = sources.claims.get(&ObjectRef::new(&source.claim_name).within(namespace));
        let bound = claim.filter(|claim| claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some()));
        let claim = bound.ok_or_else(|| absent("the volume of claim", &source.claim_name))?;
        let folder = claims.join(claim.uid().unwrap_or_default());
        fs::create_dir_all(&folder)?;
        return Ok(link(&folder, place)?);
    }
    if volume.empty_dir.is_some() {
        return Ok(fs::create_dir_all(place)?);
    }
    Err(MountError::Unknown(volume.name.clone()))
}

fn link(folder: &Path, place: &Path) -> io::Result<()> {
    if let Some(above) = place.parent() {
        fs::create_dir_all(above)?;
    }
    match symlink(folder, place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes the folder hold these files and no others.
fn fill(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in files {
        let file = folder.join(name);
        if !fs::read(&file).is_ok_and(|old| old == *content) {
            let new = folder.join(format!("..{name}"));
            fs::write(&new, content)?;
            fs::rename(&new, &file)?;
        }
    }
    let present: BTreeSet<String> =
        fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    for gone in present.iter().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(folder.join(gone))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let read = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        };
        entries.map(read).collect()
    }

    #[test]
    fn files_come_change_and_go_with_their_object() {
        let folder = tempfile::tempdir().unwrap();
        let files = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        for state in [&[("a", "1"), ("b", "2")][..], &[("a", "3"), ("b", "2")], &[("a", "3")]] {
            fill(folder.path(), &files(state)).unwrap();
            assert_eq!(content(folder.path()), texts(state));
        }
    }

    #[test]
    fn a_claim_holds_what_was_written_for_the_next_pod() {
        let folder = tempfile::tempdir().unwrap();
        let claim = folder.path().join("claim");
        fs::create_dir(&claim).unwrap();
        for pod in ["first", "second"] {
            let place = folder.path().join(pod).join("data");
            link(&claim, &place).unwrap();
            link(&claim, &place).unwrap();
            fs::write(place.join(pod), pod).unwrap();
        }
        assert_eq!(content(&claim).len(), 2);
    }
}
