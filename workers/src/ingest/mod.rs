//! The role `ingest`: takes events from outside into a pipeline's log.
//!
//! Must not know which log it is, nor judge by the inventory: whether a zone exists is for the stages.
//! What is refused is answered to its sender and counted; it is no dead letter where the sender still
//! has it.
//!
//! Invariants: a record that was answered as accepted is in the log (G1); no plate in clear is written;
//! a refused record harms no other one; bytes in flight to the log are bounded.

mod body;
mod bucket;
mod connections;
mod entries;
mod gather;
mod grant;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod http;
mod intake;
mod judge;
mod keyring;
mod letter;
mod meter;
mod plate;
#[cfg(feature = "redis")]
mod redis_entries;
mod refusal;
mod secret_folder;
mod secrets;
mod serve;
mod tls;

pub use body::{BodyError, Format, MAX_RECORDS, split, unzip};
pub use bucket::Bucket;
pub use entries::{Entry, EntryStream, consume};
pub use gather::{AppendFailed, Gather, Held, Submitted};
pub use grant::{Grant, Limits, Rights};
pub use intake::{Door, Intake, Pending, Placed, Transport, Turned, Verdicts};
pub use judge::{Passed, Place, judge};
pub use keyring::{KeyDefaults, KeyError, Keyring};
pub use meter::Meter;
pub use plate::{PlateKeyError, PlateKeys};
#[cfg(feature = "redis")]
pub use redis_entries::{RedisCalls, RedisEntries};
pub use refusal::{Reason, Refusal};
pub use secrets::SecretError;
pub use serve::{IngestError, Serving, serve};
pub use tls::TlsError;
