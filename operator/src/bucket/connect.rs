//! A client for one bucket that talks only where it may, and reads only so much.

use std::{
    error::Error,
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, HttpClient, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use parking_crds::names::BucketName;

use super::Failure;
use crate::{bucket::Cause, problem::Problem, validate::KeptSecret};

/// Longest time for one call, with its retries.
const CALL: Duration = Duration::from_secs(10);
/// Longest time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Longest time to be connected.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest answer that is read, in bytes: a page of 1,000 keys stays below it.
const ANSWER: usize = 4 << 20;

/// Whether the operator may talk to an address. Asked for each address of a name, and for literal ones.
pub type ConnectPolicy = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// How buckets are talked to. Those whose services the system's authorities vouch for share one HTTP client: each
/// client holds all of the authorities and connections of its own.
pub struct Connections {
    policy: ConnectPolicy,
    shared: OnceLock<SharedHttpClient>,
    own_login: OnceLock<SharedHttpClient>,
}

impl Connections {
    /// Connections to the addresses that the policy allows; nothing is connected yet.
    pub fn new(policy: ConnectPolicy) -> Self {
        Self { policy, shared: OnceLock::new(), own_login: OnceLock::new() }
    }

    fn client(&self, ca: Option<&[u8]>) -> Result<SharedHttpClient, AccessError> {
        if let (None, Some(shared)) = (ca, self.shared.get()) {
            return Ok(shared.clone());
        }
        let made = http_client(ca, Arc::clone(&self.policy))?;
        Ok(if ca.is_none() { self.shared.get_or_init(|| made).clone() } else { made })
    }

    /// The client that asks for the operator's own identity.
    fn own_login(&self) -> SharedHttpClient {
        let make = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
        self.own_login.get_or_init(make).clone()
    }
}

/// How to get at a bucket.
#[derive(Clone, Debug)]
pub struct Access {
    /// URL of the service; `None` means AWS in the region.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// The bucket.
    pub bucket: BucketName,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// Certificate authorities as PEM, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Who the operator says that it is.
    pub login: Login,
}

/// Who the operator says that it is.
#[derive(Clone, Debug)]
pub enum Login {
    /// Keys of a Secret.
    Keys {
        /// The member `accessKey`.
        access_key: String,
        /// The member `secretKey`.
        secret_key: KeptSecret,
        /// The member `sessionToken`, for keys that expire.
        session_token: Option<KeptSecret>,
    },
    /// The operator's own identity: environment, web identity, container or instance.
    Own,
}

/// The access cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The endpoint is no URL.
    #[error("spec.objectStore.endpoint is no URL of the form http(s)://host[:port]: correct it")]
    Endpoint,
    /// The endpoint is an address that may not be talked to.
    #[error("spec.objectStore.endpoint: {}", Failure::new(Cause::Address))]
    Address,
    /// The authority cannot be read.
    #[error("ca.crt in the Secret of spec.objectStore.caSecretRef holds no certificate in PEM: correct it")]
    Authority,
}

impl AccessError {
    /// The problem that it is.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Address => Failure::new(Cause::Address).problem("use spec.objectStore.endpoint"),
            Self::Endpoint | Self::Authority => {
                Problem::invalid(parking_crds::condition::ConditionType::BucketReady, self.to_string())
            }
        }
    }
}

/// A client for one bucket. Cheap to clone; keeps its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) client: Client,
    pub(super) bucket: BucketName,
    pub(super) region: String,
}

impl Store {
    /// A client for one bucket; nothing is sent yet.
    pub async fn connect(access: Access, connections: &Connections) -> Result<Self, AccessError> {
        if let Some(endpoint) = &access.endpoint {
            check_endpoint(endpoint, &connections.policy)?;
        }
        let region = Region::new(access.region.clone());
        let http = connections.client(access.ca.as_deref())?;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(http)
            .force_path_style(access.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(CALL)
                    .build(),
            )
            .credentials_provider(credentials(access.login, region, connections).await);
        config.set_endpoint_url(access.endpoint);
        let client = Client::from_conf(config.build());
        Ok(Self { client, bucket: access.bucket, region: access.region })
    }
}

