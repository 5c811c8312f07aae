//! Connections of senders: TLS where a certificate is configured, HTTP/1.1 and HTTP/2 on one port.
//!
//! Invariants: a new certificate serves the next connection; told to end, requests under way are answered and
//! no other is taken; the number of connections is bounded.

use std::{pin::pin, sync::Arc, time::Duration as StdDuration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use parking_crds::duration::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::ports::clock::Clock;

/// Connections at a time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 4_096;
/// How long a handshake, or the headers of a request, may take.
const LONGEST_GREETING: Duration = Duration::from_millis(10_000);
/// How long requests under way may take once the end was told.
const LONGEST_DRAIN: Duration = Duration::from_millis(20_000);
/// Requests at a time on one connection of HTTP/2.
const MOST_REQUESTS: u32 = 64;
/// Pause after the system refused a connection, as it does where it has no more files.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// What serves each connection.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Connections {
    /// Serves until it is told to end, and what is under way then.
    #[expect(clippy::disallowed_methods, reason = "each connection is a task, as in every HTTP server")]
    pub(super) async fn serve(self, listener: TcpListener) {
        let mut open = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = told(&mut stop) => break,
                Some(_) = open.join_next() => {}
                accepted = listener.accept(), if open.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, _)) => { open.spawn(self.clone().connection(stream)); }
                    Err(error) => {
                        tracing::warn!("a connection was not accepted: {error}");
                        self.clock.pause(AFTER_REFUSAL).await;
                    }
                },
            }
        }
        drop(listener);
        tokio::select! {
            () = async { while open.join_next().await.is_some() {} } => {}
            () = self.clock.pause(LONGEST_DRAIN) => tracing::warn!("requests under way were broken off"),
        }
    }

    async fn connection(self, stream: TcpStream) {
        // Answers are small and wait for nobody.
        let _ = stream.set_nodelay(true);
        let tls = self.tls.borrow().clone();
        let Some(config) = tls else { return self.speak(stream).await };
        let greeted = tokio::select! {
            greeted = TlsAcceptor::from(config).accept(stream) => greeted,
            () = self.clock.pause(LONGEST_GREETING) => return,
        };
        match greeted {
            Ok(stream) => self.speak(stream).await,
            Err(error) => tracing::debug!("a TLS handshake failed: {error}"),
        }
    }

    async fn speak(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let greeting = StdDuration::from(LONGEST_GREETING);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(Some(greeting));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(Some(MOST_REQUESTS))
            .keep_alive_interval(Some(greeting))
            .keep_alive_timeout(greeting);
        let service = TowerToHyperService::new(self.router);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection ended: {error}");
        }
    }
}

/// Waits until it is told to end; that nobody is left to tell is an end, too.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
