//! How the clients of librdkafka are set up.
//!
//! Invariants: durability is not a setting (`acks=all`, idempotence); no secret is ever printed.

use std::{collections::BTreeMap, fmt, time::Duration};

use parking_crds::pipeline::{GroupProtocol, SaslMechanism, SecurityProtocol};
use rdkafka::ClientConfig;

use crate::ports::event_log::{Partition, Stream};

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaLogin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for KafkaLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Where the log is and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Comma-separated `host:port` of some brokers.
    pub bootstrap_servers: String,
    /// How to talk to them.
    pub security_protocol: SecurityProtocol,
    /// How to log in with a `SASL_…` protocol.
    pub sasl_mechanism: SaslMechanism,
    /// Who logs in.
    pub login: Option<KafkaLogin>,
    /// Certificates of the authority that signed those of the brokers, PEM.
    pub ca: Option<String>,
    /// Consumer group of the role.
    pub group: String,
    /// How its members share partitions.
    pub group_protocol: GroupProtocol,
    /// How brokers name this client in their logs and quotas.
    pub client_id: String,
    /// Topic of each stream.
    pub topics: BTreeMap<Stream, String>,
    /// Partitions of every stream.
    pub partitions: Partition,
    /// No call waits longer for the brokers.
    pub timeout: Duration,
}

/// Bytes that are read ahead of each partition. Beyond it fetching pauses, for [`FETCH_PAUSE_MS`].
const READ_AHEAD_KIB: &str = "4096";
/// By default librdkafka pauses for a second, in which a reader would starve.
const FETCH_PAUSE_MS: &str = "5";
/// A fetch without news lasts as long; a partition that is added meanwhile waits for it.
const LONG_POLL_MS: &str = "100";
/// Appends come as batches already; a little time lets those of several partitions share a request.
const LINGER_MS: &str = "1";
/// Bytes of records that wait for brokers; beyond it appends wait.
const SEND_BUFFER_KIB: &str = "65536";

impl KafkaSettings {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("security.protocol", protocol(self.security_protocol))
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.propagation.max.ms", "0")
            .set("log.connection.close", "false");
        if let Some(KafkaLogin { username, password }) = &self.login {
            config
                .set("sasl.mechanism", mechanism(self.sasl_mechanism))
                .set("sasl.username", username)
                .set("sasl.password", password);
        }
        if let Some(ca) = &self.ca {
            config.set("ssl.ca.pem", ca);
        }
        config
    }

    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // The library asks for one; nobody joins it here.
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", LONG_POLL_MS)
            .set("fetch.queue.backoff.ms", FETCH_PAUSE_MS)
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", READ_AHEAD_KIB);
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", LINGER_MS)
            .set("queue.buffering.max.kbytes", SEND_BUFFER_KIB)
            .set("queue.buffering.max.messages", "1000000")
            .set("batch.num.messages", "100000")
            .set("retry.backoff.ms", "50")
            .set("message.timeout.ms", self.timeout.as_millis().to_string());
        config
    }

    /// A member of a group that owns partitions and reads nothing. `instance` names it over restarts.
    pub(super) fn member(&self, instance: Option<&str>) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        match self.group_protocol {
            GroupProtocol::Classic => {
                config
                    .set("partition.assignment.strategy", "cooperative-sticky")
                    .set("session.timeout.ms", "15000")
                    .set("heartbeat.interval.ms", "3000");
                if let Some(instance) = instance {
                    config.set("group.instance.id", instance);
                }
            }
            // A name would be held against who was killed: the brokers refuse him until they miss the one before.
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
            }
        }
        config
    }
}

fn protocol(protocol: SecurityProtocol) -> &'static str {
    match protocol {
        SecurityProtocol::Plaintext => "PLAINTEXT",
        SecurityProtocol::Ssl => "SSL",
        SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
        SecurityProtocol::SaslSsl => "SASL_SSL",
    }
}

fn mechanism(mechanism: SaslMechanism) -> &'static str {
    match mechanism {
        SaslMechanism::Plain => "PLAIN",
        SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
        SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let login = KafkaLogin { username: "worker".to_owned(), password: "hidden".to_owned() };
        let printed = format!("{login:?}");
        assert!(printed.contains("worker") && !printed.contains("hidden"), "{printed}");
    }
}
