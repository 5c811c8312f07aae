//! The one source of the operator's rights: what the chart grants is generated from here.
//!
//! Must not: name a client. Invariants: no wildcard; Secrets are never listed or watched; no right to hand out
//! rights; what the operator makes is granted exactly as the table of owned kinds says.

use crate::owned_kinds::{OwnedKind, Row};

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The namespace of the operator's own pods.
    Home,
    /// Every namespace that may hold a pipeline.
    Pipelines,
    /// Every namespace with a Kafka cluster that pipelines may use.
    Kafka,
    /// The whole cluster, also where everything else is granted by namespace.
    Cluster,
}

impl Place {
    /// Every place, in the order in which the chart names them.
    pub const ALL: [Self; 4] = [Self::Home, Self::Pipelines, Self::Kafka, Self::Cluster];

    /// The name that the chart's templates use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Pipelines => "pipelines",
            Self::Kafka => "kafka",
            Self::Cluster => "cluster",
        }
    }
}

/// Which objects of a resource a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Objects {
    /// All.
    Any,
    /// The operator's own lease, whose name follows from the release.
    OwnLease,
}

/// One right and why it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub place: Place,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Resources as RBAC writes them, subresources after a slash.
    pub resources: Vec<&'static str>,
    /// Which objects of them.
    pub objects: Objects,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// Why, as one sentence.
    pub reason: &'static str,
}

const READ: &[&str] = &["get", "list", "watch"];
/// Seen through a watch alone.
const FOLLOW: &[&str] = &["list", "watch"];

/// Every right of the operator, in the order of places.
pub fn rules() -> Vec<Rule> {
    let mut rules = home();
    rules.extend(OwnedKind::all().map(|kind| owned(kind.row())));
    rules.extend(beside_pipelines());
    rules.extend(beside_kafka());
    rules.extend(cluster_wide());
    rules.sort_by_key(|rule| rule.place);
    rules
}

fn owned(row: &'static Row) -> Rule {
    let place = match row.kind {
        OwnedKind::KafkaTopic | OwnedKind::KafkaUser => Place::Kafka,
        _ => Place::Pipelines,
    };
    rule(place, row.group, &[row.plural], row.verbs, why(row.kind))
}

const fn why(kind: OwnedKind) -> &'static str {
    match kind {
        OwnedKind::Secret => {
            "Copies Kafka credentials, keeps the password of a managed Redis, reads what a pipeline refers to; by name only, never listed."
        }
        OwnedKind::ConfigMap => "Worker configuration, rule bundles and Redis scripts; reads inventories.",
        OwnedKind::ServiceAccount => "The identity of each role's pods.",
        OwnedKind::KafkaTopic => "One topic for each stream, beside its Kafka cluster.",
        OwnedKind::KafkaUser => "One user for each role, beside its Kafka cluster.",
        OwnedKind::Service => "In front of workers and Redis.",
        OwnedKind::StatefulSet => "Stages and Redis.",
        OwnedKind::Deployment => "Roles without partitions.",
        OwnedKind::PodDisruptionBudget => "Bounds on voluntary disruption of workers and Redis.",
        OwnedKind::NetworkPolicy => "Who may talk to workers and Redis.",
        OwnedKind::HorizontalPodAutoscaler => "Replicas by CPU, where a pipeline asks for it.",
        OwnedKind::TriggerAuthentication => "How KEDA logs in at Kafka, where a pipeline scales by lag.",
        OwnedKind::ScaledObject => "Replicas by lag, where a pipeline asks for it.",
        OwnedKind::PodMonitor => "What Prometheus scrapes of a pipeline.",
        OwnedKind::PrometheusRule => "What Prometheus warns about in a pipeline.",
        OwnedKind::Job => "Runs of statistics.",
        OwnedKind::SparkApplication => "Runs of statistics on Spark, where a job asks for it.",
        OwnedKind::PersistentVolumeClaim => {
            "Volumes of a managed Redis: made by its StatefulSet, grown and (by deletionPolicy) deleted by the operator."
        }
    }
}

fn rule(
    place: Place,
    group: &'static str,
    resources: &[&'static str],
    verbs: &'static [&'static str],
    reason: &'static str,
) -> Rule {
    Rule { place, group, resources: resources.to_vec(), objects: Objects::Any, verbs, reason }
}

