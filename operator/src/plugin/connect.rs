//! From kubeconfig and options to a client, and from names to objects.

use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Failure, cli::Place};

/// A cluster, as its user sees it.
#[derive(Clone)]
pub struct Session {
    /// Talks with the user's own rights.
    pub client: Client,
    /// The namespace that is meant where none is named.
    pub namespace: String,
}

impl Session {
    /// Connects as kubectl would.
    pub async fn open(place: &Place) -> Result<Self, Failure> {
        let mut config = config(place).await?;
        if let Some(namespace) = &place.namespace {
            config.default_namespace = namespace.to_string();
        }
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(Failure::request("connecting to the API server"))?;
        Ok(Self { client, namespace })
    }

    /// Objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object of that name; where there is none, the names that there are.
    pub async fn find<K>(&self, name: &str) -> Result<K, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let kind = K::kind(&()).into_owned();
        let doing = format!("reading {kind} {}/{name}", self.namespace);
        if let Some(found) = self.api::<K>().get_opt(name).await.map_err(Failure::request(doing))? {
            return Ok(found);
        }
        let doing = format!("listing {} of namespace {}", K::plural(&()), self.namespace);
        let listed = self.api::<K>().list_metadata(&ListParams::default()).await;
        let listed = listed.map_err(Failure::request(doing))?;
        let known = listed.items.iter().map(ResourceExt::name_any).collect();
        Err(Failure::Unknown { kind, name: name.to_owned(), namespace: self.namespace.clone(), known })
    }
}

/// A manifest of one of our kinds with nothing but metadata.
pub(super) fn manifest<K: Resource<DynamicType = ()>>(metadata: &Value) -> Value {
    json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata})
}

async fn config(place: &Place) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &place.kubeconfig {
        return Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?);
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        // In a pod there is none, and the pod's own identity is meant.
        Err(error) if place.context.is_none() => Config::incluster().map_err(|_| error.into()),
        Err(error) => Err(error.into()),
    }
}
