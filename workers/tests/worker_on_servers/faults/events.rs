//! Events that come late, twice, out of order, or that nobody can use.

use parking_crds::role::Role;
use parking_e2e::fault_table::Row;
use parking_workers::ports::event_log::{EventLog, Stream, StreamPartition};

use crate::{
    broker::Broker,
    city::{City, REDIS},
    lake::{self, Offsets},
    reference::{Reference, example},
};

#[tokio::test(flavor = "multi_thread")]
async fn row_18_events_late_doubled_out_of_order_or_impossible_are_judged_as_in_one_process() {
    let reference = Reference::of(example("city")).await;
    let mut row = Row::new(18, "a city's events late, doubled, out of order, impossible", None);
    let city = City::of(example("city"), Broker::shared(), &REDIS).await;
    let roles = [Role::Occupancy, Role::Occupancy, Role::Alert, Role::Alert, Role::Archive, Role::Notify];
    let workers = city.start_all(roles).await;
    let (log, mut events) = (city.log().await, 0);
    for (partition, chunks) in (0..).zip(&reference.events) {
        for records in chunks {
            let at = StreamPartition { stream: Stream::Events, partition };
            events += records.len();
            log.append(vec![(at, records.clone())]).await.unwrap();
        }
    }
    city.until_written(&reference).await;
    for (stream, expected) in &reference.outputs {
        assert_eq!(city.records(*stream).await, *expected, "{stream}");
    }
    let letters = reference.outputs[&Stream::DeadLetters].concat();
    assert!(letters.len() > 20, "{} events were impossible", letters.len());
    let lake = city.until_archived(&reference).await;
    lake::assert_same(&lake, &reference.lake, Offsets::Same).await;
    city.until_told(&reference).await;
    for worker in workers {
        worker.stop().await;
    }
    row.add(events, &[]);
    row.is_whole().unwrap();
}
