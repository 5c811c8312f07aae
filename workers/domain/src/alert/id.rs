//! Identities that follow from the input alone (G3).
//!
//! Invariants: the same tenant, rule and instance labels give the same fingerprint, in whatever order
//! the labels are told; no two lists of fields give the same bytes to the hash.

use std::fmt::Write as _;

use parking_crds::event::Millis;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What one alert instance is called, as long as its rule keeps its name: 128 bits of a SHA-256.
pub(super) fn fingerprint<'a>(
    tenant: &'a str,
    rule: &'a str,
    labels: impl IntoIterator<Item = (&'a str, String)>,
) -> Uuid {
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort_unstable();
    let mut hash = Sha256::new();
    let mut put = |field: &str| {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field.as_bytes());
    };
    put(tenant);
    put(rule);
    for (name, value) in &labels {
        put(name);
        put(value);
    }
    let digest: [u8; 32] = hash.finalize().into();
    Uuid::from_slice(digest.split_at(16).0).unwrap_or_default()
}

/// A short hash of a text, for people to compare.
pub(super) fn short_hash(text: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The identity of one alert of an instance.
pub(super) fn alert_id(fingerprint: Uuid, starts_at: Millis) -> Uuid {
    Uuid::new_v5(&fingerprint, &starts_at.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn the_order_of_labels_does_not_matter() {
        let one = fingerprint("t", "r", labels(&[("a", "1"), ("b", "2")]));
        assert_eq!(one, fingerprint("t", "r", labels(&[("b", "2"), ("a", "1")])));
    }

    #[test]
    fn tenant_rule_and_labels_tell_instances_apart() {
        let one = fingerprint("t", "r", labels(&[("a", "1")]));
        for other in [
            fingerprint("u", "r", labels(&[("a", "1")])),
            fingerprint("t", "s", labels(&[("a", "1")])),
            fingerprint("t", "r", labels(&[("a", "2")])),
            fingerprint("t", "ra", labels(&[("", "1")])),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn identities_never_change_between_versions() {
        let fingerprint = fingerprint("city", "parking/zone-full", labels(&[("curb_zone_id", "x")]));
        assert_eq!(fingerprint.simple().to_string(), "9575506ab9a7f11bab3fa361df7c1f34");
        assert_eq!(
            alert_id(fingerprint, 1_476_000_000_000).to_string(),
            "41ae28d3-4ffa-5f0f-9381-552ce8be4fad"
        );
    }
}
