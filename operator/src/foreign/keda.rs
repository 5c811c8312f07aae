//! KEDA (`keda.sh/v1alpha1`): what scales workers by lag, and how it logs in.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use serde::Serialize;

/// On a `ScaledObject`: the number at which KEDA holds the target, whatever the triggers say.
pub const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

/// Spec of a `ScaledObject`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectSpec {
    /// What is scaled.
    pub scale_target_ref: ScaleTarget,
    /// Fewest replicas.
    pub min_replica_count: u16,
    /// Most replicas.
    pub max_replica_count: u16,
    /// Seconds between two looks at the triggers.
    pub polling_interval: u32,
    /// Seconds without activity before the last replica goes; only with a minimum of 0.
    pub cooldown_period: u32,
    /// What holds while triggers fail.
    pub fallback: Fallback,
    /// How the number changes.
    pub advanced: Advanced,
    /// What the number follows.
    pub triggers: Vec<Trigger>,
}

/// What is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTarget {
    /// `group/version` of the target.
    pub api_version: String,
    /// Kind of the target.
    pub kind: String,
    /// Name of the target.
    pub name: String,
}

/// What holds while triggers fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Failures in a row before it holds.
    pub failure_threshold: u32,
    /// Replicas, where the behaviour needs a number.
    pub replicas: u16,
    /// `currentReplicas` leaves the number as it is.
    pub behavior: String,
}

/// How the number changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// The autoscaler that KEDA makes.
    pub horizontal_pod_autoscaler_config: AutoscalerConfig,
}

/// The autoscaler that KEDA makes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AutoscalerConfig {
    /// How fast the number changes.
    pub behavior: HorizontalPodAutoscalerBehavior,
}

/// What the number follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Kind of the trigger: `kafka`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique within the object.
    pub name: String,
    /// Settings; every value is a text.
    pub metadata: BTreeMap<String, String>,
    /// How to log in; absent means without login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,
}

/// Name of a `TriggerAuthentication` of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthenticationRef {
    /// The name.
    pub name: String,
}

/// Spec of a `TriggerAuthentication`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationSpec {
    /// Parameters of the trigger that come from Secrets.
    pub secret_target_ref: Vec<SecretParameter>,
}

/// A parameter of a trigger that comes from a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretParameter {
    /// The parameter.
    pub parameter: String,
    /// Name of the Secret.
    pub name: String,
    /// Key within the Secret.
    pub key: String,
}
