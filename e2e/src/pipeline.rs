//! A pipeline on files: a copy of an example that a test may change, with a data folder of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::locate::{parking, repository};

/// The files of a pipeline and its data folder, both gone with the value.
#[derive(Debug)]
pub struct Pipeline {
    folder: TempDir,
}

impl Pipeline {
    /// A copy of the folder `examples/NAME`.
    ///
    /// # Errors
    /// When the example is missing or cannot be copied.
    pub fn of_example(name: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let pipeline = Self { folder };
        fs::create_dir(pipeline.files())?;
        for entry in fs::read_dir(repository().join("examples").join(name))? {
            let entry = entry?;
            fs::copy(entry.path(), pipeline.file(entry.file_name()))?;
        }
        Ok(pipeline)
    }

    /// Where its files are.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// One of its files.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.files().join(name)
    }

    /// Its data folder, which the first run makes.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts `to` in the place of every `from` in a file.
    ///
    /// # Errors
    /// When the file cannot be read or written, or `from` does not stand in it.
    pub fn replace(&self, name: &str, from: &str, to: &str) -> io::Result<()> {
        let text = fs::read_to_string(self.file(name))?;
        if !text.contains(from) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} holds no `{from}`")));
        }
        fs::write(self.file(name), text.replace(from, to))
    }

    /// `parking up` on its files and data folder, to the end of the input, with a report for programs.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn up(&self) -> io::Result<Command> {
        self.up_on(&self.data())
    }

    /// The same on another data folder.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn up_on(&self, data: &Path) -> io::Result<Command> {
        let mut command = Command::new(parking()?);
        command.arg("up").arg("-f").arg(self.files()).arg("--data").arg(data);
        command.args(["--until-idle", "--report", "json"]);
        Ok(command)
    }

    /// `parking get …` as JSON from its data folder.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn get(&self, what: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(parking()?);
        command.arg("get").args(what).args(["-o", "json", "--data"]).arg(self.data());
        Ok(command)
    }
}

/// The report that a run printed, without what differs from run to run.
///
/// # Errors
/// When it is not one JSON object that tells how long the run took.
pub fn report(printed: &str) -> io::Result<Value> {
    let mut report: Value = serde_json::from_str(printed)?;
    let pace = ["elapsedMs", "eventsPerSecond"];
    let fields = report.as_object_mut().ok_or_else(|| io::Error::other("the report is no object"))?;
    for field in pace {
        let told = fields.remove(field).is_some_and(|value| value.is_u64());
        if !told {
            return Err(io::Error::other(format!("the report does not tell {field}")));
        }
    }
    Ok(report)
}
