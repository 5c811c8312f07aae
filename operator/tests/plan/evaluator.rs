//! The evaluator of network policies against an oracle that works the other way round: it writes out all that a
//! policy lets through in a small world as a set, and looks a connection up in the union.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use parking_operator::architecture::network::{Endpoint, Pod, Port, allowed};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Namespace and label of each pod of the world; the last party is outside the cluster.
const PODS: [(&str, &str); 5] = [("n", "a"), ("n", "b"), ("m", "a"), ("m", "b"), ("n", "")];
const OUTSIDE: usize = PODS.len();
const PORTS: [Port; 4] = [Port::tcp(80), Port::tcp(8080), Port::tcp(9000), Port::udp(80)];

fn endpoint(party: usize) -> Endpoint {
    let Some((namespace, label)) = PODS.get(party) else {
        return Endpoint::Address("203.0.113.7".parse().unwrap());
    };
    let labels =
        if label.is_empty() { BTreeMap::new() } else { [("app".to_owned(), (*label).to_owned())].into() };
    Endpoint::Pod(Pod {
        namespace: (*namespace).to_owned(),
        namespace_labels: [("name".to_owned(), (*namespace).to_owned())].into(),
        labels,
        named_ports: [("http".to_owned(), 8080)].into(),
    })
}

/// A part of a policy: its JSON, and whom or what it means.
type Part<T> = (Value, BTreeSet<T>);

fn pods(keep: impl Fn(&str, &str) -> bool) -> BTreeSet<usize> {
    (0..OUTSIDE).filter(|&party| keep(PODS[party].0, PODS[party].1)).collect()
}

fn selectors(namespace: &'static str) -> Vec<Part<usize>> {
    let here = |keep: fn(&str) -> bool| pods(move |ns, label| ns == namespace && keep(label));
    vec![
        (json!({}), here(|_| true)),
        (json!({"matchLabels": {"app": "a"}}), here(|label| label == "a")),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
            here(|label| !label.is_empty()),
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
            here(|label| label != "a"),
        ),
    ]
}

