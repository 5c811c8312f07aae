//! Maintenance in a bucket.

use crate::{endpoint::settings, upkeep};

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_rows_and_retention_removes_whole_dates_behind_the_watermark() {
    upkeep::compaction_and_retention(settings().await.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_removed_once_no_commit_can_name_it() {
    upkeep::orphans(settings().await.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_made_short_and_positions_survive_that() {
    upkeep::log_is_tidied(settings().await.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_positions_stay_exact_while_writers_append() {
    upkeep::beside_writers(settings().await.into(), 4).await;
}
