//! The life of one alert instance: a total function of (state, input).
//!
//! Must not know rules, zones or records; must not read a clock: every input brings its time.
//! Invariants: an instance emits `resolved` exactly once for each time that it emitted `firing` or
//! `nodata` out of quiet; two alerts of one instance never share their `starts_at`.

use parking_crds::event::Millis;
use serde::{Deserialize, Serialize};

/// How long a resolved instance is remembered.
pub(super) const RESOLVED_RETENTION: Millis = 15 * 60_000;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// The condition does not hold.
    #[default]
    Inactive,
    /// It holds, but not for long enough.
    Pending {
        /// Since when it holds.
        active_at: Millis,
        /// When it has held for long enough.
        due: Millis,
        /// The timer must not fire it: data is missing, or the rule has no room. The next sight of
        /// the condition after `due` does.
        held: bool,
    },
    /// The alert is raised.
    Firing {
        /// Part of the alert's identity.
        starts_at: Millis,
        /// It stands for missing data.
        no_data: bool,
    },
    /// The condition ceased, the alert is still raised.
    Recovering {
        /// Part of the alert's identity.
        starts_at: Millis,
        /// When it resolves, should the condition not return.
        until: Millis,
    },
    /// The alert is over and remembered, so that the next one gets another identity.
    Resolved {
        /// That of the alert that is over.
        starts_at: Millis,
        /// When it was over.
        ended_at: Millis,
    },
}

/// What an instance is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The condition holds at this time.
    True(Millis),
    /// It does not.
    False(Millis),
    /// It cannot be known.
    Unknown {
        /// From when on.
        at: Millis,
        /// What that means.
        means: Meaning,
    },
    /// The state's own deadline was reached.
    Due,
    /// The rule was edited or deleted.
    RuleChanged(Millis),
}

/// What missing data means to an instance; that it counts as false is told as [`Input::False`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing changes, and nothing fires.
    Keep,
    /// It is an alert of its own.
    Alert,
}

/// The times of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// `for`, and the grace of a stay.
    pub(super) hold: Millis,
    /// `keepFiringFor`.
    pub(super) keep_firing: Millis,
}

/// What the world is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emit {
    /// A new alert.
    Raised {
        /// Since when its condition holds.
        active_at: Millis,
        /// Its own start.
        starts_at: Millis,
        /// It stands for missing data.
        no_data: bool,
    },
    /// The alert goes on, for missing data now.
    DataLost,
    /// The alert goes on, with data again.
    DataBack,
    /// The alert is over.
    Resolved {
        /// When.
        ends_at: Millis,
        /// Because its rule changed.
        rule_changed: bool,
    },
}

impl State {
    /// When the state changes by itself.
    pub(super) fn deadline(self) -> Option<Millis> {
        match self {
            Self::Pending { due, held: false, .. } => Some(due),
            Self::Recovering { until, .. } => Some(until),
            Self::Resolved { ended_at, .. } => Some(ended_at.saturating_add(RESOLVED_RETENTION)),
            Self::Inactive | Self::Pending { held: true, .. } | Self::Firing { .. } => None,
        }
    }

    /// Whether the condition was true when last seen: hysteresis and conditions with timers ask.
    pub(super) fn is_latched(self) -> bool {
        matches!(self, Self::Pending { .. } | Self::Firing { .. })
    }

    /// Whether an alert is raised.
    pub(super) fn is_raised(self) -> bool {
        matches!(self, Self::Firing { .. } | Self::Recovering { .. })
    }

