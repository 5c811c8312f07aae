//! Contract suites: what every adapter of a port must do, as tests that name the guarantee.
//!
//! Must not know an adapter. A suite gets a maker of stores; each store it makes is empty and can be
//! opened again after every handle on it was dropped, as a restarted process does. A port's macro
//! (`event_log_contract!`, …) turns the whole suite into tests, so that no adapter skips a guarantee.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::future_not_send,
    reason = "these are tests that happen to be shared"
)]

pub mod clock;
pub mod event_log;
pub mod lake;
pub mod live_view;
pub mod notifier;
pub mod object_store;
pub mod state_store;

/// Makes one test of each named guarantee; used by the macro of each port.
#[macro_export]
macro_rules! contract_tests {
    ($suite:ident, $make:expr; $($guarantee:ident),+ $(,)?) => {
        mod $suite {
            #[allow(unused_imports, reason = "what the maker needs")]
            use super::*;
            $(
                #[tokio::test]
                async fn $guarantee() {
                    $crate::ports::contract::$suite::$guarantee($make).await;
                }
            )+
        }
    };
}
