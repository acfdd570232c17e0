//! What a native client says first on a WebSocket (SPEC WS-1).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nosphere_core::{Encoded, Frame, Greeted, Greeting, Offer, Open, Reason, Unit, WireFormat};
use nosphere_websocket::{Item, Outgoing, ReadOutcome, Whole};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Arrival;
use crate::session::Early;
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
        let (mut items, mut greeted) = (Vec::new(), None);
        let (format, greeting) = (*this.format, &mut *this.greeting);
        let take = |message: Whole<'_>| {
            greeted = Some(greeting.handle_frame(match message {
                Whole::Lent(unit) => format.decode_lent(unit),
                Whole::Own(unit) => format.decode(unit),
            }));
        };
        let outcome = match socket.poll_read_whole(cx, &mut items, take) {
            Poll::Ready(Ok(outcome)) => Some(outcome),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => {
                if this.sleep.is_none() {
                    let deadline = deadline(arrival, this.greeting);
                    this.sleep.set(Some(sleep_until(deadline)));
                }
                if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                    ready!(sleep.poll(cx));
                }
                None
            }
        };
        this.sleep.set(None);
        let Some((arrival, socket)) = this.begun.take() else { return Poll::Ready(()) };
        let first = match (outcome, greeted) {
            (Some(_), Some(Greeted::Open(open))) => {
                arrival.open(socket, open, None);
                return Poll::Ready(());
            }
            (Some(outcome), greeted) => Some(First { greeted, items, outcome }),
            (None, _) => None,
        };
        let greeting = this.greeting.clone();
        let rest = this.rest.insert(Box::pin(go_on(arrival, socket, greeting, format, first)));
        rest.as_mut().poll(cx)
    }
}

fn deadline(arrival: &Arrival, greeting: &Greeting) -> Instant {
    arrival.shared().clock.instant(greeting.poll_timeout())
}

/// What the first read brought.
struct First {
    /// What a message that it was leads to. There are no items then.
    greeted: Option<Greeted>,
    items: Vec<Item>,
    outcome: ReadOutcome,
}

/// What a native client says first.
enum FirstWords {
    /// A WebSocket close, or a broken frame; the answer is queued.
    Close,
    Fault(Reason),
    Open(Open, Early),
    Resume(Offer, Early),
}

/// Finds out which session is meant, after the first read; or after nothing came in time.
async fn go_on(
    arrival: Arrival,
    mut socket: WebSocket,
    mut greeting: Greeting,
    format: &'static dyn WireFormat,
    first: Option<First>,
) {
    let Some(first) = first else { return arrival.refuse(socket, None, Reason::Timeout).await };
    let deadline = deadline(&arrival, &greeting);
    // Writing counts as well: a client that does not read keeps its place no longer than one that does not write.
    let words = tokio::time::timeout_at(deadline, first_words(&mut socket, &mut greeting, format, first)).await;
    match words {
        Err(_) => arrival.refuse(socket, None, Reason::Timeout).await,
        Ok(None) => {}
        Ok(Some(FirstWords::Close)) => socket.linger(Vec::new(), arrival.linger_limit()).await,
        Ok(Some(FirstWords::Fault(reason))) => arrival.refuse(socket, None, reason).await,
        Ok(Some(FirstWords::Open(open, early))) => arrival.open(socket, open, early),
        Ok(Some(FirstWords::Resume(offer, early))) => arrival.resume(socket, offer, format, early).await,
    }
}

/// Reads until it is known what the client wants. `None`: the socket is gone.
async fn first_words(
    socket: &mut WebSocket,
    greeting: &mut Greeting,
    format: &'static dyn WireFormat,
    first: First,
) -> Option<FirstWords> {
    let First { mut greeted, mut items, mut outcome } = first;
    loop {
        let mut arrived = items.drain(..);
        loop {
            let greeted = match greeted.take() {
                Some(greeted) => greeted,
                None => match arrived.next() {
                    None => break,
                    Some(Item::Text(text)) => greeting.handle_frame(format.decode(Unit::Text(text))),
                    Some(Item::Binary(bytes)) => greeting.handle_frame(format.decode(Unit::Binary(bytes))),
                    Some(Item::Ping(payload)) => {
                        socket.writer().pong(payload);
                        continue;
                    }
                    Some(Item::Pong(_)) => continue,
                    Some(Item::Close(close)) => {
                        socket.writer().handle_close(&close);
                        return Some(FirstWords::Close);
                    }
                },
            };
            match greeted {
                Greeted::Open(open) => return Some(FirstWords::Open(open, Some((arrived.collect(), outcome)))),
                Greeted::Resume(offer) => return Some(FirstWords::Resume(offer, Some((arrived.collect(), outcome)))),
                Greeted::Fault(reason) => return Some(FirstWords::Fault(reason)),
                Greeted::Reply(frame) => socket.write(data(frame, format)).await.ok()?,
            }
        }
        drop(arrived);
        match outcome {
            ReadOutcome::Items => {}
            ReadOutcome::End => return None,
            ReadOutcome::Error(error) => {
                socket.writer().handle_error(error);
                return Some(FirstWords::Close);
            }
        }
        socket.write(None).await.ok()?;
        outcome = socket.read(&mut items).await.ok()?;
    }
}

pub(super) fn data(frame: Frame, format: &dyn WireFormat) -> Option<Outgoing> {
    format.encode(frame).ok().map(|unit| Outgoing::Data(Encoded::new(unit)))
}
