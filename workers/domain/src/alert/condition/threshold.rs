//! `threshold`: a metric of a zone crosses a value, with hysteresis.
//!
//! Invariants: ratios compare as integers, cross-multiplied, so no reading is ever rounded over the
//! line; the ratio is never cut to 1; too little coverage is neither true nor false (G6).

use std::cmp::Ordering;

use parking_crds::alert_rule::{Metric, Op, Threshold as Spec};

use super::Truth;
use crate::observation::ZoneView;

/// Parts of one in which values are written.
const SCALE: i128 = 1_000_000_000;

/// A compiled `threshold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Threshold {
    metric: Metric,
    op: Op,
    /// In parts of [`SCALE`], as are the next two.
    value: i128,
    recover: i128,
    min_coverage: i128,
}

/// A measured ratio; the denominator is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio {
    over: i128,
    under: i128,
}

impl Ratio {
    fn cmp_scaled(self, value: i128) -> Ordering {
        (self.over * SCALE).cmp(&(value * self.under))
    }
}

impl Threshold {
    /// Compiles a checked `threshold`.
    pub(super) fn compile(spec: &Spec) -> Self {
        Self {
            metric: spec.metric,
            op: spec.op,
            value: spec.value.nanos(),
            recover: spec.recover().nanos(),
            min_coverage: spec.min_coverage().nanos(),
        }
    }

    /// Judges a zone; `latched` says whether the condition held before.
    pub(in super::super) fn judge(&self, view: ZoneView, latched: bool) -> Truth {
        match self.measure(view) {
            None => Truth::Unknown,
            Some(ratio) if self.crosses(ratio, if latched { self.recover } else { self.value }) => {
                Truth::True
            }
            Some(_) => Truth::False,
        }
    }

    /// The measured value for people, with four digits.
    pub(in super::super) fn describe(&self, view: ZoneView) -> String {
        let Some(Ratio { over, under }) = self.measure(view) else {
            return "unknown".to_owned();
        };
        if under == 1 {
            return over.to_string();
        }
        let scaled = over * 10_000 / under;
        format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
    }

    fn crosses(&self, ratio: Ratio, value: i128) -> bool {
        let order = ratio.cmp_scaled(value);
        match self.op {
            Op::AtLeast => order.is_ge(),
            Op::Above => order.is_gt(),
            Op::AtMost => order.is_le(),
            Op::Below => order.is_lt(),
        }
    }

    fn measure(&self, view: ZoneView) -> Option<Ratio> {
        let (occupied, capacity) = (i128::from(view.occupied), i128::from(view.capacity));
        let known = capacity - i128::from(view.unknown.min(view.capacity));
        if capacity == 0 {
            return None;
        }
        let coverage = Ratio { over: known, under: capacity };
        if self.metric == Metric::Coverage {
            return Some(coverage);
        }
        if known == 0 || coverage.cmp_scaled(self.min_coverage).is_lt() {
            return None;
        }
        Some(match self.metric {
            Metric::Occupied => Ratio { over: occupied, under: 1 },
            Metric::Free => Ratio { over: known - occupied, under: 1 },
            Metric::OccupancyNow | Metric::Coverage => Ratio { over: occupied, under: known },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn threshold(op: Op, value: &str, recover: Option<&str>) -> Spec {
        Spec {
            metric: Metric::OccupancyNow,
            op,
            value: value.parse().unwrap(),
            recover: recover.map(|text| text.parse().unwrap()),
            aggregate: None,
            window: None,
            min_coverage: None,
        }
    }

    fn view(occupied: u32, unknown: u32, capacity: u32) -> ZoneView {
        ZoneView { occupied, unknown, capacity, stale_at: None }
    }

    #[test]
    fn the_line_belongs_to_at_least_and_the_recover_line_still_holds() {
        let full = Threshold::compile(&threshold(Op::AtLeast, "0.98", Some("0.95")));
        assert_eq!(full.judge(view(98, 0, 100), false), Truth::True);
        assert_eq!(full.judge(view(97, 0, 100), false), Truth::False);
        assert_eq!(full.judge(view(95, 0, 100), true), Truth::True);
        assert_eq!(full.judge(view(94, 0, 100), true), Truth::False);
    }

    #[test]
    fn more_vehicles_than_spaces_are_not_cut_off() {
        let over = Threshold::compile(&threshold(Op::Above, "1.01", None));
        assert_eq!(over.judge(view(102, 0, 100), false), Truth::True);
        assert_eq!(over.describe(view(102, 0, 100)), "1.0200");
    }

    #[test]
    fn unknown_spaces_leave_the_denominator_until_coverage_is_lost() {
        let full = Threshold::compile(&threshold(Op::AtLeast, "0.98", None));
        assert_eq!(full.judge(view(50, 50, 100), false), Truth::True);
        assert_eq!(full.judge(view(49, 51, 100), false), Truth::Unknown);
        assert_eq!(full.judge(view(0, 0, 0), false), Truth::Unknown);
    }

    proptest! {
        #[test]
        fn judges_as_exact_fractions_do(
            occupied in 0_u32..2_000, capacity in 1_u32..1_500, hundredths in 0_i64..130,
        ) {
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let rule = Threshold::compile(&threshold(Op::AtLeast, &text, None));
            let expected = i64::from(occupied) * 100 >= hundredths * i64::from(capacity);
            let truth = if expected { Truth::True } else { Truth::False };
            prop_assert_eq!(rule.judge(view(occupied, 0, capacity), false), truth);
        }
    }
}
