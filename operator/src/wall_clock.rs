//! The wall clock: the only place that asks what time it is, for what is shown to users or compared with objects.
//!
//! Must not: be asked by what decides; that is given the time. Pauses and deadlines count on `monotonic`.

use k8s_openapi::jiff::Timestamp;

/// The present.
#[expect(clippy::disallowed_methods, reason = "the port's own adapter")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
