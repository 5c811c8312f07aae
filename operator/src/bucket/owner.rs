//! The record that says whom a prefix of a bucket belongs to.

use std::fmt;

use parking_crds::topology::PipelineId;
use serde::{Deserialize, Serialize};

/// Whom a prefix of a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerKey {
    /// Uid of the namespace `kube-system`, which tells clusters apart.
    pub cluster: String,
    /// The pipeline.
    #[serde(flatten)]
    pub pipeline: PipelineKey,
}

/// Namespace and name of the owning pipeline, as they were written; not trusted to be valid names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineKey {
    /// Namespace of the pipeline.
    pub namespace: String,
    /// Name of the pipeline.
    pub name: String,
}

/// The record that says whom a prefix of a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Who it is.
    #[serde(flatten)]
    pub key: OwnerKey,
    /// Whether the operator made the bucket, and so may delete it once it is empty.
    #[serde(default)]
    pub created: bool,
}

impl OwnerKey {
    /// The owner of a pipeline's prefix. `cluster` is the uid of the namespace `kube-system`.
    pub fn new(cluster: impl Into<String>, id: &PipelineId) -> Self {
        let pipeline =
            PipelineKey { namespace: id.namespace.as_str().to_owned(), name: id.name.as_str().to_owned() };
        Self { cluster: cluster.into(), pipeline }
    }
}

impl Owner {
    /// Longest record that is read, in bytes.
    pub(super) const MAX_BYTES: i64 = 4096;

    /// Reads a record; `None` when it is none, also when it could not be shown in a message.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let owner: Self = serde_json::from_slice(bytes).ok()?;
        let OwnerKey { cluster, pipeline } = &owner.key;
        let shown = |text: &str| {
            (1..=253).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        };
        (shown(cluster) && shown(&pipeline.namespace) && shown(&pipeline.name)).then_some(owner)
    }

    /// The record as it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipeline {}/{} of cluster {}", self.pipeline.namespace, self.pipeline.name, self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written() {
        let pipeline = PipelineKey { namespace: "parking".into(), name: "city".into() };
        let owner = Owner { key: OwnerKey { cluster: "5f0c".into(), pipeline }, created: true };
        assert_eq!(Owner::parse(&owner.to_bytes()), Some(owner.clone()));
        let newer =
            br#"{"cluster":"5f0c","namespace":"parking","name":"city","created":true,"since":"2030"}"#;
        assert_eq!(Owner::parse(newer), Some(owner));
    }

    #[test]
    fn a_record_that_could_not_be_shown_is_none() {
        for bytes in [
            &b"not json"[..],
            br#"{"cluster":"a\nb","namespace":"parking","name":"city"}"#,
            br#"{"cluster":"","namespace":"parking","name":"city"}"#,
            br#"{"cluster":"c","namespace":"<script>","name":"city"}"#,
        ] {
            assert_eq!(Owner::parse(bytes), None);
        }
    }
}
