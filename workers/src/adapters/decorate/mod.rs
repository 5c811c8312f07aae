//! Decorators: what any adapter can be wrapped in.
//!
//! Must not know an adapter, and keeps the guarantees of the port that it wraps, as far as the errors
//! it answers allow.

mod faulty;
mod faulty_ports;
mod metered;
mod retry;
mod shared_reads;

pub use faulty::{Chances, Fault, FaultPlan, Operation};
pub use faulty_ports::Faulty;
pub use metered::{
    LakeMetrics, LogMetrics, MembershipMetrics, MeteredLake, MeteredLog, MeteredMembership, MeteredStore,
    StoreMetrics,
};
pub use retry::Retrying;
pub use shared_reads::SharedReads;
