//! Addresses that users give and the operator contacts: never its own machine, its cloud's metadata or the API server.
//!
//! A name is resolved once and every address judged; the client then connects to those addresses and no others,
//! so a name that answers differently the next time gains nothing. Clients are made without redirects and proxies.
//!
//! Must not: open a connection. Invariant: one refused address refuses the whole name.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{dns, redirect};

use crate::{
    error::{Class, Classify},
    monotonic,
};

/// How long a name may take to resolve.
const LOOKUP: Duration = Duration::from_secs(5);

/// Why an address is not contacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The operator's own machine.
    #[error("a loopback address")]
    Loopback,
    /// The node's own network, where clouds serve credentials.
    #[error("a link-local address")]
    LinkLocal,
    /// No address at all.
    #[error("an unspecified address")]
    Unspecified,
    /// Many machines at once.
    #[error("a multicast or broadcast address")]
    Multicast,
    /// The operator's own API server.
    #[error("the address of the API server")]
    ApiServer,
}

/// Why an endpoint is not contacted.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The name leads where the operator must not go.
    #[error("`{host}` is {reason}, which the operator does not contact: name a server that pods can reach")]
    Forbidden {
        /// The host as the user gave it.
        host: String,
        /// What is wrong with its address.
        reason: Forbidden,
    },
    /// The name has no address.
    #[error("the name `{0}` cannot be resolved: check its spelling and the cluster's DNS")]
    Unresolved(String),
    /// The client for the endpoint cannot be made.
    #[error("no HTTP client can be made: {0}")]
    Client(#[source] reqwest::Error),
}

impl Classify for OutgoingError {
    fn class(&self) -> Class {
        match self {
            Self::Forbidden { .. } => Class::Invalid,
            Self::Unresolved(_) => Class::Blocked,
            Self::Client(_) => Class::Bug,
        }
    }
}

/// Where the operator may go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    allow_loopback: bool,
    api_server: Arc<BTreeSet<SocketAddr>>,
}

impl Outgoing {
    /// `api_server` holds every address of the API server; `allow_loopback` is for tests and laptops.
    pub fn new(api_server: impl IntoIterator<Item = SocketAddr>, allow_loopback: bool) -> Self {
        let api_server = api_server
            .into_iter()
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
            .collect();
        Self { allow_loopback, api_server: Arc::new(api_server) }
    }

    /// Whether the address may be contacted.
    pub fn judge(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = embedded(address.ip());
        if self.api_server.contains(&SocketAddr::new(ip, address.port())) {
            return Err(Forbidden::ApiServer);
        }
        if ip.is_loopback() {
            return if self.allow_loopback { Ok(()) } else { Err(Forbidden::Loopback) };
        }
        let (link_local, nobody, many) = match ip {
            IpAddr::V4(ip) => {
                (ip.is_link_local(), ip.octets().first() == Some(&0), ip.is_multicast() || ip.is_broadcast())
            }
            IpAddr::V6(ip) => {
                (ip.is_unicast_link_local() || is_metadata(ip), ip.is_unspecified(), ip.is_multicast())
            }
        };
        if link_local {
            Err(Forbidden::LinkLocal)
        } else if nobody {
            Err(Forbidden::Unspecified)
        } else if many {
            Err(Forbidden::Multicast)
        } else {
            Ok(())
        }
    }

    /// The addresses of a host (a name, or an address without brackets), all of them allowed.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, OutgoingError> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => match monotonic::within(LOOKUP, tokio::net::lookup_host((host, port))).await {
                Some(Ok(addresses)) => addresses.collect(),
                Some(Err(_)) | None => Vec::new(),
            },
        };
        for address in &addresses {
            self.judge(*address)
                .map_err(|reason| OutgoingError::Forbidden { host: host.to_owned(), reason })?;
        }
        if addresses.is_empty() {
            return Err(OutgoingError::Unresolved(host.to_owned()));
        }
        Ok(addresses)
    }

    /// An HTTP client that connects to these checked addresses of the host only, without redirects or proxies.
    pub fn http(&self, host: &str, checked: &[SocketAddr]) -> Result<reqwest::Client, OutgoingError> {
        reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(self.resolver())
            .resolve_to_addrs(host, checked)
            .connect_timeout(LOOKUP)
            .build()
            .map_err(OutgoingError::Client)
    }

    /// A resolver for clients that bring their own connections: it answers with allowed addresses only.
    ///
    /// Clients do not ask it about a host that is an address: check that with [`Self::resolve`] first. It is not
    /// told the port, so the API server's address is refused on every port.
    pub fn resolver(&self) -> CheckedResolver {
        CheckedResolver(self.clone())
    }
}

