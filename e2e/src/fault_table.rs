//! The table of faults that a long run leaves: one line a row, gathered over several test binaries.
//!
//! Each row appends its line to the file that [`FILE`] names, if it names one, and prints it in any case. Must not
//! judge results: a row whose checks fail leaves a line that says so, and its test fails. A row that comes back later
//! than its target is marked, and is no failure.

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    time::Duration,
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::{Deserialize, Serialize};

/// The environment variable with the file's path.
pub const FILE: &str = "PARKING_FAULT_TABLE";

/// What one row has to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the table of faults.
    pub row: u8,
    /// What was done.
    pub fault: String,
    /// How often.
    pub times: usize,
    /// Whether the results were those of a run that nothing disturbed; while its checks run they are not.
    pub is_whole: bool,
    /// Seconds from each fault to the first result of something that came after it, in order.
    pub recoveries: Vec<f64>,
    /// Within so many seconds it should be back.
    pub target: Option<f64>,
}

impl Line {
    /// The time that so many of a hundred recoveries took at most.
    fn within(&self, hundredths: usize) -> Option<f64> {
        let rank = (self.recoveries.len() * hundredths).div_ceil(100).max(1);
        self.recoveries.get(rank - 1).copied()
    }

    /// Whether the slowest of a hundred recoveries kept to the target; `None` where one of both is missing.
    fn holds(&self) -> Option<bool> {
        Some(self.within(99)? <= self.target?)
    }

    fn cells(&self) -> [String; 9] {
        let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1} s"));
        let results = if self.is_whole { "0" } else { "FAILED" };
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        [
            self.row.to_string(),
            self.fault.clone(),
            self.times.to_string(),
            results.to_owned(),
            seconds(self.within(50)),
            seconds(self.within(99)),
            seconds(self.recoveries.last().copied()),
            seconds(self.target),
            holds.to_owned(),
        ]
    }
}

/// A row whose checks run. Its line is left in any case: as whole once it was told so, else as failed when the value
/// goes.
#[derive(Debug)]
pub struct Row {
    line: Line,
    is_left: bool,
}

impl Row {
    /// A row that has yet to show that its results are whole.
    #[must_use]
    pub fn new(row: u8, fault: &str, target: Option<Duration>) -> Self {
        let line = Line {
            row,
            fault: fault.to_owned(),
            times: 0,
            is_whole: false,
            recoveries: Vec::new(),
            target: target.map(|target| target.as_secs_f64()),
        };
        Self { line, is_left: false }
    }

    /// So many faults more, and how long it took to come back from them.
    pub fn add(&mut self, times: usize, recoveries: &[Duration]) {
        self.line.times += times;
        self.line.recoveries.extend(recoveries.iter().map(Duration::as_secs_f64));
        self.line.recoveries.sort_by(f64::total_cmp);
    }

    /// The checks found everything as it should be.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn is_whole(mut self) -> io::Result<()> {
        self.line.is_whole = true;
        self.leave()
    }

    /// Prints the line, and appends it to the file if there is one.
    fn leave(&mut self) -> io::Result<()> {
        self.is_left = true;
        io::stdout().write_all(table(std::slice::from_ref(&self.line)).as_bytes())?;
        let Some(path) = env::var_os(FILE) else { return Ok(()) };
        let mut line = serde_json::to_string(&self.line)?;
        line.push('\n');
        File::options().create(true).append(true).open(path)?.write_all(line.as_bytes())
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if !self.is_left {
            // The test fails already.
            let _ = self.leave();
        }
    }
}

const HEADINGS: [&str; 9] =
    ["row", "fault", "times", "lost, doubled, wrong", "median", "p99", "longest", "target", "holds"];

/// All lines of the file, by row, each row's in the order that they were left in.
///
/// # Errors
/// When no file is named, or it cannot be read.
pub fn lines() -> io::Result<Vec<Line>> {
    let path = env::var_os(FILE).ok_or_else(|| io::Error::other(format!("{FILE} names no file")))?;
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
    lines.sort_by_key(|line| line.row);
    Ok(lines)
}

/// The lines as a table for people.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(HEADINGS).add_rows(lines.iter().map(Line::cells));
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(times: u64, target: u64) -> Line {
        let recoveries: Vec<_> = (1..=times).rev().map(Duration::from_secs).collect();
        let mut row = Row::new(1, "kill -9", Some(Duration::from_secs(target)));
        row.add(recoveries.len(), &recoveries);
        row.is_left = true;
        row.line.clone()
    }

    #[test]
    fn a_row_tells_its_median_its_99th_hundredth_and_the_longest() {
        let line = line(200, 198);
        assert_eq!((line.within(50), line.within(99)), (Some(100.0), Some(198.0)));
        assert_eq!((line.recoveries.last(), line.holds()), (Some(&200.0), Some(true)));
    }

    #[test]
    fn a_row_that_misses_its_target_is_marked_and_one_whose_checks_failed_too() {
        let whole = Line { is_whole: true, ..line(3, 2) };
        let failed =
            Line { row: 19, fault: "poison".to_owned(), recoveries: Vec::new(), target: None, ..line(4, 2) };
        let text = table(&[whole, failed]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| 1   | kill -9 | 3     | 0                    | 2.0 s  | 3.0 s | 3.0 s   | 2.0 s  | NO    |"
        );
        assert_eq!(
            lines[3],
            "| 19  | poison  | 4     | FAILED               | -      | -     | -       | -      | -     |"
        );
    }
}
