//! What the operator of the cluster was told, read from its Deployment: plans depend on it.

use clap::Parser;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    cli::{Cli, Command},
    settings::Settings,
};

/// Label of the chart's Deployment.
const OPERATOR: &str = "app.kubernetes.io/name=parking-operator";

/// The settings of the operator; without them the defaults, and a note that says so.
pub(super) async fn read(client: &Client) -> (Option<Settings>, String) {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let found = deployments.list(&ListParams::default().labels(OPERATOR)).await;
    let found = found.ok().and_then(|list| list.items.iter().find_map(settings));
    let note = match found {
        Some(_) => String::new(),
        None => "Which images the operator gives to workers could not be read, so those of this version are assumed.\n"
            .to_owned(),
    };
    (found, note)
}

/// What a Deployment tells its operator.
fn settings(deployment: &Deployment) -> Option<Settings> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let arguments = pod.containers.iter().find_map(|container| container.args.as_ref())?;
    let namespace = deployment.namespace()?;
    let known = ["--identity", "operator", "--operator-namespace", &namespace].map(str::to_owned);
    let line = ["parking-operator".to_owned()].into_iter().chain(arguments.iter().cloned()).chain(known);
    match Cli::try_parse_from(line).ok()?.command {
        Command::Run(arguments) => Some(arguments.settings()),
        Command::Crd | Command::Plan(_) | Command::CheckUninstall(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(arguments: &[&str]) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "parking-operator", "namespace": "parking-system"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "operator", "args": arguments}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn the_operators_own_arguments_are_understood() {
        let told = settings(&deployment(&["run", "--worker-image=workers:7", "--kafka-namespace=kafka=a,b"]))
            .unwrap();
        assert_eq!(told.plan.worker_image, "workers:7");
        assert_eq!(told.plan.operator_namespace.as_str(), "parking-system");
        assert_eq!(told.kafka_namespaces.len(), 1);
    }

    #[test]
    fn arguments_of_another_version_are_not_guessed_at() {
        assert_eq!(settings(&deployment(&["run", "--new-setting=1"])), None);
        assert_eq!(settings(&deployment(&["crd"])), None);
    }
}
