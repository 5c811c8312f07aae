//! Takes connections, judges requests, forwards them.

use std::{convert::Infallible, future::pending, io, sync::Arc, time::Instant};

use bytes::Bytes;
use futures::{
    StreamExt as _,
    stream::{FuturesUnordered, unfold},
};
use http::{
    Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING},
};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use super::{Call, Fault, Seen, Shared, WatchEnd};
use crate::kubernetes::error::Result;

type Boxed = UnsyncBoxBody<Bytes, io::Error>;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, api_server: Client, shared: Arc<Shared>) -> Result<()> {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (connection, _) = accepted?;
                let (api_server, shared) = (api_server.clone(), Arc::clone(&shared));
                let answer = service_fn(move |request| answer(request, api_server.clone(), Arc::clone(&shared)));
                connections.push(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
            }
            // One that breaks is what a test asked for, or a client that went.
            Some(_) = connections.next() => {}
        }
    }
}

/// The answer, or an error, which breaks the connection.
async fn answer(
    request: Request<Incoming>,
    api_server: Client,
    shared: Arc<Shared>,
) -> io::Result<Response<Boxed>> {
    let (call, fault) = shared.judge(&request);
    match fault {
        Fault::Pass => {
            let ends = (call.verb == "watch").then(|| shared.watch_ends.subscribe());
            let answer = forward(request, &api_server).await?;
            Ok(match ends {
                Some(ends) => answer.map(|body| until_ended(body, ends)),
                None => answer.map(|body| body.map_err(io::Error::other).boxed_unsync()),
            })
        }
        Fault::Refuse { code, retry_after } => refusal(code, retry_after),
        Fault::Lose => Err(lost()),
        Fault::LoseAnswer => {
            answered(request, &api_server).await?;
            Err(lost())
        }
        Fault::Hold => shared.hold().await,
        Fault::HoldAnswer => {
            answered(request, &api_server).await?;
            shared.hold().await
        }
    }
}

impl Shared {
    fn judge(&self, request: &Request<Incoming>) -> (Call, Fault) {
        let mut call = Call::of(request.method(), request.uri());
        let mut state = self.state();
        if call.writes(request.uri()) {
            state.writes += 1;
            call.write = Some(state.writes);
        }
        let fault = (state.rule)(&call);
        #[expect(
            clippy::disallowed_methods,
            reason = "outside the system under test the real clock is the only one"
        )]
        let at = Instant::now();
        state.seen.push(Seen { call: call.clone(), fault, at });
        (call, fault)
    }

    /// Never ends: the connection's end drops it.
    async fn hold<T>(&self) -> T {
        self.state().held += 1;
        pending().await
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "as the rule says")
}

async fn forward(request: Request<Incoming>, api_server: &Client) -> io::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    head.headers.remove(HOST);
    let request = Request::from_parts(head, Body::from(Vec::from(body)));
    let mut answer = api_server.send(request).await.map_err(io::Error::other)?;
    for of_connection in [CONNECTION, TRANSFER_ENCODING] {
        answer.headers_mut().remove(of_connection);
    }
    Ok(answer)
}

/// Forwards, and waits for the whole answer: the request has had its effect.
async fn answered(request: Request<Incoming>, api_server: &Client) -> io::Result<()> {
    let answer = forward(request, api_server).await?;
    answer.into_body().collect().await.map_err(io::Error::other)?;
    Ok(())
}

fn refusal(code: u16, retry_after: Option<u32>) -> io::Result<Response<Boxed>> {
    let code = StatusCode::from_u16(code).map_err(io::Error::other)?;
    let mut builder = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        builder = builder.header(RETRY_AFTER, seconds);
    }
    let body = Full::new(Bytes::from(status(code).to_string()));
    builder.body(body.map_err(|never: Infallible| match never {}).boxed_unsync()).map_err(io::Error::other)
}

/// What the API server says with such a code.
fn status(code: StatusCode) -> serde_json::Value {
    let reason = match code.as_u16() {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the test", "reason": reason, "code": code.as_u16(),
    })
}

/// The events of a watch, until a test ends it.
fn until_ended(body: Body, ends: watch::Receiver<Option<WatchEnd>>) -> Boxed {
    let events = unfold(Some((body, ends)), |state| async {
        let (mut body, mut ends) = state?;
        tokio::select! {
            frame = body.frame() => Some((frame?.map_err(io::Error::other), Some((body, ends)))),
            _ = ends.changed() => Some((last(*ends.borrow()), None)),
        }
    });
    StreamBody::new(events).boxed_unsync()
}

fn last(end: Option<WatchEnd>) -> io::Result<Frame<Bytes>> {
    match end {
        Some(WatchEnd::Expired) => {
            let event = json!({"type": "ERROR", "object": status(StatusCode::GONE)});
            Ok(Frame::data(Bytes::from(format!("{event}\n"))))
        }
        Some(WatchEnd::Broken) | None => Err(lost()),
    }
}
