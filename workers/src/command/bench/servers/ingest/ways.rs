//! The senders: each hands over all records, several requests at a time, and ends when the last is in the log.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use redis::{FromRedisValue as _, cmd};
use reqwest::StatusCode;
use tonic::{
    Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{super::super::BenchError, IN_FLIGHT, REQUEST, role::Role};
use crate::ingest::{
    RedisCalls as _,
    grpc::generated::{PublishRequest, PublishResponse},
};

/// Commands that wait for their answers at a time; each has half a second.
const COMMANDS: usize = 1_000;
/// Between two looks whether a stream is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Lines of JSON over as many connections as there are requests under way.
pub(super) async fn http(role: &Role, records: &[Bytes]) -> Result<(), BenchError> {
    let (client, url) = (reqwest::Client::new(), format!("http://{}/v1/events", role.address));
    let send = |records: &[Bytes]| {
        let body = records
            .iter()
            .flat_map(|record| [record.as_ref(), b"\n".as_slice()])
            .collect::<Vec<_>>()
            .concat();
        let request = client.post(&url).header("content-type", "application/x-ndjson");
        let sent = request.header("authorization", Role::authorization()).body(body).send();
        async move {
            match sent.await.map_err(sending)?.status() {
                StatusCode::ACCEPTED => Ok(()),
                status => Err(BenchError::Wrong(format!("a request was answered with {status}"))),
            }
        }
    };
    stream::iter(records.chunks(REQUEST)).map(send).buffered(IN_FLIGHT).try_collect().await
}

/// One stream; a request is handed over when one of those under way was answered.
pub(super) async fn grpc(role: &Role, records: &[Bytes]) -> Result<(), BenchError> {
    let endpoint = Endpoint::new(format!("http://{}", role.address)).map_err(sending)?;
    let mut client = Grpc::new(endpoint.connect().await.map_err(sending)?);
    let (answered, room) = room_for_requests();
    let requests: Vec<_> = (0..)
        .zip(records.chunks(REQUEST))
        .map(|(sequence, records)| PublishRequest { sequence, records: records.to_vec() })
        .collect();
    let wanted = requests.len();
    let requests = stream::iter(requests).zip(room).map(|(request, ())| request);
    let mut answers = publish(&mut client, requests).await?;
    let (mut taken, mut count) = (0, 0);
    while let Some(answer) = answers.try_next().await.map_err(sending)? {
        (taken, count) = (taken + answer.accepted as usize, count + 1);
        // The last requests leave nobody who waits for room.
        let _ = answered.unbounded_send(());
    }
    if (taken, count) == (records.len(), wanted) {
        return Ok(());
    }
    Err(BenchError::Wrong(format!("{taken} of {} records were accepted over gRPC", records.len())))
}

/// Says so each time that a request was answered, and for as many as may be under way before.
fn room_for_requests()
-> (futures::channel::mpsc::UnboundedSender<()>, impl Stream<Item = ()> + Send + 'static) {
    let (answered, told) = futures::channel::mpsc::unbounded();
    (answered, stream::repeat(()).take(IN_FLIGHT).chain(told))
}

async fn publish(
    client: &mut Grpc<Channel>,
    requests: impl Stream<Item = PublishRequest> + Send + 'static,
) -> Result<tonic::Streaming<PublishResponse>, BenchError> {
    client.ready().await.map_err(sending)?;
    let mut request = Request::new(requests);
    let authorization = Role::authorization().parse().map_err(BenchError::scenario)?;
    request.metadata_mut().insert("authorization", authorization);
    let path = PathAndQuery::from_static("/parking.ingest.v1.Ingest/Publish");
    let codec = ProstCodec::<PublishRequest, PublishResponse>::default();
    Ok(client.streaming(request, path, codec).await.map_err(sending)?.into_inner())
}

/// One command a record; ends when ingest has forgotten all entries.
pub(super) async fn redis(role: &Role, records: &[Bytes]) -> Result<(), BenchError> {
    let add = |record: &Bytes| {
        let mut command = cmd("XADD");
        command.arg(&role.stream).arg("*").arg("record").arg(record.as_ref());
        async move { role.redis.call(&command).await.map(drop) }
    };
    stream::iter(records).map(add).buffered(COMMANDS).try_collect::<()>().await?;
    let mut length = cmd("XLEN");
    length.arg(&role.stream);
    while usize::from_redis_value(role.redis.call(&length).await?).map_err(sending)? > 0 {
        pause().await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "nobody tells when a stream is empty")]
async fn pause() {
    tokio::time::sleep(LOOK_AGAIN).await;
}

fn sending(error: impl std::error::Error + 'static) -> BenchError {
    BenchError::Sending(crate::sentence::sentence(&error))
}
