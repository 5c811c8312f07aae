//! What Prometheus warns about of pipelines: of one, planned with it, or of all, as a plain file.
//!
//! Must not name a metric that no worker has: a test compares them. Invariants: each warning says what to do next;
//! every value of a label or annotation is a text.

use std::collections::BTreeMap;

use parking_crds::duration::Duration;

use crate::foreign::monitoring::{AlertingRule, PrometheusRuleSpec, RuleGroup};

/// Unread records of one role that call for a look, if they stay for a quarter of an hour.
const MUCH_LAG: u32 = 100_000;
/// Labels that tell pipelines apart, as the monitors copy them from the pods.
const BY: &str = "namespace, parking_tinyx_io_pipeline";

/// Whom the warnings are about.
pub struct About {
    /// Matchers of the series, without braces.
    pub series: String,
    /// Label `pipeline` of each warning.
    pub pipeline: String,
    /// What texts call the pipeline.
    pub full_name: String,
    /// After how long a silent partition gets a tick; `None` while stages rest, which make no progress then.
    pub idle_after: Option<Duration>,
}

/// Warnings about every pipeline that Prometheus scrapes.
pub fn about_all() -> PrometheusRuleSpec {
    let about = About {
        series: "parking_tinyx_io_pipeline!=\"\"".to_owned(),
        pipeline: "{{ $labels.parking_tinyx_io_pipeline }}".to_owned(),
        full_name: "{{ $labels.namespace }}/{{ $labels.parking_tinyx_io_pipeline }}".to_owned(),
        idle_after: Some(Duration::from_secs(60)),
    };
    PrometheusRuleSpec {
        groups: vec![RuleGroup { name: "parking.pipelines".to_owned(), rules: about.rules() }],
    }
}

/// A warning before it is written for somebody.
struct Warning {
    alert: &'static str,
    expr: String,
    severity: &'static str,
    hold: &'static str,
    summary: &'static str,
    description: &'static str,
}

impl About {
    /// The warnings.
    pub fn rules(&self) -> Vec<AlertingRule> {
        let of = &self.series;
        let progress = self.idle_after.map(|idle_after| progress(of, idle_after));
        let all = [stages(of), state(of), ingest(of), archive(of), notify(of), progress.unwrap_or_default()];
        all.into_iter().flatten().map(|warning| self.dress(warning)).collect()
    }

    fn dress(&self, warning: Warning) -> AlertingRule {
        let texts = |pairs: [(&str, String); 2]| -> BTreeMap<String, String> {
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        };
        AlertingRule {
            alert: warning.alert.to_owned(),
            expr: warning.expr,
            hold: warning.hold.to_owned(),
            labels: texts([("severity", warning.severity.to_owned()), ("pipeline", self.pipeline.clone())]),
            annotations: texts([
                ("summary", warning.summary.replace("PIPELINE", &self.full_name)),
                ("description", warning.description.to_owned()),
            ]),
        }
    }
}

fn stages(of: &str) -> Vec<Warning> {
    vec![
        Warning {
            alert: "ParkingWorkerDown",
            expr: format!("up{{{of}}} == 0"),
            severity: "warning",
            hold: "5m",
            summary: "A worker of pipeline PIPELINE does not answer",
            description: "Look at its log; if it cannot start, the pipeline's condition WorkersAvailable says why.",
        },
        Warning {
            alert: "ParkingStageFails",
            expr: format!("increase(parking_stage_restarts_total{{{of}}}[15m]) > 3"),
            severity: "critical",
            hold: "0m",
            summary: "A stage of pipeline PIPELINE fails again and again",
            description: "The worker's log and its /status name the cause; nothing is lost, the stage begins where it stood.",
        },
        Warning {
            alert: "ParkingStageInTrouble",
            expr: format!("max by ({BY}, role, stream) (parking_stage_in_trouble{{{of}}}) > 0"),
            severity: "critical",
            hold: "10m",
            summary: "The role {{ $labels.role }} of pipeline PIPELINE cannot go on",
            description: "The worker's /status names partition and cause; where data is lost, kubectl parking acknowledge goes on without it.",
        },
        Warning {
            alert: "ParkingManyDeadLetters",
            expr: format!(
                "sum by ({BY}) (rate(parking_dead_letters_total{{{of}}}[15m])) > 0.01 * sum by ({BY}) (rate(parking_events_total{{{of}}}[15m]))"
            ),
            severity: "warning",
            hold: "15m",
            summary: "More than one event in a hundred of pipeline PIPELINE cannot be used",
            description: "parking deadletters show lists them with their reasons.",
        },
        Warning {
            alert: "ParkingSharesAreLost",
            expr: format!(
                "sum by ({BY}, role) (increase(parking_rebalances_total{{{of},change=\"lost\"}}[30m])) > 5"
            ),
            severity: "warning",
            hold: "0m",
            summary: "Workers of the role {{ $labels.role }} of pipeline PIPELINE lose their partitions again and again",
            description: "They do not reach Kafka in time: look for starved or throttled pods, and at the network between them.",
        },
    ]
}

