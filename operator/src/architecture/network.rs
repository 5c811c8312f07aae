//! What network policies allow, by the rules of Kubernetes.
//!
//! - Policies only add: a connection passes if one rule of one policy lets it.
//! - A pod that no policy selects for a direction is open in that direction.
//! - Both ends are asked: the policies of the sender for egress, those of the receiver for ingress.
//! - Policies speak of pods of their own namespace; peers without a namespace selector are there, too.
//! - An address block means what is outside the cluster: whether it also covers pods differs by network plug-in,
//!   so it is taken not to.

use core::net::IpAddr;
use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A pod of the cluster.
    Pod(Pod),
    /// Something outside the cluster.
    Address(IpAddr),
}

/// A pod of the cluster, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Labels of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// Numbers of its named ports.
    pub named_ports: BTreeMap<String, u16>,
}

/// What is called at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Number of the port.
    pub number: u16,
    /// Protocol above IP.
    pub protocol: Protocol,
}

impl Port {
    /// A TCP port.
    pub const fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp }
    }

    /// A UDP port.
    pub const fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp }
    }
}

/// Protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Whether the policies let `from` open a connection to `to`.
pub fn allowed(policies: &[NetworkPolicy], from: &Endpoint, to: &Endpoint, port: Port) -> bool {
    let leaves = is_open(policies, from, Direction::Egress, |namespace, spec| {
        let rules = spec.egress.as_deref().unwrap_or_default();
        rules.iter().any(|rule| {
            peers_match(rule.to.as_deref(), namespace, to) && ports_match(rule.ports.as_deref(), to, port)
        })
    });
    let enters = is_open(policies, to, Direction::Ingress, |namespace, spec| {
        let rules = spec.ingress.as_deref().unwrap_or_default();
        rules.iter().any(|rule| {
            peers_match(rule.from.as_deref(), namespace, from) && ports_match(rule.ports.as_deref(), to, port)
        })
    });
    leaves && enters
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// Whether nothing binds the endpoint in this direction, or a policy that binds it has a rule that lets through.
fn is_open(
    policies: &[NetworkPolicy],
    endpoint: &Endpoint,
    direction: Direction,
    lets_through: impl Fn(&str, &NetworkPolicySpec) -> bool,
) -> bool {
    let Endpoint::Pod(pod) = endpoint else {
        return true;
    };
    let mut bound = false;
    for policy in policies {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        let Some(spec) = &policy.spec else {
            continue;
        };
        let selects =
            spec.pod_selector.as_ref().is_none_or(|selector| selector_matches(selector, &pod.labels));
        if namespace != pod.namespace || !selects || !concerns(spec, direction) {
            continue;
        }
        if lets_through(namespace, spec) {
            return true;
        }
        bound = true;
    }
    !bound
}

/// Without a list of types a policy binds ingress, and egress if it has rules for it.
fn concerns(spec: &NetworkPolicySpec, direction: Direction) -> bool {
    let named =
        |name: &str| spec.policy_types.as_ref().is_some_and(|types| types.iter().any(|one| one == name));
    match (direction, &spec.policy_types) {
        (Direction::Ingress, Some(types)) if !types.is_empty() => named("Ingress"),
        (Direction::Egress, Some(types)) if !types.is_empty() => named("Egress"),
        (Direction::Ingress, _) => true,
        (Direction::Egress, _) => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

fn peers_match(peers: Option<&[NetworkPolicyPeer]>, namespace: &str, other: &Endpoint) -> bool {
    let peers = peers.unwrap_or_default();
    peers.is_empty() || peers.iter().any(|peer| peer_matches(peer, namespace, other))
}

fn peer_matches(peer: &NetworkPolicyPeer, namespace: &str, other: &Endpoint) -> bool {
    match other {
        Endpoint::Address(address) => peer.ip_block.as_ref().is_some_and(|block| holds(block, *address)),
        Endpoint::Pod(_) if peer.ip_block.is_some() => false,
        Endpoint::Pod(pod) => {
            let there = match &peer.namespace_selector {
                Some(selector) => selector_matches(selector, &pod.namespace_labels),
                None => pod.namespace == namespace,
            };
            there && peer.pod_selector.as_ref().is_none_or(|selector| selector_matches(selector, &pod.labels))
        }
    }
}

fn ports_match(ports: Option<&[NetworkPolicyPort]>, receiver: &Endpoint, port: Port) -> bool {
    let ports = ports.unwrap_or_default();
    ports.is_empty() || ports.iter().any(|rule| port_matches(rule, receiver, port))
}

fn port_matches(rule: &NetworkPolicyPort, receiver: &Endpoint, port: Port) -> bool {
    let number = i32::from(port.number);
    let meant = match (&rule.port, receiver) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), _) => (*first..=rule.end_port.unwrap_or(*first)).contains(&number),
        (Some(IntOrString::String(name)), Endpoint::Pod(pod)) => {
            pod.named_ports.get(name) == Some(&port.number)
        }
        (Some(IntOrString::String(_)), Endpoint::Address(_)) => false,
    };
    meant && rule.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_str()
}

fn selector_matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|expression| {
        let value = labels.get(&expression.key);
        let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
        match expression.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal && expressions
}

fn holds(block: &IPBlock, address: IpAddr) -> bool {
    let excepted = block.except.iter().flatten().any(|except| in_cidr(except, address));
    in_cidr(&block.cidr, address) && !excepted
}

fn in_cidr(cidr: &str, address: IpAddr) -> bool {
    let Some((network, length)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    // Both left-aligned in 128 bits, so that one comparison does for both families.
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let widest = if network.is_ipv4() { 32 } else { 128 };
    let differing = bits(network) ^ bits(address);
    network.is_ipv4() == address.is_ipv4() && length <= widest && differing.leading_zeros() >= length
}
