//! The body of an answer, with an end by the clock, and what is held until it is read.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tower::BoxError;

use super::GateError;
use crate::monotonic::{self, Instant, Sleep};

/// What bounds the reading of a body.
#[derive(Default)]
pub(super) struct Bounds {
    /// It fails from then on.
    pub(super) deadline: Option<Instant>,
    /// Given back with the body: until then its connection serves nobody else.
    pub(super) _turn: Option<OwnedSemaphorePermit>,
}

/// A body that fails once its deadline has come.
pub struct TimedBody<B> {
    inner: B,
    bounds: Bounds,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> TimedBody<B> {
    /// The body, to be read within its bounds.
    pub(super) const fn new(inner: B, bounds: Bounds) -> Self {
        Self { inner, bounds, sleep: None }
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(deadline) = self.bounds.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(monotonic::sleep_until(deadline)));
        sleep.as_mut().poll(context).map(|()| Some(Err(GateError::TimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
