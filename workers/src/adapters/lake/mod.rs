//! The lake as Delta tables in a folder: open to Spark, `DuckDB`, Polars and `DataFusion`.
//!
//! Must not decide what a row is: the archive does. The Parquet files are ours, the log is
//! `deltalake`'s. Positions and watermarks are application transactions of the table, so they move
//! in the very commit that shows the files.

mod columns;
mod delta;
mod parquet;
mod positions;
pub mod statistics;

pub use delta::{DeltaLake, TableFigures};
pub use parquet::ParquetEncoder;
