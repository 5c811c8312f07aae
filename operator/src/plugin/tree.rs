//! Trees for terminals and programs.
//!
//! Must not: read a clock or look at a terminal. Invariant: without colours the text has no escape sequence.

use std::fmt::Write as _;

use serde::Serialize;

/// How a line is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tone {
    /// Nothing to judge.
    #[default]
    Plain,
    /// As it shall be.
    Good,
    /// On its way, or not known.
    Waiting,
    /// Somebody must act.
    Bad,
}

impl Tone {
    const fn colour(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Waiting => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A line with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// What the line is about, such as a kind and a name.
    pub name: String,
    /// How it stands, in few words.
    pub state: String,
    /// How that is meant.
    pub tone: Tone,
    /// Why, or what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// What belongs to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
}

impl Branch {
    /// A line that says how something stands.
    pub fn new(name: impl Into<String>, state: impl Into<String>, tone: Tone) -> Self {
        Self { name: name.into(), state: state.into(), tone, ..Self::default() }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same with an age.
    #[must_use]
    pub fn since(mut self, seconds: Option<i64>) -> Self {
        self.age_seconds = seconds;
        self
    }

    /// The same with what belongs to it.
    #[must_use]
    pub fn with(mut self, branches: Vec<Self>) -> Self {
        self.branches = branches;
        self
    }

    /// The line and everything below it.
    pub fn print(&self, colours: bool) -> String {
        let mut text = String::new();
        self.line(&mut text, colours);
        self.below(&mut text, "", colours);
        text
    }

    fn line(&self, text: &mut String, colours: bool) {
        text.push_str(&self.name);
        if !self.state.is_empty() {
            match self.tone.colour().filter(|_| colours) {
                // Writing to a string cannot fail.
                Some(colour) => drop(write!(text, "  \u{1b}[{colour}m{}\u{1b}[0m", self.state)),
                None => text.extend(["  ", &self.state]),
            }
        }
        if let Some(seconds) = self.age_seconds {
            text.extend(["  ", &age(seconds)]);
        }
        if !self.reason.is_empty() {
            text.extend(["  ", &self.reason]);
        }
        text.push('\n');
    }

    fn below(&self, text: &mut String, indent: &str, colours: bool) {
        let count = self.branches.len();
        for (number, branch) in (1..).zip(&self.branches) {
            let (turn, further) = if number == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            text.extend([indent, turn]);
            branch.line(text, colours);
            branch.below(text, &format!("{indent}{further}"), colours);
        }
    }
}

/// A length of time as kubectl writes ages: one unit, two while the first is small.
pub(super) fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 != 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city() -> Branch {
        let topics = Branch::new("topics", "1/2", Tone::Waiting).with(vec![
            Branch::new("KafkaTopic a", "ready", Tone::Good).since(Some(90)),
            Branch::new("KafkaTopic b", "absent", Tone::Bad).because("make it"),
        ]);
        Branch::new("ParkingPipeline parking/city", "", Tone::Plain)
            .with(vec![topics, Branch::new("users", "0/0", Tone::Good)])
    }

    #[test]
    fn a_tree_has_a_line_for_each_branch() {
        insta::assert_snapshot!(city().print(false), @r"
        ParkingPipeline parking/city
        ├─ topics  1/2
        │  ├─ KafkaTopic a  ready  90s
        │  └─ KafkaTopic b  absent  make it
        └─ users  0/0
        ");
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        assert!(!city().print(false).contains('\u{1b}'));
        let coloured = city().print(true);
        assert!(coloured.contains("\u{1b}[31mabsent\u{1b}[0m"), "{coloured}");
    }

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (11_160, "3h6m"),
            (90_000, "25h"),
            (176_400, "2d1h"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
