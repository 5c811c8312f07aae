//! How new a list must be.
//!
//! For the newest list the API server asks its database and waits until its own memory is as new, up to a tenth of a
//! second; a list that may be as old as a named version it answers at once.
//! Must not: compare versions of different kinds.

use std::collections::BTreeMap;

use crate::owned_kinds::OwnedKind;

/// The newest version that is known of each kind. A kind without one is read anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<OwnedKind, u64>);

impl Versions {
    /// Notes a version of an object or a list of the kind; what is no number, or older, changes nothing.
    pub fn note(&mut self, kind: OwnedKind, version: &str) {
        if let Ok(version) = version.parse() {
            let newest = self.0.entry(kind).or_insert(version);
            *newest = version.max(*newest);
        }
    }

    /// The version that a list of the kind must have reached.
    pub fn of(&self, kind: OwnedKind) -> Option<String> {
        self.0.get(&kind).map(u64::to_string)
    }

    /// The same kinds, each at least as new as the other says.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (kind, version) in &mut self.0 {
            *version = other.0.get(kind).map_or(*version, |other| (*version).max(*other));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(noted: &[(OwnedKind, &str)]) -> Versions {
        let mut versions = Versions::default();
        for (kind, version) in noted {
            versions.note(*kind, version);
        }
        versions
    }

    #[test]
    fn the_newest_version_counts_and_not_the_last_or_the_longest_text() {
        let versions = versions(&[(OwnedKind::Job, "9"), (OwnedKind::Job, "10"), (OwnedKind::Job, "8")]);
        assert_eq!(versions.of(OwnedKind::Job).as_deref(), Some("10"));
        assert_eq!(versions.of(OwnedKind::Service), None);
    }

    #[test]
    fn a_version_that_is_no_number_is_not_compared() {
        assert_eq!(versions(&[(OwnedKind::Job, "a7"), (OwnedKind::Job, "")]), Versions::default());
    }

    #[test]
    fn what_was_heard_of_a_kind_that_was_not_read_says_nothing_of_its_list() {
        let read = versions(&[(OwnedKind::Job, "7"), (OwnedKind::Service, "7")]);
        let heard =
            versions(&[(OwnedKind::Job, "8"), (OwnedKind::Service, "6"), (OwnedKind::ConfigMap, "9")]);
        assert_eq!(read.and(&heard), versions(&[(OwnedKind::Job, "8"), (OwnedKind::Service, "7")]));
    }
}
