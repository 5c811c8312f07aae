//! Where the Redis is and how to log in: checked once, before anything is connected.
//!
//! Must not: show a password, in debug output either.

use std::{fmt, str::FromStr, time::Duration};

use parking_crds::names::KeyPrefix;

/// Longest time that may be set for a command or a connection.
pub const LONGEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The port of a sentinel whose address names none.
const SENTINEL_PORT: u16 = 26379;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No sentinel is named.
    #[error("sentinels: name at least one as host:port")]
    NoSentinel,
    /// An address cannot be read.
    #[error("sentinels: `{0}` is not host:port, such as redis-sentinel:26379")]
    Sentinel(String),
    /// The master has no name.
    #[error("masterName: name the master as the sentinels do, such as mymaster")]
    MasterName,
    /// A time is none, or too long.
    #[error("{field}: must be between 1 and 500 ms")]
    Timeout {
        /// The setting.
        field: &'static str,
    },
    /// The certificate authority cannot be read.
    #[error("ca: holds no certificate in PEM: {0}")]
    Ca(String),
}

/// Host and port of a server or sentinel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Sentinel(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without brackets has colons too, and no port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (text, SENTINEL_PORT),
        };
        let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(odd) || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user; absent means the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Encrypted connections, to servers and sentinels alike. The addresses that the sentinels announce must
/// stand in the servers' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate authority in PEM; absent means those that the system trusts.
    pub ca: Option<Vec<u8>>,
}

/// What the store is told; [`Self::checked`] by whoever opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// The sentinels.
    pub sentinels: Vec<Address>,
    /// Name under which the sentinels know the master.
    pub master_name: String,
    /// First part of every key.
    pub prefix: KeyPrefix,
    /// Login at the servers.
    pub login: Option<Login>,
    /// Login at the sentinels.
    pub sentinel_login: Option<Login>,
    /// Whether connections are encrypted.
    pub tls: Option<Tls>,
    /// Replicas that must have a commit before it counts; 0 waits for none. With 0 a fail-over may take
    /// back commits that were answered: the state is then older, but whole.
    pub wait_replicas: u8,
    /// Longest wait for a master, and then for an answer, 500 ms at most. Calls that carry much, or stand
    /// behind such, get a second more for each 16 MiB.
    pub command_timeout: Duration,
    /// Longest wait for a connection, 500 ms at most.
    pub connect_timeout: Duration,
}

impl RedisSettings {
    /// Settings with the usual times, without login or TLS, waiting for no replica.
    pub fn new(sentinels: Vec<Address>, master_name: impl Into<String>, prefix: KeyPrefix) -> Self {
        Self {
            sentinels,
            master_name: master_name.into(),
            prefix,
            login: None,
            sentinel_login: None,
            tls: None,
            wait_replicas: 0,
            command_timeout: LONGEST_TIMEOUT,
            connect_timeout: LONGEST_TIMEOUT,
        }
    }

    pub(super) fn checked(self) -> Result<Self, SettingsError> {
        if self.sentinels.is_empty() {
            return Err(SettingsError::NoSentinel);
        }
        // A space would end the name in the sentinels' messages.
        if self.master_name.is_empty() || self.master_name.contains(char::is_whitespace) {
            return Err(SettingsError::MasterName);
        }
        let times = [("commandTimeout", self.command_timeout), ("connectTimeout", self.connect_timeout)];
        for (field, time) in times {
            if time < Duration::from_millis(1) || time > LONGEST_TIMEOUT {
                return Err(SettingsError::Timeout { field });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let same = |text: &str| text.parse::<Address>().unwrap().to_string();
        assert_eq!(same("redis-sentinel.parking.svc:26380"), "redis-sentinel.parking.svc:26380");
        assert_eq!(same("redis-sentinel"), "redis-sentinel:26379");
        assert_eq!(same("[fd00::1]:1"), "[fd00::1]:1");
        assert_eq!(same("fd00::1"), "[fd00::1]:26379");
        for wrong in ["", ":1", "a:b", "a:0", "a:65536", "redis://a:1", "a b:1", "user@a:1"] {
            assert_eq!(wrong.parse::<Address>(), Err(SettingsError::Sentinel(wrong.to_owned())));
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_the_name_of_the_field() {
        let fine = RedisSettings::new(vec!["a:1".parse().unwrap()], "mymaster", "parking:".parse().unwrap());
        assert_eq!(fine.clone().checked(), Ok(fine.clone()));
        let none = RedisSettings { sentinels: vec![], ..fine.clone() };
        assert_eq!(none.checked(), Err(SettingsError::NoSentinel));
        for name in ["", "my master"] {
            let nameless = RedisSettings { master_name: name.to_owned(), ..fine.clone() };
            assert_eq!(nameless.checked(), Err(SettingsError::MasterName));
        }
        for wrong in [Duration::ZERO, Duration::from_millis(501)] {
            let slow = RedisSettings { command_timeout: wrong, ..fine.clone() };
            assert_eq!(slow.checked(), Err(SettingsError::Timeout { field: "commandTimeout" }));
            let slow = RedisSettings { connect_timeout: wrong, ..fine.clone() };
            assert_eq!(slow.checked(), Err(SettingsError::Timeout { field: "connectTimeout" }));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { user: Some("worker".to_owned()), password: "hush".to_owned() };
        assert_eq!(format!("{login:?}"), r#"Login { user: Some("worker"), .. }"#);
    }
}
