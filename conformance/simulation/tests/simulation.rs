//! Ten thousand sessions, and what a simulation must be for them to mean anything: replayable, thorough, and judged by
//! somebody who sees.

use nosphere_simulation::{
    Covered, Entry, Plan, Seeds, Seen, Sort, Trace, What, Who, judge, probe, probe_against, run, simulate,
};

#[test]
fn ten_thousand_sessions_keep_every_promise() {
    let campaign = simulate(&Seeds::Sessions { from: 0, step: 1, sessions: 10_000 }, |_, _| ());
    if let Some(failure) = &campaign.failure {
        panic!("{failure}");
    }
    let mut missing = campaign.coverage.missing();
    // A POST that overtakes a poll which says less: once in tens of thousands of sessions.
    missing.retain(|covered| *covered != Covered::Stale);
    assert!(missing.is_empty(), "never exercised: {missing:?}\n{campaign}");
}

#[test]
fn the_same_seed_has_the_same_trace() {
    for seed in 0..60 {
        let plan = Plan::generate(seed);
        let (first, second) = (run(&plan, true).trace, run(&plan, true).trace);
        let differs = first.entries.iter().zip(&second.entries).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.hash(), second.hash(), "seed {seed}");
        assert_eq!(probe(seed).trace.hash(), probe(seed).trace.hash(), "seed {seed}");
    }
}

