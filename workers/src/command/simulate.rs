//! `parking simulate`: a seeded city, sent to the event log or written as lines.
//!
//! Must not draw random numbers: the generator is pure and this file only moves its records. Records go
//! out at the generator's own times (open loop), compressed if asked, however slow the log is.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    import::{ImportError, ImportReport, ImportSettings, Keyed, Progress, Source, import},
    replay::ReplayError,
};
use crate::{
    domain::generator::{City, Profile, ProfileError},
    ports::event_log::MarkedLog,
};

/// Why nothing can be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The profile cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The profile is refused.
    #[error("{}: {error}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ProfileError,
    },
}

/// A city that is about to be sent.
pub struct Simulation {
    name: String,
    content: [u8; 32],
    city: City,
}

/// Reads a profile from a file.
pub fn read_profile(path: &Path) -> Result<Profile, SimulateError> {
    let text = fs::read_to_string(path)
        .map_err(|error| SimulateError::Unreadable { path: path.to_owned(), error })?;
    Profile::parse(&text).map_err(|error| SimulateError::Profile { path: path.to_owned(), error })
}

impl Simulation {
    /// Reads a profile and builds its city.
    pub fn open(path: &Path) -> Result<Self, SimulateError> {
        let profile = read_profile(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::new(&name, &profile).map_err(|error| SimulateError::Profile { path: path.to_owned(), error })
    }

    /// Builds the city of a profile; the name stands in the log's mark.
    pub fn new(name: &str, profile: &Profile) -> Result<Self, ProfileError> {
        // A profile is plain data and always has a JSON form.
        let content = Sha256::digest(serde_json::to_vec(profile).unwrap_or_default()).into();
        Ok(Self { name: format!("simulate:{name}"), content, city: City::new(profile)? })
    }

    /// Appends what the log does not have yet.
    pub async fn run(
        &mut self,
        settings: &ImportSettings,
        log: &dyn MarkedLog,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, ImportError> {
        import(self, settings, log, progress).await
    }

    /// Writes every record as one line, damaged ones too; answers how many.
    pub fn write_lines(&mut self, out: &mut dyn Write) -> io::Result<u64> {
        let (mut record, mut lines) = (Vec::new(), 0);
        while self.city.next(&mut record).is_some() {
            record.push(b'\n');
            out.write_all(&record)?;
            lines += 1;
        }
        out.flush()?;
        Ok(lines)
    }
}

impl Source for Simulation {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn content(&self) -> [u8; 32] {
        self.content
    }

    fn total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Keyed>, ReplayError> {
        let delivered = self.city.next(record);
        Ok(delivered.map(|delivered| Keyed { zone: Some(delivered.zone), time: delivered.time }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::import::tests::Tape;

    const PROFILE: &str = "../examples/city/city.profile";

    fn settings() -> ImportSettings {
        ImportSettings { tenant: "city".into(), partitions: 4, batch: 500, pace: None, end_of_input: true }
    }

    #[tokio::test]
    async fn log_gets_what_the_lines_say_and_a_second_run_adds_nothing() {
        let (log, mut lines) = (Tape::default(), Vec::new());
        let written = Simulation::open(Path::new(PROFILE)).unwrap().write_lines(&mut lines).unwrap();
        for appended in [written, 0] {
            let mut simulation = Simulation::open(Path::new(PROFILE)).unwrap();
            let report = simulation.run(&settings(), &log, &mut |_| ()).await.unwrap();
            assert_eq!((report.records, report.appended), (written, appended));
        }
        let bytes: usize = log.records().iter().flatten().map(|record| record.len() + 1).sum();
        let ends: usize =
            log.records().iter().filter_map(|records| records.last()).map(|end| end.len() + 1).sum();
        assert_eq!(bytes - ends, lines.len());
    }

    #[test]
    fn profile_problems_name_the_file() {
        let error = Simulation::open(Path::new("nowhere.yaml")).err().unwrap().to_string();
        assert!(error.starts_with("nowhere.yaml: No such file"), "{error}");
    }
}
