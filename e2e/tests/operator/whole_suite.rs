//! What holds for all tests of this binary together: its test is the last by name, so all others have begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::{ResourceExt as _, core::DynamicObject};
use parking_e2e::kubernetes::{
    audit::AuditEvent, cluster::Cluster, objects, operator::Identity, wait::eventually,
};
use serde::de::DeserializeOwned;

/// Group, resource with its subresource, verb.
type Right = (String, String, String);

/// Longest time that the other tests may need after the last one has begun.
const OTHERS: Duration = Duration::from_mins(15);

/// What the operators of all tests may do.
static GRANTED: Mutex<BTreeMap<String, BTreeSet<Right>>> = Mutex::new(BTreeMap::new());

/// Operators from which a test takes rights: what is denied them for a while is denied rightly.
static DEPRIVED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The test takes rights from this operator.
pub(crate) fn deprived(identity: &Identity) {
    DEPRIVED.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.user());
}

fn operators() -> MutexGuard<'static, BTreeMap<String, BTreeSet<Right>>> {
    GRANTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An operator has these rights, as the chart grants them.
pub(crate) fn granted(identity: &Identity, rights: &str) {
    operators().insert(identity.user(), bound(rights));
}

/// The rights of the roles that are bound to somebody; the others are for people.
fn bound(rights: &str) -> BTreeSet<Right> {
    let objects = objects::parse(rights).unwrap();
    let of_kind = |kind: &str| {
        let kind = kind.to_owned();
        objects.iter().filter(move |object| object.types.as_ref().is_some_and(|types| types.kind == kind))
    };
    let bindings = of_kind("RoleBinding").chain(of_kind("ClusterRoleBinding"));
    let text =
        |binding: &DynamicObject, place: &str| binding.data.pointer(place)?.as_str().map(str::to_owned);
    let bound: BTreeSet<(String, String)> = bindings
        .filter_map(|binding| Some((text(binding, "/roleRef/kind")?, text(binding, "/roleRef/name")?)))
        .collect();
    let is_bound = |kind: &str, name: String| bound.contains(&(kind.to_owned(), name));
    let roles = of_kind("Role")
        .filter(|role| is_bound("Role", role.name_any()))
        .flat_map(|role| typed::<Role>(role).rules.unwrap_or_default());
    let cluster_roles = of_kind("ClusterRole")
        .filter(|role| is_bound("ClusterRole", role.name_any()))
        .flat_map(|role| typed::<ClusterRole>(role).rules.unwrap_or_default());
    roles.chain(cluster_roles).flat_map(pairs).collect()
}

fn typed<T: DeserializeOwned>(object: &DynamicObject) -> T {
    serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap()
}

fn pairs(rule: PolicyRule) -> Vec<Right> {
    let (groups, resources) = (rule.api_groups.unwrap_or_default(), rule.resources.unwrap_or_default());
    let mut rights = Vec::new();
    for group in &groups {
        for resource in &resources {
            rights.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
        }
    }
    rights
}

/// Asked by the admission of owner references while an owned object is written, and so in no line of the log;
/// the tests of rights take it away and see the writes refused.
const ADMISSION: [(&str, &str, &str); 2] = [
    ("parking.tinyx.io", "parkingpipelines/finalizers", "update"),
    ("parking.tinyx.io", "statsjobs/finalizers", "update"),
];

/// What a request took: an apply that makes an object needs the right to create it as well.
fn used(event: &AuditEvent) -> Vec<Right> {
    let right = |verb: &str| (event.group().to_owned(), event.resource_path(), verb.to_owned());
    let made = (event.code() == 201).then(|| right("create"));
    made.into_iter().chain([right(&event.verb)]).collect()
}

/// The harness names a test's thread after it; the system shows the first characters.
fn other_tests() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.contains("::") && !name.starts_with("whole_suite")).collect()
}

fn is_whole_suite() -> bool {
    std::env::args().skip(1).all(|argument| argument.starts_with('-') || argument.parse::<u32>().is_ok())
}

#[tokio::test]
async fn the_operator_has_the_rights_that_it_asks_for_and_no_others() {
    if !is_whole_suite() {
        return eprintln!("skipped: only some of the tests run");
    }
    let cluster = Cluster::join().await.unwrap();
    let Some(audit) = cluster.audit_log() else { return };
    eventually("the other tests end", OTHERS, async || {
        let others = other_tests();
        if others.is_empty() { Ok(()) } else { Err(others.concat()) }
    })
    .await
    .unwrap();
    let operators = operators();
    let events = audit.all().unwrap();
    let own: Vec<&AuditEvent> = events.iter().filter(|event| operators.contains_key(event.user())).collect();
    let deprived = DEPRIVED.lock().unwrap_or_else(PoisonError::into_inner);
    let denied: BTreeSet<Right> = own
        .iter()
        .filter(|event| event.is_denied() && !deprived.contains(event.user()))
        .flat_map(|event| used(event))
        .collect();
    assert!(denied.is_empty(), "the operator asks for what the chart does not grant: {denied:#?}");
    let admission = ADMISSION.map(|(group, resource, verb)| (group.into(), resource.into(), verb.into()));
    let allowed = own.iter().filter(|event| !event.is_denied()).flat_map(|event| used(event));
    let used: BTreeSet<Right> = allowed.chain(admission).collect();
    let granted: BTreeSet<Right> = operators.values().flatten().cloned().collect();
    assert!(!granted.is_empty(), "no test has an operator");
    let idle: Vec<&Right> = granted.difference(&used).collect();
    assert!(idle.is_empty(), "the chart grants what no test needs: {idle:#?}");
}
