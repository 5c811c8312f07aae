//! A bucket's part below a prefix, as bytes under keys.
//!
//! Must not block a caller beyond its limit, nor depend on the caller's runtime: connections live on a
//! thread of their own, so that one that ends with a short-lived runtime never fails another's request.

use std::{env, io, sync::Arc, sync::OnceLock, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error as StoreError, ObjectStore, ObjectStoreExt, PutMode,
    PutPayload, RetryConfig, WriteMultipart,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut},
    client::SpawnedReqwestConnector,
    path::Path,
};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{S3Settings, exact::ExactStore, failure::S3Failure};
use crate::{
    ports::{ErrorKind, PortError, PortResult},
    sentence::sentence,
};

/// A body above this is put in parts.
const LARGEST_PUT: usize = 16 * 1024 * 1024;
const PART: usize = 8 * 1024 * 1024;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;
/// Repetitions of a request that may be repeated.
const RETRIES: usize = 4;

/// What of the environment is read, and only where no keys are given.
const IDENTITY: [(&str, Key); 10] = [
    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Key::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
];

/// How a put went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters) enum Put {
    /// The key holds the body.
    Done,
    /// The key holds something else, which is unchanged.
    Differs,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::adapters) struct Bucket {
    store: Arc<ExactStore>,
    name: String,
    prefix: String,
    limit: Duration,
}

impl Bucket {
    /// A client; nothing is asked yet.
    pub(in crate::adapters) fn open(settings: &S3Settings) -> PortResult<Self> {
        let attempt = format!("opening bucket {}", settings.bucket);
        let refuse = |reason: String| PortError::caused(ErrorKind::Invalid, attempt.clone(), reason);
        let prefix = settings.prefix.as_str();
        if !prefix.ends_with('/') || prefix.contains([':', '{', '}']) || prefix.contains("//") {
            let reason = format!("prefix `{prefix}` is no path that ends with `/`, such as `parking/city/`");
            return Err(refuse(reason));
        }
        let io = connections().map_err(|error| refuse(error.to_string()))?;
        let steady = builder(settings, io).map_err(|error| refuse(sentence(&error)))?;
        let once = steady.clone().with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        let steady = steady.build().map_err(|error| refuse(sentence(&error)))?;
        let once = once.with_credentials(Arc::clone(steady.credentials()));
        let once = once.build().map_err(|error| refuse(sentence(&error)))?;
        Ok(Self {
            store: Arc::new(ExactStore::new(steady, once)),
            name: settings.bucket.to_string(),
            prefix: prefix.to_owned(),
            limit: settings.limits.call.into(),
        })
    }

    /// The whole bucket as a store.
    pub(in crate::adapters) fn root(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as Arc<dyn ObjectStore>
    }

    /// URL of a folder below the prefix.
    pub(in crate::adapters) fn url(&self, folder: &str) -> String {
        format!("s3://{}/{}{folder}/", self.name, self.prefix)
    }

    /// Longest time of a call.
    pub(in crate::adapters) fn limit(&self) -> Duration {
        self.limit
    }

