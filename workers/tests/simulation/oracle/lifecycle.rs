//! The life of one alert as the table of the documentation has it: what is told, and when.

use std::collections::BTreeMap;

use parking_crds::event::Millis;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::rules::{NoData, Rule, TENANT};

/// One record that the alert stage must have told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) offset: u64,
    pub(crate) alert: Uuid,
    pub(crate) rule: &'static str,
    pub(crate) state: &'static str,
    pub(crate) generation: u64,
    pub(crate) active_at: Millis,
    pub(crate) starts_at: Millis,
    pub(crate) fired_at: Millis,
    pub(crate) ends_at: Option<Millis>,
}

/// A record that the engine looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) offset: u64,
    pub(crate) watermark: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Holds,
    Ceased,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Quiet,
    /// `due` is `None` while missing data holds it back.
    Pending {
        since: Millis,
        until: Millis,
        held: bool,
    },
    Firing {
        blind: bool,
    },
    Recovering {
        until: Millis,
    },
}

pub(crate) struct Life {
    rule: Rule,
    hold: Millis,
    fingerprint: Uuid,
    phase: Phase,
    /// The present alert, else the last one.
    alert: Option<Told>,
    told: Vec<Told>,
}

impl Life {
    pub(crate) fn new(rule: Rule, hold: Millis, label: &str, value: Uuid) -> Self {
        let fingerprint = fingerprint(rule.name, label, value);
        Self { rule, hold, fingerprint, phase: Phase::Quiet, alert: None, told: Vec::new() }
    }

    pub(crate) fn told(self) -> Vec<Told> {
        self.told
    }

    pub(crate) fn is_latched(&self) -> bool {
        matches!(self.phase, Phase::Pending { .. } | Phase::Firing { .. })
    }

    pub(crate) fn is_raised(&self) -> bool {
        matches!(self.phase, Phase::Firing { .. } | Phase::Recovering { .. })
    }

    /// When it changes by itself.
    pub(crate) fn due(&self) -> Option<Millis> {
        match self.phase {
            Phase::Pending { until, held: false, .. } | Phase::Recovering { until } => Some(until),
            _ => None,
        }
    }

    /// Its time has come.
    pub(crate) fn elapse(&mut self, moment: Moment) {
        match self.phase {
            Phase::Pending { since, until, .. } => self.raise(since, until, false, moment),
            Phase::Recovering { until } => self.resolve(until, moment),
            Phase::Quiet | Phase::Firing { .. } => {}
        }
    }

    /// The condition was judged for `now`.
    pub(crate) fn see(&mut self, truth: Truth, now: Millis, moment: Moment) {
        match truth {
            Truth::Holds => self.holds(now, moment),
            Truth::Ceased => self.ceased(now, moment),
            Truth::Unknown => match self.rule.no_data {
                NoData::Ok => self.ceased(now, moment),
                NoData::Alerting => self.went_blind(now, moment),
                NoData::KeepState => {
                    if let Phase::Pending { held, .. } = &mut self.phase {
                        *held = true;
                    }
                }
            },
        }
    }

    fn holds(&mut self, now: Millis, moment: Moment) {
        match self.phase {
            Phase::Quiet => {
                let since = self.after_the_last(now);
                if self.hold == 0 {
                    self.raise(since, since, false, moment);
                } else {
                    self.phase = Phase::Pending { since, until: since + self.hold, held: false };
                }
            }
            Phase::Pending { since, until, held: true } if now >= until => {
                self.raise(since, now, false, moment);
            }
            Phase::Pending { since, until, .. } => self.phase = Phase::Pending { since, until, held: false },
            Phase::Firing { blind: true } => {
                self.phase = Phase::Firing { blind: false };
                self.tell("firing", None, moment);
            }
            Phase::Firing { blind: false } => {}
            Phase::Recovering { .. } => self.phase = Phase::Firing { blind: false },
        }
    }

    fn ceased(&mut self, now: Millis, moment: Moment) {
        match self.phase {
            Phase::Pending { .. } => self.phase = Phase::Quiet,
            Phase::Firing { .. } if self.rule.keep_firing > 0 => {
                self.phase = Phase::Recovering { until: now + self.rule.keep_firing };
            }
            Phase::Firing { .. } => self.resolve(now, moment),
            Phase::Quiet | Phase::Recovering { .. } => {}
        }
    }

    fn went_blind(&mut self, now: Millis, moment: Moment) {
        match self.phase {
            Phase::Quiet => {
                let start = self.after_the_last(now);
                self.raise(now, start, true, moment);
            }
            Phase::Pending { since, .. } => self.raise(since, now, true, moment),
            Phase::Firing { blind: true } => {}
            Phase::Firing { blind: false } | Phase::Recovering { .. } => {
                self.phase = Phase::Firing { blind: true };
                self.tell("nodata", None, moment);
            }
        }
    }

    /// Two alerts never share their start.
    fn after_the_last(&self, now: Millis) -> Millis {
        self.alert.as_ref().map_or(now, |last| now.max(last.starts_at + 1))
    }

    fn raise(&mut self, active_at: Millis, starts_at: Millis, blind: bool, moment: Moment) {
        self.phase = Phase::Firing { blind };
        self.alert = Some(Told {
            offset: 0,
            alert: Uuid::new_v5(&self.fingerprint, &starts_at.to_be_bytes()),
            rule: self.rule.name,
            state: "",
            generation: 0,
            active_at,
            starts_at,
            fired_at: starts_at.max(moment.watermark),
            ends_at: None,
        });
        self.tell(if blind { "nodata" } else { "firing" }, None, moment);
    }

    fn resolve(&mut self, now: Millis, moment: Moment) {
        self.phase = Phase::Quiet;
        let ends_at = self.alert.as_ref().map(|alert| now.max(alert.starts_at));
        self.tell("resolved", ends_at, moment);
    }

    fn tell(&mut self, state: &'static str, ends_at: Option<Millis>, moment: Moment) {
        if let Some(alert) = &mut self.alert {
            (alert.offset, alert.state, alert.ends_at) = (moment.offset, state, ends_at);
            alert.generation += 1;
            self.told.push(alert.clone());
        }
    }
}

/// The documented name of an instance: SHA-256 over tenant, rule and labels, each led by its length.
fn fingerprint(rule: &str, label: &str, value: Uuid) -> Uuid {
    let labels = BTreeMap::from([(label.to_owned(), value.to_string())]);
    let fields = [TENANT.to_owned(), format!("parking/{rule}")].into_iter();
    let fields = fields.chain(labels.into_iter().flat_map(|(label, value)| [label, value]));
    let bytes: Vec<u8> = fields
        .flat_map(|field| [&(field.len() as u64).to_le_bytes()[..], field.as_bytes()].concat())
        .collect();
    Uuid::from_slice(&Sha256::digest(bytes)[..16]).unwrap()
}
