//! Many writers at once: of one commit there is one winner, and disjoint ones all win.

use std::{collections::BTreeMap, env, sync::Arc};

use parking_e2e::fault_table::Row;
use parking_workers::{
    adapters::lake::DeltaLake,
    ports::{
        ErrorKind,
        contract::lake::Visible,
        lake::{Committed, Lake, Position, Table, TableCommit},
    },
};
use tokio::task::JoinSet;

use crate::{endpoint::settings, readable::Readable};

const TABLE: Table = Table::Events;
const WRITERS: u32 = 16;

async fn writers(count: u32) -> Vec<Arc<Readable>> {
    let settings = settings().await;
    let open = |_| Arc::new(Readable(DeltaLake::open(settings.clone(), "city/log", count).unwrap()));
    (0..count).map(open).collect()
}

/// Each round all writers base the same step on the same snapshot, of one table after the other. Whoever hears nothing
/// in time does not know whether it won: what the tables show at the end decides.
#[tokio::test(flavor = "multi_thread")]
async fn row_13_of_sixteen_writers_exactly_one_commits_in_each_round() {
    let rounds = env::var("PARKING_RACES").map_or(100, |rounds| rounds.parse().unwrap());
    let mut row = Row::new(13, "16 writers race for one commit of the lake", None);
    let writers = writers(WRITERS).await;
    for (round, table) in (0..rounds).zip(Table::ALL.into_iter().cycle()) {
        let base = writers[0].snapshot(table).await.unwrap();
        let mut racers = JoinSet::new();
        for (number, writer) in writers.iter().enumerate() {
            let (writer, base) = (Arc::clone(writer), base.clone());
            racers.spawn(async move {
                // Readers of the log do not ask for the file itself.
                let (file, _) = writer.sample(&format!("{round}-{number}"), 1);
                let positions = BTreeMap::from([(0, Position { last_offset: round, watermark: None })]);
                let commit = TableCommit { base, files: vec![file], positions };
                writer.commit(table, commit).await
            });
        }
        let (mut winners, mut unsure) = (0, 0);
        for outcome in racers.join_all().await {
            match outcome {
                Ok(Committed::Yes(_)) => winners += 1,
                Ok(Committed::Conflict) => {}
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Ambiguous, "round {round}: {error:?}");
                    unsure += 1;
                }
            }
        }
        assert!(
            winners == 1 || winners == 0 && unsure > 0,
            "round {round}: {winners} won, {unsure} are unsure"
        );
    }
    let mut won = Vec::new();
    for table in Table::ALL {
        for path in writers[0].visible(table).await {
            won.push(round_of(&path));
        }
    }
    won.sort_unstable();
    assert_eq!(won, (0..rounds).collect::<Vec<_>>());
    row.add(won.len(), &[]);
    row.is_whole().unwrap();
}

/// The round that a file was made in, by its name.
fn round_of(path: &str) -> u64 {
    let name = path.rsplit('/').next().unwrap();
    name.split('-').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_disjoint_partitions_all_get_every_commit_through() {
    const OWNERS: u32 = 4;
    const STEPS: u64 = 6;
    let writers = writers(OWNERS).await;
    let mut racers = JoinSet::new();
    for (partition, writer) in (0..).zip(&writers) {
        let writer = Arc::clone(writer);
        racers.spawn(async move {
            for step in 0..STEPS {
                let (file, body) = writer.sample(&format!("{partition}-{step}"), 2);
                writer.put(TABLE, &file.path, body).await.unwrap();
                let positions =
                    BTreeMap::from([(partition, Position { last_offset: step, watermark: None })]);
                // As the archive does: whatever comes back but "made", the positions decide.
                loop {
                    let base = writer.snapshot(TABLE).await.unwrap();
                    if base.positions.get(&partition) == positions.get(&partition) {
                        break;
                    }
                    let files = vec![file.clone()];
                    match writer
                        .commit(TABLE, TableCommit { base, files, positions: positions.clone() })
                        .await
                    {
                        Ok(Committed::Yes(_)) => break,
                        Ok(Committed::Conflict) => {}
                        Err(error) => assert_eq!(error.kind, ErrorKind::Ambiguous, "{error:?}"),
                    }
                }
            }
        });
    }
    racers.join_all().await;
    assert_eq!(writers[0].visible(TABLE).await.len(), writers.len() * usize::try_from(STEPS).unwrap());
    let positions = writers[0].snapshot(TABLE).await.unwrap().positions;
    assert!(positions.len() == writers.len() && positions.values().all(|at| at.last_offset == STEPS - 1));
}
