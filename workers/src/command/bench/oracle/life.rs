//! How the oracle follows one alert condition: five situations, and what time and sights make of them.

use uuid::Uuid;

/// How long an alert that is over keeps the next one from having its start.
const REMEMBERED: i64 = 15 * 60_000;

/// An alert as it must have been told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Alert {
    pub(in super::super) rule: String,
    /// The zone, the stay or the device.
    pub(in super::super) subject: Uuid,
    pub(in super::super) starts: i64,
    pub(in super::super) ends: Option<i64>,
}

/// A rule's waiting times.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) hold: i64,
    pub(super) keep: i64,
}

/// Where a condition stands. Alerts are named by their place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Life {
    #[default]
    Quiet,
    Waiting {
        due: i64,
        held: bool,
    },
    Raised(usize),
    Fading {
        alert: usize,
        until: i64,
    },
    Over {
        alert: usize,
        at: i64,
    },
}

/// All alerts of one partition, with what they are about.
#[derive(Default)]
pub(super) struct Alerts(pub(super) Vec<Alert>);

/// Whose alert it would be.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) rule: &'static str,
    pub(super) subject: Uuid,
    pub(super) waits: Waits,
}

impl Alerts {
    pub(super) fn raise(&mut self, about: About, starts: i64) -> usize {
        let About { rule, subject, .. } = about;
        self.0.push(Alert { rule: rule.to_owned(), subject, starts, ends: None });
        self.0.len() - 1
    }

    fn starts(&self, alert: usize) -> i64 {
        self.0.get(alert).map_or(i64::MIN, |alert| alert.starts)
    }

    pub(super) fn end(&mut self, alert: usize, at: i64) -> i64 {
        let at = at.max(self.starts(alert));
        if let Some(alert) = self.0.get_mut(alert) {
            alert.ends = Some(at);
        }
        at
    }
}

impl Life {
    /// Whether the condition held when it was last seen.
    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Raised(_))
    }

    /// When time alone changes it.
    pub(super) fn deadline(self) -> Option<i64> {
        match self {
            Self::Waiting { due, held: false } => Some(due),
            Self::Fading { until, .. } => Some(until),
            Self::Over { at, .. } => Some(at + REMEMBERED),
            Self::Quiet | Self::Waiting { .. } | Self::Raised(_) => None,
        }
    }

    /// Lets the deadline pass.
    pub(super) fn expire(&mut self, about: About, alerts: &mut Alerts) {
        *self = match *self {
            Self::Waiting { due, .. } => Self::Raised(alerts.raise(about, due)),
            Self::Fading { alert, until } => Self::Over { alert, at: alerts.end(alert, until) },
            Self::Over { .. } | Self::Quiet => Self::Quiet,
            Self::Raised(alert) => Self::Raised(alert),
        };
    }

    /// Lets all deadlines up to `time` pass.
    pub(super) fn pass(&mut self, time: i64, about: About, alerts: &mut Alerts) {
        while self.deadline().is_some_and(|deadline| deadline <= time) {
            self.expire(about, alerts);
        }
    }

    /// The condition is seen to hold.
    pub(super) fn yes(&mut self, now: i64, about: About, alerts: &mut Alerts) {
        *self = match *self {
            Self::Quiet | Self::Over { .. } => {
                let start = match *self {
                    Self::Over { alert, .. } => now.max(alerts.starts(alert) + 1),
                    _ => now,
                };
                match about.waits.hold {
                    0 => Self::Raised(alerts.raise(about, start)),
                    hold => Self::Waiting { due: start + hold, held: false },
                }
            }
            Self::Waiting { due, held: true } if now >= due => Self::Raised(alerts.raise(about, now)),
            Self::Waiting { due, .. } => Self::Waiting { due, held: false },
            Self::Raised(alert) | Self::Fading { alert, .. } => Self::Raised(alert),
        };
    }

    /// It is seen not to hold.
    pub(super) fn no(&mut self, now: i64, about: About, alerts: &mut Alerts) {
        *self = match *self {
            Self::Waiting { .. } => Self::Quiet,
            Self::Raised(alert) if about.waits.keep > 0 => {
                Self::Fading { alert, until: now + about.waits.keep }
            }
            Self::Raised(alert) => Self::Over { alert, at: alerts.end(alert, now) },
            other => other,
        };
    }

    /// Nobody can tell.
    pub(super) fn unknown(&mut self) {
        if let Self::Waiting { due, .. } = *self {
            *self = Self::Waiting { due, held: true };
        }
    }
}
