//! The suite of the clock. The maker answers the clock and what lets its time pass.

use std::sync::Arc;

use parking_crds::duration::Duration;

use crate::ports::clock::Clock;

/// Tests a clock.
#[macro_export]
macro_rules! clock_contract {
    ($make:expr) => {
        $crate::contract_tests!(clock, $make;
            c1_a_pause_completes_no_earlier_than_its_length,
            c1_a_pause_of_nothing_completes_at_once,
            c2_monotonic_never_goes_back,
        );
    };
}

/// C1.
pub async fn c1_a_pause_completes_no_earlier_than_its_length<T: Future<Output = ()>>(
    make: impl Fn() -> (Arc<dyn Clock>, T),
) {
    let (clock, time) = make();
    let paused = async {
        for length in [1, 20] {
            let before = clock.monotonic();
            clock.pause(Duration::from_millis(length)).await;
            assert!(clock.monotonic() - before >= length - 1, "both readings round down");
        }
    };
    tokio::select! {
        biased;
        () = paused => {}
        () = time => panic!("time does not end"),
    }
}

/// C1.
pub async fn c1_a_pause_of_nothing_completes_at_once<T: Future<Output = ()>>(
    make: impl Fn() -> (Arc<dyn Clock>, T),
) {
    let (clock, _) = make();
    clock.pause(Duration::ZERO).await;
}

/// C2.
pub async fn c2_monotonic_never_goes_back<T: Future<Output = ()>>(make: impl Fn() -> (Arc<dyn Clock>, T)) {
    let (clock, time) = make();
    let look = async {
        let mut last = clock.monotonic();
        for _ in 0..5 {
            clock.pause(Duration::from_millis(1)).await;
            let now = clock.monotonic();
            assert!(now >= last);
            last = now;
        }
    };
    tokio::select! {
        biased;
        () = look => {}
        () = time => panic!("time does not end"),
    }
}
