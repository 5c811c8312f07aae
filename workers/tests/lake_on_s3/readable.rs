//! A lake of Delta tables as the contract suite looks at it.

use async_trait::async_trait;
use bytes::Bytes;
use parking_workers::{
    adapters::lake::{DeltaLake, ParquetEncoder},
    ports::{
        PortResult,
        contract::lake::Visible,
        lake::{Committed, DataFile, Lake, Table, TableCommit, TableSnapshot},
    },
    runtime::archive::{Encoder, Row, RowOrigin},
};

pub(crate) struct Readable(pub(crate) DeltaLake);

#[async_trait]
impl Lake for Readable {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.0.snapshot(table).await
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        self.0.put(table, path, body).await
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        self.0.commit(table, commit).await
    }
}

#[async_trait]
impl Visible for Readable {
    fn sample(&self, path: &str, rows: u64) -> (DataFile, Bytes) {
        let row = |offset| Row { origin: RowOrigin { offset, ordinal: 0 }, late: false, record: "{}".into() };
        let body = ParquetEncoder.encode(Table::Events, 0, &(0..rows).map(row).collect::<Vec<_>>()).unwrap();
        let path = format!("event_date=1970-01-01/{path}.zstd.parquet");
        (DataFile { date: 0, path, rows, size: body.len() as u64 }, body)
    }

    async fn visible(&self, table: Table) -> Vec<String> {
        let Some(delta) = self.0.table(table).await.unwrap() else { return Vec::new() };
        let snapshot = delta.snapshot().unwrap();
        let mut paths: Vec<_> = snapshot.log_data().iter().map(|file| file.path().into_owned()).collect();
        paths.sort();
        paths
    }
}
