//! Which files shall stand where those of a table stand, once the rows of some windows are replaced.
//!
//! Must not do I/O. Invariants: rows outside the replaced stretch stay; what is left of a file of another computation
//! keeps that computation's name; equal rows make equal files, whatever they came from.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::Int64Type,
    error::ArrowError,
    row::{RowConverter, SortField},
};
use parking_crds::{event::Millis, time::Window};
use sha2::{Digest, Sha256};

const HELD: &str = "windows-";
const REST: &str = "rest-";
const SUFFIX: &str = ".zstd.parquet";
/// A file of fewer rows is put together with one that follows it: runs are many, and most of them are small.
pub(super) const SMALL: usize = 50_000;

/// The windows of a file, as its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The computation.
    pub(super) computation: String,
    /// From the first window's start to the last one's end.
    pub(super) range: Window,
}

impl Held {
    /// Reads a name; `None` where the file is none of ours, such as one of an analyst's compaction.
    pub(super) fn of(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(HELD)?.strip_suffix(SUFFIX)?.split('-');
        let computation = parts.next()?.to_owned();
        let range = Window { start: parts.next()?.parse().ok()?, end: parts.next()?.parse().ok()? };
        (parts.next().is_some() && parts.next().is_none()).then_some(Self { computation, range })
    }

    fn meets(&self, range: Window) -> bool {
        self.range.start <= range.end && range.start <= self.range.end
    }

    /// Whether a file of so many rows takes part in a change of these windows.
    pub(super) fn is_touched(&self, by: &Self, rows: usize) -> bool {
        let overlaps = self.range.start < by.range.end && by.range.start < self.range.end;
        overlaps || (self.meets(by.range) && self.computation == by.computation && rows < SMALL)
    }

    /// The name of a file with these windows.
    pub(super) fn name(&self, body: &[u8]) -> String {
        let Self { computation, range } = self;
        format!("{HELD}{computation}-{}-{}-{}{SUFFIX}", range.start, range.end, digest(body))
    }
}