/// A resolver that refuses names which lead where the operator must not go.
#[derive(Clone, Debug)]
pub struct CheckedResolver(Outgoing);

impl CheckedResolver {
    /// The allowed addresses of a name.
    pub async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.0.resolve(name, 0).await.map_err(io::Error::other)?;
        let is_api_server = |ip: IpAddr| self.0.api_server.iter().any(|address| address.ip() == ip);
        if let Some(address) = found.iter().find(|address| is_api_server(embedded(address.ip())))
            && !address.ip().is_loopback()
        {
            let (host, reason) = (name.to_owned(), Forbidden::ApiServer);
            return Err(io::Error::other(OutgoingError::Forbidden { host, reason }));
        }
        Ok(found.into_iter().map(|address| address.ip()).collect())
    }
}

impl dns::Resolve for CheckedResolver {
    fn resolve(&self, name: dns::Name) -> dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as dns::Addrs)
        })
    }
}

/// The IPv4 address within an IPv6 address that carries one, or the address itself.
fn embedded(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => match ip.segments() {
            // NAT64 (RFC 6052) and the deprecated compatible form reach the IPv4 address in their last half.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high @ 1..=u16::MAX, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                IpAddr::from([a, b, c, d])
            }
            _ => IpAddr::V6(ip),
        },
        ip @ IpAddr::V4(_) => ip,
    }
}

/// The address at which a cloud serves credentials over IPv6.
fn is_metadata(ip: std::net::Ipv6Addr) -> bool {
    ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outgoing(allow_loopback: bool) -> Outgoing {
        Outgoing::new(["10.96.0.1:443".parse().unwrap()], allow_loopback)
    }

    fn judged(address: &str) -> Option<Forbidden> {
        outgoing(false).judge(SocketAddr::new(address.parse().unwrap(), 443)).err()
    }

    #[test]
    fn addresses_of_the_machine_and_its_cloud_are_refused_in_every_spelling() {
        use Forbidden::{ApiServer, LinkLocal, Loopback, Multicast, Unspecified};
        for (address, reason) in [
            ("127.0.0.1", Loopback),
            ("127.8.8.8", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("::127.0.0.1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("::ffff:169.254.169.254", LinkLocal),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fd00:ec2::254", LinkLocal),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("224.0.0.1", Multicast),
            ("255.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("10.96.0.1", ApiServer),
            ("::ffff:10.96.0.1", ApiServer),
        ] {
            assert_eq!(judged(address), Some(reason), "{address}");
        }
        for address in ["10.0.0.7", "192.168.1.1", "203.0.113.9", "fd00::7", "2001:db8::1"] {
            assert_eq!(judged(address), None, "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_of_the_own_machine_is_refused_unless_allowed() {
        let error = outgoing(false).resolve("localhost", 9000).await.unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
        assert!(error.to_string().contains("`localhost` is a loopback address"), "{error}");
        assert!(!outgoing(true).resolve("localhost", 9000).await.unwrap().is_empty());
        assert!(outgoing(false).resolver().addresses("localhost").await.is_err());
    }

    #[tokio::test]
    async fn the_api_server_is_refused_where_no_port_is_known() {
        assert!(outgoing(false).resolver().addresses("10.96.0.1").await.is_err());
        assert!(outgoing(false).resolve("10.96.0.1", 9000).await.is_ok());
        assert!(outgoing(false).resolve("10.96.0.1", 443).await.is_err());
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_the_address_itself(ip in any::<[u8; 4]>()) {
            let plain = std::net::Ipv4Addr::from(ip);
            let mapped = SocketAddr::new(IpAddr::V6(plain.to_ipv6_mapped()), 80);
            let rules = outgoing(false);
            prop_assert_eq!(rules.judge(SocketAddr::new(plain.into(), 80)), rules.judge(mapped));
        }
    }
}
