//! Maintenance of a lake in a folder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "lake_on_s3/upkeep.rs"]
mod upkeep;

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_rows_and_retention_removes_whole_dates_behind_the_watermark() {
    let folder = tempfile::tempdir().unwrap();
    upkeep::compaction_and_retention(folder.path().into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_removed_once_no_commit_can_name_it() {
    let folder = tempfile::tempdir().unwrap();
    upkeep::orphans(folder.path().into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_made_short_and_positions_survive_that() {
    let folder = tempfile::tempdir().unwrap();
    upkeep::log_is_tidied(folder.path().into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_positions_stay_exact_while_writers_append() {
    let folder = tempfile::tempdir().unwrap();
    upkeep::beside_writers(folder.path().into(), 6).await;
}
