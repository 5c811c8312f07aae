//! Which APIs the cluster serves: the operator's own, without which it waits, and the optional ones.

use std::collections::BTreeSet;

use kube::{Client, CustomResourceExt};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};

use crate::{
    apis::{Apis, StrimziVersion},
    owned_kinds::OwnedKind,
};

/// Resources of one group and version that are served; none when the group is not.
async fn resources(client: &Client, group_version: &str) -> Result<BTreeSet<String>, kube::Error> {
    match client.list_api_group_resources(group_version).await {
        Ok(list) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
        // The answer about a group that is not served is no Status: it has a code and no reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// The optional APIs that are served now.
pub async fn apis(client: &Client) -> Result<Apis, kube::Error> {
    let mut apis = Apis::default();
    for version in [StrimziVersion::V1, StrimziVersion::V1Beta2] {
        let served = resources(client, &format!("kafka.strimzi.io/{}", version.as_str())).await?;
        if served.contains("kafkatopics") && served.contains("kafkausers") {
            apis.strimzi = Some(version);
            apis.optional.extend([OwnedKind::KafkaTopic, OwnedKind::KafkaUser]);
            break;
        }
    }
    let others =
        OwnedKind::all().filter(|kind| kind.row().optional && kind.row().group != "kafka.strimzi.io");
    let mut looked_at: Option<(String, BTreeSet<String>)> = None;
    for kind in others {
        let version = kind.api_version();
        let served = match &looked_at {
            Some((known, served)) if *known == version => served,
            _ => &looked_at.insert((version.clone(), resources(client, &version).await?)).1,
        };
        if served.contains(kind.row().plural) {
            apis.optional.insert(kind);
        }
    }
    Ok(apis)
}

/// Definitions of the operator's own kinds that the cluster does not serve.
pub async fn missing_definitions(client: &Client) -> Result<BTreeSet<String>, kube::Error> {
    let served = resources(client, parking_crds::manifest::API_VERSION).await?;
    let ours = [ParkingPipeline::crd_name(), AlertRule::crd_name(), StatsJob::crd_name()];
    Ok(ours
        .into_iter()
        .filter(|name| name.split('.').next().is_none_or(|plural| !served.contains(plural)))
        .map(str::to_owned)
        .collect())
}
