//! The operator's chart as helm renders it: the rights that a test gives the operator are the chart's own.

use super::{
    cluster::Cluster,
    error::{Error, Result},
};
use crate::locate::repository;

/// Kinds that say who the operator is and what it may do.
const RIGHTS: [&str; 5] = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];

/// Renders the chart for a release in a namespace; `set` are values as `--set` takes them.
///
/// # Errors
/// When helm is missing or refuses the values.
pub fn render(cluster: &Cluster, release: &str, namespace: &str, set: &[&str]) -> Result<String> {
    let mut helm = cluster.helm()?;
    helm.args(["template", release]).arg(repository().join("charts/parking-operator"));
    helm.args(["--namespace", namespace]);
    for value in set {
        helm.args(["--set", value]);
    }
    let output = helm.output()?;
    if !output.status.success() {
        return Err(Error::Manifest(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The part of rendered manifests that gives rights, and the name of the ServiceAccount.
///
/// # Errors
/// When the manifests are none, or hold no ServiceAccount.
pub fn rights(rendered: &str) -> Result<(String, String)> {
    let mut kept = Vec::new();
    let mut account = None;
    for object in super::objects::parse(rendered)? {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        let is_hook =
            object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key("helm.sh/hook"));
        if !RIGHTS.contains(&kind) || is_hook {
            continue;
        }
        if kind == "ServiceAccount" {
            account.clone_from(&object.metadata.name);
        }
        kept.push(serde_json::to_string(&object).map_err(|error| Error::Manifest(error.to_string()))?);
    }
    let account = account.ok_or_else(|| Error::Manifest("the chart made no ServiceAccount".to_owned()))?;
    Ok((kept.join("\n---\n"), account))
}