/// Peers of a policy in namespace `n`.
fn peers() -> Vec<Part<usize>> {
    let mut peers: Vec<Part<usize>> =
        selectors("n").into_iter().map(|(json, who)| (json!({"podSelector": json}), who)).collect();
    peers.extend([
        (json!({"namespaceSelector": {}}), pods(|_, _| true)),
        (json!({"namespaceSelector": {"matchLabels": {"name": "m"}}}), pods(|ns, _| ns == "m")),
        (
            json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "b"}}}),
            pods(|_, label| label == "b"),
        ),
        (json!({"ipBlock": {"cidr": "0.0.0.0/0"}}), BTreeSet::from([OUTSIDE])),
        (json!({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.0/29"]}}), BTreeSet::new()),
        (
            json!({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.8/29"]}}),
            BTreeSet::from([OUTSIDE]),
        ),
        (json!({"ipBlock": {"cidr": "::/0"}}), BTreeSet::new()),
    ]);
    peers
}

fn ports() -> Vec<Part<Port>> {
    vec![
        (json!({"port": 80}), [Port::tcp(80)].into()),
        (json!({"protocol": "UDP"}), [Port::udp(80)].into()),
        (json!({"port": 80, "protocol": "UDP"}), [Port::udp(80)].into()),
        (
            json!({"port": 8000, "endPort": 9000, "protocol": "TCP"}),
            [Port::tcp(8080), Port::tcp(9000)].into(),
        ),
    ]
}

fn union<T: Ord + Copy>(parts: &[Part<T>], everything: &[T]) -> (Option<Value>, BTreeSet<T>) {
    if parts.is_empty() {
        return (None, everything.iter().copied().collect());
    }
    let json = parts.iter().map(|(json, _)| json.clone()).collect();
    (Some(json), parts.iter().flat_map(|(_, who)| who.iter().copied()).collect())
}

/// Peers and ports of a rule, as positions in the lists above.
type Rule = (Vec<usize>, Vec<usize>);
/// Whom and what a rule lets through.
type Open = (BTreeSet<usize>, BTreeSet<Port>);

#[derive(Clone, Debug)]
struct Written {
    subject: usize,
    types: usize,
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

fn written() -> impl Strategy<Value = Written> {
    let rule = || {
        let peers = prop::collection::vec(0..peers().len(), 0..3);
        let ports = prop::collection::vec(0..ports().len(), 0..3);
        prop::collection::vec((peers, ports), 0..3)
    };
    (0..selectors("n").len(), 0..4_usize, rule(), rule())
        .prop_map(|(subject, types, ingress, egress)| Written { subject, types, ingress, egress })
}

/// What one policy means: whom it binds in each direction, and what it lets through.
#[derive(Default)]
struct Meaning {
    receives: BTreeSet<usize>,
    sends: BTreeSet<usize>,
    entering: BTreeSet<(usize, usize, Port)>,
    leaving: BTreeSet<(usize, usize, Port)>,
}

impl Written {
    fn rules(rules: &[(Vec<usize>, Vec<usize>)], side: &str) -> (Vec<Value>, Vec<Open>) {
        let everyone: Vec<usize> = (0..=OUTSIDE).collect();
        let one = |(chosen_peers, chosen_ports): &(Vec<usize>, Vec<usize>)| {
            let chosen: Vec<Part<usize>> = chosen_peers.iter().map(|&index| peers()[index].clone()).collect();
            let (peers_json, who) = union(&chosen, &everyone);
            let chosen: Vec<Part<Port>> = chosen_ports.iter().map(|&index| ports()[index].clone()).collect();
            let (ports_json, what) = union(&chosen, &PORTS);
            let mut json = serde_json::Map::new();
            json.extend(peers_json.map(|peers| (side.to_owned(), peers)));
            json.extend(ports_json.map(|ports| ("ports".to_owned(), ports)));
            (Value::Object(json), (who, what))
        };
        rules.iter().map(one).unzip()
    }

    fn policy(&self) -> (NetworkPolicy, Meaning) {
        let (selector, subjects) = selectors("n").remove(self.subject);
        let (ingress, enter) = Self::rules(&self.ingress, "from");
        let (egress, leave) = Self::rules(&self.egress, "to");
        let binds_egress = match self.types {
            0 => !self.egress.is_empty(),
            types => types != 1,
        };
        let types = [json!(null), json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])];
        let json = json!({
            "metadata": {"namespace": "n"},
            "spec": {"podSelector": selector, "policyTypes": types[self.types], "ingress": ingress, "egress": egress},
        });
        let mut meaning = Meaning::default();
        if self.types != 2 {
            meaning.receives.clone_from(&subjects);
        }
        if binds_egress {
            meaning.sends.clone_from(&subjects);
        }
        for subject in subjects {
            for (who, what) in &enter {
                meaning
                    .entering
                    .extend(who.iter().flat_map(|&from| what.iter().map(move |&port| (from, subject, port))));
            }
            for (who, what) in &leave {
                meaning
                    .leaving
                    .extend(who.iter().flat_map(|&to| what.iter().map(move |&port| (subject, to, port))));
            }
        }
        (serde_json::from_value(json).unwrap(), meaning)
    }
}

fn expected(meanings: &[Meaning], from: usize, to: usize, port: Port) -> bool {
    let bound_out: BTreeSet<usize> =
        meanings.iter().flat_map(|meaning| meaning.sends.iter().copied()).collect();
    let bound_in: BTreeSet<usize> =
        meanings.iter().flat_map(|meaning| meaning.receives.iter().copied()).collect();
    let edge = (from, to, port);
    let out = meanings.iter().any(|meaning| meaning.sends.contains(&from) && meaning.leaving.contains(&edge));
    let into =
        meanings.iter().any(|meaning| meaning.receives.contains(&to) && meaning.entering.contains(&edge));
    (out || !bound_out.contains(&from)) && (into || !bound_in.contains(&to))
}

proptest! {
    #[test]
    fn the_evaluator_agrees_with_the_written_out_sets(written in prop::collection::vec(written(), 0..4)) {
        let (policies, meanings): (Vec<NetworkPolicy>, Vec<Meaning>) = written.iter().map(Written::policy).unzip();
        for from in 0..=OUTSIDE {
            for to in 0..=OUTSIDE {
                for port in PORTS {
                    prop_assert_eq!(
                        allowed(&policies, &endpoint(from), &endpoint(to), port),
                        expected(&meanings, from, to, port),
                        "{} -> {} {:?}", from, to, port
                    );
                }
            }
        }
    }
}

fn one(spec: &Value) -> [NetworkPolicy; 1] {
    [serde_json::from_value(json!({"metadata": {"namespace": "n"}, "spec": spec})).unwrap()]
}

#[test]
fn a_named_port_is_the_one_of_the_receiving_pod() {
    let policies = one(&json!({"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}));
    let open = |port| allowed(&policies, &endpoint(OUTSIDE), &endpoint(0), Port::tcp(port));
    assert!(open(8080) && !open(80));
}

#[test]
fn blocks_of_both_families_hold_their_addresses_alone() {
    for (cidr, address, holds) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("203.0.113.7/32", "203.0.113.7", true),
        ("203.0.113.7/32", "203.0.113.6", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fe80::1", false),
        ("0.0.0.0/0", "fd00::1", false),
        ("10.0.0.0", "10.0.0.0", false),
    ] {
        let policies = one(
            &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}),
        );
        let to = Endpoint::Address(address.parse().unwrap());
        assert_eq!(allowed(&policies, &endpoint(0), &to, Port::tcp(80)), holds, "{cidr} {address}");
    }
}
