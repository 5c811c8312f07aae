//! The HTTP address of a running process.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{Pipeline, UpError};
use crate::{
    adapters::embedded::ADDRESS_FILE,
    http::{Site, StatusBoard, router},
};

/// Takes the address before anything is written.
pub(super) async fn bind(listen: Option<SocketAddr>) -> Result<Option<TcpListener>, UpError> {
    let Some(address) = listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| UpError::Listen { address, source })
}

/// A served address; none where nothing is to be served.
pub(super) struct Service(Option<Served>);

struct Served {
    tasks: JoinSet<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    address_file: PathBuf,
}

impl Service {
    /// Serves until [`Self::stop`].
    #[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
    pub(super) fn start(
        listener: Option<TcpListener>,
        pipeline: &Pipeline<'_>,
        board: &Arc<StatusBoard>,
    ) -> Result<Self, UpError> {
        let Some(listener) = listener else { return Ok(Self(None)) };
        let address = listener.local_addr().map_err(UpError::Signal)?;
        pipeline.folder.keep(ADDRESS_FILE, address.to_string().as_bytes())?;
        tracing::info!("pipeline {} serves http://{address}", pipeline.name);
        tracing::info!(
            "kafka, redis and objectStore are replaced by the data folder {}",
            pipeline.options.data.display()
        );
        let routes = router(Site { view: Arc::new(pipeline.view()), board: Arc::clone(board) });
        let (stop, mut stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let ends = async move {
                // An error means that the sender is gone, which is an end too.
                let _ = stopped.changed().await;
            };
            axum::serve(listener, routes).with_graceful_shutdown(ends).await
        });
        Ok(Self(Some(Served { tasks, stop, address_file: pipeline.options.data.join(ADDRESS_FILE) })))
    }

    /// Answers the requests that are under way, and no more.
    pub(super) async fn stop(self) -> Result<(), UpError> {
        let Some(mut served) = self.0 else { return Ok(()) };
        served.stop.send_replace(true);
        while let Some(ended) = served.tasks.join_next().await {
            if let Err(error) = ended? {
                tracing::warn!("the HTTP service ended: {error}");
            }
        }
        // A file that is left says nothing wrong: whoever reads it finds nobody there.
        let _ = fs::remove_file(served.address_file);
        Ok(())
    }
}
