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
        }
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
