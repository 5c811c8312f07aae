//! What two lakes hold, row by row.

use arrow::{compute::concat_batches, record_batch::RecordBatch};
use datafusion::prelude::SessionContext;
use parking_workers::{adapters::lake::DeltaLake, ports::lake::Table};

/// Every row of a table in the order of its origin.
async fn rows(lake: &DeltaLake, table: Table) -> RecordBatch {
    let delta = lake.table(table).await.unwrap().unwrap_or_else(|| panic!("no table {}", table.as_str()));
    let (context, rows) = (SessionContext::new(), delta.table_provider().await.unwrap());
    let schema = rows.schema();
    context.register_table("rows", rows).unwrap();
    let select = "SELECT * FROM rows ORDER BY partition, \"offset\", ordinal";
    let batches = context.sql(select).await.unwrap().collect().await.unwrap();
    batches.first().map_or_else(
        || RecordBatch::new_empty(schema),
        |first| concat_batches(&first.schema(), &batches).unwrap(),
    )
}

/// Whether the input stands at the same offsets in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offsets {
    Same,
    /// In the same order, but not everywhere at the same ones.
    Shifted,
}

/// Every table of both holds the same rows.
pub(crate) async fn assert_same(found: &DeltaLake, expected: &DeltaLake, offsets: Offsets) {
    let counts = counts(expected).await;
    assert!(counts.iter().sum::<u64>() > 10_000, "the city has rows: {counts:?}");
    for table in Table::ALL {
        let (found, expected) = (rows(found, table).await, rows(expected, table).await);
        assert_eq!(found.num_rows(), expected.num_rows(), "rows of {}", table.as_str());
        for (number, field) in expected.schema().fields().iter().enumerate() {
            if offsets == Offsets::Shifted && field.name() == "offset" {
                continue;
            }
            let (found, expected) = (found.column(number), expected.column(number));
            assert_eq!(found, expected, "{}.{}", table.as_str(), field.name());
        }
    }
}

/// How many rows of each table are committed.
pub(crate) async fn counts(lake: &DeltaLake) -> Vec<u64> {
    let mut counts = Vec::new();
    for table in Table::ALL {
        counts.push(lake.figures(table).await.unwrap().rows);
    }
    counts
}
