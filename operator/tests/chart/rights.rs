//! The rights that the charts grant are those that the program needs.

use std::collections::BTreeSet;

use parking_operator::rbac::{self, Place};
use serde_json::{Value, json};

use crate::rendering::{MONITORING, NAMESPACED, everything, of_kind, rendered, words};

/// Group, resource, verb and the one name that they are about, if any.
type Right = (String, String, String, Option<String>);

fn rights_of(role: &Value) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = words(&rule["resourceNames"]);
        let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    let right =
                        |name: &Option<String>| (group.clone(), resource.clone(), verb.clone(), name.clone());
                    found.extend(names.iter().map(right));
                }
            }
        }
    }
    found
}

fn rights_at(places: &[Place]) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    for rule in rbac::rules().iter().filter(|rule| places.contains(&rule.place)) {
        let name = match rule.objects {
            rbac::Objects::Any => None,
            rbac::Objects::OwnLease => Some("parking-operator".to_owned()),
        };
        for resource in &rule.resources {
            let right = |verb: &&str| {
                (rule.group.to_owned(), (*resource).to_owned(), (*verb).to_owned(), name.clone())
            };
            found.extend(rule.verbs.iter().map(right));
        }
    }
    found
}

/// What the operator's ServiceAccount may do: namespace (none for all) and rights.
fn granted(objects: &[Value]) -> Vec<(Option<String>, BTreeSet<Right>)> {
    let account = of_kind(objects, "ServiceAccount")[0]["metadata"]["name"].clone();
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": "parking-system"}]);
    let bindings = of_kind(objects, "ClusterRoleBinding").into_iter().chain(of_kind(objects, "RoleBinding"));
    let role_of = |binding: &Value| {
        let role = objects.iter().find(|role| {
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
                && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        rights_of(role.unwrap_or_else(|| panic!("no role for {binding}")))
    };
    bindings
        .map(|binding| {
            assert_eq!(binding["subjects"], subjects);
            (binding["metadata"]["namespace"].as_str().map(ToOwned::to_owned), role_of(binding))
        })
        .collect()
}

#[test]
fn cluster_scope_grants_exactly_the_rules_of_the_program() {
    let granted = granted(&rendered(&[], &[]));
    let expected = [
        (None, rights_at(&[Place::Pipelines, Place::Kafka, Place::Cluster])),
        (Some("parking-system".to_owned()), rights_at(&[Place::Home])),
    ];
    assert_eq!(granted, expected);
}

#[test]
fn namespaced_scope_grants_exactly_the_rules_of_the_program_and_nothing_in_other_namespaces() {
    let granted: BTreeSet<_> = granted(&rendered(NAMESPACED, &[])).into_iter().collect();
    let at = |namespace: &str, place: Place| (Some(namespace.to_owned()), rights_at(&[place]));
    let expected = [
        (None, rights_at(&[Place::Cluster])),
        at("parking-system", Place::Home),
        at("parking", Place::Pipelines),
        at("city", Place::Pipelines),
        at("kafka", Place::Kafka),
    ];
    assert_eq!(granted, expected.into_iter().collect());
}

#[test]
fn no_role_of_the_chart_has_a_wildcard_lists_secrets_or_hands_out_rights() {
    for sets in [&[] as &[&str], NAMESPACED, &everything()] {
        let objects = rendered(sets, MONITORING);
        let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
        for (group, resource, verb, _) in roles.flat_map(rights_of) {
            assert!(
                ![&group, &resource, &verb].iter().any(|word| word.contains('*')),
                "{group} {resource} {verb}"
            );
            assert!(resource != "secrets" || !["list", "watch", "deletecollection"].contains(&verb.as_str()));
            assert!(!["escalate", "bind", "impersonate"].contains(&verb.as_str()));
            assert_ne!(group, "rbac.authorization.k8s.io");
        }
    }
}

#[test]
fn users_of_the_cluster_roles_learn_about_our_kinds_and_nothing_else() {
    let objects = rendered(&[], &[]);
    let roles = of_kind(&objects, "ClusterRole");
    let verbs_of = |role: &str| -> BTreeSet<String> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
        let role = roles.iter().find(|found| found["metadata"]["labels"][&label] == "true").unwrap();
        let rights = rights_of(role);
        assert!(rights.iter().all(|(group, ..)| group == "parking.tinyx.io"));
        rights.into_iter().map(|(_, _, verb, _)| verb).collect()
    };
    let set = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(verbs_of("view"), set(&["get", "list", "watch"]));
    assert_eq!(verbs_of("edit"), set(&["create", "delete", "patch", "update"]));
    assert_eq!(verbs_of("admin"), set(&["deletecollection"]));
    assert_eq!(of_kind(&rendered(&["rbac.aggregateToUserRoles=false"], &[]), "ClusterRole").len(), 1);
}
