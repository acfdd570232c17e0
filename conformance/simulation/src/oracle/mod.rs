//! What must be so, whatever happened: judged by what the applications on both ends saw, and by nothing else.

mod deadlines;
mod delivery;
mod grammar;

use std::collections::{BTreeMap, BTreeSet};

use nosphere_core::SessionId;

use crate::plan::{ClientPlan, Plan};
use crate::trace::{Entry, Seen, Trace, What, Who};

/// Judges a run.
///
/// # Errors
///
/// Which promise was broken.
pub fn judge(trace: &Trace, plan: &Plan) -> Result<(), String> {
    for entry in &trace.entries {
        if let What::Wrong(text) = &entry.what {
            return Err(format!("{} at {} ms: {text}", entry.who, entry.at));
        }
    }
    let sides = sides(trace);
    for (who, side) in &sides {
        grammar::check(*who, side).map_err(|problem| format!("{who}: {problem}"))?;
        deadlines::check(*who, side, plan).map_err(|problem| format!("{who}: {problem}"))?;
    }
    let sessions = sessions(&sides, plan);
    for session in &sessions {
        let result = session.check_calm().and_then(|()| delivery::check(session, trace));
        result.map_err(|problem| format!("session {}: {problem}", session.name()))?;
    }
    delivery::check_broadcasts(&sessions, trace, plan)
}

/// What an end that nothing disturbs any more still waits for.
pub(crate) fn outstanding(trace: &Trace, plan: &Plan) -> Option<String> {
    let sides = sides(trace);
    let sessions = sessions(&sides, plan);
    sessions.iter().find_map(|session| delivery::outstanding(session, trace))
}

/// What one end of a session saw and did.
#[derive(Debug, Default)]
pub(crate) struct Side<'a> {
    /// With their places in the trace.
    entries: Vec<(usize, &'a Entry)>,
    /// Its process was gone before it saw the end.
    killed: bool,
}

/// Both ends of a session.
pub(crate) struct Session<'a> {
    id: Option<SessionId>,
    server: Option<&'a Side<'a>>,
    client: Option<&'a Side<'a>>,
    plan: Option<&'a ClientPlan>,
    whole: &'a Plan,
}

impl<'a> Side<'a> {
    fn whats(&self) -> impl Iterator<Item = &'a What> + '_ {
        self.entries.iter().map(|(_, entry)| &entry.what)
    }

    /// The messages that the application got, in order.
    fn received(&self) -> Vec<u32> {
        self.whats().filter_map(|what| if let What::Received(id) = what { Some(*id) } else { None }).collect()
    }

    /// The replies that it got before their turn.
    fn early(&self) -> BTreeSet<u32> {
        self.whats().filter_map(|what| if let What::Early(id) = what { Some(*id) } else { None }).collect()
    }

    /// The messages that the application sent, in order.
    fn sent(&self) -> Vec<u32> {
        self.whats().filter_map(|what| if let What::Sent(id) = what { Some(*id) } else { None }).collect()
    }

    fn undeliverable(&self) -> BTreeSet<u32> {
        self.whats().filter_map(|what| if let What::Undeliverable(id) = what { Some(*id) } else { None }).collect()
    }

    /// What came back at the end: unknown, and unsent.
    fn returned(&self) -> Option<(&'a [u32], &'a [u32])> {
        self.whats().find_map(|what| {
            let What::Undelivered { unknown, unsent } = what else { return None };
            Some((unknown.as_slice(), unsent.as_slice()))
        })
    }

    fn has(&self, is: impl Fn(&What) -> bool) -> bool {
        self.whats().any(is)
    }

    fn has_ended(&self) -> bool {
        self.has(|what| matches!(what, What::Event(Seen::Disconnected(..))))
    }

    fn path(&self) -> Option<&'a str> {
        self.whats().find_map(|what| if let What::Path(path) = what { Some(path.as_str()) } else { None })
    }
}

