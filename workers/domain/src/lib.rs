//! The pure core: state and record in, effects out.
//!
//! Must not name an I/O crate, a clock, a thread or a task; a test keeps it so.

pub mod alert;
pub mod block_key;
pub mod calendar;
pub mod generator;
pub mod hints;
pub(crate) mod id_map;
pub mod id_memory;
pub mod notify;
pub mod observation;
pub mod partitioner;
pub mod record;
pub mod sequence_window;
pub mod stats;
pub mod track;
pub mod verdict;
