//! The clock on the wall, lines that tell of progress, and pauses between two looks at what is measured.

#![expect(
    clippy::disallowed_methods,
    reason = "outside the system under test the real clock is the only one"
)]

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// One line of progress, on standard error.
pub(crate) fn say(text: &str) {
    eprintln!("{:>7.1} s  {text}", START.elapsed().as_secs_f64());
}

/// Looks that come too often would be part of what is measured.
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
