//! Waits with a condition and a deadline, so that no test sleeps for a guessed time.

use std::{
    io, thread,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is there.
///
/// # Errors
/// `TimedOut`, naming `what`, when there is no answer within `limit`.
#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
pub fn eventually<T>(what: &str, limit: Duration, mut answer: impl FnMut() -> Option<T>) -> io::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = answer() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {limit:?}")));
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_returned() {
        let mut asked = 0;
        let answer = eventually("third time", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_never_holds_is_named_at_the_deadline() {
        let error = eventually("a full moon", Duration::ZERO, || None::<()>).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("a full moon"));
    }
}
