//! How large the volumes of a managed Redis are: they grow where their class allows it and never shrink.

use parking_crds::{
    condition::{ConditionType, Reason},
    quantity::Bytes,
};

use crate::{error::Class, problem::Problem};

/// A claim that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingClaim {
    /// Its name.
    pub name: String,
    /// What it requests, as Kubernetes writes it.
    pub size: String,
}

/// What is to be done about the volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Size of each volume: what is wanted, or more where more exists or growing is forbidden.
    pub size: Bytes,
    /// Claims to be patched to the size; when there are any, the StatefulSet is made anew with its pods left as
    /// orphans, for its claim template cannot be changed.
    pub grow: Vec<String>,
    /// Why the volumes are not as wanted.
    pub problem: Option<Problem>,
}

/// Compares the wanted size with the claims that exist. A claim whose size cannot be read was changed by somebody
/// else and is left alone.
pub fn storage(wanted: Bytes, claims: &[ExistingClaim], class_allows_expansion: bool) -> Storage {
    let sizes: Vec<(&str, Bytes)> =
        claims.iter().filter_map(|claim| Some((claim.name.as_str(), claim.size.parse().ok()?))).collect();
    let largest = sizes.iter().map(|(_, size)| *size).max_by_key(|size| size.as_u64());
    let smaller = |than: Bytes| {
        let small = sizes.iter().filter(move |(_, size)| size.as_u64() < than.as_u64());
        small.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    let problem = |reason, class, message| {
        Some(Problem { condition: ConditionType::RedisReady, reason, class, message })
    };
    match largest {
        Some(largest) if largest.as_u64() > wanted.as_u64() => Storage {
            size: largest,
            grow: if class_allows_expansion { smaller(largest) } else { Vec::new() },
            problem: problem(
                Reason::Invalid,
                Class::Invalid,
                format!(
                    "spec.redis.managed.storage is {wanted}, but the volumes have {largest} and volumes never \
                     shrink: set it to {largest} or more"
                ),
            ),
        },
        Some(largest) if !class_allows_expansion && !smaller(wanted).is_empty() => Storage {
            size: largest,
            grow: Vec::new(),
            problem: problem(
                Reason::NotSupported,
                Class::Blocked,
                format!(
                    "the volumes of Redis have {largest} and cannot grow to {wanted}: set allowVolumeExpansion on \
                     their StorageClass, or spec.redis.managed.storage back to {largest}"
                ),
            ),
        },
        _ => Storage { size: wanted, grow: smaller(wanted), problem: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(wanted: &str, claims: &[&str], expandable: bool) -> (String, Vec<String>, Option<Reason>) {
        let claim = |(index, size): (usize, &&str)| ExistingClaim {
            name: format!("data-city-redis-{index}"),
            size: (*size).to_owned(),
        };
        let claims: Vec<ExistingClaim> = claims.iter().enumerate().map(claim).collect();
        let found = storage(wanted.parse().unwrap(), &claims, expandable);
        (found.size.to_string(), found.grow, found.problem.map(|problem| problem.reason))
    }

    fn claim(index: usize) -> String {
        format!("data-city-redis-{index}")
    }

    #[test]
    fn new_volumes_have_the_wanted_size() {
        assert_eq!(look("2Gi", &[], false), ("2Gi".to_owned(), vec![], None));
        assert_eq!(look("1Gi", &["1Gi", "1024Mi"], false), ("1Gi".to_owned(), vec![], None));
    }

    #[test]
    fn volumes_grow_where_their_class_allows_it() {
        assert_eq!(look("2Gi", &["1Gi", "2Gi"], true), ("2Gi".to_owned(), vec![claim(0)], None));
    }

    #[test]
    fn a_class_that_forbids_growth_is_told_and_keeps_the_size() {
        assert_eq!(look("2Gi", &["1Gi"], false), ("1Gi".to_owned(), vec![], Some(Reason::NotSupported)));
    }

    #[test]
    fn volumes_never_shrink() {
        let found = look("1Gi", &["1Gi", "2Gi"], true);
        assert_eq!(found, ("2Gi".to_owned(), vec![claim(0)], Some(Reason::Invalid)));
    }

    #[test]
    fn a_size_that_cannot_be_read_is_left_alone() {
        assert_eq!(look("2Gi", &["1.5Gi"], true), ("2Gi".to_owned(), vec![], None));
    }
}
