//! How fast records come in from outside: the same ones over HTTP, over gRPC and by the stream in Redis, in turns,
//! through the role `ingest` with keys, publication times and plates, into the log.
//!
//! Must not skip what a sender waits for: the time of a way ends when all of its records are in the log. Invariant:
//! after each round the log holds each record once, and no plate in clear.

mod check;
mod role;
mod ways;

use bytes::Bytes;
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::{check::check, role::Role};
use super::{
    super::{BenchError, Row, scenario::Scenario, stages::ends},
    Rounds, Way,
    place::Place,
    timed, way_row,
};
use crate::domain::record::Record;

/// Most records of a round.
const MOST_RECORDS: u64 = 100_000;
/// Records of a request.
const REQUEST: usize = 500;
/// Requests of a way that wait for their answers at a time.
const IN_FLIGHT: usize = 16;
/// One record of so many carries a plate.
const PLATES: usize = 4;

/// Medians over the rounds; processor time is that of sender and ingest together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestFigures {
    /// Records of a round.
    pub records: u64,
    /// Those of them that carry a plate.
    pub plates: u64,
    /// Records of a request, and requests that wait for their answers at a time.
    pub request: [usize; 2],
    /// Over HTTP, as lines of JSON.
    pub http: Way,
    /// Over gRPC, on one stream.
    pub grpc: Way,
    /// By the stream in the Redis, one command a record.
    pub redis: Way,
}

/// What is sent.
struct Load {
    records: Vec<Bytes>,
    ids: HashSet<Uuid>,
    plates: u64,
}

impl Load {
    /// Records of the city that anybody accepts, each once.
    fn of(scenario: &Scenario, count: u64) -> Result<Self, BenchError> {
        let (mut feed, mut load) =
            (scenario.feed()?, Self { records: Vec::new(), ids: HashSet::new(), plates: 0 });
        let count = usize::try_from(count.min(MOST_RECORDS)).unwrap_or(usize::MAX);
        while load.records.len() < count {
            let parts = feed.take(1_000);
            if parts.is_empty() {
                break;
            }
            for record in parts.iter().flat_map(|(_, records)| records.iter()) {
                if load.records.len() < count {
                    load.add(record);
                }
            }
        }
        Ok(load)
    }

    fn add(&mut self, record: &[u8]) {
        let Some(id) =
            Record::parse(record).ok().filter(|parsed| parsed.zone.is_some()).map(|parsed| parsed.id)
        else {
            return;
        };
        if !self.ids.insert(id) {
            return;
        }
        let number = self.records.len();
        if number.is_multiple_of(PLATES) {
            let plate =
                format!("{{\"vehicle_license_plate\":\"AB{:02} C{:04}\",", number % 100, number / 100);
            let rest = record.get(1..).unwrap_or_default();
            self.records.push([plate.as_bytes(), rest].concat().into());
            self.plates += 1;
        } else {
            self.records.push(Bytes::copy_from_slice(record));
        }
    }
}

pub(super) async fn measure(
    place: &Place,
    scenario: &Scenario,
    events: u64,
    rounds: usize,
) -> Result<IngestFigures, BenchError> {
    let load = Load::of(scenario, events)?;
    let streams = place.streams("ingest").await?;
    let role = Role::start(place, &streams).await?;
    let [mut http, mut grpc, mut redis] = [(); 3].map(|()| Rounds::default());
    let mut from = ends(streams.log.as_ref()).await?;
    for round in 0..rounds.max(1) {
        eprintln!("round {} of {rounds}: ingest over HTTP, gRPC, Redis", round + 1);
        http.0.push(timed(ways::http(&role, &load.records)).await?.1);
        from = check(&streams, &load, &from).await?;
        grpc.0.push(timed(ways::grpc(&role, &load.records)).await?.1);
        from = check(&streams, &load, &from).await?;
        redis.0.push(timed(ways::redis(&role, &load.records)).await?.1);
        from = check(&streams, &load, &from).await?;
    }
    role.end().await?;
    let records = load.records.len() as u64;
    Ok(IngestFigures {
        records,
        plates: load.plates,
        request: [REQUEST, IN_FLIGHT],
        http: http.median(records),
        grpc: grpc.median(records),
        redis: redis.median(records),
    })
}

impl IngestFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Self { records, plates, request: [size, in_flight], http, grpc, redis } = self;
        let what =
            format!("{records} records, {plates} with a plate; requests of {size}, {in_flight} at a time");
        vec![
            super::row("ingest, into the log", what),
            way_row("  over HTTP", http),
            way_row("  over gRPC", grpc),
            way_row("  by the stream in Redis", redis),
        ]
    }
}
