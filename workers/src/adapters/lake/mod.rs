//! The lake as Delta tables in a folder or a bucket: open to Spark, `DuckDB`, Polars and `DataFusion`.
//!
//! Must not decide what a row is: the archive does. The Parquet files are ours, the log is
//! `deltalake`'s. Positions and watermarks are application transactions of the table, so they move
//! in the very commit that shows the files.

mod columns;
mod delta;
mod index;
mod maintenance;
mod parquet;
mod place;
mod positions;
pub mod statistics;

pub use delta::{DeltaLake, TableFigures};
pub use index::IndexWriter;
pub use maintenance::{Maintained, Maintenance, MaintenanceSettings};
pub use parquet::ParquetEncoder;
pub use place::LakePlace;
pub use positions::LogSources;
