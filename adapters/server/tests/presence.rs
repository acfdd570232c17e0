//! Who is in a tag, and who comes and goes.

use std::sync::{Arc, Mutex};

use nosphere::{
    Client, Error, Event, Everyone, Handler, JoinError, RequestHead, ServerConfig, SessionId, Tag, Transport,
};
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

/// Logs its events, and waits before each until the test lets it.
struct Gated {
    log: mpsc::UnboundedSender<(SessionId, Event)>,
    react: React,
    gate: Arc<Semaphore>,
}

impl Handler for Gated {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        drop(self.log.send((client.id(), event.clone())));
        (self.react)(client, &event)?;
        self.gate.acquire().await?.forget();
        Ok(())
    }
}

struct Hall {
    server: TestServer,
    clients: Clients,
    /// A permit for each event that the handlers of `/slow` may finish.
    gate: Arc<Semaphore>,
}

impl Hall {
    async fn start(config: ServerConfig) -> Self {
        let (clients, gate) = (Clients::default(), Arc::new(Semaphore::new(0)));
        let (sender, log) = Log::new();
        let (slow, react) = (sender.clone(), clients.react());
        let slow = {
            let (react, gate) = (clients.react(), Arc::clone(&gate));
            move |_: &RequestHead| Gated { log: slow.clone(), react: Arc::clone(&react), gate: Arc::clone(&gate) }
        };
        let mut server = TestServer::with(config, Serving::Auto, |builder| {
            builder.endpoint("/hall", move |_| Probe::new(&sender, &react)).endpoint("/slow", slow)
        })
        .await;
        server.log = log;
        Self { server, clients, gate }
    }

    async fn open(&self, path: &str, transport: Transport) -> (Native, Client) {
        let native = Native::open(self.server.addr, path, transport, FORMATS[0]).await;
        let client = self.clients.of(native.session).await;
        (native, client)
    }

    async fn websocket(&self) -> (Native, Client) {
        self.open("/hall", Transport::WebSocket).await
    }

    /// The next event of a session that is not `Connected` or `Heartbeat`.
    async fn event(&mut self, session: SessionId) -> Event {
        let news = |event: &Event| !matches!(event, Event::Connected { .. } | Event::Heartbeat);
        self.server.log.find(session, news).await
    }
}

#[tokio::test]
async fn a_watcher_is_told_of_everybody_but_itself() {
    let mut hall = Hall::start(quick()).await;
    let (_watching, watcher) = hall.websocket().await;
    let (_staying, staying) = hall.websocket().await;
    let (mut leaving, other) = hall.websocket().await;
    staying.join("chess").unwrap();
    watcher.join("chess").unwrap();
    let id = watcher.id();
    let listed = watcher.watch("chess").unwrap();
    assert_eq!(listed.ids(), [staying.id(), id], "in the order in which they came");
    assert_eq!(listed.iter().filter(|member| member.has("chess")).count(), 2);
    // It knows that without being told.
    watcher.leave("chess");
    for transport in [Transport::WebSocket, Transport::LongPolling] {
        other.join("chess").unwrap();
        assert_eq!(hall.event(id).await, joined("chess", &other));
        // Neither another tag nor to be suspended changes who is here.
        other.join("go").unwrap();
        leaving.cut();
        hall.server.log.find(other.id(), |event| *event == Event::Suspended).await;
        assert_eq!(watcher.members(tag("chess")).ids(), [staying.id(), other.id()]);
        leaving.resume(transport).await;
        other.leave("go");
        other.leave("chess");
        assert_eq!(hall.event(id).await, left("chess", &other));
    }
    other.join("chess").unwrap();
    assert_eq!(hall.event(id).await, joined("chess", &other));
    leaving.cut();
    assert_eq!(hall.event(id).await, left("chess", &other), "it was not resumed in time");
    assert!(watcher.unwatch("chess"));
    assert!(!watcher.unwatch("chess"));
    staying.leave("chess");
    watcher.watch("go").unwrap();
    staying.join("go").unwrap();
    assert_eq!(hall.event(id).await, joined("go", &staying), "of the other tag nothing is told");
}

#[tokio::test]
async fn a_slow_handler_sees_the_difference_and_no_more() {
    let mut hall = Hall::start(ServerConfig::default()).await;
    let (_native, watcher) = hall.open("/slow", Transport::WebSocket).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(hall.open("/slow", Transport::WebSocket).await);
    }
    let clients: Vec<&Client> = others.iter().map(|(_, client)| client).collect();
    let [stays, leaves, comes, passes] = clients[..] else { unreachable!() };
    for client in [stays, leaves] {
        client.join("chess").unwrap();
    }
    // The handler is still at `Connected`.
    assert_eq!(watcher.watch("chess").unwrap().ids(), [stays.id(), leaves.id()]);
    for _ in 0..1000 {
        for client in [stays, leaves] {
            assert!(client.leave("chess"));
            client.join("chess").unwrap();
        }
        for client in [comes, passes] {
            client.join("chess").unwrap();
            assert!(client.leave("chess"));
        }
    }
    comes.join("chess").unwrap();
    leaves.leave("chess");
    hall.gate.add_permits(100);
    let id = watcher.id();
    assert_eq!(hall.event(id).await, joined("chess", comes));
    assert_eq!(hall.event(id).await, left("chess", leaves));
    passes.join("chess").unwrap();
    assert_eq!(hall.event(id).await, joined("chess", passes), "nothing else was waiting");
}

