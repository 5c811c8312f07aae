//! Waits on a cluster: a condition, asked again and again, and a deadline.

use std::time::{Duration, Instant};

use super::error::{Error, Result};

const PAUSE: Duration = Duration::from_millis(40);

/// Asks until the answer is `Ok`; an `Err` says what is there instead.
///
/// # Errors
/// `Late` with the last such text when there is no answer within `limit`.
#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut answer: impl AsyncFnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match answer().await {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        if start.elapsed() >= limit {
            return Err(Error::Late { what: what.to_owned(), limit, last });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks as long as `span` lasts, and fails at the first answer that is not `Ok`.
///
/// # Errors
/// `Broken` with the text of that answer.
#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
pub async fn always(
    what: &str,
    span: Duration,
    mut holds: impl AsyncFnMut() -> std::result::Result<(), String>,
) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(last) = holds().await {
            return Err(Error::Broken { what: what.to_owned(), after: start.elapsed(), last });
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
