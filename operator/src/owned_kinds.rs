//! The one table of kinds that the operator makes: watches, order, pruning and RBAC follow from it.
//!
//! Invariant: whatever `plan` produces is of a kind in this table; the chart grants exactly its verbs.

/// When an object is applied; a wave begins when the one before was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wave {
    /// Secrets, configuration and identities, which others mount.
    Config,
    /// Topics and users.
    Streams,
    /// Redis.
    Stores,
    /// Whatever runs or watches workers.
    Workloads,
}

/// How objects of a kind are seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// Listed and watched by label.
    Watched,
    /// Read one by one by name and polled: no right to list is asked for.
    ByName,
}

/// A kind of object that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedKind {
    /// Copied credentials and the password of a managed Redis.
    Secret,
    /// Worker configuration, rule bundle, Redis scripts.
    ConfigMap,
    /// Identity of a role's pods.
    ServiceAccount,
    /// One per stream, beside the Kafka cluster.
    KafkaTopic,
    /// One per role, beside the Kafka cluster.
    KafkaUser,
    /// In front of workers and Redis.
    Service,
    /// Stages and Redis.
    StatefulSet,
    /// Roles without partitions.
    Deployment,
    /// Bounds on voluntary disruption.
    PodDisruptionBudget,
    /// Who may talk to whom.
    NetworkPolicy,
    /// Replicas by CPU.
    HorizontalPodAutoscaler,
    /// Login of KEDA at Kafka.
    TriggerAuthentication,
    /// Replicas by lag.
    ScaledObject,
    /// What Prometheus scrapes.
    PodMonitor,
    /// What Prometheus warns about.
    PrometheusRule,
    /// A run of statistics.
    Job,
    /// A run of statistics on Spark.
    SparkApplication,
    /// Volumes of Redis; made by its StatefulSet, grown and deleted by the operator.
    PersistentVolumeClaim,
}

/// What the table says of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: OwnedKind,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version that is written unless discovery says otherwise.
    pub version: &'static str,
    /// Kind as manifests write it.
    pub name: &'static str,
    /// Resource as URLs and RBAC write it.
    pub plural: &'static str,
    /// When it is applied.
    pub wave: Wave,
    /// How it is seen again.
    pub seen: Seen,
    /// Whether the API may be absent.
    pub optional: bool,
    /// What the operator may do with it, for RBAC.
    pub verbs: &'static [&'static str],
}

const WATCHED: &[&str] = &["create", "delete", "get", "list", "patch", "watch"];
const BY_NAME: &[&str] = &["create", "delete", "get", "patch"];
/// Made once and never changed.
const RUN: &[&str] = &["create", "delete", "list", "watch"];

const fn row(
    kind: OwnedKind,
    (group, version): (&'static str, &'static str),
    (name, plural): (&'static str, &'static str),
    wave: Wave,
) -> Row {
    Row { kind, group, version, name, plural, wave, seen: Seen::Watched, optional: false, verbs: WATCHED }
}

const fn optional(row: Row) -> Row {
    Row { optional: true, ..row }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const STRIMZI: (&str, &str) = ("kafka.strimzi.io", "v1");
const KEDA: (&str, &str) = ("keda.sh", "v1alpha1");
const MONITORING: (&str, &str) = ("monitoring.coreos.com", "v1");

/// Every kind, in the order in which it is applied.
const TABLE: [Row; 18] = {
    use OwnedKind as K;
    [
        Row {
            seen: Seen::ByName,
            verbs: BY_NAME,
            ..row(K::Secret, CORE, ("Secret", "secrets"), Wave::Config)
        },
        row(K::ConfigMap, CORE, ("ConfigMap", "configmaps"), Wave::Config),
        row(K::ServiceAccount, CORE, ("ServiceAccount", "serviceaccounts"), Wave::Config),
        optional(row(K::KafkaTopic, STRIMZI, ("KafkaTopic", "kafkatopics"), Wave::Streams)),
        optional(row(K::KafkaUser, STRIMZI, ("KafkaUser", "kafkausers"), Wave::Streams)),
        row(K::Service, CORE, ("Service", "services"), Wave::Stores),
        row(K::StatefulSet, APPS, ("StatefulSet", "statefulsets"), Wave::Workloads),
        row(K::Deployment, APPS, ("Deployment", "deployments"), Wave::Workloads),
        row(
            K::PodDisruptionBudget,
            ("policy", "v1"),
            ("PodDisruptionBudget", "poddisruptionbudgets"),
            Wave::Workloads,
        ),
        row(
            K::NetworkPolicy,
            ("networking.k8s.io", "v1"),
            ("NetworkPolicy", "networkpolicies"),
            Wave::Stores,
        ),
        row(
            K::HorizontalPodAutoscaler,
            ("autoscaling", "v2"),
            ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            Wave::Workloads,
        ),
        optional(row(
            K::TriggerAuthentication,
            KEDA,
            ("TriggerAuthentication", "triggerauthentications"),
            Wave::Workloads,
        )),
        optional(row(K::ScaledObject, KEDA, ("ScaledObject", "scaledobjects"), Wave::Workloads)),
        optional(row(K::PodMonitor, MONITORING, ("PodMonitor", "podmonitors"), Wave::Workloads)),
        optional(row(K::PrometheusRule, MONITORING, ("PrometheusRule", "prometheusrules"), Wave::Workloads)),
        Row { verbs: RUN, ..row(K::Job, ("batch", "v1"), ("Job", "jobs"), Wave::Workloads) },
        Row {
            verbs: RUN,
            ..optional(row(
                K::SparkApplication,
                ("sparkoperator.k8s.io", "v1beta2"),
                ("SparkApplication", "sparkapplications"),
                Wave::Workloads,
            ))
        },
        Row {
            verbs: &["delete", "list", "patch", "watch"],
            ..row(
                K::PersistentVolumeClaim,
                CORE,
                ("PersistentVolumeClaim", "persistentvolumeclaims"),
                Wave::Stores,
            )
        },
    ]
};

impl OwnedKind {
    /// Every kind, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.kind)
    }

    /// What the table says of the kind.
    #[expect(clippy::indexing_slicing, reason = "the loop ends within the table")]
    pub const fn row(self) -> &'static Row {
        const ROWS: &[Row; 18] = &TABLE;
        let mut index = 0;
        while index < ROWS.len() - 1 && ROWS[index].kind as usize != self as usize {
            index += 1;
        }
        &ROWS[index]
    }

    /// `group/version` as manifests write it.
    pub fn api_version(self) -> String {
        let row = self.row();
        if row.group.is_empty() { row.version.to_owned() } else { format!("{}/{}", row.group, row.version) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_one_row() {
        let kinds: BTreeSet<OwnedKind> = OwnedKind::all().collect();
        assert_eq!(kinds.len(), TABLE.len());
        assert!(OwnedKind::all().all(|kind| kind.row().kind == kind));
    }
}