fn home() -> Vec<Rule> {
    const LEASES: &[&str] = &["leases"];
    const GROUP: &str = "coordination.k8s.io";
    vec![
        rule(Place::Home, GROUP, LEASES, &["create"], "Makes the lease by which one replica leads."),
        Rule {
            objects: Objects::OwnLease,
            ..rule(Place::Home, GROUP, LEASES, &["get", "update"], "Takes, renews and releases that lease.")
        },
    ]
}

fn beside_pipelines() -> [Rule; 3] {
    let place = Place::Pipelines;
    [
        rule(
            place,
            "",
            &["pods"],
            &["delete", "list"],
            "Counts ready workers, and rolls the pods of a managed Redis one by one.",
        ),
        rule(
            place,
            "discovery.k8s.io",
            &["endpointslices"],
            &["list"],
            "Finds the workers whose /status it asks, those that are not ready too.",
        ),
        rule(
            place,
            "events.k8s.io",
            &["events"],
            &["create", "patch"],
            "Tells of transitions, counting repeats.",
        ),
    ]
}

fn beside_kafka() -> [Rule; 2] {
    [
        rule(
            Place::Kafka,
            "kafka.strimzi.io",
            &["kafkas"],
            READ,
            "Reads listeners, authorization and who may use the cluster.",
        ),
        rule(
            Place::Kafka,
            "",
            &["secrets"],
            &["get"],
            "Reads the credentials that the User Operator made and the cluster's CA, by the names in their status.",
        ),
    ]
}

fn cluster_wide() -> [Rule; 6] {
    const GROUP: &str = "parking.tinyx.io";
    let place = Place::Cluster;
    [
        rule(
            place,
            GROUP,
            &["parkingpipelines"],
            &["list", "patch", "watch"],
            "The kind from which it makes most; patch is for the finalizer.",
        ),
        rule(
            place,
            GROUP,
            &["alertrules", "statsjobs"],
            FOLLOW,
            "The other two kinds that it serves, changed in their status alone.",
        ),
        rule(
            place,
            GROUP,
            &["parkingpipelines/status", "alertrules/status", "statsjobs/status"],
            &["patch"],
            "Reports back.",
        ),
        rule(
            place,
            GROUP,
            &["parkingpipelines/finalizers", "statsjobs/finalizers"],
            &["update"],
            "Owner references that block deletion, where the cluster checks them (OwnerReferencesPermissionEnforcement).",
        ),
        rule(
            place,
            "",
            &["namespaces"],
            &["get"],
            "The uid of kube-system tells clusters apart that share an object store; a namespace that is being deleted takes its Roles along, and its pipelines are let go.",
        ),
        rule(
            place,
            "storage.k8s.io",
            &["storageclasses"],
            &["get"],
            "Whether the volumes of a managed Redis may grow.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_granted_by_wildcard_and_no_right_hands_out_rights() {
        for rule in rules() {
            let words = rule.verbs.iter().chain(&rule.resources).chain([&rule.group]);
            for word in words {
                assert!(!word.contains('*'), "{rule:?}");
                assert!(!["escalate", "bind", "impersonate"].contains(word), "{rule:?}");
            }
            assert_ne!(rule.group, "rbac.authorization.k8s.io", "{rule:?}");
        }
    }

    #[test]
    fn secrets_are_read_by_name_only() {
        let secrets = rules().into_iter().filter(|rule| rule.resources.contains(&"secrets"));
        for rule in secrets {
            assert!(!rule.verbs.iter().any(|verb| READ[1..].contains(verb)), "{rule:?}");
        }
    }

    #[test]
    fn owned_kinds_are_granted_exactly_as_the_table_says() {
        for kind in OwnedKind::all() {
            let row = kind.row();
            let granted: BTreeSet<&str> = rules()
                .iter()
                .filter(|rule| rule.group == row.group && rule.resources.contains(&row.plural))
                .flat_map(|rule| rule.verbs)
                .copied()
                .collect();
            assert_eq!(granted, row.verbs.iter().copied().collect(), "{}", row.name);
        }
    }

    #[test]
    fn every_rule_says_why_in_one_sentence() {
        for rule in rules() {
            assert!(rule.reason.ends_with('.') && !rule.reason.contains('\n'), "{rule:?}");
        }
    }
}