fn digest(body: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    format!("{:016x}", digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The name of a file with rows of windows that nobody knows.
pub(super) fn rest_name(body: &[u8]) -> String {
    format!("{REST}{}{SUFFIX}", digest(body))
}

/// A file that shall stand.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Its windows, if they are known.
    pub(super) held: Option<Held>,
    /// Its rows.
    pub(super) rows: RecordBatch,
}

/// What shall stand instead of the touched files. `time` is the column by which rows belong to windows.
pub(super) fn pieces(
    new: &Held,
    rows: &RecordBatch,
    touched: &[(Option<Held>, RecordBatch)],
    time: &str,
) -> Result<Vec<Piece>, ArrowError> {
    let Window { start, end } = new.range;
    let (mut own, mut parts, mut pieces) = (new.clone(), vec![rows.clone()], Vec::new());
    for (held, rows) in touched {
        let before = cut(rows, time, |at| at < start)?;
        let after = cut(rows, time, |at| at >= end)?;
        match held {
            Some(held) if held.computation == new.computation => {
                own.range.start = own.range.start.min(held.range.start);
                own.range.end = own.range.end.max(held.range.end);
                parts.extend([before, after]);
            }
            Some(Held { computation, range }) => {
                let sides =
                    [(range.start, range.end.min(start), before), (range.start.max(end), range.end, after)];
                for (start, end, rows) in sides {
                    if start < end {
                        let held = Held { computation: computation.clone(), range: Window { start, end } };
                        pieces.push(Piece { held: Some(held), rows: sorted(&rows)? });
                    }
                }
            }
            None => {
                let rest = concat_batches(&rows.schema(), [&before, &after])?;
                if rest.num_rows() > 0 {
                    pieces.push(Piece { held: None, rows: sorted(&rest)? });
                }
            }
        }
    }
    let whole = sorted(&concat_batches(&rows.schema(), &parts)?)?;
    pieces.push(Piece { held: Some(own), rows: whole });
    Ok(pieces)
}

/// The rows whose time is as asked for; those without one are in no cut.
fn cut(rows: &RecordBatch, time: &str, wanted: impl Fn(Millis) -> bool) -> Result<RecordBatch, ArrowError> {
    let column = rows.column_by_name(time);
    let column = column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{time}`")))?;
    let column = column.as_primitive_opt::<Int64Type>();
    let column = column.ok_or_else(|| ArrowError::SchemaError(format!("column `{time}` holds no times")))?;
    let keep: BooleanArray = column.iter().map(|at| Some(at.is_some_and(&wanted))).collect();
    filter_record_batch(rows, &keep)
}

/// In the one order that rows have by themselves.
pub(super) fn sorted(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let keys = converter.convert_columns(rows.columns())?;
    let mut order: Vec<(u32, _)> = (0..).zip(keys.iter()).collect();
    order.sort_by(|a, b| a.1.cmp(&b.1));
    let order: UInt32Array = order.into_iter().map(|(number, _)| number).collect();
    let taken = take_record_batch(rows, &order)?;
    RecordBatch::try_new(Arc::clone(&schema), taken.columns().to_vec())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::{DataType, Field, Schema},
    };
    use proptest::prelude::*;

    use super::*;

    fn rows(values: &[(i64, i64)]) -> RecordBatch {
        let schema = ["start", "value"].map(|name| Field::new(name, DataType::Int64, true));
        let column = |pick: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(values.iter().map(|value| Some(pick(value))).collect::<Int64Array>())
        };
        RecordBatch::try_new(Arc::new(Schema::new(schema.to_vec())), vec![column(|v| v.0), column(|v| v.1)])
            .unwrap()
    }

    fn values(piece: &Piece) -> Vec<(i64, i64)> {
        let column = |number: usize| piece.rows.column(number).as_primitive::<Int64Type>().values().to_vec();
        column(0).into_iter().zip(column(1)).collect()
    }

    fn held(computation: &str, start: i64, end: i64) -> Held {
        Held { computation: computation.to_owned(), range: Window { start, end } }
    }

    #[test]
    fn a_name_reads_back_and_others_are_nobodys() {
        let held = held("00ff", 5, 9);
        assert_eq!(Held::of(&held.name(b"body")), Some(held));
        for path in ["part-0000.snappy.parquet", "windows-a-1-2.zstd.parquet", &rest_name(b"body")] {
            assert_eq!(Held::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_file_of_another_computation_keeps_its_name_on_both_sides() {
        let old = (Some(held("old", 0, 9)), rows(&[(1, 10), (4, 40), (8, 80)]));
        let found = pieces(&held("new", 3, 6), &rows(&[(3, 7)]), &[old], "start").unwrap();
        let found: Vec<_> = found.iter().map(|piece| (piece.held.clone().unwrap(), values(piece))).collect();
        let expected = [
            (held("old", 0, 3), vec![(1, 10)]),
            (held("old", 6, 9), vec![(8, 80)]),
            (held("new", 3, 6), vec![(3, 7)]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_a_file_that_nobody_knows_stay_outside_the_windows() {
        let foreign = (None, rows(&[(1, 10), (4, 40)]));
        let found = pieces(&held("new", 3, 6), &rows(&[]), &[foreign], "start").unwrap();
        assert_eq!(found.iter().map(values).collect::<Vec<_>>(), [vec![(1, 10)], vec![]]);
        assert_eq!(found[0].held, None);
    }

    proptest! {
        /// Whatever is replaced in whichever order, each window has the rows that it was given last.
        #[test]
        fn each_window_has_what_it_was_given_last(runs in prop::collection::vec((0_i64..20, 1_i64..8, 0_usize..2), 1..12)) {
            let (mut files, mut expected): (Vec<Piece>, Vec<Option<(i64, usize)>>) = (Vec::new(), vec![None; 32]);
            for (number, (start, length, computation)) in (0_i64..).zip(runs) {
                let end = start + length;
                let new = held(["a", "b"][computation], start, end);
                let fresh: Vec<_> = (start..end).map(|at| (at, number)).collect();
                let (touched, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| {
                    file.held.as_ref().is_none_or(|held| held.is_touched(&new, file.rows.num_rows()))
                });
                let touched: Vec<_> = touched.into_iter().map(|piece| (piece.held, piece.rows)).collect();
                files = rest;
                files.extend(pieces(&new, &rows(&fresh), &touched, "start").unwrap());
                for at in start..end {
                    expected[usize::try_from(at).unwrap()] = Some((number, computation));
                }
            }
            let mut found = vec![None; 32];
            for file in &files {
                let held = file.held.clone().unwrap();
                prop_assert_eq!(i64::try_from(values(file).len()).unwrap(), held.range.end - held.range.start);
                for (at, number) in values(file) {
                    prop_assert!(held.range.start <= at && at < held.range.end);
                    let computation = usize::from(held.computation == "b");
                    prop_assert_eq!(found[usize::try_from(at).unwrap()].replace((number, computation)), None);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
