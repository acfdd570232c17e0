use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A request's body that fails when nothing of it comes for some time, and says so when something does and more is to come.
pub(crate) struct Patient<B, F> {
    body: Pin<Box<B>>,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    progress: F,
}

/// Nothing came.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the body came in time")]
pub(crate) struct Stalled;

impl<B, F> Patient<B, F> {
    pub(crate) fn new(body: B, patience: Duration, progress: F) -> Self {
        Self { body: Box::pin(body), patience, timer: Box::pin(tokio::time::sleep(patience)), progress }
    }
}

impl<B, F> Body for Patient<B, F>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    F: FnMut() + Unpin,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) {
            let next = Instant::now() + self.patience;
            self.timer.as_mut().reset(next);
            if matches!(frame, Some(Ok(_))) && !self.body.is_end_stream() {
                (self.progress)();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.timer.as_mut().poll(cx).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
