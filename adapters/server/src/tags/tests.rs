#![expect(clippy::wildcard_enum_match_arm, reason = "what is not expected fails the test")]

use std::collections::BTreeSet;
use std::thread;

use nosphere_core::{Connection, Event, LinkId, Opening, Protocol, ResumeToken, Transport, Window};

use super::*;
use crate::ServerConfig;
use crate::presence::Merge;
use crate::random::Random;
use crate::session::Outlet;
use crate::shared::Shared;

#[test]
fn a_tag_that_nobody_has_joined_or_watches_is_not_kept() {
    let (shared, cells) = sessions(2);
    let [a, b] = &cells[..] else { unreachable!() };
    let index = a.topic().tags();
    for n in 0..1000 {
        assert_eq!(join(a, tag(n)), Ok(true));
        assert_eq!(join(b, tag(n)), Ok(true));
    }
    assert_eq!(index.len(), 1000);
    (0..500).for_each(|n| assert!(leave(a, tag(n).as_str())));
    (0..500).for_each(|n| assert!(leave(b, tag(n).as_str())));
    assert_eq!(index.len(), 500);
    watch(a, tag(0)).unwrap();
    watch(a, tag(900)).unwrap();
    assert_eq!(index.len(), 501);
    assert!(unwatch(a, tag(0).as_str()));
    assert_eq!(index.len(), 500);
    end(b);
    end(a);
    assert_eq!(index.len(), 0);
    assert!(index.write().capacity() <= 2 * KEPT);
    for cell in &cells {
        assert_eq!(join(cell, tag(0)), Err(JoinError::Ended));
        assert_eq!(watch(cell, tag(0)).map(drop), Err(JoinError::Ended));
        assert_eq!(cell.own().unwrap().tags().len(), 500, "those that it was in to the end");
    }
    assert_eq!(index.len(), 0);
    // Only the table and this test hold the sessions, so nothing else keeps them.
    cells.iter().for_each(|cell| shared.table.forget(cell));
    cells.iter().for_each(|cell| cell.topic().leave(cell.id()));
    assert!(cells.iter().all(|cell| Arc::strong_count(cell) == 1), "the tags hold a session that has ended");
}

#[test]
fn what_the_list_and_the_events_say_is_what_is_however_threads_cross() {
    let (_shared, cells) = sessions(5);
    let (watcher, others) = cells.split_first().unwrap();
    watcher.own().unwrap();
    let flapping: Vec<_> = others
        .iter()
        .enumerate()
        .map(|(who, cell)| {
            let cell = Arc::clone(cell);
            thread::spawn(move || {
                for n in 0..4000 {
                    join(&cell, tag(n % 3)).unwrap();
                    leave(&cell, tag((n + 1) % 3).as_str());
                }
                if who == 0 {
                    end(&cell);
                }
            })
        })
        .collect();
    let mut known: [BTreeSet<SessionId>; 3] = Default::default();
    let take = |known: &mut [BTreeSet<SessionId>; 3]| {
        while let Some(event) = watcher.own().unwrap().changes.take() {
            let fits = match &event {
                Event::Joined { session, tag } => known[number(tag)].insert(*session),
                Event::Left { session, tag } => known[number(tag)].remove(session),
                _ => false,
            };
            assert!(fits, "{event:?}");
        }
    };
    for round in 0.. {
        let over = flapping.iter().all(thread::JoinHandle::is_finished);
        if round % 50 == 0 {
            let at = round / 50 % 3;
            known[at] = watch(watcher, tag(at)).unwrap().values().map(|cell| cell.id()).collect();
        }
        take(&mut known);
        if over {
            break;
        }
    }
    flapping.into_iter().for_each(|thread| thread.join().unwrap());
    take(&mut known);
    for (n, known) in
        known.iter().enumerate().filter(|(n, _)| watcher.own().unwrap().joined().watched.contains_key(&tag(*n)))
    {
        let members = watcher.topic().tags().members(tag(n).as_str());
        assert_eq!(known, &members.values().map(|cell| cell.id()).collect::<BTreeSet<_>>(), "{n}");
        assert!(!known.contains(&others[0].id()), "it has ended");
    }
}

#[test]
fn who_has_joined_is_found_though_the_tag_was_vanishing_when_it_came() {
    let (_shared, cells) = sessions(4);
    let threads: Vec<_> = cells
        .into_iter()
        .map(|cell| {
            thread::spawn(move || {
                for _ in 0..20_000 {
                    assert_eq!(join(&cell, tag(0)), Ok(true));
                    assert!(cell.topic().tags().members("0").contains(cell.id()));
                    assert!(leave(&cell, "0"));
                    assert!(!cell.topic().tags().members("0").contains(cell.id()));
                }
                cell
            })
        })
        .collect();
    let cells: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(cells[0].topic().tags().len(), 0);
}

#[test]
fn changes_and_the_connections_events_take_turns() {
    let (_shared, cells) = sessions(3);
    let [watcher, a, b] = &cells[..] else { unreachable!() };
    watch(watcher, tag(0)).unwrap();
    let mut merge = Merge::default();
    join(a, tag(0)).unwrap();
    join(b, tag(0)).unwrap();
    let joined = |cell: &Cell| Event::Joined { session: cell.id(), tag: tag(0) };
    assert!(
        matches!(merge.next(watcher, &mut watcher.lock()), Some(Event::Connected { .. })),
        "nothing is told before it"
    );
    for unit in ["1", "2"] {
        let unit = nosphere_core::Unit::Text(format!(r#"{{"text":"{unit}"}}"#).into());
        let now = watcher.shared().clock.now();
        watcher.lock().connection.handle_unit(LinkId(0), unit, &nosphere_wire::JSON, now);
    }
    let seen: Vec<_> = std::iter::from_fn(|| merge.next(watcher, &mut watcher.lock())).collect();
    assert_eq!(seen, [joined(a), Event::Text("1".into()), joined(b), Event::Text("2".into())]);
    assert!(!merge.has_next(watcher, &watcher.lock()));
}

/// Sessions on one path, which have no task.
fn sessions(count: u8) -> (Arc<Shared>, Vec<Arc<Cell>>) {
    let config = ServerConfig::default();
    let shared = Shared::new(
        config,
        Default::default(),
        Default::default(),
        Default::default(),
        Random::default(),
        matchit::Router::new(),
        None,
    );
    let shared = Arc::new(shared);
    let cells = (0..count).map(|n| {
        let opening = Opening {
            session: SessionId::from_random([n; 16]),
            token: ResumeToken::from_random([n; 16]),
            attachment: 1,
            window: Window::default(),
            link: LinkId(0),
            transport: Transport::WebSocket,
        };
        let now = shared.clock.now();
        let connection = Connection::server(&shared.session_config, Protocol::Native, opening, now);
        let topic = shared.topics.enter("/here");
        let head = crate::RequestHead::new(
            http::Request::new(()).into_parts().0,
            Arc::new(crate::endpoint::Mount::new("/")),
            Vec::new(),
        );
        Cell::new(&shared, topic, connection, &nosphere_wire::JSON, Outlet::Carrier, head).ok().unwrap()
    });
    let cells = cells.collect();
    (shared, cells)
}

fn tag(n: usize) -> Tag {
    Tag::new(&n.to_string()).unwrap()
}

fn number(tag: &Tag) -> usize {
    tag.as_str().parse().unwrap()
}
