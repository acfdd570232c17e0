//! What a native client says first on a WebSocket (SPEC WS-1).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nosphere_core::{Encoded, Frame, Greeted, Greeting, Offer, Open, Reason, Unit, WireFormat};
use nosphere_websocket::{Item, Next, Outgoing, ProtocolError, Unread, Whole};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Arrival;
use crate::websocket::WebSocket;

pin_project! {
    /// Waits for the first words. There is one of these for each connection that begins, so it has what most of them need: the
    /// first read is an `open` and nothing else. What takes more is another future.
    pub(super) struct Greet {
        begun: Option<(Arrival, WebSocket)>,
        format: &'static dyn WireFormat,
        greeting: Greeting,
        // Only for whoever has to be waited for.
        #[pin]
        sleep: Option<Sleep>,
        rest: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    }
}

impl Greet {
    pub(super) fn new(arrival: Arrival, socket: WebSocket, format: &'static dyn WireFormat) -> Self {
        let shared = arrival.shared();
        let greeting = Greeting::new(&shared.config.session, shared.clock.now());
        Self { begun: Some((arrival, socket)), format, greeting, sleep: None, rest: None }
    }
}

impl Future for Greet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(rest) = this.rest {
            return rest.as_mut().poll(cx);
        }
        let Some((arrival, socket)) = this.begun else { return Poll::Ready(()) };
        let mut unread = Unread::default();
        let goes_on = match socket.poll_fill(cx, &mut unread) {
            Poll::Ready(Ok(goes_on)) => goes_on,
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => {
                if this.sleep.is_none() {
                    let deadline = deadline(arrival, this.greeting);
                    this.sleep.set(Some(sleep_until(deadline)));
                }
                if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                    ready!(sleep.poll(cx));
                }
                this.sleep.set(None);
                let Some((arrival, socket)) = this.begun.take() else { return Poll::Ready(()) };
                let rest = this.rest.insert(Box::pin(arrival.refuse(socket, None, Reason::Timeout)));
                return rest.as_mut().poll(cx);
            }
        };
        this.sleep.set(None);
        let Some((arrival, mut socket)) = this.begun.take() else { return Poll::Ready(()) };
        if !goes_on {
            return Poll::Ready(());
        }
        let (greeting, format) = (&mut *this.greeting, *this.format);
        let first = First::take(&mut socket, unread, greeting, format);
        if let First::Greeted(Greeted::Open(open)) = first {
            arrival.open(socket, open);
            return Poll::Ready(());
        }
        let rest = this.rest.insert(Box::pin(go_on(arrival, socket, greeting.clone(), format, first)));
        rest.as_mut().poll(cx)
    }
}

fn deadline(arrival: &Arrival, greeting: &Greeting) -> Instant {
    arrival.shared().clock.instant(greeting.poll_timeout())
}

/// What came first in a read.
enum First {
    Error(ProtocolError),
    /// What a message leads to.
    Greeted(Greeted),
    Item(Item),
    Nothing,
}

impl First {
    fn take(
        socket: &mut WebSocket,
        mut unread: Unread,
        greeting: &mut Greeting,
        format: &'static dyn WireFormat,
    ) -> Self {
        let first = match socket.next(&mut unread) {
            Next::Message(message, arena) => Self::Greeted(greeting.handle_frame(match message {
                Whole::Lent(unit) => format.decode_lent(unit, arena),
                Whole::Own(unit) => format.decode(unit),
            })),
            Next::Item(item) => Self::Item(item),
            Next::Error(error) => Self::Error(error),
            Next::Nothing => Self::Nothing,
        };
        // What follows is read next, by whoever that is.
        socket.keep(unread);
        first
    }
}

/// What a native client says first.
enum FirstWords {
    /// A WebSocket close, or a broken frame; the answer is queued.
    Close,
    Fault(Reason),
    Open(Open),
    Resume(Offer),
}

/// Finds out which session is meant, after the first read.
async fn go_on(
    arrival: Arrival,
    mut socket: WebSocket,
    mut greeting: Greeting,
    format: &'static dyn WireFormat,
    first: First,
) {
    let deadline = deadline(&arrival, &greeting);
    // Writing counts as well: a client that does not read keeps its place no longer than one that does not write.
    let words = tokio::time::timeout_at(deadline, first_words(&mut socket, &mut greeting, format, first)).await;
    match words {
        Err(_) => arrival.refuse(socket, None, Reason::Timeout).await,
        Ok(None) => {}
        Ok(Some(FirstWords::Close)) => socket.linger(Vec::new(), arrival.linger_limit()).await,
        Ok(Some(FirstWords::Fault(reason))) => arrival.refuse(socket, None, reason).await,
        Ok(Some(FirstWords::Open(open))) => arrival.open(socket, open),
        Ok(Some(FirstWords::Resume(offer))) => arrival.resume(socket, offer, format).await,
    }
}

/// Reads until it is known what the client wants. `None`: the socket is gone.
async fn first_words(
    socket: &mut WebSocket,
    greeting: &mut Greeting,
    format: &'static dyn WireFormat,
    mut first: First,
) -> Option<FirstWords> {
    loop {
        let greeted = match first {
            First::Greeted(greeted) => Some(greeted),
            First::Item(Item::Text(text)) => Some(greeting.handle_frame(format.decode(Unit::Text(text)))),
            First::Item(Item::Binary(bytes)) => Some(greeting.handle_frame(format.decode(Unit::Binary(bytes)))),
            First::Item(Item::Ping(payload)) => {
                socket.writer().pong(payload);
                None
            }
            First::Item(Item::Pong(_)) | First::Nothing => None,
            First::Item(Item::Close(close)) => {
                socket.writer().handle_close(&close);
                return Some(FirstWords::Close);
            }
            First::Error(error) => {
                socket.writer().handle_error(error);
                return Some(FirstWords::Close);
            }
        };
        let answer = match greeted {
            Some(Greeted::Open(open)) => return Some(FirstWords::Open(open)),
            Some(Greeted::Resume(offer)) => return Some(FirstWords::Resume(offer)),
            Some(Greeted::Fault(reason)) => return Some(FirstWords::Fault(reason)),
            Some(Greeted::Reply(frame)) => data(frame, format),
            None => None,
        };
        // Pongs, too.
        if answer.is_some() || !socket.has_more() {
            socket.write(answer).await.ok()?;
        }
        first = std::future::poll_fn(|cx| {
            let mut unread = Unread::default();
            if !matches!(ready!(socket.poll_fill(cx, &mut unread)), Ok(true)) {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(First::take(socket, unread, greeting, format)))
        })
        .await?;
    }
}

pub(super) fn data(frame: Frame, format: &dyn WireFormat) -> Option<Outgoing> {
    format.encode(frame).ok().map(|unit| Outgoing::Data(Encoded::new(unit)))
}
