//! The lake's tables as readers see them that know nothing of us: DuckDB and Polars, called in Python.
//!
//! The interpreter is the one that `.ci/install` makes (`PARKING_PYTHON`, else its usual place).

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::process::run;

const SCRIPT: &str = include_str!("readers.py");
const LIMIT: Duration = Duration::from_mins(2);

/// What the readers find in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContent {
    /// Rows: counted by DuckDB, read by DuckDB, counted by Polars.
    pub rows: [u64; 3],
    /// Digest of all values of all rows, in an order that depends on the values alone.
    pub digest: String,
}

/// Reads every table below the folder.
///
/// # Errors
/// When the interpreter is missing or a reader refuses a table; the message says which.
pub fn read_tables(lake: &Path) -> io::Result<BTreeMap<String, TableContent>> {
    let found: BTreeMap<String, Value> = serde_json::from_str(&ask(lake, &[])?)?;
    let content = |value: Value| -> Option<TableContent> {
        let rows: Vec<u64> = value.get("rows")?.as_array()?.iter().filter_map(Value::as_u64).collect();
        Some(TableContent { rows: rows.try_into().ok()?, digest: value.get("digest")?.as_str()?.to_owned() })
    };
    let entry = |(table, value): (String, Value)| {
        let content = content(value).ok_or_else(|| io::Error::other(format!("{table}: no answer")))?;
        Ok((table, content))
    };
    found.into_iter().map(entry).collect()
}

/// The rows of a query's answer by DuckDB; tables have the names of their folders, bytes are
/// hexadecimal digits.
///
/// # Errors
/// When the interpreter is missing or DuckDB refuses the query; the message says which.
pub fn query(lake: &Path, sql: &str) -> io::Result<Vec<Value>> {
    Ok(serde_json::from_str(&ask(lake, &[sql])?)?)
}

fn ask(lake: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(python()?);
    let finished = run(command.args(["-c", SCRIPT]).arg(lake).args(arguments), LIMIT)?;
    if finished.status.success() { Ok(finished.stdout) } else { Err(io::Error::other(finished.stderr)) }
}

/// The Python that the readers are installed for.
///
/// # Errors
/// When it is missing.
pub fn python() -> io::Result<PathBuf> {
    let usual = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/parking/tools/python/bin/python"));
    let python = env::var_os("PARKING_PYTHON").map(PathBuf::from).or_else(usual);
    python.filter(|python| python.is_file()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the readers of tables are missing: run `.ci/install programs`",
        )
    })
}
