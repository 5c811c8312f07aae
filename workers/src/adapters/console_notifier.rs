//! A notifier that writes one line per alert, for people at a terminal.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::ports::{
    ErrorKind, PortError, PortResult,
    notifier::{Notification, Notifier},
};

/// Writes `route key alert` lines.
pub struct ConsoleNotifier {
    out: Mutex<Box<dyn Write + Send>>,
}

impl ConsoleNotifier {
    /// Writes to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)) }
    }

    /// Writes to standard error, where log lines go too.
    pub fn stderr() -> Self {
        Self::new(io::stderr())
    }
}

#[async_trait]
impl Notifier for ConsoleNotifier {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        let Notification { idempotency_key, route, recovered: _, alert } = notification;
        let line = format!("{route} {idempotency_key} {alert}\n");
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| {
            PortError::caused(ErrorKind::Ambiguous, "writing an alert to the console", error)
        })
    }
}
