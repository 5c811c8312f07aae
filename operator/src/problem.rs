//! Why an object cannot be what its spec says, as a condition will say it.

use parking_crds::{
    condition::{ConditionType, Reason},
    names::{Namespace, ObjectName},
};

use crate::error::Class;

/// One thing that is wrong, for one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition that becomes `False`.
    pub condition: ConditionType,
    /// Why, from the closed list.
    pub reason: Reason,
    /// Who can end it.
    pub class: Class,
    /// What is wrong and what to do about it: names the field or object, holds no secret.
    pub message: String,
}

impl Problem {
    /// The spec contradicts itself or its surroundings.
    pub fn invalid(condition: ConditionType, message: impl Into<String>) -> Self {
        Self { condition, reason: Reason::Invalid, class: Class::Invalid, message: message.into() }
    }

    /// Another object must appear or become ready first.
    pub fn waiting(condition: ConditionType, message: impl Into<String>) -> Self {
        Self { condition, reason: Reason::Waiting, class: Class::Blocked, message: message.into() }
    }

    /// A referenced Secret does not exist.
    pub fn missing_secret(condition: ConditionType, namespace: &Namespace, name: &ObjectName) -> Self {
        let cure = "create it, or remove the reference to it";
        Self::missing(condition, format!("Secret {namespace}/{name} does not exist: {cure}"))
    }

    /// A referenced object does not exist.
    pub fn missing(condition: ConditionType, message: impl Into<String>) -> Self {
        Self { condition, reason: Reason::RefNotFound, class: Class::Blocked, message: message.into() }
    }
}
