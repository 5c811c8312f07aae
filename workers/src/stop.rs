//! How a process is told to end.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Becomes true at SIGTERM and SIGINT.
#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
pub fn told() -> io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (told, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end: committing what was read");
        told.send_replace(true);
        told.closed().await;
    });
    Ok(stop)
}