impl Session<'_> {
    /// Where nothing goes wrong, nobody is told so.
    fn check_calm(&self) -> Result<(), String> {
        let both = [self.server, self.client];
        if !self.whole.is_calm() || both.iter().any(|side| side.is_none_or(|side| side.killed)) {
            return Ok(());
        }
        // Whoever closes and does not get an answer in time is gone.
        let suspended = |side: &Side<'_>| {
            let entries = both.into_iter().flatten().flat_map(|side| &side.entries);
            let closings = entries.filter(|(_, entry)| entry.what == What::Closing).map(|(index, _)| *index);
            let closing = closings.min().unwrap_or(usize::MAX);
            let is = |(index, entry): &(usize, &Entry)| *index < closing && entry.what == What::Event(Seen::Suspended);
            side.entries.iter().any(is)
        };
        if both.into_iter().flatten().any(suspended) {
            return Err("suspended, though nothing went wrong".into());
        }
        Ok(())
    }

    /// Whether both ends agreed about the end in time.
    fn is_closed_in_time(&self) -> bool {
        let at = |side: Option<&Side<'_>>, is: fn(&What) -> bool| {
            let found = side.and_then(|side| side.entries.iter().find(|(_, entry)| is(&entry.what)));
            found.map(|(_, entry)| entry.at)
        };
        let closing: fn(&What) -> bool = |what| *what == What::Closing;
        let ended: fn(&What) -> bool = |what| matches!(what, What::Event(Seen::Disconnected(..)));
        let first = [at(self.server, closing), at(self.client, closing)].into_iter().flatten().min();
        let ends = [at(self.server, ended), at(self.client, ended)].into_iter().flatten().max();
        first.zip(ends).is_some_and(|(first, last)| last < first + self.whole.server.close_timeout)
    }

    fn name(&self) -> String {
        self.id.map_or_else(|| "without a name".to_owned(), |id| id.to_string()[..8].to_owned())
    }
}

fn sides(trace: &Trace) -> BTreeMap<Who, Side<'_>> {
    let mut sides: BTreeMap<Who, Side<'_>> = BTreeMap::new();
    for (index, entry) in trace.entries.iter().enumerate() {
        match (&entry.what, entry.who) {
            (What::Crash, _) => {
                for (who, side) in &mut sides {
                    side.killed |= matches!(who, Who::Session(_)) && !side.has_ended();
                }
            }
            (What::Vanished, who) => {
                let side = sides.entry(who).or_default();
                side.killed |= !side.has_ended();
            }
            (What::Note(_), _) | (_, Who::World) => {}
            (_, who) => sides.entry(who).or_default().entries.push((index, entry)),
        }
    }
    sides
}

fn sessions<'a>(sides: &'a BTreeMap<Who, Side<'a>>, plan: &'a Plan) -> Vec<Session<'a>> {
    let mut clients = BTreeMap::new();
    let mut sessions = Vec::new();
    for (who, side) in sides {
        let Who::Client(number, _) = who else { continue };
        let of = plan.clients.iter().find(|client| client.id == *number);
        let id = side.whats().find_map(|what| if let What::Opened(id) = what { Some(*id) } else { None });
        match id {
            Some(id) => drop(clients.insert(id, (side, of))),
            None => sessions.push(Session { id: None, server: None, client: Some(side), plan: of, whole: plan }),
        }
    }
    for (who, side) in sides {
        let Who::Session(id) = who else { continue };
        let (client, of) = clients.remove(id).map_or((None, None), |(client, of)| (Some(client), of));
        sessions.push(Session { id: Some(*id), server: Some(side), client, plan: of, whole: plan });
    }
    // The server was gone before it could say that it has them.
    for (id, (side, of)) in clients {
        sessions.push(Session { id: Some(id), server: None, client: Some(side), plan: of, whole: plan });
    }
    sessions
}