    /// Makes an object; answers whether it was made.
    pub(in crate::adapters) async fn create(&self, key: &str, body: Bytes) -> Result<bool, S3Failure> {
        let at = self.path(key)?;
        let made = self.store.put_opts(&at, PutPayload::from_bytes(body), PutMode::Create.into());
        match self.limited(made).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(S3Failure::of(&error)),
        }
    }

    /// Makes an object, or finds that the key holds these bytes or others.
    pub(in crate::adapters) async fn put(&self, key: &str, body: Bytes) -> Result<Put, S3Failure> {
        if body.len() <= LARGEST_PUT && self.create(key, body.clone()).await? {
            return Ok(Put::Done);
        }
        match self.get(key).await? {
            Some(there) if there == body => Ok(Put::Done),
            Some(_) => Ok(Put::Differs),
            None => self.replace(key, body).await.map(|()| Put::Done),
        }
    }

    /// Puts an object in the place of what is there.
    pub(in crate::adapters) async fn replace(&self, key: &str, body: Bytes) -> Result<(), S3Failure> {
        let at = self.path(key)?;
        let put = async {
            if body.len() <= LARGEST_PUT {
                return self.store.put(&at, PutPayload::from_bytes(body)).await.map(|_| ());
            }
            let upload = self.store.put_multipart(&at).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
            for start in (0..body.len()).step_by(PART) {
                upload.wait_for_capacity(PARTS_AT_ONCE).await?;
                upload.put(body.slice(start..body.len().min(start + PART)));
            }
            // Gives up the parts when it fails.
            upload.finish().await.map(|_| ())
        };
        self.limited(put).await.map_err(|error| S3Failure::of(&error))
    }

    /// The object, if it exists.
    pub(in crate::adapters) async fn get(&self, key: &str) -> Result<Option<Bytes>, S3Failure> {
        let at = self.path(key)?;
        match self.limited(async { self.store.get(&at).await?.bytes().await }).await {
            Ok(body) => Ok(Some(body)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(S3Failure::of(&error)),
        }
    }

    /// Keys below the prefix that begin with `begin`, in order. Pages are followed to the end.
    pub(in crate::adapters) async fn list(&self, begin: &str) -> Result<Vec<String>, S3Failure> {
        let folder = begin.rsplit_once('/').map_or("", |(folder, _)| folder);
        let at = self.path(folder)?;
        let found = self.limited(self.store.list(Some(&at)).try_collect::<Vec<_>>()).await;
        let found = found.map_err(|error| S3Failure::of(&error))?;
        let key = |path: &Path| path.as_ref().strip_prefix(&self.prefix).map(str::to_owned);
        let mut keys: Vec<String> = found.iter().filter_map(|object| key(&object.location)).collect();
        keys.retain(|key| key.starts_with(begin));
        keys.sort_unstable();
        Ok(keys)
    }

    /// Removes an object; one that is not there is fine.
    pub(in crate::adapters) async fn delete(&self, key: &str) -> Result<(), S3Failure> {
        let at = self.path(key)?;
        match self.limited(self.store.delete(&at)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(S3Failure::of(&error)),
        }
    }

    fn path(&self, key: &str) -> Result<Path, S3Failure> {
        Path::parse(format!("{}{key}", self.prefix)).map_err(|_| S3Failure::refused())
    }

    async fn limited<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(self.limit, call).await;
        answer.unwrap_or_else(|_| Err(S3Failure::unanswered().store_error()))
    }
}

/// Where the connections of all buckets live.
fn connections() -> io::Result<Handle> {
    static CONNECTIONS: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = CONNECTIONS.get() {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("s3").enable_all().build()?;
    if let Err(second) = CONNECTIONS.set(made) {
        // Another thread was quicker; to drop a runtime where one runs would panic.
        second.shutdown_background();
    }
    connections()
}

fn builder(settings: &S3Settings, io: Handle) -> Result<AmazonS3Builder, StoreError> {
    let limits = &settings.limits;
    let mut client =
        ClientOptions::new().with_connect_timeout(limits.connect.into()).with_timeout(limits.request.into());
    for certificate in settings.ca.iter().map(|ca| Certificate::from_pem_bundle(ca.as_bytes())) {
        for certificate in certificate? {
            client = client.with_root_certificate(certificate);
        }
    }
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_secs(2),
        base: 3.0,
    };
    let retry_timeout = limits.call.into();
    let mut builder = AmazonS3Builder::new()
        .with_region(&settings.region)
        .with_bucket_name(settings.bucket.as_str())
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout })
        .with_http_connector(SpawnedReqwestConnector::new(io));
    if let Some(endpoint) = &settings.endpoint {
        client = client.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint_of(settings, endpoint));
    }
    match &settings.credentials {
        Some(keys) => {
            builder = builder.with_access_key_id(&keys.access_key).with_secret_access_key(&keys.secret_key);
        }
        None => {
            for (name, key) in IDENTITY {
                if let Ok(value) = env::var(name) {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    Ok(builder.with_client_options(client))
}

/// With the bucket in the host name, the client wants it there.
fn endpoint_of(settings: &S3Settings, endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !settings.path_style => format!("{scheme}://{}.{host}", settings.bucket),
        _ => endpoint.to_owned(),
    }
}