#[tokio::test]
async fn a_suspended_watcher_is_told_the_difference_when_it_is_back() {
    let mut hall = Hall::start(ServerConfig::default()).await;
    let (mut native, watcher) = hall.websocket().await;
    let (_native, other) = hall.websocket().await;
    let (_native, passing) = hall.websocket().await;
    let id = watcher.id();
    watcher.watch("chess").unwrap();
    native.cut();
    assert_eq!(hall.event(id).await, Event::Suspended);
    other.join("chess").unwrap();
    passing.join("chess").unwrap();
    passing.leave("chess");
    native.resume(Transport::LongPolling).await;
    assert_eq!(hall.event(id).await, Event::Resumed { transport: Transport::LongPolling });
    assert_eq!(hall.event(id).await, joined("chess", &other));
    native.send(text("last")).await;
    assert_eq!(hall.event(id).await, Event::Text("last".into()));
}

#[tokio::test]
async fn a_change_that_a_watchers_own_handler_causes_is_told_though_nothing_else_happens() {
    // It does not wake the task that it is made in.
    let clients = Clients::default();
    let (sender, mut log) = Log::new();
    let react: React = {
        let keep = clients.react();
        let other = Mutex::new(None::<Client>);
        Arc::new(move |client, event| {
            keep(client, event)?;
            let mut other = other.lock().map_err(|_| "poisoned")?;
            match (event, &*other) {
                (Event::Connected { .. }, None) => *other = Some(client.clone()),
                (Event::Connected { .. }, Some(other)) => {
                    client.watch("chess")?;
                    other.join("chess")?;
                }
                (Event::Joined { .. }, Some(other)) => {
                    other.leave("chess");
                }
                _ => {}
            }
            Ok(())
        })
    };
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/hall", move |_| Probe::new(&sender, &react))
    })
    .await;
    let first = Native::open(server.addr, "/hall", Transport::WebSocket, FORMATS[0]).await;
    let other = clients.of(first.session).await;
    let second = Native::open(server.addr, "/hall", Transport::WebSocket, FORMATS[0]).await;
    assert!(matches!(log.of(second.session).await, Event::Connected { .. }));
    let news = |event: &Event| *event != Event::Heartbeat;
    assert_eq!(log.find(second.session, news).await, joined("chess", &other));
    assert_eq!(log.find(second.session, news).await, left("chess", &other));
}

#[tokio::test]
async fn watches_are_limited_and_begin_anew_with_a_new_list() {
    let mut config = ServerConfig::default();
    config.max_watches_per_session = 2;
    let mut hall = Hall::start(config).await;
    let (_native, watcher) = hall.open("/slow", Transport::WebSocket).await;
    let (_native, other) = hall.open("/slow", Transport::WebSocket).await;
    assert!(watcher.watch("chess").unwrap().is_empty());
    assert!(watcher.watch("go").unwrap().is_empty());
    assert!(matches!(watcher.watch("poker"), Err(JoinError::TooMany { limit: 2 })));
    assert!(matches!(watcher.watch(""), Err(JoinError::Invalid(_))));
    other.join("chess").unwrap();
    other.join("go").unwrap();
    // What waits about `chess` is in the list; it is told once.
    assert_eq!(watcher.watch("chess").unwrap().ids(), [other.id()]);
    assert!(watcher.unwatch("go"));
    assert_eq!(watcher.watch("poker").unwrap().len(), 0);
    other.join("poker").unwrap();
    other.leave("chess");
    hall.gate.add_permits(100);
    let id = watcher.id();
    assert_eq!(hall.event(id).await, joined("poker", &other));
    assert_eq!(hall.event(id).await, left("chess", &other));
}

#[tokio::test]
async fn who_is_there_is_seen_from_inside_and_from_outside_with_their_data() {
    struct Name(&'static str);
    let hall = Hall::start(ServerConfig::default()).await;
    let mut all = Vec::new();
    for (path, name) in [("/hall", "alice"), ("/hall", "bob"), ("/slow", "carol"), ("/hall", "dave")] {
        let (native, client) = hall.open(path, Transport::ServerSentEvents).await;
        client.set_data(Name(name));
        if name != "dave" {
            client.join("chess").unwrap();
        }
        all.push((native, client));
    }
    let names = |members: nosphere::Members| {
        let names = members.iter().filter_map(|member| member.data::<Name>());
        names.map(|name| name.0).collect::<Vec<_>>()
    };
    let from_outside = hall.server.server.broadcaster();
    assert_eq!(names(all[3].1.members(tag("chess"))), ["alice", "bob"]);
    assert_eq!(names(all[3].1.members(Everyone)), ["alice", "bob", "dave"]);
    assert_eq!(names(all[3].1.members(nosphere::Others)), ["alice", "bob"]);
    assert_eq!(names(from_outside.all().members(tag("chess"))), ["alice", "bob", "carol"]);
    assert_eq!(names(from_outside.at("/slow").members(Everyone)), ["carol"]);
    assert_eq!(names(from_outside.at("/nowhere").members(Everyone)), <[&str; 0]>::default());
    assert_eq!(from_outside.all().paths(), ["/hall", "/slow"]);
    assert_eq!(from_outside.all().sessions(), 4);
    hall.gate.add_permits(100);
}

fn joined(name: &str, client: &Client) -> Event {
    Event::Joined { session: client.id(), tag: tag(name) }
}

fn left(name: &str, client: &Client) -> Event {
    Event::Left { session: client.id(), tag: tag(name) }
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}
