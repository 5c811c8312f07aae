//! How fast records are judged and appended, without a network: run it in a release build, with
//! `--ignored --nocapture`.

use std::sync::Arc;

use parking_workers::{
    adapters::{embedded::SystemClock, memory::MemoryEventLog},
    ingest::{Door, Format, Gather, Grant, Intake, Limits, Meter, PlateKeys, Transport, split},
    ports::{clock::Clock, event_log::EventLog},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::server::{PARTITIONS, event};

const REQUESTS: u32 = 5_000;
const RECORDS: u32 = 100;
const SENDERS: u32 = 16;

fn body(plate: bool) -> Vec<u8> {
    let padding =
        r#""data_source_device_name":"north","vehicle_type":"car","event_purpose":"vehicle_parking","#;
    let field = if plate { "\"vehicle_license_plate\":\"AB12CDE\"," } else { padding };
    let records = (0..RECORDS).map(|number| {
        let zone = Uuid::new_v5(&Uuid::NAMESPACE_OID, &(number % 40).to_be_bytes()).to_string();
        let live = event(number).replace("\"ext\"", &format!("{field}\"ext\""));
        live.replace("02885f6f-ef93-441b-9e74-487279380656", &zone) + "\n"
    });
    records.collect::<String>().into_bytes()
}

#[tokio::test]
#[ignore = "prints figures that mean something in a release build only"]
async fn records_a_second_on_one_core_in_requests_of_a_hundred() {
    for plate in [false, true] {
        let log: Arc<dyn EventLog> = Arc::new(MemoryEventLog::new(Uuid::from_u128(1), PARTITIONS));
        let gather = Gather::new(64 << 20);
        let files = [("k1".to_owned(), vec![b'k'; 32])].into_iter().collect();
        let (_sender, plates) = watch::channel(Arc::new(PlateKeys::read(&files).unwrap()));
        let clock = Arc::new(SystemClock::new());
        let door = Door::Open(Limits::default());
        let meter = Meter::new().unwrap();
        let intake = Intake::new(door, plates, PARTITIONS, clock.clone(), gather.clone(), meter);
        let (body, grant) = (body(plate), Grant::without_keys(Limits::default()));
        let (mut appends, started) = (0_u32, clock.monotonic());
        let send = async || {
            for _ in 0..REQUESTS / SENDERS {
                let _held = gather.wait_for_room(body.len()).await;
                let records = split(&body, Format::Lines).unwrap();
                let verdicts = intake.publish(Transport::Http, &grant, &records).await.unwrap();
                assert!(verdicts.refused.is_empty());
            }
        };
        let all = async {
            futures::future::join_all((0..SENDERS).map(|_| send())).await;
            gather.close();
        };
        tokio::join!(gather.run(&log, |_| appends += 1), all);
        let taken = clock.monotonic() - started;
        let records = i64::from(REQUESTS / SENDERS * SENDERS * RECORDS);
        println!(
            "plates {plate}: {records} records of {} bytes in {taken} ms: {} a second, {appends} appends",
            body.len() / RECORDS as usize,
            records * 1_000 / taken.max(1),
        );
    }
}
