//! Status conditions: their types and reasons as closed lists.
//!
//! Must not: decide when a condition holds; that is the operator's `status`.
//! Invariants: types and reasons are never free text, so alerts on them cannot break silently.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The object does what its spec says.
    Ready,
    /// The operator is still changing something.
    Progressing,
    /// Something is broken and needs attention.
    Degraded,
    /// Every topic exists as planned.
    TopicsReady,
    /// Every Kafka user exists with its credentials.
    UsersReady,
    /// Redis answers and has a master.
    RedisReady,
    /// The bucket exists and is writable.
    BucketReady,
    /// Every role has its replicas.
    WorkersAvailable,
    /// Every alert worker has loaded the newest rules.
    RulesLoaded,
    /// The rule compiles and its references exist.
    Accepted,
    /// The rule is loaded and evaluated.
    Active,
    /// The rule has more active alerts than it may have.
    Saturated,
    /// The last statistics run succeeded.
    Complete,
    /// The autoscalers that the spec asks for hold the replicas.
    AutoscalingReady,
    /// The monitoring objects that the spec asks for exist.
    MonitoringReady,
    /// The oldest unread record is older than half of the retention.
    RetentionAtRisk,
    /// A topic was made anew, or Redis lost what the log no longer holds.
    DataLost,
    /// The operator leaves everything as it is.
    ReconciliationPaused,
}

impl ConditionType {
    /// The value of the condition's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::TopicsReady => "TopicsReady",
            Self::UsersReady => "UsersReady",
            Self::RedisReady => "RedisReady",
            Self::BucketReady => "BucketReady",
            Self::WorkersAvailable => "WorkersAvailable",
            Self::RulesLoaded => "RulesLoaded",
            Self::Accepted => "Accepted",
            Self::Active => "Active",
            Self::Saturated => "Saturated",
            Self::Complete => "Complete",
            Self::AutoscalingReady => "AutoscalingReady",
            Self::MonitoringReady => "MonitoringReady",
            Self::RetentionAtRisk => "RetentionAtRisk",
            Self::DataLost => "DataLost",
            Self::ReconciliationPaused => "ReconciliationPaused",
        }
    }
}

impl ConditionType {
    /// Every type.
    pub const ALL: [Self; 18] = [
        Self::Ready,
        Self::Progressing,
        Self::Degraded,
        Self::TopicsReady,
        Self::UsersReady,
        Self::RedisReady,
        Self::BucketReady,
        Self::WorkersAvailable,
        Self::RulesLoaded,
        Self::Accepted,
        Self::Active,
        Self::Saturated,
        Self::Complete,
        Self::AutoscalingReady,
        Self::MonitoringReady,
        Self::RetentionAtRisk,
        Self::DataLost,
        Self::ReconciliationPaused,
    ];

    /// The type that a condition names, if it is one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Why a condition has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All is as the spec says.
    AsSpecified,
    /// The spec contradicts itself or its surroundings.
    Invalid,
    /// A referenced object does not exist.
    RefNotFound,
    /// Another object must become ready first.
    Waiting,
    /// An API that the spec needs is not installed.
    ApiAbsent,
    /// A dependency refused or failed.
    DependencyFailed,
    /// The pipeline is paused or stopped by its spec.
    Paused,
    /// The rule's condition compiled.
    Compiled,
    /// Every engine has loaded the rule.
    EngineLoaded,
    /// The rule exceeds `limits.maxActive`.
    TooManyActive,
    /// The lake has not yet reached the end of the window.
    LakeBehind,
    /// The window already has a result on the same table versions.
    Unchanged,
    /// Records are gone that nobody had read.
    RecordsLost,
    /// The topic operator cannot do what the spec asks for.
    NotSupported,
    /// Another resource manages the same topic.
    ResourceConflict,
    /// An object of that name exists that is not ours.
    NameTaken,
    /// The bucket belongs to another pipeline.
    OwnedByOther,
    /// The credentials lack a right.
    MissingRight,
    /// The credentials were refused.
    CredentialsRefused,
    /// The owner of the other namespace does not allow its use.
    NotAllowed,
    /// Stages work off what was there when the pause was noted.
    Draining,
    /// The stages did not drain within their time.
    DrainTimedOut,
    /// The object is being deleted, step by step.
    Deleting,
    /// New pods do not become ready.
    RolloutFailed,
    /// Another pipeline rolls its pods first.
    RolloutWaiting,
    /// The annotation `parking.tinyx.io/pause-reconciliation` is set.
    PausedByAnnotation,
    /// A run goes on.
    RunActive,
    /// The newest run failed.
    RunFailed,
    /// The job is suspended by its spec.
    Suspended,
    /// The operator failed; the message says where.
    Internal,
}

impl Reason {
    /// The value of the condition's `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsSpecified => "AsSpecified",
            Self::Invalid => "Invalid",
            Self::RefNotFound => "RefNotFound",
            Self::Waiting => "Waiting",
            Self::ApiAbsent => "ApiAbsent",
            Self::DependencyFailed => "DependencyFailed",
            Self::Paused => "Paused",
            Self::Compiled => "Compiled",
            Self::EngineLoaded => "EngineLoaded",
            Self::TooManyActive => "TooManyActive",
            Self::LakeBehind => "LakeBehind",
            Self::Unchanged => "Unchanged",
            Self::RecordsLost => "RecordsLost",
            Self::NotSupported => "NotSupported",
            Self::ResourceConflict => "ResourceConflict",
            Self::NameTaken => "NameTaken",
            Self::OwnedByOther => "OwnedByOther",
            Self::MissingRight => "MissingRight",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::NotAllowed => "NotAllowed",
            Self::Draining => "Draining",
            Self::DrainTimedOut => "DrainTimedOut",
            Self::Deleting => "Deleting",
            Self::RolloutFailed => "RolloutFailed",
            Self::RolloutWaiting => "RolloutWaiting",
            Self::PausedByAnnotation => "PausedByAnnotation",
            Self::RunActive => "RunActive",
            Self::RunFailed => "RunFailed",
            Self::Suspended => "Suspended",
            Self::Internal => "Internal",
        }
    }
}

/// The condition of the given type, if the status has it.
pub fn find(conditions: &[Condition], wanted: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == wanted.as_str())
}

/// Whether the condition of the given type is `True` for this generation of the spec.
pub fn holds(conditions: &[Condition], wanted: ConditionType, generation: i64) -> bool {
    find(conditions, wanted).is_some_and(|c| c.status == "True" && c.observed_generation == Some(generation))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    #[test]
    fn a_condition_of_an_older_generation_does_not_hold() {
        let ready = Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Reason::AsSpecified.as_str().to_owned(),
            message: String::new(),
            observed_generation: Some(2),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        assert!(holds(std::slice::from_ref(&ready), ConditionType::Ready, 2));
        assert!(!holds(std::slice::from_ref(&ready), ConditionType::Ready, 3));
        assert!(!holds(&[ready], ConditionType::Degraded, 2));
    }
}
