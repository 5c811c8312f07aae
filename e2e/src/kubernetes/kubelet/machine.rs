//! The pods of a managed Redis, run for real: what a kubelet and a name server do for them.
//!
//! Contract: pods of the components `redis` and `sentinel` have one container, which is run as
//! [`Container`] says, with the variables of its spec (texts, the pod's name, and references to variables before), on
//! the pod's address and its [volumes]. Every such pod that has an address is known by
//! `<hostname>.<subdomain>.<namespace>.svc.cluster.local`, whether it is ready or not. One that is being deleted is
//! asked to end and has the time that its deletion grants.
//!
//! Must not: run a pod of any other component.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Container as Spec, EnvVar, Pod};
use kube::ResourceExt as _;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{
    container::{Container, Probe, Recipe, Standing},
    volumes::{self, MountError, Sources},
};

/// The label that says what a pod is for.
const COMPONENT: &str = "app.kubernetes.io/component";
/// Domain of the cluster.
const DOMAIN: &str = "svc.cluster.local";

/// The containers of one namespace and everything that they see. Gone with the value.
pub(super) struct Machine {
    /// By uid of the pod. Before the folder, so that the containers end first.
    running: Mutex<BTreeMap<String, Running>>,
    folder: TempDir,
    changed: Arc<Notify>,
}

struct Running {
    pod: String,
    container: Container,
}

/// Whether the pod is run for real.
pub(super) fn is_real(pod: &Pod) -> bool {
    pod.labels().get(COMPONENT).is_some_and(|of| matches!(of.as_str(), "redis" | "sentinel"))
}

impl Machine {
    /// Nothing runs yet. `changed` is told when a container stands differently.
    pub(super) fn new(changed: Arc<Notify>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parking-pods-").tempdir()?;
        fs::write(folder.path().join("hosts"), "")?;
        Ok(Self { running: Mutex::default(), folder, changed })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the pod's container if it can and does not; how it stands.
    pub(super) fn run(&self, pod: &Pod, address: IpAddr, sources: &Sources) -> Result<Standing, MountError> {
        let uid = pod.uid().unwrap_or_default();
        let root = self.folder.path().join(&uid);
        volumes::mount(&root, &self.folder.path().join("claims"), pod, sources)?;
        let mut running = self.running();
        if let Some(known) = running.get(&uid) {
            return Ok(known.container.standing());
        }
        let Some(spec) = pod.spec.as_ref().and_then(|spec| spec.containers.first()) else {
            return Ok(Standing::default());
        };
        let changed = Arc::clone(&self.changed);
        let recipe = self.recipe(pod, spec, &root, address);
        let container = Container::start(recipe, move || changed.notify_one());
        running.insert(uid, Running { pod: pod.name_any(), container });
        Ok(Standing::default())
    }

    fn recipe(&self, pod: &Pod, spec: &Spec, root: &Path, address: IpAddr) -> Recipe {
        let words = |words: Option<&Vec<String>>| -> Vec<String> {
            words.into_iter().flatten().map(|word| below(root, spec, word)).collect()
        };
        let mut environment = environment(pod, spec.env.as_deref().unwrap_or_default());
        environment.push(("ROOT".to_owned(), root.display().to_string()));
        environment.push(("ADDRESS".to_owned(), address.to_string()));
        let probe = spec.readiness_probe.as_ref();
        let seconds = probe.and_then(|probe| probe.period_seconds).unwrap_or(10);
        let failures = probe.and_then(|probe| probe.failure_threshold).unwrap_or(3);
        Recipe {
            command: words(spec.command.as_ref()),
            environment,
            readiness: Probe {
                command: words(probe.and_then(|probe| probe.exec.as_ref()?.command.as_ref())),
                period: Duration::from_secs(seconds.unsigned_abs().into()),
                failures: failures.unsigned_abs(),
            },
            hosts: self.hosts(),
            log: self.folder.path().join(format!("{}.log", pod.name_any())),
        }
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    /// Makes the pods known by their names, each with its address.
    pub(super) fn name<'a>(&self, pods: impl Iterator<Item = (&'a Pod, IpAddr)>) -> io::Result<()> {
        let line = |(pod, address): (&Pod, IpAddr)| {
            let spec = pod.spec.as_ref()?;
            let (hostname, subdomain) = (spec.hostname.as_ref()?, spec.subdomain.as_ref()?);
            Some(format!("{address} {hostname}.{subdomain}.{}.{DOMAIN}\n", pod.namespace()?))
        };
        let mut lines: Vec<String> = pods.filter_map(line).collect();
        lines.sort();
        let text = lines.concat();
        if fs::read_to_string(self.hosts())? == text {
            return Ok(());
        }
        // The containers see this very file: it is written over, and cut after that.
        let mut file = fs::File::options().write(true).open(self.hosts())?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }

    /// Asks the pod's container to end; whether it has.
    pub(super) fn end(&self, pod: &Pod) -> bool {
        let mut running = self.running();
        let uid = pod.uid().unwrap_or_default();
        let Some(known) = running.get(&uid) else { return true };
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
        known.container.end(Duration::from_secs(grace.unsigned_abs()));
        let ended = known.container.standing().ended;
        if ended {
            running.remove(&uid);
        }
        ended
    }

    /// Kills the containers of all pods but these, as the node is lost to them.
    pub(super) fn keep_only(&self, stays: impl Fn(&str) -> bool) {
        let mut running = self.running();
        let gone: Vec<String> = running.keys().filter(|uid| !stays(uid)).cloned().collect();
        let ended: Vec<Running> = gone.iter().filter_map(|uid| running.remove(uid)).collect();
        drop(running);
        drop(ended);
    }

    /// Kills the processes of the pod's container, which starts anew; false where none runs.
    pub(super) fn crash(&self, pod: &str) -> bool {
        let running = self.running();
        let known = running.values().find(|running| running.pod == pod);
        known.map(|running| running.container.crash()).is_some()
    }

    /// The last lines of every container that runs.
    pub(super) fn logs(&self) -> String {
        let running = self.running();
        let log = |running: &Running| format!("== {}\n{}\n", running.pod, running.container.log(20));
        running.values().map(log).collect()
    }
}

/// A word that names a file of a volume names it below the pod's folder.
fn below(root: &Path, spec: &Spec, word: &str) -> String {
    let mounts = spec.volume_mounts.as_deref().unwrap_or_default();
    if mounts.iter().any(|mount| Path::new(word).starts_with(&mount.mount_path)) {
        return volumes::within(root, word).display().to_string();
    }
    word.to_owned()
}

/// The variables of a container, in order: one may name those before it as `$(NAME)`.
fn environment(pod: &Pod, variables: &[EnvVar]) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in variables {
        let field =
            variable.value_from.as_ref().and_then(|from| Some(from.field_ref.as_ref()?.field_path.as_str()));
        let value = match (&variable.value, field) {
            (Some(text), _) => known
                .iter()
                .fold(text.clone(), |text, (name, value)| text.replace(&format!("$({name})"), value)),
            (None, Some("metadata.name")) => pod.name_any(),
            (None, _) => continue,
        };
        known.push((variable.name.clone(), value));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_may_name_those_before_it() {
        let pod = serde_json::from_value(json!({"metadata": {"name": "city-redis-2"}})).unwrap();
        let variables: Vec<EnvVar> = serde_json::from_value(json!([
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "HOST", "value": "$(POD_NAME).city-redis"},
        ]))
        .unwrap();
        let host = ("HOST".to_owned(), "city-redis-2.city-redis".to_owned());
        assert_eq!(environment(&pod, &variables).last(), Some(&host));
    }
}
