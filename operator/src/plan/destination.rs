//! Servers outside the pipeline, as far as a NetworkPolicy can name them.
//!
//! A policy knows pods and addresses, no host names. A name that only the cluster's DNS can answer stands for
//! the pods of its namespace; any other name for every address, bounded by the port alone.

use core::net::IpAddr;
use std::collections::BTreeMap;

use http::Uri;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// Label that Kubernetes gives to every namespace: its name.
pub(super) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A server outside the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Destination {
    pub(super) place: Place,
    pub(super) port: u16,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Among the pods of a namespace.
    Namespace(String),
    /// At one address.
    Address(IpAddr),
    /// Anywhere.
    Anywhere,
}

impl Destination {
    pub(super) fn anywhere(port: u16) -> Self {
        Self { place: Place::Anywhere, port }
    }

    /// The server of a URL, unless it is none.
    pub(super) fn of_url(url: &str, cluster_domain: &str) -> Vec<Self> {
        let Ok(uri) = url.parse::<Uri>() else {
            return Vec::new();
        };
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        of_host(host, uri.port_u16().unwrap_or(default), cluster_domain)
    }

    /// The servers of a comma-separated list of `host:port`.
    pub(super) fn of_list(list: &str, cluster_domain: &str) -> Vec<Self> {
        let servers = list.split(',').filter_map(|server| server.trim().rsplit_once(':'));
        servers
            .filter_map(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)))
            .flat_map(|(host, port)| of_host(host, port, cluster_domain))
            .collect()
    }

    /// The rule that lets a pod reach the server.
    pub(super) fn rule(&self) -> NetworkPolicyEgressRule {
        let to = match &self.place {
            Place::Namespace(name) => Some(vec![pods_in(name, BTreeMap::new())]),
            Place::Address(address) => Some(vec![block(&single(*address), &[])]),
            Place::Anywhere => None,
        };
        // Pods seldom listen on 80 or 443; a Service on such a port stands before another one of theirs.
        let behind_service = matches!(self.place, Place::Namespace(_)) && matches!(self.port, 80 | 443);
        let ports = (!behind_service).then(|| vec![tcp(self.port)]);
        NetworkPolicyEgressRule { to, ports }
    }
}

fn of_host(host: &str, port: u16, cluster_domain: &str) -> Vec<Destination> {
    let places = match host.parse::<IpAddr>() {
        Ok(address) => vec![Place::Address(address)],
        Err(_) => places_of_name(host, cluster_domain),
    };
    places.into_iter().map(|place| Destination { place, port }).collect()
}

/// `service.namespace` may also be a public name of two parts.
fn places_of_name(host: &str, cluster_domain: &str) -> Vec<Place> {
    let host = host.trim_end_matches('.');
    let within = host.strip_suffix(cluster_domain).and_then(|rest| rest.strip_suffix('.')).unwrap_or(host);
    let in_namespace = |name: &str| Place::Namespace(name.rsplit('.').next().unwrap_or(name).to_owned());
    match within.strip_suffix(".svc") {
        Some(service) => vec![in_namespace(service)],
        None if host.split('.').count() == 2 => vec![in_namespace(host), Place::Anywhere],
        None => vec![Place::Anywhere],
    }
}

/// Pods with the labels in the namespace.
pub(super) fn pods_in(namespace: &str, labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    let of = |labels: BTreeMap<String, String>| LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    };
    NetworkPolicyPeer {
        namespace_selector: Some(of(BTreeMap::from([(NAMESPACE_NAME.to_owned(), namespace.to_owned())]))),
        pod_selector: (!labels.is_empty()).then(|| of(labels)),
        ..NetworkPolicyPeer::default()
    }
}

/// Addresses of a block but some.
pub(super) fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then(|| except.iter().map(|text| (*text).to_owned()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn single(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{length}")
}

/// A TCP port.
pub(super) fn tcp(port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