async fn credentials(login: Login, region: Region, connections: &Connections) -> SharedCredentialsProvider {
    match login {
        Login::Keys { access_key, secret_key, session_token } => {
            SharedCredentialsProvider::new(Credentials::new(
                access_key,
                secret_key.0,
                session_token.map(|token| token.0),
                None,
                "credentialsSecretRef",
            ))
        }
        Login::Own => {
            let context = aws_config::provider_config::ProviderConfig::default()
                .with_region(Some(region.clone()))
                .with_http_client(connections.own_login());
            let chain = aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
                .region(region)
                .configure(context)
                .build()
                .await;
            SharedCredentialsProvider::new(chain)
        }
    }
}

/// Names are judged when they are resolved; a literal address never is, so it is judged here.
fn check_endpoint(endpoint: &str, policy: &ConnectPolicy) -> Result<(), AccessError> {
    let uri: http::Uri = endpoint.parse().map_err(|_| AccessError::Endpoint)?;
    let host = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
    let host = host.ok_or(AccessError::Endpoint)?;
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !policy(address) => Err(AccessError::Address),
        _ => Ok(()),
    }
}

fn http_client(ca: Option<&[u8]>, policy: ConnectPolicy) -> Result<SharedHttpClient, AccessError> {
    let mut trust = TrustStore::empty().with_native_roots(ca.is_none());
    if let Some(pem) = ca {
        let marker = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(marker.len()).any(|window| window == marker) {
            return Err(AccessError::Authority);
        }
        trust = trust.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|_| AccessError::Authority)?;
    let inner = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_with_resolver(Resolver { policy });
    Ok(SharedHttpClient::new(Bounded { inner }))
}

/// The address of a name is one that the operator may not talk to.
#[derive(Debug, thiserror::Error)]
#[error("the address is not allowed")]
pub(super) struct Refused;

/// Looks names up and refuses addresses; what it returns is what is connected to, so a name cannot change between.
#[derive(Clone)]
struct Resolver {
    policy: ConnectPolicy,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
        let all: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if all.iter().all(|address| (self.policy)(*address)) {
            Ok(all)
        } else {
            Err(ResolveDnsError::new(Refused))
        }
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.resolve(name))
    }
}

/// A client whose answers end with an error beyond [`ANSWER`] bytes.
#[derive(Debug)]
struct Bounded {
    inner: SharedHttpClient,
}

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(BoundedConnector { inner: self.inner.http_connector(settings, components) })
    }
}

#[derive(Debug)]
struct BoundedConnector {
    inner: SharedHttpConnector,
}

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            Ok(answer.await?.map(|body| {
                SdkBody::from_body_1_x::<_, Box<dyn Error + Send + Sync>>(Limited::new(body, ANSWER))
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_loopback() -> ConnectPolicy {
        Arc::new(|address| !address.is_loopback())
    }

    #[test]
    fn a_literal_address_is_judged_before_anything_is_sent() {
        for endpoint in ["http://127.0.0.1:9000", "https://[::1]/x"] {
            assert_eq!(check_endpoint(endpoint, &no_loopback()), Err(AccessError::Address), "{endpoint}");
        }
        assert_eq!(check_endpoint("http://10.0.0.1:9000", &no_loopback()), Ok(()));
    }

    #[test]
    fn an_endpoint_is_an_http_url() {
        for endpoint in ["minio:9000", "ftp://minio", "/x", ""] {
            assert_eq!(check_endpoint(endpoint, &no_loopback()), Err(AccessError::Endpoint), "{endpoint}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let refused = Resolver { policy: no_loopback() }.resolve("localhost").await.unwrap_err();
        assert!(refused.source().unwrap().is::<Refused>());
        let allowed = Resolver { policy: Arc::new(|_| true) }.resolve("localhost").await.unwrap();
        assert!(!allowed.is_empty());
    }
}
