//! The metrics of a process, as Prometheus reads them: made, described, and written out in one place.
//!
//! Must not know what is counted. Invariants: every family says its kind, its labels and what it means, so that the
//! reference of metrics is made from what is registered; two families never share a name.

use std::sync::{Mutex, PoisonError};

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TEXT_FORMAT,
    TextEncoder, core::Collector,
};

/// Bounds of every histogram of durations, seconds: the clock tells whole milliseconds.
const SECONDS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Only grows, from zero with each process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations by their size.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family, as the reference of metrics tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Names of its labels, in the order of the alphabet.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

/// Families in a registry of their own.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Registry,
    described: Mutex<Vec<Described>>,
}

impl Metrics {
    /// A counter for each combination of labels.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?, Kind::Counter)
    }

    /// A gauge for each combination of labels.
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?, Kind::Gauge)
    }

    /// A gauge of seconds, as of an instant since 1970, for each combination of labels.
    pub fn gauge_of_seconds(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?, Kind::Gauge)
    }

    /// A histogram of durations, in seconds, for each combination of labels.
    pub fn durations(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.register(HistogramVec::new(options, labels)?, Kind::Histogram)
    }

    fn register<C: Collector + Clone + 'static>(&self, family: C, kind: Kind) -> prometheus::Result<C> {
        self.registry.register(Box::new(family.clone()))?;
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        described.extend(family.desc().into_iter().map(|desc| {
            let mut labels = desc.variable_labels.clone();
            labels.sort_unstable();
            Described { name: desc.fq_name.clone(), kind, labels, help: desc.help.clone() }
        }));
        Ok(family)
    }

    /// Every family, also those of which nothing was counted yet.
    pub fn described(&self) -> Vec<Described> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Metrics as an answer, in the text format of Prometheus.
pub(crate) struct Exposition(String);

impl Exposition {
    /// All metrics as they stand now.
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a Metrics>) -> prometheus::Result<Self> {
        let families: Vec<_> = all.into_iter().flat_map(|metrics| metrics.registry.gather()).collect();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        let text = String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))?;
        Ok(Self(text))
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, TEXT_FORMAT)], self.0).into_response()
    }
}

/// A count as the value of a gauge.
pub(crate) fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Milliseconds as the seconds that Prometheus counts in.
#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years of milliseconds")]
pub(crate) fn seconds(milliseconds: parking_crds::event::Millis) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_described_before_anything_is_counted_and_written_out_after() {
        let metrics = Metrics::default();
        let counter = metrics.counter("a_total", "What a is.", &["y", "x"]).unwrap();
        let described = Described {
            name: "a_total".to_owned(),
            kind: Kind::Counter,
            labels: vec!["x".to_owned(), "y".to_owned()],
            help: "What a is.".to_owned(),
        };
        assert_eq!(metrics.described(), [described]);
        assert_eq!(Exposition::of([&metrics]).unwrap().text(), "");
        counter.with_label_values(&["1", "2"]).inc();
        assert!(Exposition::of([&metrics]).unwrap().text().contains("a_total{x=\"2\",y=\"1\"} 1\n"));
    }

    #[test]
    fn two_families_of_one_name_are_refused() {
        let metrics = Metrics::default();
        metrics.counter("a_total", "What a is.", &[]).unwrap();
        assert!(metrics.counter("a_total", "What a is.", &[]).is_err());
    }
}
