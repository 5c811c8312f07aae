//! Runs of this same binary: a figure on memory or start needs a process of its own.

use std::{
    path::Path,
    process::{self, Command, Stdio},
};

use serde::de::DeserializeOwned;

use super::BenchError;

/// A running child; it is ended with the value.
pub(super) struct Child {
    process: process::Child,
    what: String,
}

impl Child {
    /// Starts this binary.
    pub(super) fn start(arguments: &[&str], place: &Path) -> Result<Self, BenchError> {
        let what = format!("parking {}", arguments.join(" "));
        let process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .current_dir(place)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { process, what })
    }

    /// Starts a part of the bench, to print JSON.
    pub(super) fn bench(word: &str, place: &Path, events: Option<u64>) -> Result<Self, BenchError> {
        let (place_text, events) =
            (place.to_string_lossy().into_owned(), events.map(|events| events.to_string()));
        let mut arguments = vec!["bench", word, "--json", "--data", &place_text];
        arguments.extend(events.iter().flat_map(|events| ["--events", events.as_str()]));
        Self::start(&arguments, place)
    }

    /// Its number, as `/proc` has it.
    pub(super) fn id(&self) -> String {
        self.process.id().to_string()
    }

    /// Waits for its end; what it printed.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, BenchError> {
        let mut printed = Vec::new();
        if let Some(out) = &mut self.process.stdout {
            std::io::Read::read_to_end(out, &mut printed)?;
        }
        let status = self.process.wait()?;
        if !status.success() {
            return Err(BenchError::Child { what: self.what.clone(), status });
        }
        Ok(printed)
    }

    /// Waits for its end; the figures that it printed.
    pub(super) fn figures<T: DeserializeOwned>(self) -> Result<T, BenchError> {
        let what = self.what.clone();
        serde_json::from_slice(&self.finish()?)
            .map_err(|error| BenchError::Wrong(format!("{what} printed no figures: {error}")))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A child that has ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
