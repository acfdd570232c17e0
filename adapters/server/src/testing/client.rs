use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nosphere_core::{
    Event, Message, Payload, Reason, Request, RequestId, SendError, SessionId, Side, Transport, Undelivered,
};

use super::builder::{TestClientBuilder, check};
use super::driver::{Driver, Setup, State};
use super::registry::{attended, busy, settled};
use super::{ConnectError, Received, WaitError};
use crate::Server;

/// A client of a [`Server`] in memory, for tests of handlers. The [module's page](super) shows how it is used.
///
/// It takes what comes, acknowledges it and answers pings without being asked to; what came waits here, in order, until the
/// test asks for it. A link that the server ends is sought again after a second, as browsers do. Dropping the client is
/// [`vanish`](Self::vanish).
pub struct TestClient {
    driver: Arc<Driver>,
    id: SessionId,
    path: Box<str>,
    patience: Duration,
    /// How many requests the test has made.
    requests: u64,
}

impl TestClient {
    /// Opens a session over an event stream, in JSON: [`TestClientBuilder::connect`] without anything else.
    ///
    /// # Errors
    ///
    /// As [`TestClientBuilder::connect`].
    pub async fn connect(server: &Server, uri: &str) -> Result<Self, ConnectError> {
        Self::builder(uri).connect(server).await
    }

    /// Describes a client that asks for this path, and query.
    pub fn builder(uri: &str) -> TestClientBuilder {
        TestClientBuilder::new(uri)
    }

    pub(super) async fn open(setup: Setup, patience: Duration) -> Result<Self, ConnectError> {
        const OPENED: &str = "the session to open";
        let path = setup.target.path().into();
        let driver = Driver::start(setup);
        // From here on the client ends when this is dropped, whatever comes.
        let mut client = Self { driver, id: [0; 16].into(), path, patience, requests: 0 };
        let opened = client.wait(OPENED, |state| {
            if let Some(refused) = state.refused.take() {
                return Some(Err(ConnectError::Refused(refused)));
            }
            let id = state.connection.session().map(Ok);
            id.or_else(|| state.ended(OPENED).map(|error| Err(error.into())))
        });
        client.id = opened.await??;
        client.attended().await?;
        Ok(client)
    }

