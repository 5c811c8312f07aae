//! Installs custom resource definitions: ours as committed, and those of the projects that the operator works with.

use std::{fs, path::Path, time::Duration};

use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};

use crate::locate::repository;

use super::{
    error::{Error, Result},
    wait::eventually,
};

const LIMIT: Duration = Duration::from_mins(1);

/// Whose definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `crds/generated`.
    Ours,
    /// Kafka, topics, users and node pools.
    Strimzi,
    /// Kafka, topics and users of a Strimzi that knows v1beta2 alone: to be installed where the others are not.
    OldStrimzi,
    /// Scaled objects and their authentication.
    Keda,
    /// Pod monitors and rules of the prometheus-operator.
    Monitoring,
    /// Spark applications: a stand-in, see `e2e/crds/README.md`.
    Spark,
}

/// Definitions to install or to remove.
#[derive(Clone, Debug, Default)]
pub struct Definitions(Vec<CustomResourceDefinition>);

impl Definitions {
    /// Every definition in its newest version.
    ///
    /// # Errors
    /// When a file is missing or is no definition.
    pub fn all() -> Result<Self> {
        Self::of(&[Family::Ours, Family::Strimzi, Family::Keda, Family::Monitoring, Family::Spark])
    }

    /// The definitions of these families.
    ///
    /// # Errors
    /// When a file is missing or is no definition.
    pub fn of(families: &[Family]) -> Result<Self> {
        let files = families.iter().flat_map(|family| family.files().iter());
        files.map(|file| read(file)).collect::<Result<_>>().map(Self)
    }

    /// Their names, `PLURAL.GROUP`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(kube::ResourceExt::name_any)
    }
}

impl Family {
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &[
                "crds/generated/parkingpipelines.yaml",
                "crds/generated/alertrules.yaml",
                "crds/generated/statsjobs.yaml",
            ],
            Self::Strimzi => &[
                "e2e/crds/generated/kafkas.yaml",
                "e2e/crds/generated/kafkanodepools.yaml",
                "e2e/crds/generated/kafkatopics.yaml",
                "e2e/crds/generated/kafkausers.yaml",
            ],
            Self::OldStrimzi => &[
                "e2e/crds/generated/strimzi-0.48/kafkas.yaml",
                "e2e/crds/generated/strimzi-0.48/kafkatopics.yaml",
                "e2e/crds/generated/strimzi-0.48/kafkausers.yaml",
            ],
            Self::Keda => {
                &["e2e/crds/generated/scaledobjects.yaml", "e2e/crds/generated/triggerauthentications.yaml"]
            }
            Self::Monitoring => {
                &["e2e/crds/generated/podmonitors.yaml", "e2e/crds/generated/prometheusrules.yaml"]
            }
            Self::Spark => &["e2e/crds/standins/sparkapplications.yaml"],
        }
    }
}

fn read(file: &str) -> Result<CustomResourceDefinition> {
    let text = fs::read_to_string(repository().join(Path::new(file)))?;
    serde_saphyr::from_str(&text).map_err(|error| Error::Manifest(format!("{file}: {error}")))
}

/// Installs the definitions, or changes them, and waits until they are served.
///
/// # Errors
/// When the API server refuses one or does not serve it within a minute.
pub async fn install(client: &Client, definitions: &Definitions) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let how = PatchParams::apply("e2e-definitions").force();
    try_join_all(definitions.0.iter().map(async |definition| {
        let name = definition.name_any();
        api.patch(&name, &how, &Patch::Apply(definition)).await?;
        eventually(&format!("{name} is served"), LIMIT, async || {
            let found = api.get(&name).await.map_err(|error| error.to_string())?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let established = conditions.iter().any(|c| c.type_ == "Established" && c.status == "True");
            established.then_some(()).ok_or_else(|| format!("{conditions:?}"))
        })
        .await
    }))
    .await?;
    Ok(())
}

/// Removes the definitions with all their objects, and waits until they are gone.
///
/// # Errors
/// When the API server refuses, or one is still there after a minute.
pub async fn remove(client: &Client, definitions: &Definitions) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    try_join_all(definitions.names().map(async |name| {
        if let Err(error) = api.delete(&name, &DeleteParams::default()).await
            && !matches!(&error, kube::Error::Api(status) if status.is_not_found())
        {
            return Err(Error::from(error));
        }
        eventually(&format!("{name} is gone"), LIMIT, async || match api.get_opt(&name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("still there".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }))
    .await?;
    Ok(())
}
