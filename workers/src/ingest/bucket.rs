//! How much a sender may still send: a bucket of tokens that fills with time.
//!
//! Pure: the time is given. A request may overdraw the bucket, and the next waits until the debt is
//! paid: so requests of any size pass, and the average keeps to the rate.
//!
//! Invariants: never more than a second's tokens are saved up; what is refused takes nothing.

use parking_crds::{duration::Duration, event::Millis};

/// Thousandths of a token: a rate of one a second fills by one of them each millisecond.
const TOKEN: i64 = 1_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    level: i64,
    filled: Option<Millis>,
}

impl Bucket {
    /// How long to wait until something may be taken at `rate` tokens a second; `None`: now.
    pub fn wait(&mut self, rate: u32, now: Millis) -> Option<Duration> {
        let rate = i64::from(rate.max(1));
        let full = rate * TOKEN;
        let passed = self.filled.map_or(i64::MAX, |filled| now.saturating_sub(filled).max(0));
        self.level = self.level.saturating_add(passed.saturating_mul(rate)).min(full);
        self.filled = Some(now);
        let missing = 1 - self.level;
        (missing > 0).then(|| Duration::from_millis((missing + rate - 1) / rate))
    }

    /// Takes tokens, be there enough or not.
    pub fn take(&mut self, tokens: usize) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(tokens.saturating_mul(TOKEN));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_lets_a_request_of_any_size_pass_and_the_debt_is_paid_in_time() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait(10, 5_000), None);
        bucket.take(40);
        assert_eq!(bucket.wait(10, 5_000), Some(Duration::from_millis(3_001)));
        assert_eq!(bucket.wait(10, 8_000), Some(Duration::from_millis(1)));
        assert_eq!(bucket.wait(10, 8_001), None);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::default();
        bucket.wait(1, 1_000);
        bucket.take(2);
        assert_eq!(bucket.wait(1, 0), Some(Duration::from_millis(1_001)));
    }

    proptest! {
        #[test]
        fn the_average_keeps_to_the_rate(
            rate in 1_u32..1_000,
            requests in prop::collection::vec((0_i64..2_000, 1_usize..500), 1..200),
        ) {
            let (mut bucket, mut now, mut taken, mut last) = (Bucket::default(), 0, 0_i64, 0_i64);
            for (pause, records) in requests {
                now += pause;
                if bucket.wait(rate, now).is_none() {
                    bucket.take(records);
                    last = i64::try_from(records).unwrap();
                    taken += last;
                }
            }
            // One second's worth may have been saved up, and the last request may overdraw.
            prop_assert!((taken - last) * 1_000 <= i64::from(rate) * (now + 1_000));
        }
    }
}