fn state(of: &str) -> Vec<Warning> {
    let slow = |metric: &str| {
        format!("histogram_quantile(0.99, sum by ({BY}, role, le) (rate({metric}_bucket{{{of}}}[10m]))) > 1")
    };
    vec![
        Warning {
            alert: "ParkingStateRebuilt",
            expr: format!("increase(parking_stage_rebuilds_total{{{of}}}[1h]) > 0"),
            severity: "warning",
            hold: "0m",
            summary: "Redis had lost state of pipeline PIPELINE, which was rebuilt",
            description: "Nothing is lost. Find out why: a failover without a replica in time, an eviction, somebody's FLUSHALL.",
        },
        Warning {
            alert: "ParkingSnapshotsFail",
            expr: format!("increase(parking_snapshot_failures_total{{{of}}}[1h]) > 2"),
            severity: "warning",
            hold: "0m",
            summary: "Snapshots of stages of pipeline PIPELINE cannot be written",
            description: "Were Redis lost now, more of the log would be stepped again: look at the bucket and its credentials.",
        },
        Warning {
            alert: "ParkingStateStoreSlow",
            expr: slow("parking_state_commit_duration_seconds"),
            severity: "warning",
            hold: "15m",
            summary: "Redis takes more than a second for commits of pipeline PIPELINE",
            description: "Alerts come late by that: look at memory and CPU of Redis, and at its replicas where waitReplicas is set.",
        },
        Warning {
            alert: "ParkingLogSlow",
            expr: slow("parking_log_append_duration_seconds"),
            severity: "warning",
            hold: "15m",
            summary: "Kafka takes more than a second for appends of pipeline PIPELINE",
            description: "Look at the brokers: disks, replicas that are not in sync, requests that wait.",
        },
    ]
}

fn ingest(of: &str) -> Vec<Warning> {
    vec![
        Warning {
            alert: "ParkingIngestRefusesRecords",
            expr: format!(
                "sum by ({BY}) (rate(parking_ingest_refused_records_total{{{of}}}[15m])) > 0.05 * sum by ({BY}) (rate(parking_ingest_records_total{{{of}}}[15m]))"
            ),
            severity: "warning",
            hold: "15m",
            summary: "Ingest of pipeline PIPELINE refuses more than one record in twenty",
            description: "parking_ingest_refused_records_total counts them by reason; senders are answered which field is wrong.",
        },
        Warning {
            alert: "ParkingIngestTurnsAway",
            expr: format!(
                "sum by ({BY}, reason) (rate(parking_ingest_turned_away_requests_total{{{of},reason=~\"busy|log\"}}[5m])) > 0"
            ),
            severity: "critical",
            hold: "10m",
            summary: "Ingest of pipeline PIPELINE turns requests away ({{ $labels.reason }})",
            description: "busy: give ingest more replicas, or Kafka more room; log: Kafka does not take records, see its brokers.",
        },
        Warning {
            alert: "ParkingIngestCannotAppend",
            expr: format!(
                "sum by ({BY}) (rate(parking_ingest_appends_total{{{of},outcome=\"failed\"}}[5m])) > 0"
            ),
            severity: "critical",
            hold: "5m",
            summary: "Ingest of pipeline PIPELINE cannot append to the log",
            description: "Senders keep their events and try again: see the log of ingest, the brokers, and the rights of its Kafka user.",
        },
        Warning {
            alert: "ParkingIngestSecretUnusable",
            expr: format!("increase(parking_ingest_unusable_secrets_total{{{of}}}[1h]) > 0"),
            severity: "warning",
            hold: "0m",
            summary: "Ingest of pipeline PIPELINE cannot use the Secret {{ $labels.secret }}",
            description: "What was read before stays in use; the log of ingest names the entry and what is wrong with it.",
        },
    ]
}

