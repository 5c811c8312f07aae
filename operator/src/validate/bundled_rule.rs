//! A rule as workers read it.

use kube::ResourceExt;
use parking_crds::{alert_rule::AlertRule, topology::PipelineId};
use sha2::{Digest, Sha256};

use super::BundledRule;

impl BundledRule {
    /// The rule without what the API server added, so that only an edit of its spec changes the text.
    pub fn of(rule: &AlertRule, id: &PipelineId) -> Self {
        let mut bare = AlertRule::new(&rule.name_any(), rule.spec.clone());
        bare.metadata.namespace = Some(id.namespace.to_string());
        let text = serde_saphyr::to_string(&bare).unwrap_or_default();
        let digest = Sha256::digest(&text);
        let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, hash }
    }
}
