//! How soon an edit reaches the objects that it concerns.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use parking_crds::alert_rule::AlertRule;
use parking_e2e::kubernetes::{error::Result, wait::eventually};
use serde_json::json;

use crate::{
    clock,
    fleet::{Fleet, pipeline_name, rule_name},
};

/// How long an edit may take before the bench gives up.
const LIMIT: Duration = Duration::from_mins(1);

/// Makes so many edits one after another, rules and pipelines in turn; returns how long each took to arrive, in
/// seconds, shortest first.
pub(crate) async fn edits(fleet: &Fleet, count: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for edit in 0..count {
        // Neighbours in time are no neighbours in a namespace.
        let pipeline = edit * 7 % fleet.size.pipelines;
        let start = clock::now();
        if edit % 2 == 0 {
            edit_rule(fleet, pipeline).await?;
        } else {
            edit_pipeline(fleet, pipeline).await?;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// The value below which so many percent of the sorted values are.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

/// Another threshold, until it stands in the bundle that workers read.
async fn edit_rule(fleet: &Fleet, pipeline: usize) -> Result<()> {
    let (namespace, rule) = (fleet.namespace_of(pipeline), rule_name(pipeline));
    let rules: Api<AlertRule> = Api::namespaced(fleet.client(), namespace);
    let now = rules.get(&rule).await?.metadata.generation.unwrap_or_default();
    let value = format!("0.{:04}", 1_000 + now);
    let edit = json!({"spec": {"condition": {"threshold": {"value": value}}}});
    rules.patch(&rule, &PatchParams::default(), &Patch::Merge(edit)).await?;
    let shards: Api<ConfigMap> = Api::namespaced(fleet.client(), namespace);
    let (shard, key) = (format!("{}-rules-0", pipeline_name(pipeline)), format!("{rule}.yaml"));
    eventually(&format!("{namespace}/{shard} has {value} for {rule}"), LIMIT, async || {
        let shard = shards.get(&shard).await.map_err(|error| error.to_string())?;
        let text = shard.data.unwrap_or_default().remove(&key).unwrap_or_default();
        if text.contains(&value) { Ok(()) } else { Err(text) }
    })
    .await
}

/// Another number of ingest workers, until their Deployment wants it.
async fn edit_pipeline(fleet: &Fleet, pipeline: usize) -> Result<()> {
    let namespace = fleet.namespace_of(pipeline);
    let name = format!("{}-ingest", pipeline_name(pipeline));
    let deployments: Api<Deployment> = Api::namespaced(fleet.client(), namespace);
    let replicas =
        |deployment: Deployment| deployment.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    let wanted = if replicas(deployments.get(&name).await?) == 2 { 3 } else { 2 };
    let edit = json!({"spec": {"workers": {"ingest": {"replicas": wanted}}}});
    let pipelines = fleet.pipelines_beside(pipeline);
    pipelines.patch(&pipeline_name(pipeline), &PatchParams::default(), &Patch::Merge(edit)).await?;
    eventually(&format!("{namespace}/{name} has {wanted} replicas"), LIMIT, async || {
        let found = replicas(deployments.get(&name).await.map_err(|error| error.to_string())?);
        if found == wanted { Ok(()) } else { Err(format!("{found}")) }
    })
    .await
}

/// A pipeline whose object store takes connections and never answers; as long as this lives.
pub(crate) struct Stuck {
    _silent: TcpListener,
    _connection: TcpStream,
}

impl Stuck {
    /// Makes the pipeline, and waits until a look at it waits for its object store.
    pub(crate) async fn start(fleet: &Fleet) -> Result<Self> {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        silent.set_nonblocking(true)?;
        let mut manifest = fleet.manifest(0);
        manifest["metadata"]["name"] = json!("stuck");
        let store = &mut manifest["spec"]["objectStore"];
        store["endpoint"] = json!(format!("http://{}", silent.local_addr()?));
        store["bucket"] = json!("stuck");
        let how = PatchParams::apply("bench").force();
        fleet.pipelines_beside(0).patch("stuck", &how, &Patch::Apply(manifest)).await?;
        let first = eventually("the stuck pipeline asks its object store", LIMIT, async || {
            silent.accept().map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self { _silent: silent, _connection: first.0 })
    }
}
