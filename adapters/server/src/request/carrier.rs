//! What clients of atmosphere.js cannot be told in bytes, but by the time at which they get them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nosphere_core::{Action, Reason};
use tokio::time::{Instant, Sleep, sleep};

use crate::session::{Cell, HeldLink};

/// How long a link carries nothing that begins an attachment without a greeting: a client whose link broke opens several, and
/// gives up all but one at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a stream carries nothing behind its greeting. All that a client reads at once it takes for the greeting, and a
/// browser that has much to do reads late.
const GREETING_PAUSE: Duration = Duration::from_millis(250);

/// How old a poll or stream has to be to be ended as soon as another one takes its place.
const OLD: Duration = Duration::from_secs(1);

/// How long a younger poll waits for its empty answer. A client whose links break may open several at once, and one or two
/// more for each that is ended; so they would chase each other for ever.
const HOLD: Duration = Duration::from_secs(5);

/// How often it is looked whether a younger stream may end. It has to be silent for as long as the one that took its place.
const LOOK: Duration = Duration::from_secs(1);

/// How many of them wait, of one session. Further ones are ended at once.
const MAX_HELD: u32 = 8;

/// Waits for a while behind the greeting, if there is one; otherwise at once.
pub(super) fn paused(
    greets: bool,
    mut next: impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin,
) -> impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin {
    let mut awaits_greeting = greets;
    let mut pause = (!greets).then(|| Box::pin(sleep(PAUSE)));
    move |cx| {
        if let Some(sleep) = &mut pause {
            ready!(sleep.as_mut().poll(cx));
            pause = None;
        }
        let action = ready!(next(cx));
        if std::mem::take(&mut awaits_greeting) {
            pause = Some(Box::pin(sleep(GREETING_PAUSE)));
        }
        Poll::Ready(action)
    }
}

/// Tells a poll of a modern client that ends with its server apart from one that is answered: the first breaks, so that the
/// client expects to be greeted anew.
pub(super) fn broken(
    cell: Arc<Cell>,
    mut next: impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin,
) -> impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin {
    move |cx| {
        let action = ready!(next(cx));
        let reason = Reason::GoingAway;
        let away = matches!(action, Action::Finish) && cell.ended_by().is_some_and(|ended| ended.1 == reason);
        Poll::Ready(if away { Action::Close { reason } } else { action })
    }
}

/// How long a link that was replaced soon after it came is held.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// A poll: for a time.
    Poll,
    /// A stream: until its successor ends.
    Stream,
}

/// Does not end a link at once that was replaced soon after it came.
pub(super) fn held(
    cell: Arc<Cell>,
    how: Hold,
    mut next: impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin,
) -> impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin {
    let born = Instant::now();
    let mut hold: Option<(Pin<Box<Sleep>>, HeldLink)> = None;
    let mut successor = None;
    move |cx| {
        if hold.is_none() {
            let action = ready!(next(cx));
            if !matches!(action, Action::Close { reason: Reason::Fenced }) || born.elapsed() >= OLD {
                return Poll::Ready(action);
            }
            let Some(place) = cell.hold_link(MAX_HELD) else { return Poll::Ready(action) };
            successor = cell.link();
            let time = match how {
                Hold::Poll => HOLD,
                Hold::Stream => LOOK,
            };
            hold = Some((Box::pin(sleep(time)), place));
        }
        while let Some((sleep, _)) = &mut hold {
            ready!(sleep.as_mut().poll(cx));
            match how {
                Hold::Stream if successor.is_some() && cell.link() == successor => {
                    sleep.as_mut().reset(Instant::now() + LOOK);
                }
                Hold::Poll | Hold::Stream => break,
            }
        }
        Poll::Ready(Action::Finish)
    }
}
