//! The Lease at the API server: read, and replaced only as it was seen.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use super::candidate::{LeaseSeen, Terms};
use crate::{gate::LeaseName, labels::MANAGER, wall_clock};

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// Someone else wrote it since it was seen.
    #[error("another replica wrote the Lease first")]
    Conflict,
    /// The answer is no usable Lease.
    #[error("the Lease that the API server answered has no version")]
    NoVersion,
    /// Anything else.
    #[error(transparent)]
    Api(kube::Error),
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            error => Self::Api(error),
        }
    }
}

/// The one Lease of the election.
pub(super) struct LeaseStore {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
}

impl LeaseStore {
    pub(super) fn new(client: Client, lease: &LeaseName, terms: &Terms) -> Self {
        Self {
            api: Api::namespaced(client, &lease.namespace),
            name: lease.name.clone(),
            identity: terms.identity.clone(),
            duration: terms.duration,
        }
    }

    /// The Lease, if there is one.
    pub(super) async fn read(&self) -> Result<Option<LeaseSeen>, LeaseError> {
        self.api.get_opt(&self.name).await?.map(seen).transpose()
    }

    /// Makes this replica the holder, if the Lease is still as it was seen.
    pub(super) async fn hold(&self, before: Option<&LeaseSeen>) -> Result<LeaseSeen, LeaseError> {
        let kept = before.is_some_and(|before| before.holder.as_ref() == Some(&self.identity));
        let transitions = before.map_or(0, |before| before.transitions.saturating_add(i32::from(!kept)));
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        let lease = self.lease(before, Some(self.identity.clone()), transitions, seconds);
        match before {
            None => seen(self.api.create(&PostParams::default(), &lease).await?),
            Some(_) => self.replace(&lease).await,
        }
    }

    /// Leaves the Lease without a holder.
    pub(super) async fn release(&self, before: &LeaseSeen) -> Result<(), LeaseError> {
        let lease = self.lease(Some(before), None, before.transitions, 1);
        self.replace(&lease).await.map(|_| ())
    }

    async fn replace(&self, lease: &Lease) -> Result<LeaseSeen, LeaseError> {
        seen(self.api.replace(&self.name, &PostParams::default(), lease).await?)
    }

    fn lease(
        &self,
        before: Option<&LeaseSeen>,
        holder: Option<String>,
        transitions: i32,
        seconds: i32,
    ) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: before.map(|before| before.resource_version.clone()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder,
                lease_duration_seconds: Some(seconds),
                lease_transitions: Some(transitions),
                renew_time: Some(MicroTime(wall_clock::now())),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn seen(lease: Lease) -> Result<LeaseSeen, LeaseError> {
    let spec = lease.spec.unwrap_or_default();
    Ok(LeaseSeen {
        resource_version: lease.metadata.resource_version.ok_or(LeaseError::NoVersion)?,
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(
            spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0),
        ),
        transitions: spec.lease_transitions.unwrap_or(0),
    })
}
