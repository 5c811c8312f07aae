//! Names of keys and fields. See [`super`] for what each holds.

use parking_crds::names::{JobName, KeyPrefix};

use crate::ports::{
    live_view::LiveKind,
    state_store::{BlockKey, StageKey},
};

/// Bytes of a block's field.
pub(super) const FIELD_BYTES: usize = 1 + size_of::<u128>();

/// The keys of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) stage: String,
    pub(super) blocks: String,
    pub(super) outbox: String,
}

/// The keys of the live rows of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveKeys {
    /// Rows of all stages.
    pub(super) rows: String,
    /// Names of the stage's own.
    pub(super) own: String,
}

impl LiveKeys {
    pub(super) fn of(prefix: &KeyPrefix, stage: &StageKey, kind: LiveKind) -> Self {
        let rows = format!("{}live:{}", prefix.as_str(), kind.as_str());
        Self { own: format!("{rows}:of:{}:{}", stage.role, stage.partition), rows }
    }
}

impl Keys {
    pub(super) fn of(prefix: &KeyPrefix, stage: &StageKey) -> Self {
        let stage = format!("{}stage:{}:{}", prefix.as_str(), stage.role, stage.partition);
        Self { blocks: format!("{stage}:blocks"), outbox: format!("{stage}:outbox"), stage }
    }
}

/// The key of a window of a statistics job, or of what is kept beside its windows.
pub(super) fn statistics_key(prefix: &KeyPrefix, job: &JobName, of: &str) -> String {
    format!("{}stats:{job}:{of}", prefix.as_str())
}

/// A block's field: `class u8 | id u128`, big-endian, so that fields sort as keys do.
pub(super) fn field(key: BlockKey) -> [u8; FIELD_BYTES] {
    let mut field = [key.class; FIELD_BYTES];
    let (_, id) = field.split_at_mut(1);
    id.copy_from_slice(&key.id.to_be_bytes());
    field
}

/// The block of a field; `None` if it is none of ours.
pub(super) fn block_key(field: &[u8]) -> Option<BlockKey> {
    let (class, id) = field.split_first()?;
    Some(BlockKey { class: *class, id: u128::from_be_bytes(id.try_into().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_stages_differ() {
        let prefix: KeyPrefix = "parking:city:".parse().unwrap();
        let keys = |role, partition| Keys::of(&prefix, &StageKey { role, partition });
        assert_eq!(keys("alert", 3).stage, "parking:city:stage:alert:3");
        assert_eq!(keys("alert", 3).blocks, "parking:city:stage:alert:3:blocks");
        assert_ne!(keys("alert", 3), keys("alert", 33));
    }

    #[test]
    fn fields_come_back_and_sort_as_their_keys() {
        let keys = [(0, 1), (0, u128::MAX), (1, 0), (255, 7)].map(|(class, id)| BlockKey { class, id });
        assert!(keys.iter().all(|key| block_key(&field(*key)) == Some(*key)));
        assert!(keys.map(field).is_sorted());
        assert_eq!(block_key(b""), None);
        assert_eq!(block_key(&[0; 16]), None);
    }
}
