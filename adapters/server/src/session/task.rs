use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use nosphere_core::{Cause, Event, Reason, SendError, SessionError};
use pin_project_lite::pin_project;

use super::live::Activity;
use super::pump::{Pump, flush_own};
use super::{Cell, Link};
use crate::contain::{Panicked, caught};
use crate::dirty::{self, Scope};
use crate::{Client, Error, Handler};

/// The task of a session: gives events to its handler, one after the other, and reads the session's WebSocket, if it has
/// one, meanwhile too.
pub(crate) fn run<H: Handler>(
    cell: Arc<Cell>,
    handler: H,
    link: Option<Link>,
) -> impl Future<Output = ()> + Send + 'static {
    Task { session: dirty::address(&cell), task: drive(cell, handler, link) }
}

pin_project! {
    /// Whatever a session's task does is done in the session's scope.
    struct Task<F> {
        session: usize,
        #[pin]
        task: F,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = Scope::enter(*this.session);
        let polled = this.task.poll(cx);
        // What a handler's end has sent to others.
        dirty::flush();
        polled
    }
}

async fn drive<H: Handler>(cell: Arc<Cell>, handler: H, link: Option<Link>) {
    let client = Client::new(Arc::clone(&cell));
    let mut driver = Driver { cell, pump: Pump::new(link) };
    // Dropped before the driver, whatever happens: that one writes out what is left.
    let mut handler = handler;
    let mut failed = false;
    // What the handler failed with and was not told yet.
    let mut failure = None;
    loop {
        let owed = failure.is_some();
        let event = match failure.take() {
            Some(cause) => Event::Error(SessionError::Handler(cause)),
            None => poll_fn(|cx| driver.pump.poll_event(&driver.cell, cx)).await,
        };
        let last = matches!(event, Event::Disconnected { .. });
        // Of messages that were accepted before the end, the client was told that they are received.
        if failed && !(owed || last || is_message(&event)) {
            continue;
        }
        let connected = matches!(event, Event::Connected { .. });
        // Within a block of its own, so that what `receive` does before it gives its future may panic too.
        let mut receiving = pin!(async { handler.receive(&client, event).await });
        let result = poll_fn(|cx| match caught(|| receiving.as_mut().poll(cx)) {
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Ok(Poll::Pending) => {
                driver.pump.poll_background(&driver.cell, cx);
                Poll::Pending
            }
            Err(panicked) => Poll::Ready(Err(panicked)),
        })
        .await;
        if connected {
            driver.cell.forget_head();
        }
        if !matches!(result, Ok(Ok(())))
            && let Some(cause) = driver.failure(result)
            && !failed
            && !last
        {
            failed = true;
            driver.cell.close(Reason::Internal);
            failure = Some(cause);
        }
        if last {
            break;
        }
    }
    // What its end sends to others goes out with the last words.
    drop(handler);
    drop(client);
    driver.finish();
}

fn is_message(event: &Event) -> bool {
    matches!(event, Event::Binary(_) | Event::Json(_) | Event::Request(_) | Event::Text(_))
}

/// A session, and what its task does for it.
struct Driver {
    cell: Arc<Cell>,
    pump: Pump,
}

impl Driver {
    /// What the handler failed with, which is logged; nothing, if that is no failure.
    #[cold]
    fn failure(&self, result: Result<Result<(), Error>, Panicked>) -> Option<Cause> {
        let session = self.cell.id();
        match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) if matches!(error.downcast_ref(), Some(SendError::Closed(_))) => {
                // It answered a message of a client that had gone by then.
                tracing::debug!(%session, %error, "the handler had something to say after the end");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%session, %error, "the handler failed; its session ends");
                Some(Cause::new(error))
            }
            Err(panicked) => {
                tracing::error!(%session, message = panicked.message(), "the handler panicked; its session ends");
                Some(Cause::new(panicked))
            }
        }
    }

    /// The handler is done: the last words go out, and the socket is closed.
    fn finish(mut self) {
        let Self { cell, pump } = &mut self;
        let now = cell.now();
        let mut live = cell.lock();
        live.dirty = false;
        if let Some(link) = live.arrived.take() {
            pump.link = Some(*link);
        }
        live.write(|| now);
        let format = live.format;
        let rest = pump.link.as_ref().map(|link| live.last_words(link.id, format, now)).unwrap_or_default();
        // The handler has had its chance; what is remembered of the session holds no messages.
        let undelivered = live.connection.take_undelivered();
        drop(live);
        drop(undelivered);
        pump.retire(cell, rest);
        // What the handler sent to others in its last event.
        dirty::flush();
    }
}

impl Drop for Driver {
    /// Whatever ended the task, a panic of a format or the end of the runtime: nobody takes the session's events any more.
    fn drop(&mut self) {
        self.cell.abandon();
        let mut live = self.cell.lock();
        self.cell.rest(&mut live, Activity::Idle);
        flush_own(&self.cell, &mut live, true);
        drop(live);
        self.cell.clear();
    }
}
