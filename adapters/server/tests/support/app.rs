use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nosphere::{Client, Error, Event, Handler, Message, Server, ServerConfig, SessionId, handler_fn};
use tokio::sync::mpsc;

use super::{soon, until};

/// A handler that logs its events, and reacts by a function.
pub(crate) struct Probe {
    log: mpsc::UnboundedSender<(SessionId, Event)>,
    react: React,
}

pub(crate) type React = Arc<dyn Fn(&Client, &Event) -> Result<(), Error> + Send + Sync>;

impl Probe {
    pub(crate) fn new(log: &mpsc::UnboundedSender<(SessionId, Event)>, react: &React) -> Self {
        Self { log: log.clone(), react: Arc::clone(react) }
    }

    /// Logs, and does nothing.
    pub(crate) fn quiet() -> React {
        Arc::new(|_, _| Ok(()))
    }

    /// Sends every message back.
    pub(crate) fn echo() -> React {
        Arc::new(|client, event| match message(event) {
            Some(message) => Ok(client.send(message)?),
            None => Ok(()),
        })
    }

    /// Sends every message to everybody else.
    pub(crate) fn room() -> React {
        Arc::new(|client, event| {
            if let Some(message) = message(event) {
                client.broadcast(message);
            }
            Ok(())
        })
    }
}

/// A server whose handlers do nothing, and their clients in the order in which they connected.
pub(crate) fn with_clients(config: ServerConfig, path: &str) -> (Server, Arc<Mutex<Vec<Client>>>) {
    let clients = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&clients);
    let server = Server::builder().config(config).endpoint(path, move |_| {
        let known = Arc::clone(&known);
        handler_fn(move |client, event| {
            if let Event::Connected { .. } = event {
                known.lock().expect("no test panics with it").push(client);
            }
            async { Ok(()) }
        })
    });
    (server.build().expect("a server that can be built"), clients)
}

/// The clients that handlers were given, for tests that use them from outside.
#[derive(Clone, Default)]
pub(crate) struct Clients(Arc<Mutex<HashMap<SessionId, Client>>>);

impl Clients {
    /// Keeps every client.
    pub(crate) fn react(&self) -> React {
        let clients = self.clone();
        Arc::new(move |client, _| {
            clients.0.lock().expect("no test panics with it").entry(client.id()).or_insert_with(|| client.clone());
            Ok(())
        })
    }

    /// The client of a session, when its handler has been called.
    #[track_caller]
    pub(crate) fn of(&self, session: SessionId) -> impl Future<Output = Client> {
        let clients = self.clone();
        let has = until({
            let clients = self.clone();
            move || clients.0.lock().expect("no test panics with it").contains_key(&session)
        });
        async move {
            has.await;
            clients.0.lock().expect("no test panics with it")[&session].clone()
        }
    }
}

impl Handler for Probe {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        // The test may have stopped listening.
        drop(self.log.send((client.id(), event.clone())));
        (self.react)(client, &event)
    }
}

pub(crate) fn message(event: &Event) -> Option<Message> {
    match event {
        Event::Binary(bytes) => Some(bytes.clone().into()),
        Event::Json(json) => Some(json.clone().into()),
        Event::Text(text) => Some(text.clone().into()),
        _ => None,
    }
}

/// What handlers saw.
pub(crate) struct Log {
    events: mpsc::UnboundedReceiver<(SessionId, Event)>,
    /// Passed over in the search for another session's.
    skipped: VecDeque<(SessionId, Event)>,
}

impl Log {
    pub(crate) fn new() -> (mpsc::UnboundedSender<(SessionId, Event)>, Self) {
        let (sender, events) = mpsc::unbounded_channel();
        (sender, Self { events, skipped: VecDeque::new() })
    }

    /// The next event of any session.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = (SessionId, Event)> {
        let next = async {
            match self.skipped.pop_front() {
                Some(seen) => seen,
                None => self.events.recv().await.expect("the server is there"),
            }
        };
        soon(next)
    }

    /// The next event of one session.
    #[track_caller]
    pub(crate) fn of(&mut self, session: SessionId) -> impl Future<Output = Event> {
        soon(async move {
            if let Some(at) = self.skipped.iter().position(|(id, _)| *id == session) {
                return self.skipped.remove(at).expect("just found").1;
            }
            loop {
                let (id, event) = self.events.recv().await.expect("the server is there");
                if id == session {
                    return event;
                }
                self.skipped.push_back((id, event));
            }
        })
    }

    /// The next event of one session that fits.
    pub(crate) async fn find(&mut self, session: SessionId, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.of(session).await;
            if fits(&event) {
                return event;
            }
            assert!(!matches!(event, Event::Disconnected { .. }), "it ended first: {event:?}");
        }
    }

    /// The end of one session, and all events before it.
    pub(crate) async fn end(&mut self, session: SessionId) -> Vec<Event> {
        let mut events = vec![self.of(session).await];
        while !matches!(events.last(), Some(Event::Disconnected { .. })) {
            events.push(self.of(session).await);
        }
        events
    }

    /// What has been seen so far and was not asked for.
    pub(crate) fn rest(&mut self) -> Vec<(SessionId, Event)> {
        let mut rest: Vec<_> = self.skipped.drain(..).collect();
        while let Ok(seen) = self.events.try_recv() {
            rest.push(seen);
        }
        rest
    }
}

/// Limits whose ends a test can wait for.
pub(crate) fn quick() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.session.open_timeout = Duration::from_millis(800);
    config.session.proof = Duration::from_millis(400);
    config.session.resume = Duration::from_millis(200);
    config.session.poll_gap = Duration::from_millis(300);
    config.session.close_timeout = Duration::from_millis(200);
    config
}
