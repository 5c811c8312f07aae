//! What a pipeline is fed with in one process: files that are replayed, or a simulated city.
//!
//! Must not know the formats: it picks the command that does.

use std::path::Path;

use super::{
    import::{ImportError, ImportReport, ImportSettings, Progress, Source, import},
    replay::{Format, Replay, ReplayError},
    simulate::{SimulateError, Simulation},
};
use crate::ports::event_log::MarkedLog;

/// The word that stands in place of a replay format for a simulated city.
pub const SIMULATE: &str = "simulate";

/// A source that was checked and waits to be appended.
pub struct Feed {
    source: Box<dyn Source>,
    settings: ImportSettings,
}

/// Why there is nothing to feed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The city cannot be simulated.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

impl Feed {
    /// Opens what `kind` (a replay format or `simulate`) and a file name.
    pub fn open(kind: &str, path: &Path, settings: ImportSettings) -> Result<Self, FeedError> {
        let source: Box<dyn Source> = if kind == SIMULATE {
            Box::new(Simulation::open(path)?)
        } else {
            Box::new(Replay::open(kind.parse::<Format>()?, path, settings.clone())?)
        };
        Ok(Self { source, settings })
    }

    /// Appends what the log does not have yet.
    pub async fn run(
        &mut self,
        log: &dyn MarkedLog,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, ImportError> {
        import(self.source.as_mut(), &self.settings, log, progress).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::import::tests::Tape;

    #[test]
    fn every_example_is_a_deployment_that_names_its_input() {
        for example in ["birmingham", "melbourne", "city"] {
            let folder = Path::new("../examples").join(example);
            let deployment = crate::deployment::load(&[folder]).unwrap();
            assert_eq!(deployment.pipeline.metadata.name.as_deref(), Some(example));
            assert!(deployment.replay.unwrap().1.is_file());
        }
    }

    #[tokio::test]
    async fn every_example_feeds_its_pipeline() {
        let examples = Path::new("../examples");
        for (kind, file, least) in [
            ("birmingham", "birmingham/readings.csv", 35_717),
            ("melbourne", "melbourne/sensors.csv", 2 * 3_309),
            ("simulate", "city/city.profile", 10_000),
        ] {
            let settings = ImportSettings {
                tenant: "t".into(),
                partitions: 4,
                batch: 1_000,
                pace: None,
                end_of_input: true,
            };
            let log = Tape::default();
            let mut feed = Feed::open(kind, &examples.join(file), settings).unwrap();
            let report = feed.run(&log, &mut |_| ()).await.unwrap();
            assert!(report.appended >= least, "{kind}: {}", report.appended);
            let appended: usize = log.records().iter().map(Vec::len).sum();
            assert_eq!(appended as u64, report.appended + 4);
        }
    }
}
