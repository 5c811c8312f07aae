//! A namespace for one test: random name, told in full when the test fails, deleted when it ends.

use std::{env, fmt::Write as _, fs, io, thread};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace as Core, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams},
    discovery::{Discovery, Scope, verbs},
};
use rand::Rng as _;
use serde_json::Value;
use std::time::Duration;

use super::{
    cluster::Cluster,
    error::Result,
    objects::{self, api_of},
    wait::eventually,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A namespace that is deleted with the value. If the test panics, its objects go to a file first and its
/// events to standard error.
pub struct Namespace {
    cluster: Cluster,
    name: String,
}

impl Namespace {
    /// Makes one, and waits for its default service account, without which no pod can be made.
    ///
    /// # Errors
    /// When the API server refuses or the controllers do not act.
    pub async fn create(cluster: &Cluster) -> Result<Self> {
        let name = format!("test-{:08x}", rand::rng().random::<u32>());
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let api = Api::<Core>::all(cluster.client());
        api.create(&PostParams::default(), &Core { metadata, ..Core::default() }).await?;
        Self::of(cluster, &name).await
    }

    /// One that the test has made in another way, and that goes with the value all the same.
    ///
    /// # Errors
    /// When the controllers do not act.
    pub async fn of(cluster: &Cluster, name: &str) -> Result<Self> {
        let namespace = Self { cluster: cluster.clone(), name: name.to_owned() };
        let accounts = namespace.api::<ServiceAccount>();
        eventually("the default service account", LIMIT, async || {
            let found = accounts.get_opt("default").await.map_err(|error| error.to_string())?;
            found.map(|_| ()).ok_or_else(|| "none".to_owned())
        })
        .await?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// Objects of a known kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Applies a manifest of one or more documents; objects that name no namespace go into this one.
    ///
    /// # Errors
    /// When the text is no manifest or the API server refuses an object.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        objects::apply(&self.client(), &self.name, yaml).await
    }

    /// Every object in it that can be listed, without `managedFields`, as one list of JSON.
    ///
    /// # Errors
    /// When a list is refused.
    pub async fn content(&self) -> Result<Vec<Value>> {
        self.content_of(|_| true).await
    }

    /// The same of the kinds that `wanted` names.
    ///
    /// # Errors
    /// When a list is refused.
    pub async fn content_of(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>> {
        content(self.client(), &self.name, wanted).await
    }
}

async fn content(client: Client, namespace: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut found = Vec::new();
    for (resource, capabilities) in
        discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources)
    {
        let listed = capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
        if !listed || !wanted(&resource.kind) {
            continue;
        }
        let api = api_of(&client, &resource, &capabilities.scope, namespace);
        for mut object in api.list(&ListParams::default()).await? {
            object.metadata.managed_fields = None;
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            found.push(serde_json::to_value(&object).map_err(io::Error::from)?);
        }
    }
    Ok(found)
}

impl Drop for Namespace {
    #[expect(clippy::disallowed_methods, reason = "a destructor cannot wait in the test's own runtime")]
    fn drop(&mut self) {
        let failed = thread::panicking();
        let (kubeconfig, name) = (self.cluster.clone(), self.name.clone());
        // A new thread inherits the network namespace.
        let ended = thread::spawn(move || end(&kubeconfig, &name, failed)).join();
        if let Ok(Err(error)) = ended {
            eprintln!("namespace {}: {error}", self.name);
        }
    }
}

fn end(cluster: &Cluster, name: &str, failed: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // A client belongs to the runtime that made it.
        let client = cluster.another_client().await?;
        if failed {
            tell(client.clone(), name).await?;
        }
        if env::var_os("PARKING_KEEP_NAMESPACES").is_none() {
            Api::<Core>::all(client).delete(name, &DeleteParams::background()).await?;
        }
        Ok(())
    })
}

async fn tell(client: Client, name: &str) -> Result<()> {
    let objects = content(client, name, |_| true).await?;
    let file = env::temp_dir().join(format!("parking-e2e-{name}.json"));
    fs::write(&file, serde_json::to_vec_pretty(&objects).map_err(io::Error::from)?)?;
    let mut told = format!("{} objects of {name} are in {}\n", objects.len(), file.display());
    for event in objects.iter().filter(|object| object["kind"] == "Event") {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let about = text("/involvedObject/kind").to_owned() + text("/regarding/kind");
        let which = text("/involvedObject/name").to_owned() + text("/regarding/name");
        let what = text("/message").to_owned() + text("/note");
        // Writing to a string cannot fail.
        let _ = writeln!(told, "  {} {about}/{which}: {} {what}", text("/type"), text("/reason"));
    }
    eprint!("{told}");
    Ok(())
}
