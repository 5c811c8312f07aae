//! One look at a pipeline's bucket: connect when the access changed, check cheaply, mend when it changed.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use parking_crds::{
    condition::ConditionType,
    names::ObjectName,
    pipeline::ParkingPipeline,
    topology::{PipelineId, Topology},
};

use crate::{
    bucket::{Access, BucketReport, Login, OwnerKey, Store, TAKE_OVER, Wanted},
    live::Observed,
    monotonic::{self, Instant},
    problem::Problem,
    validate::KeptSecret,
};

use super::Context;

/// How long a bucket that was fine is believed to be.
const BELIEVED: Duration = Duration::from_mins(5);

/// What is known of a pipeline's bucket.
#[derive(Clone)]
pub(super) struct KnownBucket {
    access: String,
    store: Store,
    wanted: Wanted,
    report: BucketReport,
    looked: Instant,
}

/// Makes sure that the bucket is as it shall be.
pub(super) async fn look(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    topology: &Topology,
    observed: &Observed,
    context: &Context,
) -> BucketReport {
    let wanted = wanted(pipeline, id, topology, context);
    let (fingerprint, access) = match access(pipeline, id, observed) {
        Ok(access) => access,
        Err(problem) => return BucketReport { problems: vec![problem], ..BucketReport::default() },
    };
    let known = context.remember(id, |memory| memory.bucket.clone());
    let known = known.filter(|known| known.access == fingerprint && known.wanted == wanted);
    if let Some(known) = &known
        && is_fresh(known)
    {
        return known.report.clone();
    }
    let store = match known {
        Some(known) => known.store,
        None => match Store::connect(access, &context.buckets).await {
            Ok(store) => store,
            Err(error) => {
                context.remember(id, |memory| memory.bucket = None);
                return BucketReport { problems: vec![error.problem()], ..BucketReport::default() };
            }
        },
    };
    let report = store.ensure(&wanted).await;
    let known =
        KnownBucket { access: fingerprint, store, wanted, report: report.clone(), looked: monotonic::now() };
    context.remember(id, |memory| memory.bucket = Some(known));
    report
}

fn is_fresh(known: &KnownBucket) -> bool {
    known.report.problems.is_empty() && monotonic::now() - known.looked < BELIEVED
}

fn wanted(pipeline: &ParkingPipeline, id: &PipelineId, topology: &Topology, context: &Context) -> Wanted {
    Wanted {
        bucket: topology.bucket.name.clone(),
        prefix: topology.bucket.prefix.clone(),
        create: topology.bucket.create,
        owner: OwnerKey::new(context.cluster.clone(), id),
        take_over: pipeline.annotations().get(TAKE_OVER).is_some_and(|value| value == "true"),
    }
}

/// A client for the bucket of a pipeline, with the newest credentials.
pub(super) async fn connect(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    observed: &Observed,
    context: &Context,
) -> Result<Store, Problem> {
    let (_, access) = access(pipeline, id, observed)?;
    Store::connect(access, &context.buckets).await.map_err(|error| error.problem())
}

/// The client of a pipeline's bucket that the last look at the pipeline made.
pub(super) fn of_pipeline(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    context: &Context,
) -> Result<Store, Problem> {
    let known = context.remember(id, |memory| memory.bucket.as_ref().map(|known| known.store.clone()));
    known.ok_or_else(|| {
        Problem::waiting(
            ConditionType::BucketReady,
            format!(
                "the bucket of ParkingPipeline {} is not ready yet: see its condition BucketReady",
                pipeline.name_any()
            ),
        )
    })
}

/// What a purge of the bucket is for.
pub(super) fn wanted_for_purge(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    topology: &Topology,
    context: &Context,
) -> Wanted {
    wanted(pipeline, id, topology, context)
}

/// How to get at the bucket, and a text that changes with it.
fn access(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    observed: &Observed,
) -> Result<(String, Access), Problem> {
    let spec = &pipeline.spec.object_store;
    let secret = |name: &ObjectName| {
        observed
            .secret(&id.namespace, name)
            .ok_or_else(|| Problem::missing_secret(ConditionType::BucketReady, &id.namespace, name))
    };
    let mut versions = format!("{spec:?}");
    let login = match &spec.credentials_secret_ref {
        None => Login::Own,
        Some(reference) => {
            let secret = secret(&reference.name)?;
            versions.push_str(&secret.resource_version().unwrap_or_default());
            Login::Keys {
                access_key: member(secret, &reference.name, "accessKey")?,
                secret_key: KeptSecret(member(secret, &reference.name, "secretKey")?),
                session_token: member(secret, &reference.name, "sessionToken").ok().map(KeptSecret),
            }
        }
    };
    let ca = match &spec.ca_secret_ref {
        None => None,
        Some(reference) => {
            let secret = secret(&reference.name)?;
            versions.push_str(&secret.resource_version().unwrap_or_default());
            Some(member(secret, &reference.name, "ca.crt")?.into_bytes())
        }
    };
    let access = Access {
        endpoint: spec.endpoint.clone(),
        region: spec.region().to_owned(),
        bucket: spec.bucket.clone(),
        path_style: spec.path_style(),
        ca,
        login,
    };
    Ok((versions, access))
}

fn member(secret: &Secret, name: &ObjectName, key: &str) -> Result<String, Problem> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.and_then(|value| String::from_utf8(value.0.clone()).ok()).ok_or_else(|| {
        Problem::invalid(
            ConditionType::BucketReady,
            format!("Secret {name} has no text under the key {key}: add it"),
        )
    })
}
