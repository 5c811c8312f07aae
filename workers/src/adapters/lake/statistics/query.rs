//! The statements behind the statistics.
//!
//! Every range meets the buckets through cells of equal length: both sides name the cells that they
//! touch, so the join is on equality, in `DataFusion` as in Spark (there, `explode(sequence(a, b))`
//! stands for `UNNEST(generate_series(a, b))`). No join is a nested loop.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::datasource::MemTable;
use parking_crds::{
    event::Millis,
    stats_job::{Computation, Statistic},
    time::{Bucket, Window},
};

use super::{
    StatsError,
    session::{Session, doubles, longs, texts},
};
use crate::domain::stats::{BucketSums, Dwell, Facts, ZoneFacts};

/// What every space or counted zone is known to hold, from when until when: a reading holds until the
/// next one of its subject, at most for `hold`. `value` is NULL where a reading says "unknown".
const HOLDS: &str = "
SELECT zone, value, capacity, GREATEST(seen, {start}) AS since, LEAST(replaced, seen + hold, {end}) AS until
FROM (
  SELECT zone, value, capacity, hold, seen,
         LEAD(seen, 1, {end}) OVER (PARTITION BY zone, subject ORDER BY seen, boot, seq, log_offset) AS replaced
  FROM (
    SELECT e.curb_zone_id AS zone,
           CASE WHEN z.count_only THEN e.curb_zone_id ELSE e.curb_space_id END AS subject,
           CASE WHEN z.count_only THEN LEAST(COALESCE(e.ext_occupied, e.occupied), z.spaces)
                WHEN e.event_type = 'park_start' THEN 1
                WHEN e.event_type = 'park_end' THEN 0
                WHEN e.event_type = 'scheduled_report' AND e.curb_occupants = '[]' THEN 0
                WHEN e.event_type = 'scheduled_report' THEN 1
           END AS value,
           CASE WHEN z.count_only THEN z.spaces ELSE 1 END AS capacity,
           z.hold AS hold, e.event_time AS seen,
           COALESCE(e.ext_boot_id, '') AS boot, COALESCE(e.ext_seq, -1) AS seq, e.\"offset\" AS log_offset
    FROM events AS e JOIN zones AS z ON z.zone = e.curb_zone_id
    WHERE e.event_time >= {first} AND e.event_time < {end}
      AND e.event_time >= z.valid_from AND e.event_time < z.valid_to AND (
      (z.count_only AND COALESCE(e.ext_occupied, e.occupied) IS NOT NULL)
      OR (NOT z.count_only AND e.curb_space_id IS NOT NULL AND (
        e.event_type IN ('park_start', 'park_end', 'comms_lost', 'comms_restored', 'decommissioned')
        OR (e.event_type = 'scheduled_report' AND e.curb_occupants IS NOT NULL))))
  ) AS readings
) AS ordered";

const SUMS: &str = "
SELECT zone, start, SUM(value * ms), SUM(capacity * ms), SUM(ms)
FROM (
  SELECT h.zone AS zone, b.start AS start, h.value AS value, h.capacity AS capacity,
         LEAST(h.until, b.until) - GREATEST(h.since, b.since) AS ms
  FROM (
    SELECT zone, value, capacity, since, until,
           UNNEST(generate_series(since / {cell}, (until - 1) / {cell})) AS cell
    FROM ({holds}) AS holds
    WHERE value IS NOT NULL AND until > since
  ) AS h JOIN buckets AS b ON b.cell = h.cell
) AS pieces
WHERE ms > 0
GROUP BY zone, start";

const STARTS: &str = "
SELECT s.curb_zone_id, b.start, COUNT(*)
FROM sessions AS s JOIN buckets AS b ON b.cell = s.\"start\" / {cell}
WHERE s.start_kind = 'observed' AND s.\"start\" >= b.since AND s.\"start\" < b.until
GROUP BY s.curb_zone_id, b.start";

/// Exact percentiles by nearest rank.
const DWELLS: &str = "
SELECT zone, start, AVG(dwell), MIN(CASE WHEN 2 * place >= number THEN dwell END),
       MIN(CASE WHEN 100 * place >= 95 * number THEN dwell END)
FROM (
  SELECT s.curb_zone_id AS zone, b.start AS start, s.dwell_ms AS dwell,
         ROW_NUMBER() OVER (PARTITION BY s.curb_zone_id, b.start ORDER BY s.dwell_ms) AS place,
         COUNT(*) OVER (PARTITION BY s.curb_zone_id, b.start) AS number
  FROM sessions AS s JOIN buckets AS b ON b.cell = s.\"end\" / {cell}
  WHERE s.dwell_ms IS NOT NULL AND s.\"end\" >= b.since AND s.\"end\" < b.until
) AS ranked
GROUP BY zone, start";

const HOUR: Millis = 3_600_000;

