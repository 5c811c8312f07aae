//! Readings that keep coming while something is disturbed, and all the rest at once when it is over.

use std::{sync::Arc, time::Duration};

use parking_crds::duration::Duration as Length;
use parking_workers::{
    adapters::embedded::SystemClock,
    command::{
        import::{Keyed, Source},
        replay::{Replay, ReplayError},
        send::{SendSettings, send},
    },
};
use tokio::sync::watch;

/// At this pace a city's readings last some two minutes: each time one of about every car park.
const SLICE: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);
/// What is held back for the end: the last slice tells how far event time came, so it holds something.
const HELD_BACK: u64 = 1_000;
const BATCH: usize = 1_000;

/// So many records of a source.
struct Slice<'a> {
    source: &'a mut Replay,
    left: usize,
}

impl Source for Slice<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn content(&self) -> [u8; 32] {
        self.source.content()
    }

    fn total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Keyed>, ReplayError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.source.next(record)
    }
}

/// Where the readings go.
pub(crate) struct Flow {
    pub(crate) ingest: String,
    pub(crate) key: &'static str,
    pub(crate) tenant: String,
}

impl Flow {
    /// Sends at its pace until `calm` is true, then the rest, and the end of it. Tells `over` when nothing is left
    /// that could be sent at that pace.
    pub(crate) async fn run(
        &self,
        mut source: Replay,
        calm: watch::Receiver<bool>,
        over: watch::Sender<bool>,
    ) {
        let paced = source.total().unwrap().saturating_sub(HELD_BACK);
        let mut sent = 0;
        while !*calm.borrow() && sent < paced {
            self.send(&mut Slice { source: &mut source, left: SLICE }, false).await;
            sent += SLICE as u64;
            tokio::time::sleep(PAUSE).await;
        }
        self.send(&mut source, true).await;
        over.send_replace(true);
    }

    async fn send(&self, source: &mut dyn Source, end_of_input: bool) {
        let settings = SendSettings {
            to: format!("http://{}", self.ingest),
            key: Some(self.key.to_owned()),
            tenant: self.tenant.clone(),
            batch: BATCH,
            compression: None,
            end_of_input,
            skip: 0,
            patience: Length::from_secs(120),
        };
        let report = send(source, &settings, Arc::new(SystemClock::new()), &mut |_| ()).await.unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
    }
}
