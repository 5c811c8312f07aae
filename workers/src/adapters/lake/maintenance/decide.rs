//! What maintenance decides, as functions of what a version shows.
//!
//! Must not read a clock: the age of rows is told by the watermark.

use std::{collections::BTreeMap, num::NonZeroU64};

use parking_crds::{duration::Duration, event::Millis, time::day::utc_date};

use crate::ports::lake::{Table, TableSnapshot};

/// Files are made about this large, in bytes; one of half the size is left as it is.
pub(super) const LARGE_FILE: NonZeroU64 = NonZeroU64::MIN.saturating_add(128 * 1024 * 1024 - 1);

/// The time that every partition with rows has reached; `None` where none has any.
pub(super) fn watermark(positions: &TableSnapshot) -> Option<Millis> {
    positions.positions.values().filter_map(|position| position.watermark).min()
}

/// The first date (UTC, `YYYY-MM-DD`) of which some rows are not older than the retention.
pub(super) fn first_kept_date(watermark: Millis, retention: Duration) -> String {
    utc_date(watermark.saturating_sub(retention.millis()))
}

/// Dates that are closed at the watermark and hold at least so many small files, oldest first.
pub(super) fn worth_compacting(
    files: impl Iterator<Item = (String, u64)>,
    watermark: Millis,
    small_files: usize,
) -> Vec<String> {
    let open = utc_date(watermark);
    let mut small: BTreeMap<String, usize> = BTreeMap::new();
    for (date, size) in files {
        if date < open && size < LARGE_FILE.get() / 2 {
            *small.entry(date).or_default() += 1;
        }
    }
    small.retain(|_, count| *count >= small_files.max(2));
    small.into_keys().collect()
}

/// Whether a file may yet be named by a commit: its offsets go beyond the position of its partition, so
/// that an archive which was interrupted puts and commits it again. Of any other name it cannot.
pub(super) fn can_be_committed(table: Table, path: &str, positions: &TableSnapshot) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((partition, last)) = offsets(table, name) else { return false };
    let position = u32::try_from(partition).ok().and_then(|partition| positions.positions.get(&partition));
    position.is_none_or(|position| last > position.last_offset)
}

/// Partition and last offset in `<table>-<partition>-<first>-<last>[-<log>].<extension>`.
fn offsets(table: Table, name: &str) -> Option<(u64, u64)> {
    let (stem, _) = name.strip_prefix(table.as_str())?.strip_prefix('-')?.split_once('.')?;
    let mut parts = stem.split('-');
    let (partition, first, last) = (parts.next()?, parts.next()?, parts.next()?);
    first.parse::<u64>().ok()?;
    let is_log = |log: &str| log.len() == 8 && log.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_ours = parts.next().is_none_or(is_log) && parts.next().is_none();
    is_ours.then_some((partition.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::lake::Position;

    const DAY: Millis = 86_400_000;
    /// 2016-10-05T00:00Z.
    const MIDNIGHT: Millis = 17_079 * DAY;

    fn at(positions: &[(u32, u64, Option<Millis>)]) -> TableSnapshot {
        let position =
            |&(partition, last_offset, watermark)| (partition, Position { last_offset, watermark });
        TableSnapshot { version: Some(1), positions: positions.iter().map(position).collect() }
    }

    #[test]
    fn the_watermark_is_the_least_of_those_that_are_known() {
        assert_eq!(watermark(&at(&[(0, 9, Some(7)), (1, 9, None), (2, 3, Some(5))])), Some(5));
        assert_eq!(watermark(&at(&[(1, 9, None)])), None);
    }

    #[test]
    fn a_date_stays_until_its_last_row_is_older_than_the_retention() {
        let day = Duration::from_millis(DAY);
        assert_eq!(first_kept_date(MIDNIGHT, day), "2016-10-04");
        assert_eq!(first_kept_date(MIDNIGHT - 1, day), "2016-10-03");
        assert_eq!(first_kept_date(MIDNIGHT, Duration::ZERO), "2016-10-05");
        let ages = Duration::from_secs(i64::MAX);
        assert!(first_kept_date(MIDNIGHT, ages).as_str() < "2016", "{}", first_kept_date(MIDNIGHT, ages));
    }

    #[test]
    fn only_closed_dates_with_many_small_files_are_compacted() {
        let large = LARGE_FILE.get() / 2;
        let files = [("2016-10-03", 1), ("2016-10-03", large), ("2016-10-04", 1), ("2016-10-04", 2)];
        let open = [("2016-10-05", 1), ("2016-10-05", 1)];
        let files = || files.into_iter().chain(open).map(|(date, size)| (date.to_owned(), size));
        assert_eq!(worth_compacting(files(), MIDNIGHT, 2), ["2016-10-04"]);
        assert_eq!(worth_compacting(files(), MIDNIGHT, 0), ["2016-10-04"], "one file is never compacted");
        assert_eq!(worth_compacting(files(), MIDNIGHT, 3), Vec::<String>::new());
        assert_eq!(worth_compacting(files(), MIDNIGHT - 1, 2), Vec::<String>::new(), "still open");
    }

    #[test]
    fn a_file_beyond_the_position_may_yet_be_committed() {
        let positions = at(&[(3, 99, None)]);
        let can = |path| can_be_committed(Table::Events, path, &positions);
        assert!(can("event_date=2016-10-04/events-3-100-120.zstd.parquet"));
        assert!(can("event_date=2016-10-04/events-3-50-120.zstd.parquet"));
        assert!(can("event_date=2016-10-04/events-4-0-5.zstd.parquet"), "nothing of it was committed");
        assert!(!can("event_date=2016-10-04/events-3-0-99.zstd.parquet"));
        assert!(!can("event_date=2016-10-04/part-00000-0b1c.c000.zstd.parquet"));
        assert!(!can("events-3-1.zstd.parquet"));
    }
}