/// Everything that the wanted statistics need, each table scanned once.
pub(super) async fn facts(
    session: &Session,
    wanted: &Computation,
    zones: &[ZoneFacts],
    buckets: &[Bucket],
    range: Window,
) -> Result<Facts, StatsError> {
    let cell = wanted.granularity.millis().clamp(1, HOUR);
    session.put_table("zones", zone_table(zones)?)?;
    session.put_table("buckets", bucket_table(buckets, cell)?)?;
    let fill = |sql: &str| {
        sql.replace("{cell}", &cell.to_string())
            .replace("{first}", &first_that_counts(zones, range).to_string())
            .replace("{start}", &range.start.to_string())
            .replace("{end}", &range.end.to_string())
    };
    let mut facts = Facts::default();
    if wanted.statistics.is_empty() {
        return Ok(facts);
    }
    for batch in session.sql(&fill(&SUMS.replace("{holds}", HOLDS))).await? {
        let (occupied, capacity, known) = (longs(&batch, 2)?, longs(&batch, 3)?, longs(&batch, 4)?);
        for (key, ((occupied, capacity), known)) in
            keys(&batch)?.into_iter().zip(occupied.into_iter().zip(capacity).zip(known))
        {
            let (occupied, capacity) = (occupied.unwrap_or_default(), capacity.unwrap_or_default());
            facts.sums.insert(key, BucketSums { occupied, capacity, known: known.unwrap_or_default() });
        }
    }
    if wanted.statistics.contains(&Statistic::Turnover) {
        for batch in session.sql(&fill(STARTS)).await? {
            let counts = longs(&batch, 2)?.into_iter().map(Option::unwrap_or_default);
            facts.starts.extend(keys(&batch)?.into_iter().zip(counts));
        }
    }
    if wanted.statistics.contains(&Statistic::Dwell) {
        for batch in session.sql(&fill(DWELLS)).await? {
            let (means, p50, p95) = (doubles(&batch, 2)?, longs(&batch, 3)?, longs(&batch, 4)?);
            for (key, ((mean, p50), p95)) in
                keys(&batch)?.into_iter().zip(means.into_iter().zip(p50).zip(p95))
            {
                let (mean, p50) = (mean.unwrap_or_default(), p50.unwrap_or_default());
                facts.dwells.insert(key, Dwell { mean, p50, p95: p95.unwrap_or_default() });
            }
        }
    }
    Ok(facts)
}

/// No reading from before holds into the range.
fn first_that_counts(zones: &[ZoneFacts], range: Window) -> Millis {
    let longest = zones.iter().map(|zone| zone.hold).max().unwrap_or_default();
    range.start.saturating_sub(longest)
}

/// Zone and start of the bucket: the first two columns.
fn keys(batch: &RecordBatch) -> Result<Vec<(String, Millis)>, StatsError> {
    let zones = texts(batch, 0)?.into_iter().map(Option::unwrap_or_default);
    Ok(zones.zip(longs(batch, 1)?.into_iter().map(Option::unwrap_or_default)).collect())
}

fn zone_table(zones: &[ZoneFacts]) -> Result<Arc<MemTable>, StatsError> {
    let long = |value: fn(&ZoneFacts) -> i64| -> ArrayRef {
        Arc::new(zones.iter().map(|zone| Some(value(zone))).collect::<Int64Array>())
    };
    let names: StringArray = zones.iter().map(|zone| Some(zone.zone.as_str())).collect();
    let count_only: BooleanArray = zones.iter().map(|zone| Some(zone.count_only)).collect();
    table(vec![
        ("zone", Arc::new(names)),
        ("count_only", Arc::new(count_only)),
        ("spaces", long(|zone| zone.spaces)),
        ("hold", long(|zone| zone.hold)),
        ("valid_from", long(|zone| zone.valid_from)),
        ("valid_to", long(|zone| zone.valid_to)),
    ])
}

/// One row for each cell that a bucket touches, with the part of the bucket inside it.
fn bucket_table(buckets: &[Bucket], cell: Millis) -> Result<Arc<MemTable>, StatsError> {
    let mut rows: [Vec<i64>; 4] = Default::default();
    let [cells, starts, sinces, ends] = &mut rows;
    for bucket in buckets {
        for number in bucket.start.div_euclid(cell)..=(bucket.end - 1).div_euclid(cell) {
            cells.push(number);
            starts.push(bucket.start);
            sinces.push(bucket.start.max(number * cell));
            ends.push(bucket.end.min((number + 1) * cell));
        }
    }
    let names = ["cell", "start", "since", "until"];
    table(
        names
            .into_iter()
            .zip(rows)
            .map(|(name, values)| (name, Arc::new(Int64Array::from(values)) as ArrayRef))
            .collect(),
    )
}

fn table(columns: Vec<(&'static str, ArrayRef)>) -> Result<Arc<MemTable>, StatsError> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    debug_assert!(fields.iter().all(|field| *field.data_type() != DataType::Null));
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, array)| array).collect())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
