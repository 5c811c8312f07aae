//! `parking.ingest.v1.Ingest`: events over gRPC, on the port of HTTP.
//!
//! Must not judge: it hands messages to the intake. Invariants: answers come in the order of requests, each
//! after the log's (G1); a sender that is too fast, or for whom there is no room, is not read from, which
//! holds it up; told to end, what was read is answered.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use self::generated::{PublishRequest, PublishResponse, RefusedRecord, ingest_server};
use super::{
    body::MAX_RECORDS,
    gather::Held,
    grant::Grant,
    http::Site,
    intake::{Intake, Pending, Transport, Turned, Verdicts},
};
use crate::ports::ErrorKind;

/// What the interface's description says; made from it.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
pub(crate) mod generated {
    include!("grpc/generated/parking.ingest.v1.rs");
}

/// Path of all methods.
pub(super) const PATH: &str = "/parking.ingest.v1.Ingest/{*method}";

/// Requests of one stream that are under way to the log at a time.
const UNDER_WAY: usize = 32;

/// The service; it shares keys, rates and verdicts with all other ways in.
pub(super) fn service(site: Site) -> ingest_server::IngestServer<Publisher> {
    let limit = site.max_body_bytes;
    ingest_server::IngestServer::new(Publisher { site }).max_decoding_message_size(limit)
}

/// See the module.
pub(super) struct Publisher {
    site: Site,
}

#[tonic::async_trait]
impl ingest_server::Ingest for Publisher {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let intake = Arc::clone(&self.site.intake);
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let sender = Sender { intake: Arc::clone(&intake), authorization: authorization.map(Arc::from) };
        sender.let_in()?;
        let mut stopping = self.site.stopping.clone();
        let told = async move {
            // That nobody is left to tell is an end, too.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let requests = request.into_inner().take_until(Box::pin(told));
        // Handed in one by one, so that the order is kept; answered while the next are read.
        let begun = requests.then(move |request| {
            let sender = sender.clone();
            async move { sender.begin(request?).await }
        });
        let answers = begun.map(move |begun| finish(Arc::clone(&intake), begun)).buffered(UNDER_WAY);
        Ok(Response::new(Box::pin(until_failed(answers))))
    }
}

/// Whoever sends a stream.
#[derive(Clone)]
struct Sender {
    intake: Arc<Intake>,
    authorization: Option<Arc<str>>,
}

/// A request that is under way to the log.
struct Begun {
    sequence: u64,
    pending: Pending,
    held: Held,
}

impl Sender {
    /// What it may do now: a key can be taken away while its stream is open.
    fn let_in(&self) -> Result<Arc<Grant>, Status> {
        let grant = self.intake.let_in(self.authorization.as_deref());
        grant.map_err(|away| status_of(&self.intake, &away))
    }

    async fn begin(&self, request: PublishRequest) -> Result<Begun, Status> {
        if request.records.len() > MAX_RECORDS {
            self.intake.meter.turned_away(Transport::Grpc.as_str(), "body");
            return Err(Status::invalid_argument(format!("more than {MAX_RECORDS} records in a request")));
        }
        let records: Vec<&[u8]> = request.records.iter().map(AsRef::as_ref).collect();
        let bytes = records.iter().map(|record| record.len()).sum();
        loop {
            let room = self.intake.gather.wait_for_room(bytes).await;
            let held = room.ok_or_else(|| status_of(&self.intake, &Turned::Busy))?;
            match self.intake.begin(Transport::Grpc, &*self.let_in()?, &records) {
                Ok(pending) => return Ok(Begun { sequence: request.sequence, pending, held }),
                Err(Turned::TooFast(wait)) => {
                    // Others need the room, and may use all of it long before this sender may go on.
                    drop(held);
                    self.intake.clock.pause(wait).await;
                }
                Err(away) => return Err(status_of(&self.intake, &away)),
            }
        }
    }
}

async fn finish(intake: Arc<Intake>, begun: Result<Begun, Status>) -> Result<PublishResponse, Status> {
    let Begun { sequence, pending, held } = begun?;
    let verdicts = intake.finish(pending).await.map_err(|away| status_of(&intake, &away))?;
    drop(held);
    Ok(answer(sequence, verdicts))
}

fn answer(sequence: u64, verdicts: Verdicts) -> PublishResponse {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let accepted = count(verdicts.accepted());
    let refused = verdicts.refused.into_iter().map(|(record, refusal)| RefusedRecord {
        record: count(record),
        reason: refusal.reason.as_str().to_owned(),
        detail: refusal.detail.into_owned(),
    });
    PublishResponse { sequence, accepted, refused: refused.collect() }
}

fn status_of(intake: &Intake, away: &Turned) -> Status {
    intake.meter.turned_away(Transport::Grpc.as_str(), away.as_str());
    let sentence = away.to_string();
    match away {
        Turned::NoKey | Turned::UnknownKey => Status::unauthenticated(sentence),
        Turned::TooFast(_) | Turned::Busy => Status::resource_exhausted(sentence),
        Turned::Log(failed) => {
            tracing::warn!("a stream was ended: {failed}");
            match failed.kind {
                ErrorKind::Invalid | ErrorKind::Corrupt => Status::internal(sentence),
                ErrorKind::Transient | ErrorKind::Ambiguous | ErrorKind::Full | ErrorKind::Closed => {
                    Status::unavailable(sentence)
                }
            }
        }
    }
}

/// The answers up to the first failure and it: nothing is acknowledged behind a gap.
fn until_failed<S: Stream<Item = Result<PublishResponse, Status>> + Send>(
    answers: S,
) -> impl Stream<Item = Result<PublishResponse, Status>> + Send {
    futures::stream::unfold((Box::pin(answers), false), |(mut answers, failed)| async move {
        if failed {
            return None;
        }
        let answer = answers.next().await?;
        let failed = answer.is_err();
        Some((answer, (answers, failed)))
    })
}
