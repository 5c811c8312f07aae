//! What a kubelet would report of a pod and of itself.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON made here: an unknown key reads as null and is made when written"
)]

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{Container, Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use parking_crds::stats_run::EXIT_REFUSED;
use serde_json::{Value, json};

use super::{NODE, Outcome, Rules};

/// Makes the node, ready and roomy.
pub(super) async fn node(client: &Client, address: &str) -> Result<(), kube::Error> {
    let nodes = Api::<Node>::all(client.clone());
    let how = PatchParams::apply("e2e-kubelet").force();
    let labels = json!({"kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "e2e"});
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}});
    nodes.patch(NODE, &how, &Patch::Apply(&object)).await?;
    let room = json!({"cpu": "1k", "memory": "1Ti", "pods": "10k"});
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": address}],
        "capacity": room, "allocatable": room,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Double", "message": "a double"}],
    }});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&status)).await.map(|_| ())
}

/// Whether the images of the pod can be pulled.
pub(super) fn has_image(pod: &Pod) -> bool {
    let spec = pod.spec.iter();
    let mut containers =
        spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    containers.all(|container| container.image.as_deref().is_none_or(|image| !image.ends_with(":bad")))
}

/// The pod's next status, if it differs from the one that it has. `ready` is known of a pod that is run for real.
#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
pub(super) fn status(
    pod: &Pod,
    rules: &Rules,
    ready: Option<bool>,
    node: &str,
    address: IpAddr,
    restarts: i32,
) -> Option<Value> {
    let life = Life::of(pod, rules, ready);
    let old = serde_json::to_value(&pod.status).unwrap_or_default();
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let now = Timestamp::now();
    let described: Vec<Value> =
        containers.iter().map(|container| described(container, life, restarts, now)).collect();
    let unchanged = old["phase"] == life.phase()
        && old["podIP"] == address.to_string()
        && ready_in(&old) == life.is_ready()
        && same_states(&old["containerStatuses"], &described);
    if unchanged {
        return None;
    }
    let truth = |holds: bool| if holds { "True" } else { "False" };
    let since = if ready_in(&old) == life.is_ready() { ready_since(&old) } else { None };
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": truth(holds), "lastTransitionTime": since.clone().unwrap_or_else(|| json!(now))});
    Some(json!({
        "phase": life.phase(),
        "hostIP": node, "hostIPs": [{"ip": node}],
        "podIP": address, "podIPs": [{"ip": address}],
        "startTime": pod.metadata.creation_timestamp,
        "conditions": [
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("ContainersReady", life.is_ready()),
            condition("Ready", life.is_ready()),
        ],
        "containerStatuses": described,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    NoImage,
    Runs { ready: bool },
    Ended { code: i32 },
}

impl Life {
    fn of(pod: &Pod, rules: &Rules, ready: Option<bool>) -> Self {
        if !has_image(pod) {
            return Self::NoImage;
        }
        if let Some(ready) = ready {
            return Self::Runs { ready };
        }
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        let of_job = owners.iter().any(|owner| owner.kind == "Job");
        match (of_job, rules.jobs) {
            (true, Outcome::Succeeds) => Self::Ended { code: 0 },
            (true, Outcome::Fails) => Self::Ended { code: 1 },
            (true, Outcome::Refuses) => Self::Ended { code: EXIT_REFUSED },
            (true, Outcome::Never) | (false, _) => Self::Runs { ready: !(rules.unready)(pod) },
        }
    }

    const fn phase(self) -> &'static str {
        match self {
            Self::NoImage => "Pending",
            Self::Runs { .. } => "Running",
            Self::Ended { code: 0 } => "Succeeded",
            Self::Ended { .. } => "Failed",
        }
    }

    fn is_ready(self) -> bool {
        self == Self::Runs { ready: true }
    }
}

fn described(container: &Container, life: Life, restarts: i32, now: Timestamp) -> Value {
    let state = match life {
        Life::NoImage => {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}})
        }
        Life::Runs { .. } => json!({"running": {"startedAt": now}}),
        Life::Ended { code } => json!({"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": now, "finishedAt": now,
        }}),
    };
    json!({
        "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "",
        "ready": life.is_ready(), "started": matches!(life, Life::Runs { .. }),
        "restartCount": restarts, "state": state,
    })
}

fn ready_condition(status: &Value) -> Option<&Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

fn ready_in(status: &Value) -> bool {
    ready_condition(status).is_some_and(|condition| condition["status"] == "True")
}

fn ready_since(status: &Value) -> Option<Value> {
    ready_condition(status).map(|condition| condition["lastTransitionTime"].clone())
}

/// Whether containers are in the same states, times aside.
fn same_states(old: &Value, new: &[Value]) -> bool {
    let outline = |status: &Value| {
        let state = status["state"].as_object().and_then(|state| state.keys().next().cloned());
        (status["name"].clone(), status["image"].clone(), status["restartCount"].clone(), state)
    };
    let old: Vec<_> = old.as_array().into_iter().flatten().map(outline).collect();
    old == new.iter().map(outline).collect::<Vec<_>>()
}
