//! What the operator tells of itself (`/metrics`) and what the API server has seen of it (the audit log).

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use parking_e2e::kubernetes::audit::{AuditLog, Mark};

/// Reconciles that have ended, of a kind.
pub(crate) fn reconciles(metrics: &str, kind: &str) -> f64 {
    let name = format!("parking_operator_reconcile_duration_seconds_count{{kind=\"{kind}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

/// The operator's metrics; an error while it does not listen yet.
pub(crate) fn metrics(address: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}

/// What a user asked of the API server since a mark, leases aside.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// By `verb resource`.
    pub(crate) counts: BTreeMap<String, usize>,
    /// Those of them that changed something.
    pub(crate) writes: BTreeMap<String, usize>,
}

impl Requests {
    pub(crate) fn since(log: &AuditLog, mark: Mark, user: &str) -> io::Result<Self> {
        let mut requests = Self::default();
        let events = log.since(mark)?;
        for event in events.iter().filter(|event| event.user() == user && event.resource() != "leases") {
            let what = format!("{} {}", event.verb, event.resource_path());
            if event.changes() {
                *requests.writes.entry(what.clone()).or_default() += 1;
            }
            *requests.counts.entry(what).or_default() += 1;
        }
        Ok(requests)
    }

    pub(crate) fn total(&self) -> usize {
        self.counts.values().sum()
    }

    pub(crate) fn written(&self) -> usize {
        self.writes.values().sum()
    }

    pub(crate) fn of(&self, verb_and_resource: &str) -> usize {
        self.counts.get(verb_and_resource).copied().unwrap_or_default()
    }
}
