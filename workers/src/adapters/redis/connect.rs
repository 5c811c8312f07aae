//! One connection: opened within its time, logged in, and a master's checked to be one.
//!
//! Must not: say a password in an error.

use std::{future::Future, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind as RedisErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates,
    aio::{MultiplexedConnection, PubSub},
    cmd,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::time::timeout;

use super::settings::{Address, Login, RedisSettings, SettingsError, Tls};

/// A peer that is gone without a word is noticed in this time even where nothing is asked.
const SILENCE: Duration = Duration::from_secs(5);

/// Why a server or sentinel cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Nobody answers in time.
    #[error("{0} does not answer in time")]
    Silent(Address),
    /// The connection cannot be made, or broke.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Address, RedisError),
    /// The login is wrong.
    #[error("{0} refuses the login: check user and password of the Secret")]
    Login(Address),
    /// Another answer than expected.
    #[error("{0} is a {1}, not the master")]
    NotMaster(Address, String),
}

/// Opens connections as the settings say.
#[derive(Debug)]
pub(super) struct Connector {
    settings: RedisSettings,
}

impl Connector {
    /// Refuses what cannot be connected with.
    pub(super) fn new(settings: RedisSettings) -> Result<Self, SettingsError> {
        if settings.tls.is_some() && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only where another was installed meanwhile.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let connector = Self { settings };
        if let Some(Tls { ca: Some(ca) }) = &connector.settings.tls {
            if !ca.windows(5).any(|part| part == b"BEGIN") {
                return Err(SettingsError::Ca("the file has no certificate".to_owned()));
            }
            let nobody = Address { host: "localhost".to_owned(), port: 1 };
            let made = connector.client(&nobody, None);
            made.map_err(|error| SettingsError::Ca(error.to_string()))?;
        }
        Ok(connector)
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    fn client(&self, address: &Address, login: Option<&Login>) -> Result<Client, RedisError> {
        let mut account = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(Login { user, password }) = login {
            account = account.set_password(password);
            if let Some(user) = user {
                account = account.set_username(user);
            }
        }
        let (host, port) = (address.host.clone(), address.port);
        let place = match self.settings.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE).with_retries(2);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = (address.host.as_str(), port).into_connection_info()?;
        let info = info.set_addr(place).set_redis_settings(account).set_tcp_settings(tcp);
        match &self.settings.tls {
            Some(Tls { ca: Some(ca) }) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) };
                Client::build_with_tls(info, certificates)
            }
            _ => Client::open(info),
        }
    }

    /// Waits no longer than settings say for what a peer answers.
    async fn within<T>(
        &self,
        address: &Address,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, ConnectError> {
        match timeout(self.settings.connect_timeout, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_login(&error) => Err(ConnectError::Login(address.clone())),
            Ok(Err(error)) => Err(ConnectError::Unreachable(address.clone(), error)),
            Err(_) => Err(ConnectError::Silent(address.clone())),
        }
    }

    async fn open(
        &self,
        address: &Address,
        login: Option<&Login>,
    ) -> Result<MultiplexedConnection, RedisError> {
        // Times are kept here, where it is known how much a command carries.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        self.client(address, login)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The address that a sentinel names for the master; `None` if it knows none of that name.
    pub(super) async fn ask_sentinel(&self, sentinel: &Address) -> Result<Option<Address>, ConnectError> {
        let question = async {
            let mut connection = self.open(sentinel, self.settings.sentinel_login.as_ref()).await?;
            let mut ask = cmd("SENTINEL");
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.settings.master_name);
            ask.query_async::<Option<(String, u16)>>(&mut connection).await
        };
        let named = self.within(sentinel, question).await?;
        Ok(named.map(|(host, port)| Address { host, port }))
    }

    /// A sentinel's messages on changes of masters.
    pub(super) async fn listen(&self, sentinel: &Address) -> Result<PubSub, ConnectError> {
        let subscription = async {
            let client = self.client(sentinel, self.settings.sentinel_login.as_ref())?;
            let mut messages = client.get_async_pubsub().await?;
            messages.subscribe("+switch-master").await?;
            Ok(messages)
        };
        self.within(sentinel, subscription).await
    }

    /// A connection to a server that says it is the master.
    pub(super) async fn open_master(&self, address: &Address) -> Result<MultiplexedConnection, ConnectError> {
        let opening = async {
            let mut connection = self.open(address, self.settings.login.as_ref()).await?;
            let role = role(&mut connection).await?;
            Ok((connection, role))
        };
        match self.within(address, opening).await? {
            (connection, role) if role == MASTER => Ok(connection),
            (_, role) => Err(ConnectError::NotMaster(address.clone(), role)),
        }
    }
}

/// What a master says of itself.
pub(super) const MASTER: &str = "master";

/// What a server says it is.
pub(super) async fn role(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let answer: redis::Value = cmd("ROLE").query_async(connection).await?;
    let redis::Value::Array(parts) = answer else { return Ok(String::new()) };
    parts.into_iter().next().map_or(Ok(String::new()), |part| Ok(redis::from_redis_value(part)?))
}

fn is_login(error: &RedisError) -> bool {
    error.kind() == RedisErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}
