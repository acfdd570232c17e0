//! Exactly once, in order, unchanged, to the right ones, and everything accounted for (DESIGN §5).

use std::collections::BTreeSet;

use nosphere::Overflow;
use nosphere_core::{SessionId, WireFormat};

use super::{Session, Side};
use crate::payload::Sort;
use crate::plan::{ClientPlan, Plan, is_short};
use crate::trace::{Entry, Trace, What, Who};

/// One direction of a session.
struct Stream<'a> {
    name: &'static str,
    from: Option<&'a Side<'a>>,
    to: Option<&'a Side<'a>>,
    /// What the receiver can take.
    window: u32,
    format: Option<&'static dyn WireFormat>,
    /// The sender's queue may have been full.
    limited: bool,
    overflow: Overflow,
}

pub(super) fn check(session: &Session<'_>, trace: &Trace) -> Result<(), String> {
    for stream in streams(session) {
        let name = stream.name;
        stream.check(session, trace).map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

fn streams<'a>(session: &Session<'a>) -> [Stream<'a>; 2] {
    let server = &session.whole.server;
    let format = session.plan.map(ClientPlan::format);
    let window = session.plan.map_or(u32::MAX, |plan| plan.window.1);
    let down = Stream {
        name: "server to client",
        from: session.server,
        to: session.client,
        window,
        format,
        limited: is_short(server.queued),
        overflow: server.overflow,
    };
    let (queued, overflow) = session.plan.map_or((server.queued, server.overflow), |plan| (plan.queued, plan.overflow));
    let up = Stream {
        name: "client to server",
        from: session.client,
        to: session.server,
        window: server.window.1,
        format,
        limited: is_short(queued),
        overflow,
    };
    [down, up]
}

impl Stream<'_> {
    fn check(&self, session: &Session<'_>, trace: &Trace) -> Result<(), String> {
        let early = self.to.map(Side::early).unwrap_or_default();
        let mut received = self.to.map(Side::received).unwrap_or_default();
        if let Some(id) = received.iter().find(|id| early.contains(*id)) {
            return Err(format!("reply {id} was taken before its turn, and delivered again"));
        }
        let is_keyed = |id: &u32| trace.sort(*id) == Sort::Keyed;
        let (keyed, others): (Vec<u32>, Vec<u32>) = received.iter().partition(|id| is_keyed(id));
        // What is keyed may overtake others, but nothing with its key.
        for alike in [&keyed, &others] {
            if let Some(pair) = alike.windows(2).find(|pair| pair[0] >= pair[1]) {
                let problem =
                    if received.iter().filter(|id| **id == pair[1]).count() > 1 { "twice" } else { "out of order" };
                return Err(format!("message {} was delivered {problem}", pair[1]));
            }
        }
        let highest = others.last().copied();
        received.extend(&early);
        let sent = self.from.map(Side::sent).unwrap_or_default();
        let newest = sent.iter().copied().rfind(is_keyed);
        let own: BTreeSet<u32> = sent.iter().copied().collect();
        for id in &received {
            let from_broadcast = self.name == "server to client" && is_for(session, *id, trace);
            if !own.contains(id) && !from_broadcast {
                return Err(format!("message {id} was delivered, and is not for this session"));
            }
        }
        let got: BTreeSet<u32> = received.iter().copied().collect();
        let undeliverable = self.from.map(Side::undeliverable).unwrap_or_default();
        let returned = self.from.and_then(Side::returned);
        let (unknown, unsent) = returned.unwrap_or_default();
        let back: BTreeSet<u32> = unknown.iter().chain(unsent).copied().collect();
        if back.len() != unknown.len() + unsent.len() {
            return Err("a message came back twice".into());
        }
        // A reply whose turn had not come counts as little as what was never taken.
        let counted = |id: &&u32| got.contains(*id) && !early.contains(*id);
        if let Some(id) = unsent.iter().chain(&undeliverable).find(counted) {
            return Err(format!("message {id} came back as not sent, and was delivered"));
        }
        if session.whole.is_calm()
            && session.is_closed_in_time()
            && let Some(id) = unknown.iter().find(counted)
        {
            return Err(format!("message {id} came back as unknown though nothing went wrong, and was delivered"));
        }
        let (mut missing, mut excused) = (0, 0);
        // An application that is killed may not have been told yet.
        let untold = |id| self.from.is_some_and(|from| from.killed) && self.is_too_large(id, trace);
        for id in sent.iter().filter(|id| !got.contains(*id) && !undeliverable.contains(*id) && !untold(**id)) {
            let lossy = trace.sort(*id) == Sort::Volatile || is_keyed(id) && Some(*id) != newest;
            if lossy {
                excused += u64::from(!back.contains(id));
                continue;
            }
            let gap = highest.is_some_and(|highest| *id < highest);
            if back.contains(id) {
                if gap && !self.is_too_large(*id, trace) {
                    return Err(format!("message {id} came back, and a later one was delivered"));
                }
            } else if gap || returned.is_some() && !self.to.is_some_and(|to| to.killed) {
                // Of an end that is killed after it agreed to the close, nobody knows what it still took.
                missing += 1;
                if !(self.limited && self.overflow == Overflow::DropOldest) {
                    return Err(format!("message {id} is lost"));
                }
            }
        }
        let dropped = self.from.filter(|_| returned.is_some()).and_then(|side| {
            side.whats().find_map(|what| if let What::Dropped(count) = what { Some(*count) } else { None })
        });
        match dropped {
            Some(dropped)
                if !self.to.is_some_and(|to| to.killed) && !(missing..=missing + excused).contains(&dropped) =>
            {
                Err(format!("{missing} to {} messages are lost, and {dropped} were dropped", missing + excused))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the message is longer than what the peer takes, so that no link can carry it.
    fn is_too_large(&self, id: u32, trace: &Trace) -> bool {
        let message = trace.messages.get(id as usize).map(|message| message.content.message(id));
        // A session refuses what is too long in the encoding that it has, and a link what is too long in its own.
        let length = message.as_ref().map_or(0, |message| message.payload().len());
        let unit = message.zip(self.format).and_then(|(message, format)| message.encode(format).ok());
        length.max(unit.map_or(0, |unit| unit.payload().len())) > self.window as usize
    }
}

/// What every member of a path gets, as far as its queue has room.
pub(super) fn check_broadcasts(sessions: &[Session<'_>], trace: &Trace, plan: &Plan) -> Result<(), String> {
    let limited = is_short(plan.server.queued);
    let fates: Vec<Fates> = sessions.iter().map(Fates::of).collect();
    for (index, entry) in trace.entries.iter().enumerate() {
        let What::Broadcast { id, count, .. } = &entry.what else { continue };
        let (mut known, mut unclear) = (0, 0);
        for (session, fates) in sessions.iter().zip(&fates) {
            if fates.known.contains(id) {
                known += 1;
            } else if fates.killed && includes(session, entry) {
                unclear += 1;
            } else if !limited && includes(session, entry) && is_certain(session, index, entry, trace) {
                return Err(format!("broadcast {id} at {} ms is lost for session {}", entry.at, session.name()));
            }
        }
        // Of a session that dies before its handler has seen anything, nobody knows.
        let dies = |later: &Entry| later.what == What::Crash && later.at == entry.at;
        let untold = limited && plan.server.overflow == Overflow::DropOldest || trace.entries[index..].iter().any(dies);
        let problem = if known > *count {
            "more of them"
        } else if known + unclear < *count && !untold {
            "it is lost for some: fewer of them"
        } else {
            continue;
        };
        return Err(format!(
            "broadcast {id} was queued for {count} sessions, and {problem} have it or gave it back: {known}"
        ));
    }
    Ok(())
}

/// What is known of the messages of a session's server.
struct Fates {
    known: BTreeSet<u32>,
    killed: bool,
}

impl Fates {
    fn of(session: &Session<'_>) -> Self {
        let mut known = session.server.map(Side::undeliverable).unwrap_or_default();
        known.extend(session.client.map(Side::received).unwrap_or_default());
        known.extend(session.client.map(Side::early).unwrap_or_default());
        let (unknown, unsent) = session.server.and_then(Side::returned).unwrap_or_default();
        known.extend(unknown.iter().chain(unsent));
        // A client that is killed may have had it, and its application not yet.
        let client = session.client.is_some_and(|client| client.killed);
        let server = session.server.is_none_or(|server| server.killed || !server.has_ended());
        Self { known, killed: client || server }
    }
}

/// What is not yet delivered in a session that both ends have.
pub(super) fn outstanding(session: &Session<'_>, trace: &Trace) -> Option<String> {
    let (server, client) = (session.server?, session.client?);
    let over = |side: &Side<'_>| side.killed || side.has_ended() || side.has(|what| matches!(what, What::Closing));
    if over(server) || over(client) {
        return None;
    }
    for stream in streams(session) {
        let (Some(from), Some(to)) = (stream.from, stream.to) else { continue };
        let taken = to.received().into_iter().chain(to.early());
        let got: BTreeSet<u32> = taken.chain(from.undeliverable()).collect();
        let mut expected = from.sent();
        let is_keyed = |id: &u32| trace.sort(*id) == Sort::Keyed;
        let newest = expected.iter().copied().rfind(is_keyed);
        expected.retain(|id| trace.sort(*id) != Sort::Volatile && (!is_keyed(id) || Some(*id) == newest));
        if stream.name == "server to client" {
            let broadcasts = trace
                .entries
                .iter()
                .enumerate()
                .filter(|(index, entry)| includes(session, entry) && is_certain(session, *index, entry, trace));
            expected.extend(
                broadcasts.filter_map(
                    |(_, entry)| {
                        if let What::Broadcast { id, .. } = &entry.what { Some(*id) } else { None }
                    },
                ),
            );
        }
        if !stream.limited
            && let Some(id) = expected.iter().find(|id| !got.contains(*id))
        {
            return Some(format!("message {id} of session {} is not delivered, {}", session.name(), stream.name));
        }
    }
    None
}

/// Whether a message is a broadcast to a session.
fn is_for(session: &Session<'_>, message: u32, trace: &Trace) -> bool {
    let is =
        |entry: &Entry| matches!(&entry.what, What::Broadcast { id, .. } if *id == message) && includes(session, entry);
    trace.entries.iter().any(is)
}

/// Whether a session is among those whom a broadcast is for.
fn includes(session: &Session<'_>, entry: &Entry) -> bool {
    let What::Broadcast { path, beneath, except, only, .. } = &entry.what else { return false };
    let on = session.server.and_then(Side::path).or_else(|| session.plan.map(|plan| plan.path.as_str()));
    let is_me = |id: &Option<SessionId>| id.is_some() && *id == session.id;
    let prefix = path.trim_end_matches('/');
    let there = on.is_some_and(|on| match on.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || *beneath && rest.starts_with('/'),
        None => false,
    });
    there && !is_me(except) && (only.is_none() || is_me(only))
}

/// Whether a session was on its path, beyond doubt, when a broadcast was made: it was open before and did something at a
/// later time, and had not closed.
fn is_certain(session: &Session<'_>, index: usize, broadcast: &Entry, trace: &Trace) -> bool {
    let (Some(server), What::Broadcast { id, .. }) = (session.server, &broadcast.what) else { return false };
    let [down, _] = streams(session);
    let closing = |side: Option<&Side<'_>>| {
        side.is_some_and(|side| side.entries.iter().any(|(at, entry)| *at < index && entry.what == What::Closing))
    };
    let before = server.entries.first().is_some_and(|(at, _)| *at < index);
    let after = server.entries.iter().any(|(_, entry)| {
        entry.at > broadcast.at && matches!(entry.what, What::Event(crate::trace::Seen::Heartbeat) | What::Received(_))
    });
    let busy = server.has(|what| matches!(what, What::Busy(_)));
    matches!(broadcast.who, Who::Session(_) | Who::World)
        && before
        && after
        && !down.is_too_large(*id, trace)
        && !busy
        && !closing(session.server)
        && !closing(session.client)
}
