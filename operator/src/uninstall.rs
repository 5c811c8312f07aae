//! What an uninstall of the operator would leave without it.
//!
//! Must not: write. The table and the verdict are pure; `remaining` is the only part that asks the cluster.

use std::fmt::Write as _;

use comfy_table::{Table, presets::NOTHING};
use kube::{Api, Client, ResourceExt, api::ListParams, core::PartialObjectMeta};
use parking_crds::{alert_rule::AlertRule, names::Namespace, pipeline::ParkingPipeline, stats_job::StatsJob};
use serde::de::DeserializeOwned;

use crate::labels::FINALIZER;

/// Objects that one request asks for.
const PAGE: u32 = 500;

/// An object of our kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remaining {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it waits for the operator when it is deleted.
    pub held: bool,
}

/// Why it is not known what remains.
#[derive(Debug, thiserror::Error)]
#[error(
    "{plural} could not be listed: {source}; an uninstall without this check is `helm uninstall --no-hooks`"
)]
pub struct ListError {
    plural: String,
    #[source]
    source: kube::Error,
}

/// Every object of our kinds in the namespaces, or in all of them when none is named, sorted.
pub async fn remaining(client: &Client, namespaces: &[Namespace]) -> Result<Vec<Remaining>, ListError> {
    let mut found = list::<ParkingPipeline>(client, namespaces).await?;
    found.extend(list::<AlertRule>(client, namespaces).await?);
    found.extend(list::<StatsJob>(client, namespaces).await?);
    found.sort();
    Ok(found)
}

async fn list<K>(client: &Client, namespaces: &[Namespace]) -> Result<Vec<Remaining>, ListError>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let apis: Vec<Api<K>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|one| Api::namespaced(client.clone(), one.as_str())).collect(),
    };
    let mut found = Vec::new();
    for api in apis {
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let listed = match api.list_metadata(&page).await {
                Ok(listed) => listed,
                // Without the definition there are no objects.
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                Err(source) => return Err(ListError { plural: K::plural(&()).into_owned(), source }),
            };
            found.extend(listed.items.iter().map(seen::<K>));
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(found)
}

fn seen<K: kube::Resource<DynamicType = ()>>(object: &PartialObjectMeta<K>) -> Remaining {
    Remaining {
        namespace: object.namespace().unwrap_or_default(),
        kind: K::kind(&()).into_owned(),
        name: object.name_any(),
        held: object.finalizers().iter().any(|one| one == FINALIZER),
    }
}

/// What remains as a table, and what to do about it; empty when nothing remains.
pub fn report(remaining: &[Remaining], force: bool) -> String {
    if remaining.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAMESPACE", "KIND", "NAME", "HELD"]);
    for one in remaining {
        table.add_row([one.namespace.as_str(), &one.kind, &one.name, if one.held { "yes" } else { "no" }]);
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let mut text = format!("{}\n", table.trim_fmt());
    let held = remaining.iter().filter(|one| one.held).count();
    let advice = if force {
        "The uninstall goes on as it was forced: these objects stay and are served no longer; those that are held can be deleted only after `kubectl parking release KIND/NAME`."
    } else {
        "Delete them first with `kubectl delete alertrules,statsjobs,parkingpipelines --all -n NAMESPACE` while the operator runs, or uninstall all the same with `helm uninstall --no-hooks` (or the chart's `uninstall.force`)."
    };
    let _ = write!(
        text,
        "\n{} objects remain, {held} of them held by the operator's finalizer. {advice}\n",
        remaining.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, held: bool) -> Remaining {
        Remaining { namespace: "parking".to_owned(), kind: kind.to_owned(), name: "city".to_owned(), held }
    }

    #[test]
    fn an_empty_cluster_has_nothing_to_report() {
        assert_eq!(report(&[], false), "");
    }

    #[test]
    fn what_remains_is_listed_with_what_to_do() {
        insta::assert_snapshot!(report(&[one("AlertRule", false), one("ParkingPipeline", true)], false), @r"
        NAMESPACE  KIND             NAME  HELD
        parking    AlertRule        city  no
        parking    ParkingPipeline  city  yes

        2 objects remain, 1 of them held by the operator's finalizer. Delete them first with `kubectl delete alertrules,statsjobs,parkingpipelines --all -n NAMESPACE` while the operator runs, or uninstall all the same with `helm uninstall --no-hooks` (or the chart's `uninstall.force`).
        ");
    }

    #[test]
    fn a_forced_uninstall_says_what_is_left_behind() {
        assert!(report(&[one("ParkingPipeline", true)], true).contains("kubectl parking release KIND/NAME"));
    }
}
