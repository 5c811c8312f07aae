//! Windows that somebody asks for once more, whether or not they have a result.
//!
//! What was asked for stands in an annotation of the job; each run says in an annotation of its own which request it
//! answers. A window of the request is missing until a run for that request has computed it, so a lost status, a new
//! operator or a second look changes nothing, and the next request is a new one because it names its time.
//!
//! Invariant: a request is forgotten before the runs that answered it can be tidied away.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use parking_crds::{
    stats_index::DoneRanges,
    stats_run::{instant, parse_instant},
    time::Window,
};

use super::runs::{RunSeen, RunState};

/// How long a request stands: runs that answered it are kept longer.
pub const STANDS: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A request for windows: `FROM/UNTIL/ASKED`, each an instant in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Windows that have a part in this stretch are meant.
    pub range: Window,
    /// When it was asked for; tells requests for the same windows apart.
    pub asked: Timestamp,
}

impl Backfill {
    /// Whether the request still stands.
    pub fn stands(&self, now: Timestamp) -> bool {
        now.duration_since(self.asked) < STANDS
    }

    /// What runs of a computation have computed for this request.
    pub fn answered(&self, computation: &str, runs: &[RunSeen]) -> DoneRanges {
        let answers = runs.iter().filter(|run| run.computation == computation && run.backfill == Some(*self));
        answers.filter(|run| matches!(run.state, RunState::Succeeded(_))).map(|run| run.range).collect()
    }
}

impl fmt::Display for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { range, asked } = self;
        write!(f, "{}/{}/{}", instant(range.start), instant(range.end), instant(asked.as_millisecond()))
    }
}

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no start, end and time of asking, each such as 2016-10-04T00:00:00Z, with slashes between: use `kubectl parking backfill`, or remove it"
)]
pub struct BackfillError(String);

impl FromStr for Backfill {
    type Err = BackfillError;

    fn from_str(text: &str) -> Result<Self, BackfillError> {
        let refused = || BackfillError(text.to_owned());
        let mut parts = text.split('/').map(parse_instant);
        let (Some(Some(start)), Some(Some(end)), Some(Some(asked)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refused());
        };
        let asked = Timestamp::from_millisecond(asked).map_err(|_| refused())?;
        (start < end).then_some(Self { range: Window { start, end }, asked }).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_request_is_refused_with_what_to_do() {
        for text in [
            "",
            "2016-10-04",
            "2016-10-05T00:00:00Z/2016-10-04T00:00:00Z/2016-10-09T00:00:00Z",
            "2016-10-04T00:00:00Z/2016-10-05T00:00:00Z",
            "2016-10-04T00:00:00Z/2016-10-05T00:00:00Z/2016-10-09T00:00:00Z/",
        ] {
            let error = text.parse::<Backfill>().unwrap_err().to_string();
            assert!(error.contains("use `kubectl parking backfill`, or remove it"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_request_reads_back(start in 0_i64..4_000_000_000_000, length in 1_i64..9_000_000_000, asked in 0_i64..4_000_000_000_000) {
            let range = Window { start, end: start + length };
            let backfill = Backfill { range, asked: Timestamp::from_millisecond(asked).unwrap() };
            prop_assert_eq!(backfill.to_string().parse(), Ok(backfill));
        }
    }
}
