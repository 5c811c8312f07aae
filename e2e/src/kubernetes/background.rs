//! Work that goes on beside a test, even while the test's own thread waits for a process.
//!
//! Invariant: it ends with the value.

use std::{
    io,
    thread::{self, JoinHandle},
};

use kube::Client;
use tokio::sync::oneshot;

use super::cluster::Cluster;

/// A thread with a runtime and a client of its own, in the network namespace of the thread that started it.
#[derive(Debug)]
pub(super) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Begins the work; an error of it is printed, since the test sees that things do not happen.
    #[expect(clippy::disallowed_methods, reason = "doubles act beside the test")]
    pub(super) fn start<W, F>(cluster: &Cluster, name: &str, work: W) -> io::Result<Self>
    where
        W: FnOnce(Client) -> F + Send + 'static,
        F: Future<Output = super::error::Result<()>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (cluster, title) = (cluster.clone(), name.to_owned());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ended = runtime.block_on(async {
                tokio::select! {
                    ended = async { work(cluster.another_client().await?).await } => ended,
                    _ = stopped => Ok(()),
                }
            });
            if let Err(error) = ended {
                eprintln!("{title}: {error}");
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It has told its error already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
