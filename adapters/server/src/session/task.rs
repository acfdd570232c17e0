use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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

/// What is alive across an `await` has a place in the task for as long as the session lives. So there are no arguments of an
/// `async fn`, which would have two, and an event is moved and never borrowed.
fn drive<H: Handler>(cell: Arc<Cell>, handler: H, link: Option<Link>) -> impl Future<Output = ()> + Send + 'static {
    let client = Client::new(Arc::clone(&cell));
    let mut session = Session { handler, client, driver: Driver { cell, pump: Pump::new(link), failure: None } };
    async move {
        loop {
            let kind;
            let future = {
                // An event is written where it stays until the handler gets it, and not handed from one future to the next.
                let mut event = None;
                kind = poll_fn(|cx| session.driver.poll_event(cx, &mut event)).await;
                let Some(event) = event else { continue };
                // What `receive` does before it gives its future may panic, too.
                match caught(|| session.handler.receive(&session.client, event)) {
                    Ok(future) => future,
                    Err(panicked) => {
                        session.driver.note_handled(kind, Err(Box::new(Failed::Panicked(panicked))));
                        if kind == Kind::Last {
                            break;
                        }
                        continue;
                    }
                }
            };
            let (mut future, driver) = (pin!(future), &mut session.driver);
            let result = poll_fn(move |cx| driver.poll_handler(future.as_mut(), cx)).await;
            session.driver.note_handled(kind, result);
            if kind == Kind::Last {
                break;
            }
        }
        session.finish();
    }
}

/// What a session's task has.
struct Session<H> {
    /// Dropped before the driver, whatever happens: that one writes out what is left.
    handler: H,
    client: Client,
    driver: Driver,
}

impl<H> Session<H> {
    fn finish(self) {
        let Self { handler, client, driver } = self;
        // What its end sends to others goes out with the last words.
        drop(handler);
        drop(client);
        driver.finish();
    }
}

/// What an event means to the task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connected,
    Last,
    Message,
    Other,
}

impl Kind {
    fn of(event: &Event) -> Self {
        if matches!(event, Event::Binary(_) | Event::Json(_) | Event::Request(_) | Event::Text(_)) {
            Self::Message
        } else if matches!(event, Event::Connected { .. }) {
            Self::Connected
        } else if matches!(event, Event::Disconnected { .. }) {
            Self::Last
        } else {
            Self::Other
        }
    }
}

/// What came of an event. Nearly always nothing, which is why the rest is in a box.
type Handled = Result<(), Box<Failed>>;

/// What a handler may do instead of handling an event.
enum Failed {
    Error(Error),
    Panicked(Panicked),
}

/// A session, and what its task does for it.
struct Driver {
    cell: Arc<Cell>,
    pump: Pump,
    /// The handler has failed, and with what, if that is still to be told.
    failure: Option<Box<Option<Cause>>>,
}

impl Driver {
    /// The next event for the handler goes into `out`.
    #[inline(always)]
    fn poll_event(&mut self, cx: &mut Context<'_>, out: &mut Option<Event>) -> Poll<Kind> {
        loop {
            if let Some(cause) = self.failure.as_mut().and_then(|failure| failure.take()) {
                *out = Some(Event::Error(SessionError::Handler(cause)));
                return Poll::Ready(Kind::Other);
            }
            ready!(self.pump.poll_event(&self.cell, cx, out));
            let kind = out.as_ref().map_or(Kind::Other, Kind::of);
            // Of messages that were accepted before the end, the client was told that they are received.
            if self.failure.is_none() || matches!(kind, Kind::Last | Kind::Message) {
                return Poll::Ready(kind);
            }
            *out = None;
        }
    }

    /// Lets the handler go on, and reads and writes while it waits.
    #[inline]
    fn poll_handler<F>(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Handled>
    where
        F: Future<Output = Result<(), Error>>,
    {
        match caught(|| future.poll(cx)) {
            Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(|error| Box::new(Failed::Error(error)))),
            Ok(Poll::Pending) => {
                self.pump.poll_background(&self.cell, cx);
                Poll::Pending
            }
            Err(panicked) => Poll::Ready(Err(Box::new(Failed::Panicked(panicked)))),
        }
    }

    /// The handler has handled an event.
    #[inline(always)]
    fn note_handled(&mut self, kind: Kind, result: Handled) {
        if kind == Kind::Connected {
            self.cell.forget_head();
        }
        if let Err(failed) = result {
            self.note_failed(kind, *failed);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_failed(&mut self, kind: Kind, failed: Failed) {
        if let Some(cause) = self.failure(failed)
            && self.failure.is_none()
            && kind != Kind::Last
        {
            self.failure = Some(Box::new(Some(cause)));
            self.cell.close(Reason::Internal);
        }
    }

    /// What the handler failed with, if that is a failure.
    fn failure(&self, failed: Failed) -> Option<Cause> {
        let session = self.cell.id();
        match failed {
            Failed::Error(error) if matches!(error.downcast_ref(), Some(SendError::Closed(_))) => {
                // It answered a message of a client that had gone by then.
                tracing::debug!(%session, %error, "the handler had something to say after the end");
                None
            }
            Failed::Error(error) => {
                tracing::warn!(%session, %error, "the handler failed; its session ends");
                Some(Cause::new(error))
            }
            Failed::Panicked(panicked) => {
                tracing::error!(%session, message = panicked.message(), "the handler panicked; its session ends");
                Some(Cause::new(panicked))
            }
        }
    }

    /// The handler is done: the last words go out, and the socket is closed.
    fn finish(mut self) {
        let Self { cell, pump, .. } = &mut self;
        let now = cell.now();
        let mut live = cell.lock();
        live.dirty = false;
        if let Some(link) = live.arrived.take() {
            pump.replace_link(*link);
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
