//! How a state is cut for its store: a block changes as a whole.

use serde::{Deserialize, Serialize};

/// Name of a block within its stage: a class and an id (`zone` and the zone's id, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockKey {
    /// What the block holds; the stage's own numbering.
    pub class: u8,
    /// Which one.
    pub id: u128,
}
