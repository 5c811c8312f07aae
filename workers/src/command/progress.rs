//! How far a long command is, on a terminal.
//!
//! Must not draw where nobody watches: without a terminal nothing is written.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::import::Progress;

const BAR: &str = "{msg} [{bar:32}] {human_pos}/{human_len} {per_sec} {eta}";
const COUNTER: &str = "{msg} {spinner} {human_pos} {per_sec}";

/// A bar that follows an import; it goes away with the value.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar under this title, hidden where standard error is no terminal.
    pub fn new(title: &str) -> Self {
        let target =
            if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_message(title.to_owned());
        Self(bar)
    }

    /// Shows where the import is.
    pub fn show(&self, progress: Progress) {
        if self.0.length() != progress.total || self.0.position() == 0 {
            let template = if progress.total.is_some() { BAR } else { COUNTER };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.0.set_style(style);
            }
            if let Some(total) = progress.total {
                self.0.set_length(total);
            }
        }
        self.0.set_position(progress.records);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_follows_the_import() {
        let bar = Bar::new("readings.csv");
        bar.show(Progress { records: 5, total: Some(10) });
        bar.show(Progress { records: 7, total: Some(10) });
        assert_eq!((bar.0.position(), bar.0.length()), (7, Some(10)));
    }
}