    /// Sends a message: it is with the server when this returns, unless the link is lost or the window is full. Then it
    /// follows when it can.
    ///
    /// # Errors
    ///
    /// The message comes back when it cannot be taken: the session is closed, the queue is full, or the format has no form
    /// for it.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.driver.change(|state| state.send(message.into()))
    }

    /// The next message. Other events that come before it stay, for [`event`](Self::event).
    ///
    /// # Errors
    ///
    /// When the session ends without another message, or when none comes in time.
    pub async fn receive(&mut self) -> Result<Received, WaitError> {
        self.find("a message", Received::of).await
    }

    /// Asks the handler, and waits for its reply. Other events that come before it stay.
    ///
    /// # Errors
    ///
    /// When the request cannot be sent, the session ends without a reply, or none comes in time.
    pub async fn request(&mut self, message: impl Into<Message>) -> Result<Payload, WaitError> {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.send(Message::request(id, message))?;
        let reply = |event: &Event| {
            let Event::Reply(reply) = event else { return None };
            (reply.id == id).then(|| reply.payload.clone())
        };
        self.find("a reply", reply).await
    }

    /// The next request of the server. Other events that come before it stay.
    ///
    /// # Errors
    ///
    /// When the session ends without one, or none comes in time.
    pub async fn asked(&mut self) -> Result<Request, WaitError> {
        let request = |event: &Event| if let Event::Request(request) = event { Some(request.clone()) } else { None };
        self.find("a request", request).await
    }

    /// Answers a request of the server.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn reply(&self, request: &Request, message: impl Into<Message>) -> Result<(), SendError> {
        self.send(Message::reply(request.id, message))
    }

    /// The next event that is wanted. Others that come before it stay.
    async fn find<T>(&mut self, awaited: &str, wanted: impl Fn(&Event) -> Option<T>) -> Result<T, WaitError> {
        let found = self.wait(awaited, |state| {
            loop {
                let waiting = state.backlog.iter().enumerate();
                if let Some((at, found)) = waiting.filter_map(|(at, event)| Some((at, wanted(event)?))).next() {
                    state.backlog.remove(at);
                    return Some(Ok(found));
                }
                match state.take() {
                    Some(event) => state.backlog.push_back(event),
                    None => return state.ended(awaited).map(Err),
                }
            }
        });
        found.await?
    }

    /// The next event of any kind, `Connected` being the first.
    ///
    /// # Errors
    ///
    /// When `Disconnected` has been taken, or when nothing comes in time.
    pub async fn event(&mut self) -> Result<Event, WaitError> {
        const AWAITED: &str = "an event";
        let event = self.wait(AWAITED, |state| match state.next_event() {
            Some(event) => Some(Ok(event)),
            None => state.ended(AWAITED).map(Err),
        });
        event.await?
    }

    /// Waits until everything that was sent has been handled, by whomever: all test clients of this server have sent what
    /// they can send, no handler has anything left to do, and what handlers sent has arrived.
    ///
    /// A handler that waits is waited for. What it has started elsewhere, on another task or thread, is not; nor is what
    /// only the passing of time brings.
    ///
    /// # Errors
    ///
    /// When it takes too long. It says on which paths handlers are not done.
    pub async fn settled(&self) -> Result<(), WaitError> {
        let shared = self.driver.shared();
        match tokio::time::timeout(self.patience, settled(shared)).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(self.timed_out(format!("everything to be handled, with handlers busy on {:?}", busy(shared))))
            }
        }
    }

    /// Waits until everything that was sent has been [handled](Self::settled), and says that no message, request or reply has come
    /// for this client but those that the test has received.
    ///
    /// # Errors
    ///
    /// The messages, if there are any; they can still be received. Otherwise as [`settled`](Self::settled), and when the
    /// session is over: then there is nobody to hear.
    pub async fn expect_silence(&mut self) -> Result<(), WaitError> {
        self.settled().await?;
        self.driver.change(|state| {
            while let Some(event) = state.take() {
                state.backlog.push_back(event);
            }
            let messages: Vec<_> = state.backlog.iter().filter_map(Received::noise).collect();
            if !messages.is_empty() {
                return Err(WaitError::Noise { messages });
            }
            state.ended("silence").map_or(Ok(()), Err)
        })
    }

    /// Loses the link, as over a network that fails, and looks for no other. What is sent now waits, on both sides.
    ///
    /// The server notices at once that an event stream is gone; of a poll it cannot tell until the next one is overdue
    /// ([`Config::poll_gap`](crate::Config::poll_gap)).
    pub fn suspend(&mut self) {
        self.driver.change(State::suspend);
    }

    /// Comes back after [`suspend`](Self::suspend), over the same transport. Done when the handler has dealt with that.
    ///
    /// # Errors
    ///
    /// When the server refuses, when the session is over, or when nothing comes in time.
    pub async fn resume(&mut self) -> Result<(), WaitError> {
        let transport = self.driver.lock().transport();
        self.resume_on(transport).await
    }

    /// Comes back after [`suspend`](Self::suspend) over another transport.
    ///
    /// # Errors
    ///
    /// When a test client has no such transport; otherwise as [`resume`](Self::resume).
    pub async fn resume_over(&mut self, transport: Transport) -> Result<(), ConnectError> {
        check(transport)?;
        Ok(self.resume_on(transport).await?)
    }

    /// Ends the session, after what was sent before. Done when both sides know, and the handler has dealt with
    /// `Disconnected`.
    ///
    /// # Errors
    ///
    /// When it takes too long.
    pub async fn close(&mut self) -> Result<Ended, WaitError> {
        self.close_with(Reason::Closed).await
    }

    /// Ends the session with a reason of the application's own.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_with(&mut self, reason: Reason) -> Result<Ended, WaitError> {
        self.driver.change(|state| state.close(reason));
        self.ended().await
    }

    /// Waits until the session is over, whoever ends it. `Disconnected`, and what came before it, can still be taken.
    ///
    /// # Errors
    ///
    /// When it takes too long.
    pub async fn ended(&mut self) -> Result<Ended, WaitError> {
        let (by, reason) = self.wait("the end of the session", |state| state.end).await?;
        self.attended().await?;
        let undelivered = self.driver.lock().connection.take_undelivered();
        Ok(Ended { by, reason, undelivered })
    }

    /// Is gone without a word, and does not come back. The server keeps the session for as long as it would be
    /// [resumed](crate::Config::resume).
    pub fn vanish(self) {}

    /// The session's id, by which the handler's [`Client`](crate::Client) knows it too.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The transport that carries the session now, or did last.
    pub fn transport(&self) -> Transport {
        self.driver.lock().connection.transport()
    }

    /// What has come so far, taken or not: the latest [`HISTORY`](super::HISTORY) events.
    pub fn events(&self) -> Vec<Event> {
        self.driver.lock().history.iter().cloned().collect()
    }

    async fn resume_on(&mut self, transport: Transport) -> Result<(), WaitError> {
        const AWAITED: &str = "the session to be resumed";
        self.driver.change(|state| state.resume(transport));
        let resumed = self.wait(AWAITED, |state| {
            if let Some(refused) = state.refused.take() {
                return Some(Err(WaitError::Refused(refused)));
            }
            if state.is_open() { Some(Ok(())) } else { state.ended(AWAITED).map(Err) }
        });
        resumed.await??;
        self.attended().await
    }

    /// Waits until the handler has dealt with what this client did.
    async fn attended(&self) -> Result<(), WaitError> {
        let attended = attended(self.driver.shared(), self.id);
        let in_time = tokio::time::timeout(self.patience, attended).await;
        in_time.map_err(|_| self.timed_out(format!("the handler on {:?} to be done", self.path)))
    }

    /// Waits for what `look` finds, or for as long as there is patience.
    async fn wait<T>(&self, awaited: &str, look: impl FnMut(&mut State) -> Option<T>) -> Result<T, WaitError> {
        let in_time = tokio::time::timeout(self.patience, self.driver.until(look)).await;
        in_time.map_err(|_| self.timed_out(awaited.into()))
    }

    fn timed_out(&self, awaited: String) -> WaitError {
        let instead = self.driver.lock().backlog.iter().cloned().collect();
        WaitError::TimedOut { awaited, instead, limit: self.patience }
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.driver.lock().vanish();
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.driver.lock();
        f.debug_struct("TestClient")
            .field("id", &self.id)
            .field("path", &self.path)
            .field("transport", &state.connection.transport())
            .field("state", &state.connection.state())
            .field("waiting", &state.backlog)
            .finish_non_exhaustive()
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Who ended it.
    pub by: Side,
    /// Why.
    pub reason: Reason,
    /// What the client sent and the server is not known to have taken. Empty when it was asked for before.
    pub undelivered: Undelivered,
}
