//! What must happen at its millisecond (SPEC SES-2, SES-6).

use nosphere_core::{Reason, Side as By};

use super::Side;
use crate::plan::{Action, Plan, ServerEvent};
use crate::trace::{Entry, Seen, What, Who};

pub(super) fn check(who: Who, side: &Side<'_>, plan: &Plan) -> Result<(), String> {
    let jumps = plan.events.iter().any(|event| matches!(event.what, ServerEvent::Jump(_)));
    if jumps || side.has(|what| matches!(what, What::Busy(_))) || !is_prompt(who, plan) {
        return Ok(());
    }
    let server = matches!(who, Who::Session(_));
    let (mut connected, mut suspended) = (0, None);
    for (_, Entry { at, what, .. }) in &side.entries {
        if let What::Event(seen) = what {
            match seen {
                Seen::Connected(_) => connected = *at,
                Seen::Suspended => suspended = Some(*at),
                Seen::Resumed(_) => suspended = None,
                Seen::Disconnected(By::Network, Reason::Expired) => {
                    let Some(since) = suspended else {
                        return Err(format!("expired at {at} ms, and was not suspended"));
                    };
                    exactly("expired", "Suspended", at - since, plan.server.resume)?;
                }
                Seen::Disconnected(_, Reason::Unproved) if server => {
                    exactly("unproved", "Connected", at - connected, plan.server.proof)?;
                }
                Seen::Disconnected(..) | Seen::Failed | Seen::Heartbeat | Seen::Writable => {}
            }
        }
        // Whoever closes has the close timeout for it.
        if *what == What::Closing {
            suspended = None;
        }
        let closed = matches!(what, What::Event(Seen::Disconnected(..)) | What::Undelivered { .. } | What::Dropped(_));
        if let Some(since) = suspended.filter(|since| !closed && at - since > plan.server.resume) {
            return Err(format!("suspended at {since} ms and still there at {at} ms"));
        }
    }
    Ok(())
}

fn exactly(what: &str, since: &str, took: u64, expected: u64) -> Result<(), String> {
    if took == expected {
        return Ok(());
    }
    Err(format!("{what} {took} ms after {since}, and not {expected}"))
}

/// Whether the application sees everything at once, and by the common clock.
fn is_prompt(who: Who, plan: &Plan) -> bool {
    let Who::Client(number, _) = who else { return true };
    plan.clients.iter().any(|client| {
        let odd = |action: &Action| matches!(action, Action::Freeze(_) | Action::Jump(_) | Action::Slow(_));
        client.id == number && client.pace == 0 && !client.actions.iter().any(|action| odd(&action.what))
    })
}
