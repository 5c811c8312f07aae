//! Statistics, as far as they need no data: windows and buckets of local time, and the rules that
//! turn sums into values.
//!
//! Must not do I/O. Definitions: a bucket's occupancy is occupied time over known time; where
//! strictly more than half of the time is unknown, the value is unknown, never a guess.

mod values;
mod windows;

pub use values::{BucketSums, Dwell, Facts, StatRow, ZoneFacts, rows};
pub use windows::{Bucket, Calendar, DayType, UnsupportedJob, Window};
