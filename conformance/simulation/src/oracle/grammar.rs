//! The order of events (DESIGN §4, SPEC SES-1).

use super::Side;
use crate::trace::{Entry, Seen, What, Who};

pub(super) fn check(who: Who, side: &Side<'_>) -> Result<(), String> {
    let opened = matches!(who, Who::Session(_)) || side.has(|what| matches!(what, What::Opened(_)));
    let mut state = State::New;
    for (_, Entry { at, what, .. }) in &side.entries {
        state = match (state, what) {
            (State::Over, What::Event(_) | What::Received(_) | What::Undeliverable(_) | What::Sent(_)) => {
                return Err(format!("{what:?} at {at} ms, after Disconnected"));
            }
            (State::Failed, What::Event(Seen::Disconnected(..))) => State::Over,
            (State::Failed, What::Event(_) | What::Undeliverable(_)) => {
                return Err(format!("{what:?} at {at} ms, after the handler's failure"));
            }
            (State::New, What::Event(Seen::Connected(_))) => State::Linked,
            // A client whose session never opened sees nothing else.
            (State::New, What::Event(Seen::Disconnected(..))) if !opened => State::Over,
            (State::New, What::Event(_) | What::Received(_) | What::Undeliverable(_)) => {
                return Err(format!("{what:?} at {at} ms, before Connected"));
            }
            (_, What::Event(Seen::Connected(_))) => return Err(format!("Connected again at {at} ms")),
            (_, What::Event(Seen::Disconnected(..))) => State::Over,
            (State::Linked | State::Suspended, What::Event(Seen::Failed)) => State::Failed,
            (State::Linked, What::Event(Seen::Suspended)) => State::Suspended,
            (State::Suspended, What::Event(Seen::Resumed(_))) => State::Linked,
            (_, What::Event(Seen::Resumed(_))) => return Err(format!("Resumed at {at} ms, and was not Suspended")),
            (State::Suspended, What::Event(_) | What::Received(_) | What::Undeliverable(_)) => {
                return Err(format!("{what:?} at {at} ms, while it is Suspended"));
            }
            (state, _) => state,
        };
    }
    match state {
        State::Over if side.returned().is_none() => Err("nothing came back at the end".into()),
        State::Failed | State::Linked | State::Suspended if !side.killed => Err("no Disconnected".into()),
        State::Failed | State::New | State::Linked | State::Suspended | State::Over => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum State {
    /// The handler has failed, and was told.
    Failed,
    New,
    Linked,
    Suspended,
    Over,
}
