//! Ports on a data folder of this machine: one process runs a whole pipeline on it without a server.
//!
//! Must not know what records and blocks mean. One database holds log, state and outbox; objects and
//! the lake are folders beside it. Everything that changes the database goes through one writer thread
//! that gathers what waits, writes it as one atomic batch, and answers after `fdatasync`; while one
//! group is being synced the next one gathers, so no append waits for a timer.

mod batch;
mod clock;
mod database;
mod event_log;
mod folder;
mod journal;
mod keys;
mod object_store;
mod state_store;
mod writer;

pub use clock::SystemClock;
pub use database::{DataFolder, lake_path, open};
pub use event_log::EmbeddedEventLog;
pub use folder::{ADDRESS_FILE, Description, OpenError, describe};
pub use object_store::FolderObjectStore;
pub use state_store::EmbeddedStateStore;