fn archive(of: &str) -> Vec<Warning> {
    vec![
        Warning {
            alert: "ParkingArchiveFails",
            expr: format!(
                "sum by ({BY}, table, operation) (increase(parking_lake_errors_total{{{of}}}[15m])) > 5"
            ),
            severity: "warning",
            hold: "15m",
            summary: "The archive of pipeline PIPELINE cannot {{ $labels.operation }} to table {{ $labels.table }}",
            description: "Rows wait in Kafka, within its retention: look at the bucket, its credentials and its room.",
        },
        Warning {
            alert: "ParkingArchiveConflicts",
            expr: format!(
                "sum by ({BY}, table) (increase(parking_lake_commits_total{{{of},outcome=\"conflict\"}}[30m])) > 10"
            ),
            severity: "warning",
            hold: "0m",
            summary: "Somebody else moves the positions of table {{ $labels.table }} of pipeline PIPELINE",
            description: "No row is doubled. Look for a second archive on the same bucket, or for workers that lose their partitions.",
        },
    ]
}

fn notify(of: &str) -> Vec<Warning> {
    vec![
        Warning {
            alert: "ParkingNotificationsRefused",
            expr: format!(
                "sum by ({BY}, route) (increase(parking_notifications_refused_total{{{of}}}[15m])) > 0"
            ),
            severity: "critical",
            hold: "0m",
            summary: "The route {{ $labels.route }} of pipeline PIPELINE refuses notifications",
            description: "They are not told again: see the log of notify for the answer, and the Secret with the route's URL.",
        },
        Warning {
            alert: "ParkingNotificationsWait",
            expr: format!(
                "sum by ({BY}, route) (increase(parking_notifications_repeated_total{{{of}}}[15m])) > 5 unless sum by ({BY}, route) (increase(parking_notifications_delivered_total{{{of}}}[15m])) > 0"
            ),
            severity: "critical",
            hold: "5m",
            summary: "The route {{ $labels.route }} of pipeline PIPELINE takes no notification",
            description: "They are tried again until it does: see whether the receiver answers.",
        },
    ]
}

fn progress(of: &str, idle_after: Duration) -> Vec<Warning> {
    // A silent partition gets a tick after each `idleAfter`.
    let window = (idle_after.millis() / 60_000 * 3).max(15);
    vec![
        Warning {
            alert: "ParkingStageBehind",
            expr: format!(
                "sum by ({BY}, role) (max by ({BY}, role, stream, partition) (parking_stage_lag{{{of}}})) > {MUCH_LAG}"
            ),
            severity: "warning",
            hold: "15m",
            summary: "The role {{ $labels.role }} of pipeline PIPELINE does not keep up",
            description: "Give it more workers, up to one for each partition, or autoscaling by lag.",
        },
        Warning {
            alert: "ParkingTimeStandsStill",
            expr: format!(
                "max by ({BY}, role, partition) (changes(parking_watermark_timestamp_seconds{{{of}}}[{window}m])) == 0"
            ),
            severity: "critical",
            hold: "5m",
            summary: "Partition {{ $labels.partition }} of pipeline PIPELINE makes no progress",
            description: "Its occupancy stage writes ticks even without events: look at the worker that owns the partition.",
        },
    ]
}
