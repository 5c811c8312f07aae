//! Statistics, as far as they need no data: windows and buckets of local time, and the rules that
//! turn sums into values.
//!
//! Must not do I/O. Definitions: a bucket's occupancy is occupied time over known time; where
//! strictly more than half of the time is unknown, the value is unknown, never a guess.

mod range;
mod values;

pub use range::{RangeError, windows_of};
pub use values::{BucketSums, Dwell, Facts, StatRow, ZoneFacts, rows};

use parking_crds::{
    stats_job::{EngineKind, StatsJobSpec, UnsupportedJob, check_support},
    time::Calendar,
};

/// How a job cuts time, where all that it wants can be computed in this process.
pub fn calendar_of(spec: &StatsJobSpec) -> Result<Calendar, UnsupportedJob> {
    check_support(spec)?;
    if let Some(engine) = &spec.engine
        && !matches!(engine.kind(), Some(EngineKind::DataFusion(_)))
    {
        let reason = "only datafusion runs in this process".to_owned();
        return Err(UnsupportedJob { field: "spec.engine", reason });
    }
    Ok(Calendar::of(spec))
}