    /// The table of the alert lifecycle.
    #[expect(clippy::match_same_arms, reason = "one arm for each row: equal outcomes are not one rule")]
    pub(super) fn next(self, input: Input, pace: Pace) -> (Self, Option<Emit>) {
        match (self, input) {
            (Self::Inactive | Self::Resolved { .. }, Input::True(now)) => self.begin(now, pace),
            (Self::Pending { active_at, due, held: true }, Input::True(now)) if now >= due => {
                raise(active_at, now, false)
            }
            (Self::Pending { active_at, due, .. }, Input::True(_)) => {
                (Self::Pending { active_at, due, held: false }, None)
            }
            (Self::Firing { starts_at, no_data: true }, Input::True(_)) => {
                (Self::Firing { starts_at, no_data: false }, Some(Emit::DataBack))
            }
            (Self::Recovering { starts_at, .. }, Input::True(_)) => {
                (Self::Firing { starts_at, no_data: false }, None)
            }
            (Self::Firing { .. }, Input::True(_)) => (self, None),

            (Self::Pending { .. }, Input::False(_)) => (Self::Inactive, None),
            (Self::Firing { starts_at, .. }, Input::False(now)) if pace.keep_firing > 0 => {
                (Self::Recovering { starts_at, until: now.saturating_add(pace.keep_firing) }, None)
            }
            (Self::Firing { starts_at, .. }, Input::False(now)) => resolve(starts_at, now, false),
            (Self::Inactive | Self::Recovering { .. } | Self::Resolved { .. }, Input::False(_)) => {
                (self, None)
            }

            (Self::Pending { active_at, due, .. }, Input::Unknown { means: Meaning::Keep, .. }) => {
                (Self::Pending { active_at, due, held: true }, None)
            }
            (_, Input::Unknown { means: Meaning::Keep, .. }) => (self, None),
            (Self::Inactive, Input::Unknown { at, means: Meaning::Alert }) => raise(at, at, true),
            (Self::Pending { active_at, .. }, Input::Unknown { at, means: Meaning::Alert }) => {
                raise(active_at, at, true)
            }
            (Self::Resolved { starts_at, .. }, Input::Unknown { at, means: Meaning::Alert }) => {
                raise(at, at.max(starts_at.saturating_add(1)), true)
            }
            (Self::Firing { no_data: true, .. }, Input::Unknown { means: Meaning::Alert, .. }) => {
                (self, None)
            }
            (
                Self::Firing { starts_at, .. } | Self::Recovering { starts_at, .. },
                Input::Unknown { means: Meaning::Alert, .. },
            ) => (Self::Firing { starts_at, no_data: true }, Some(Emit::DataLost)),

            (Self::Pending { active_at, due, held: false }, Input::Due) => raise(active_at, due, false),
            (Self::Recovering { starts_at, until }, Input::Due) => resolve(starts_at, until, false),
            (Self::Resolved { .. }, Input::Due) => (Self::Inactive, None),
            (Self::Inactive | Self::Pending { held: true, .. } | Self::Firing { .. }, Input::Due) => {
                (self, None)
            }

            (
                Self::Firing { starts_at, .. } | Self::Recovering { starts_at, .. },
                Input::RuleChanged(now),
            ) => resolve(starts_at, now, true),
            (Self::Resolved { .. }, Input::RuleChanged(_)) => (self, None),
            (Self::Inactive | Self::Pending { .. }, Input::RuleChanged(_)) => (Self::Inactive, None),
        }
    }

    /// The condition became true while all was quiet.
    fn begin(self, now: Millis, pace: Pace) -> (Self, Option<Emit>) {
        let start = match self {
            Self::Resolved { starts_at, .. } => now.max(starts_at.saturating_add(1)),
            _ => now,
        };
        if pace.hold > 0 {
            (Self::Pending { active_at: start, due: start.saturating_add(pace.hold), held: false }, None)
        } else {
            raise(start, start, false)
        }
    }
}

fn raise(active_at: Millis, starts_at: Millis, no_data: bool) -> (State, Option<Emit>) {
    (State::Firing { starts_at, no_data }, Some(Emit::Raised { active_at, starts_at, no_data }))
}

fn resolve(starts_at: Millis, now: Millis, rule_changed: bool) -> (State, Option<Emit>) {
    let ends_at = now.max(starts_at);
    (State::Resolved { starts_at, ended_at: ends_at }, Some(Emit::Resolved { ends_at, rule_changed }))
}

#[cfg(test)]
mod tests;
