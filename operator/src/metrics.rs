//! What the operator counts about itself, for Prometheus.
//!
//! Must not: carry a label that names an object: there may be ten thousand. Objects are counted by condition.
//! Invariants: every label value comes from a closed list, or from the operator's own requests. Cheap to clone;
//! clones count together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use parking_crds::condition::ConditionType;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

use crate::{
    error::Class,
    object::{ObjectId, ObjectKind},
};

/// Bounds of the histogram of reconciles, in seconds.
const SECONDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A metric of this module could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Two metrics share a name, or a name is not one.
    #[error("the metrics cannot be registered, which is a fault of the operator: {0}")]
    Registry(#[from] prometheus::Error),
}

/// The value of a condition's `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionState {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionState {
    /// The value as conditions write it; whatever is not `True` or `False` is unknown.
    pub fn parse(status: &str) -> Self {
        match status {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The conditions of one object.
type States = Box<[(ConditionType, ConditionState)]>;

/// Everything that is counted.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: HistogramVec,
    errors: IntCounterVec,
    queued: IntGaugeVec,
    missing: IntGaugeVec,
    conditions: IntGaugeVec,
    leader: IntGauge,
    requests: IntCounterVec,
    waiting: IntGauge,
    polls: IntCounterVec,
    seen: Arc<Mutex<BTreeMap<ObjectId, States>>>,
}

impl Metrics {
    /// Fresh metrics in a registry of their own.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let metrics = Self {
            reconciles: HistogramVec::new(
                HistogramOpts::new(
                    "parking_operator_reconcile_duration_seconds",
                    "Duration of reconciles by kind; its count is the number of reconciles.",
                )
                .buckets(SECONDS.to_vec()),
                &["kind"],
            )?,
            errors: counter(
                "reconcile_errors_total",
                "Failed reconciles, by kind and class of the error.",
                &["kind", "class"],
            )?,
            queued: gauge("queue_depth", "Objects that wait for their reconcile.", &["kind"])?,
            missing: gauge("api_missing", "1 for an API that the cluster does not serve.", &["api"])?,
            conditions: gauge(
                "conditions",
                "Objects by kind, condition and its status.",
                &["kind", "condition", "status"],
            )?,
            leader: IntGauge::new("parking_operator_leader", "1 while this process may write.")?,
            requests: counter(
                "api_requests_total",
                "Requests to the API server, by verb, resource and code; `refused`, `timeout` and `error` are no codes.",
                &["verb", "resource", "code"],
            )?,
            waiting: IntGauge::new(
                "parking_operator_writes_waiting",
                "Writes that wait for their turn under the rate cap or a pause that the API server asked for.",
            )?,
            polls: counter("polls_total", "Polls of Secrets and workers, by result.", &["of", "result"])?,
            seen: Arc::default(),
            registry,
        };
        for collector in [
            Box::new(metrics.reconciles.clone()) as Box<dyn Collector>,
            Box::new(metrics.errors.clone()),
            Box::new(metrics.queued.clone()),
            Box::new(metrics.missing.clone()),
            Box::new(metrics.conditions.clone()),
            Box::new(metrics.leader.clone()),
            Box::new(metrics.requests.clone()),
            Box::new(metrics.waiting.clone()),
            Box::new(metrics.polls.clone()),
        ] {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// A reconcile ended, with an error of a class or well.
    pub fn reconciled(&self, kind: ObjectKind, took: Duration, error: Option<Class>) {
        self.reconciles.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
        if let Some(class) = error {
            self.errors.with_label_values(&[kind.as_str(), class.as_str()]).inc();
        }
    }

    /// So many objects of the kind wait now.
    pub fn queue_depth(&self, kind: ObjectKind, depth: usize) {
        self.queued.with_label_values(&[kind.as_str()]).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Whether an API, such as `keda.sh`, is missing.
    pub fn api_missing(&self, api: &str, missing: bool) {
        self.missing.with_label_values(&[api]).set(i64::from(missing));
    }

    /// The conditions that the object's status now has.
    pub fn conditions(&self, object: &ObjectId, conditions: &[(ConditionType, ConditionState)]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(object).is_some_and(|before| **before == *conditions) {
            return;
        }
        let before = seen.insert(object.clone(), conditions.into());
        self.count(object.kind, before.as_deref().unwrap_or_default(), -1);
        self.count(object.kind, conditions, 1);
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectId) {
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        self.count(object.kind, before.as_deref().unwrap_or_default(), -1);
    }

    fn count(&self, kind: ObjectKind, conditions: &[(ConditionType, ConditionState)], by: i64) {
        for (condition, state) in conditions {
            self.conditions.with_label_values(&[kind.as_str(), condition.as_str(), state.as_str()]).add(by);
        }
    }

    /// Whether this process may write.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A request to the API server ended with a code, or with a word that says why there is none.
    pub fn request(&self, verb: &str, resource: &str, code: &str) {
        self.requests.with_label_values(&[verb, resource, code]).inc();
    }

    /// A poll (`secret` or `worker`) ended.
    pub fn polled(&self, of: &str, result: &str) {
        self.polls.with_label_values(&[of, result]).inc();
    }

    /// A write waits until the returned guard is dropped.
    pub fn write_waits(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// Everything in the text format of Prometheus, with its content type.
    pub fn text(&self) -> Result<(String, Vec<u8>), MetricsError> {
        let encoder = TextEncoder::new();
        let mut text = Vec::with_capacity(16 * 1024);
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((encoder.format_type().to_owned(), text))
    }
}

/// A write that waits.
#[derive(Debug)]
pub struct Waiting(IntGauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help).namespace("parking_operator"), labels)
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help).namespace("parking_operator"), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.text().unwrap().1).unwrap()
    }

    #[test]
    fn objects_are_counted_by_their_present_conditions() {
        let metrics = Metrics::new().unwrap();
        let city = ObjectId::new(ObjectKind::Pipeline, "parking", "city");
        let town = ObjectId::new(ObjectKind::Pipeline, "parking", "town");
        let (ready, yes, no) = (ConditionType::Ready, ConditionState::True, ConditionState::False);
        metrics.conditions(&city, &[(ready, no)]);
        metrics.conditions(&town, &[(ready, yes)]);
        metrics.conditions(&city, &[(ready, yes)]);
        metrics.conditions(&city, &[(ready, yes)]);
        let line = |status: &str, count: u8| {
            format!(
                "parking_operator_conditions{{condition=\"Ready\",kind=\"ParkingPipeline\",status=\"{status}\"}} {count}\n"
            )
        };
        assert!(text(&metrics).contains(&line("True", 2)));
        assert!(text(&metrics).contains(&line("False", 0)));
        metrics.forget(&city);
        assert!(text(&metrics).contains(&line("True", 1)));
    }

    #[test]
    fn waiting_writes_are_counted_until_they_go() {
        let metrics = Metrics::new().unwrap();
        let waiting = metrics.write_waits();
        assert!(text(&metrics).contains("parking_operator_writes_waiting 1\n"));
        drop(waiting);
        assert!(text(&metrics).contains("parking_operator_writes_waiting 0\n"));
    }

    #[test]
    fn failed_reconciles_are_counted_by_class() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled(ObjectKind::AlertRule, Duration::from_millis(3), Some(Class::Blocked));
        metrics.reconciled(ObjectKind::AlertRule, Duration::from_millis(3), None);
        let text = text(&metrics);
        assert!(
            text.contains("parking_operator_reconcile_duration_seconds_count{kind=\"AlertRule\"} 2\n")
                && text.contains(
                    "parking_operator_reconcile_errors_total{class=\"blocked\",kind=\"AlertRule\"} 1\n"
                )
        );
    }
}