#[test]
fn a_server_whose_deadlines_are_a_millisecond_long_is_found_out() {
    let seeds = 0..200;
    let kept = seeds.clone().filter(|seed| probe_against(*seed, 1).broken.is_none());
    // A few measure nothing: a network that falls silent in the very millisecond in which something is said.
    assert!(kept.count() <= 2);
    let broken: Vec<_> = seeds.filter_map(|seed| probe(seed).broken).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// A trace that is right, and can be made wrong.
struct Doctor {
    plan: Plan,
    trace: Trace,
}

impl Doctor {
    /// A run in which nothing goes wrong, but much is said.
    fn new() -> Self {
        let runs = (0..).map(Plan::generate).filter(Plan::is_calm).map(|plan| (run(&plan, false).trace, plan));
        let received = |trace: &Trace| trace.entries.iter().filter(|entry| is_received(entry)).count();
        let (trace, plan) = runs.into_iter().find(|(trace, _)| received(trace) > 200).expect("seeds do not end");
        assert_eq!(judge(&trace, &plan), Ok(()));
        Self { plan, trace }
    }

    /// Where one end of a session got its n-th message that may not be left out: a handler, or a client.
    fn received(&self, client: bool, n: usize) -> Vec<usize> {
        let who = |entry: &Entry| matches!(entry.who, Who::Client(..)) == client;
        let firm = |entry: &Entry| ![Some(Sort::Keyed), Some(Sort::Volatile)].contains(&self.sort(entry));
        let all = |of: Who| self.places(|entry| entry.who == of && is_received(entry) && firm(entry));
        let ends = self.trace.entries.iter().filter(|entry| who(entry)).map(|entry| entry.who);
        ends.map(all).find(|places| places.len() > n).expect("much is said")
    }

    /// Of what sort the message is that an end got.
    fn sort(&self, entry: &Entry) -> Option<Sort> {
        id(&entry.what).map(|id| self.trace.messages[id as usize].content.sort)
    }

    /// Where messages of a sort were got, by a handler or by a client.
    fn received_of(&self, sort: Sort) -> Vec<usize> {
        self.places(|entry| self.sort(entry) == Some(sort))
    }

    fn places(&self, is: impl Fn(&Entry) -> bool) -> Vec<usize> {
        (0..self.trace.entries.len()).filter(|at| is(&self.trace.entries[*at])).collect()
    }

    /// The oracle objects to the trace, once it is changed, and says so.
    #[track_caller]
    fn rejects(&self, why: &str, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut trace = self.trace.clone();
        change(&mut trace.entries);
        match judge(&trace, &self.plan) {
            Err(problem) => assert!(problem.contains(why), "{problem:?} and not {why:?}"),
            Ok(()) => panic!("nobody sees what is wrong: {why}"),
        }
    }
}

fn is_received(entry: &Entry) -> bool {
    matches!(entry.what, What::Received(_))
}

#[test]
fn the_oracle_sees_a_message_that_comes_twice_or_late_or_never() {
    let doctor = Doctor::new();
    for client in [false, true] {
        let at = doctor.received(client, 5);
        let (third, fourth, last) = (at[2], at[3], *at.last().unwrap());
        doctor.rejects("delivered twice", |entries| entries.insert(third, entries[third].clone()));
        doctor.rejects("delivered twice", |entries| entries.insert(last, entries[third].clone()));
        doctor.rejects("out of order", |entries| {
            let what = entries[third].what.clone();
            entries[third].what = std::mem::replace(&mut entries[fourth].what, what);
        });
        // One in the middle, and the last.
        doctor.rejects("lost", |entries| drop(entries.remove(third)));
        doctor.rejects("lost", |entries| drop(entries.remove(last)));
    }
}

#[test]
fn the_oracle_knows_what_may_be_missing_and_what_comes_but_once() {
    let doctor = Doctor::new();
    // A volatile message that nobody got is none of its business.
    let volatile = *doctor.received_of(Sort::Volatile).last().unwrap();
    let mut trace = doctor.trace.clone();
    trace.entries.remove(volatile);
    assert_eq!(judge(&trace, &doctor.plan), Ok(()));
    doctor.rejects("delivered twice", |entries| entries.insert(volatile, entries[volatile].clone()));
    // The newest message of a key cannot have been replaced, an older one can.
    let keyed = doctor.received_of(Sort::Keyed);
    let who = |at: usize| doctor.trace.entries[at].who;
    let again = |at: &&usize| keyed.iter().any(|newer| newer > *at && who(*newer) == who(**at));
    let older = *keyed.iter().find(again).unwrap();
    let newest = *keyed.iter().rfind(|at| who(**at) == who(older)).unwrap();
    doctor.rejects("lost", |entries| drop(entries.remove(newest)));
    let mut trace = doctor.trace.clone();
    trace.entries.remove(older);
    assert_eq!(judge(&trace, &doctor.plan), Ok(()));
    doctor.rejects("out of order", |entries| {
        let what = entries[older].what.clone();
        entries[older].what = std::mem::replace(&mut entries[newest].what, what);
    });
    // A reply comes early or in its turn.
    let reply = *doctor.received_of(Sort::Reply).last().unwrap();
    let early = What::Early(id(&doctor.trace.entries[reply].what).unwrap());
    doctor.rejects("delivered again", |entries| {
        let entry = Entry { what: early.clone(), ..entries[reply].clone() };
        entries.insert(reply, entry);
    });
}

#[test]
fn the_oracle_sees_a_message_for_somebody_else() {
    let doctor = Doctor::new();
    // A message of one client that the handler of another gets; and one that nobody sent.
    let at = doctor.received(false, 5);
    let who = doctor.trace.entries[at[0]].who;
    let others = doctor.places(|entry| entry.who != who && is_received(entry) && matches!(entry.who, Who::Session(_)));
    let last = doctor.trace.entries[*at.last().unwrap()].what.clone();
    let stranger = others.into_iter().map(|at| &doctor.trace.entries[at].what).find(|what| id(what) > id(&last));
    let stranger = stranger.cloned().unwrap_or(What::Received(u32::MAX));
    doctor.rejects("not for this session", |entries| {
        let entry = Entry { what: stranger, ..entries[*at.last().unwrap()].clone() };
        entries.insert(at.last().unwrap() + 1, entry);
    });
    // A broadcast that is said to have been for another path.
    let broadcast = |entry: &Entry| matches!(&entry.what, What::Broadcast { count, .. } if *count > 0);
    let at = doctor.places(broadcast)[0];
    doctor.rejects("not for this session", |entries| {
        if let What::Broadcast { path, .. } = &mut entries[at].what {
            "/elsewhere".clone_into(path);
        }
    });
    // One that reached fewer than were counted, and more.
    for change in [-1isize, 1] {
        doctor.rejects("was queued for", |entries| {
            if let What::Broadcast { count, .. } = &mut entries[at].what {
                *count = count.checked_add_signed(change).unwrap();
            }
        });
    }
}

fn id(what: &What) -> Option<u32> {
    if let What::Received(id) = what { Some(*id) } else { None }
}

#[test]
fn the_oracle_sees_a_life_that_is_not_one() {
    let doctor = Doctor::new();
    let is = |what: What| move |entry: &Entry| entry.what == what;
    for client in [false, true] {
        let mine = |entry: &Entry| matches!(entry.who, Who::Client(..)) == client;
        let connected = doctor.places(|entry| mine(entry) && matches!(entry.what, What::Event(Seen::Connected(_))))[0];
        let ended = doctor.places(|entry| mine(entry) && matches!(entry.what, What::Event(Seen::Disconnected(..))))[0];
        let who = doctor.trace.entries[connected].who;
        let returned = doctor.places(|entry| entry.who == who && matches!(entry.what, What::Undelivered { .. }))[0];
        doctor.rejects("Connected again", |entries| entries.insert(connected, entries[connected].clone()));
        doctor.rejects("before Connected", |entries| drop(entries.remove(connected)));
        doctor.rejects("Disconnected", |entries| drop(entries.remove(ended)));
        doctor.rejects("after Disconnected", |entries| entries.insert(ended, entries[ended].clone()));
        doctor.rejects("nothing came back", |entries| drop(entries.remove(returned)));
        let after = |what| {
            move |entries: &mut Vec<Entry>| {
                entries.insert(connected + 1, Entry { what: What::Event(what), ..entries[connected].clone() });
            }
        };
        doctor.rejects("was not Suspended", after(Seen::Resumed(nosphere::Transport::WebSocket)));
        doctor.rejects("uspended", after(Seen::Suspended));
    }
    assert!(doctor.places(is(What::Event(Seen::Suspended))).is_empty());
}

#[test]
fn the_oracle_sees_what_is_not_accounted_for() {
    let doctor = Doctor::new();
    for client in [false, true] {
        let at = doctor.received(client, 5);
        let last = *at.last().unwrap();
        let message = id(&doctor.trace.entries[last].what).unwrap();
        let sends = |entry: &Entry| matches!(entry.what, What::Sent(id) | What::Broadcast { id, .. } if id == message);
        let sender = doctor.places(sends)[0];
        let sender = doctor.trace.entries[sender].who;
        let returned = doctor.places(|entry| entry.who == sender && matches!(entry.what, What::Undelivered { .. }));
        let Some(returned) = returned.first() else { continue };
        doctor.rejects("came back as not sent, and was delivered", |entries| {
            if let What::Undelivered { unsent, .. } = &mut entries[*returned].what {
                unsent.push(message);
            }
        });
        doctor.rejects("came back twice", |entries| {
            if let What::Undelivered { unknown, unsent } = &mut entries[*returned].what {
                unknown.push(message);
                unsent.push(message);
            }
        });
    }
}

#[test]
fn the_oracle_sees_a_deadline_that_is_a_millisecond_off() {
    let expired = |entry: &Entry| {
        let What::Event(Seen::Disconnected(by, reason)) = entry.what else { return false };
        (by, reason) == (nosphere::Side::Network, nosphere::Reason::Expired) && matches!(entry.who, Who::Session(_))
    };
    let plans = (0..).map(Plan::generate).map(|plan| (run(&plan, false).trace, plan));
    let mut seen = 0;
    for (trace, plan) in plans {
        let Some(at) = trace.entries.iter().position(expired) else { continue };
        let busy = |entry: &Entry| entry.who == trace.entries[at].who && matches!(entry.what, What::Busy(_));
        let jumps = plan.to_string().contains("Jump(");
        if jumps || trace.entries.iter().any(busy) {
            continue;
        }
        assert_eq!(judge(&trace, &plan), Ok(()));
        for off in [-1i64, 1] {
            let mut trace = trace.clone();
            trace.entries[at].at = trace.entries[at].at.checked_add_signed(off).unwrap();
            let problem = judge(&trace, &plan).unwrap_err();
            assert!(problem.contains("expired"), "{problem}");
        }
        seen += 1;
        if seen == 5 {
            return;
        }
    }
}
