use std::any::Any;
use std::fmt;
use std::sync::Arc;

use nosphere_core::{Message, Reason, SendError, SessionId, Tag, Transport, Undelivered};

use crate::own::Own;
use crate::session::Cell;
use crate::{JoinError, LocalAudience, Members, Others, RequestHead, tags};

/// A handler's hold on its session. Cheap to clone; usable from any task or thread.
///
/// It does not keep the session alive: what is sent to a session that is over comes back.
///
/// ```
/// use nosphere::{Client, Error, Event, Handler, Reason};
///
/// struct Doorman;
///
/// impl Handler for Doorman {
///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
///         match event {
///             Event::Connected { .. } => client.send(format!("welcome to {}", client.path()))?,
///             Event::Text(text) if text.as_str() == "bye" => client.close(Reason::Closed),
///             Event::Text(text) => {
///                 let heard = client.broadcast(text);
///                 client.send(format!("{heard} heard you"))?;
///             }
///             _ => {}
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// [The guide](crate::guide::messages) says what sending promises, and [which audiences](crate::guide::audiences) there are.
#[derive(Clone)]
pub struct Client {
    cell: Arc<Cell>,
}

impl Client {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        Self { cell }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// The head of the request that opened the session, while `Connected` is handled; `None` after that.
    ///
    /// Until then it is in memory, so a handler that goes on for long should not do so in `Connected`.
    ///
    /// ```
    /// use nosphere::{Client, Error, Event, Handler};
    ///
    /// /// Copies what it wants to keep.
    /// #[derive(Default)]
    /// struct Greeter {
    ///     language: Option<String>,
    /// }
    ///
    /// impl Handler for Greeter {
    ///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
    ///         if let Event::Connected { .. } = event {
    ///             self.language = client.head().and_then(|head| head.header("accept-language").map(String::from));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn head(&self) -> Option<RequestHead> {
        self.cell.head()
    }

    /// Who opened the session, where [`Builder::principal`](crate::Builder::principal) says.
    pub fn principal(&self) -> Option<&str> {
        self.cell.principal()
    }

    /// Sends a message to this session.
    ///
    /// It is queued when this returns, and written when the handler is done or waits, or, outside of any handler, at once. That it
    /// has arrived nobody knows until the client says so: [`request`](Self::request).
    ///
    /// ```
    /// use nosphere::{Client, Error, Json, SendError};
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Score {
    ///     points: u32,
    /// }
    ///
    /// fn tell(client: &Client) -> Result<(), Error> {
    ///     client.send("a text")?;
    ///     client.send(serde_json::json!({ "points": 3 }))?;
    ///     client.send(Json::new(&Score { points: 3 })?)?;
    ///     match client.send(vec_of_bytes()) {
    ///         Err(SendError::Full(message)) => tracing::warn!(?message, "reads too slowly"),
    ///         other => other?,
    ///     }
    ///     Ok(())
    /// }
    /// # fn vec_of_bytes() -> bytes::Bytes { bytes::Bytes::new() }
    /// ```
    ///
    /// # Errors
    ///
    /// The message comes back when it cannot be taken: the session is closed, its queue is full, or its transport has no
    /// form for it.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        match self.cell.send(message.into()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a message to everybody else on this session's path; returns for how many it was queued.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        self.broadcast_to(Others, message)
    }

    /// Sends a message to an audience on this session's path; returns for how many it was queued.
    ///
    /// ```
    /// use nosphere::{Client, Everyone, InvalidTag, Others, Tag};
    ///
    /// fn tell(client: &Client) -> Result<(), InvalidTag> {
    ///     client.broadcast_to(Everyone, "and to me");
    ///     let count = client.broadcast_to(Tag::new("chess")? & Others, "who wants to play?");
    ///     Ok(())
    /// }
    /// ```
    pub fn broadcast_to(&self, audience: impl Into<LocalAudience>, message: impl Into<Message>) -> usize {
        let message = message.into().shared();
        let count = self.cell.topic().broadcast(&message, &audience.into(), Some(self.cell.id()));
        crate::dirty::flush_outside();
        count
    }

    /// Ends the session, once what was sent before is written. The handler gets `Disconnected`.
    ///
    /// Messages of the client that the handler has not been given by then are not delivered; the client learns which.
    ///
    /// ```
    /// use nosphere::{Client, Reason};
    ///
    /// fn kick(client: &Client) {
    ///     client.close(Reason::Application(3001)); // a code of your own, from 3000 to 3999
    /// }
    /// ```
    pub fn close(&self, reason: Reason) {
        self.cell.close(reason);
    }

    /// The session's id. Other clients may see it.
    pub fn id(&self) -> SessionId {
        self.cell.id()
    }

    /// The path that the session was opened on, parameters filled in.
    pub fn path(&self) -> &str {
        self.cell.topic().path()
    }

    /// The transport that carries the session now, or did last.
    pub fn transport(&self) -> Transport {
        self.cell.transport()
    }

    /// In `Disconnected`: the messages that are not known to have arrived. Empty before, and when called again.
    ///
    /// ```
    /// use nosphere::{Client, Event};
    ///
    /// fn left_over(client: &Client, event: &Event) {
    ///     if let Event::Disconnected { .. } = event {
    ///         let left = client.take_undelivered();
    ///         tracing::info!(maybe = left.unknown.len(), not = left.unsent.len(), "were not acknowledged");
    ///     }
    /// }
    /// ```
    pub fn take_undelivered(&self) -> Undelivered {
        self.cell.take_undelivered()
    }

    /// How the session writes to its client, for tests and diagnostics.
    pub fn sink(&self) -> crate::Sink {
        self.cell.sink()
    }
}

/// Data of its own, tags, and who else is there.
impl Client {
    /// Keeps a value with the session, for [`data`](Self::data) and for the predicates of a
    /// [`LocalAudience`]; gives the value of the same type that it replaces.
    ///
    /// Values are told apart by their types: wrap what is not a type of your own. They are dropped when the handler has seen
    /// `Disconnected`; what is set after that is dropped at once.
    ///
    /// ```
    /// # use nosphere::Client;
    /// struct Name(String);
    ///
    /// # fn example(client: &Client) {
    /// client.set_data(Name("alice".into()));
    /// let name = client.data::<Name>();
    /// # }
    /// ```
    pub fn set_data<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        self.cell.own()?.set_data(value)
    }

    /// The value of a type that [`set_data`](Self::set_data) has set.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.cell.kept()?.data()
    }

    /// Takes away the value of a type that [`set_data`](Self::set_data) has set.
    pub fn take_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.cell.kept()?.take_data()
    }

    /// Joins a tag, until the session leaves it or ends. Whether it was not in it before.
    ///
    /// A broadcast to the tag that begins after this reaches the session. A tag belongs to the session's path: the same
    /// tag on another path is another group, and a [`Broadcaster`](crate::Broadcaster) reaches both.
    ///
    /// ```
    /// # use nosphere::{Client, JoinError, Tag};
    /// # fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    /// client.join("chess")?;
    /// client.broadcast_to(Tag::new("chess")?, "another one who plays");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the text is no tag, when the session is in [`max_tags_per_session`](crate::ServerConfig::max_tags_per_session)
    /// already, and when it is over.
    pub fn join<T>(&self, tag: T) -> Result<bool, JoinError>
    where
        T: TryInto<Tag>,
        T::Error: Into<JoinError>,
    {
        tags::join(&self.cell, tag.try_into().map_err(Into::into)?)
    }

    /// Leaves a tag. Whether the session was in it.
    pub fn leave(&self, tag: impl AsRef<str>) -> bool {
        tags::leave(&self.cell, tag.as_ref())
    }

    /// The tags that the session is in, in no particular order. In `Disconnected`: those that it was in to the end.
    pub fn tags(&self) -> Vec<Tag> {
        self.cell.kept().map(Own::tags).unwrap_or_default()
    }

    /// Who of those on this path is in an audience: `members(Everyone)`, `members(&tag)`, with a predicate or without.
    ///
    /// Suspended sessions are there too.
    ///
    /// ```
    /// use nosphere::{Client, Everyone, Others};
    ///
    /// fn who(client: &Client) -> Vec<String> {
    ///     let others = client.members(Others);
    ///     others.iter().filter_map(|member| member.principal().map(String::from)).collect()
    /// }
    /// ```
    pub fn members(&self, audience: impl Into<LocalAudience>) -> Members {
        Members::new(self.cell.topic().select(&audience.into(), Some(self.cell.id())))
    }

    /// Who has joined a tag, the session itself included if it has; from then on its handler gets
    /// [`Joined`](crate::Event::Joined) and [`Left`](crate::Event::Left), of everybody but itself.
    ///
    /// No change is lost between the list and the first event. A handler that is slow, or whose client is suspended, sees
    /// the difference when it gets to it: who has joined and left again meanwhile is not told of. So what waits for it is,
    /// for each tag, at most those it was told of and those who are there. To watch again begins with a new list.
    ///
    /// Every change costs something for each who watches, so a tag with thousands in it, all of whom watch it, is dear;
    /// [`members`](Self::members) now and then is not.
    ///
    /// A session that is suspended is a member; one that has ended has left. Call this from the handler: what another task
    /// calls may cross with an event that the handler is being given.
    ///
    /// ```
    /// use nosphere::{Client, Error, Event, Handler};
    ///
    /// struct Lobby;
    ///
    /// impl Handler for Lobby {
    ///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
    ///         match event {
    ///             Event::Connected { .. } => {
    ///                 client.join("lobby")?;
    ///                 let there = client.watch("lobby")?;
    ///                 client.send(format!("{} are here", there.len()))?;
    ///             }
    ///             Event::Joined { session, .. } => client.send(format!("{session} comes"))?,
    ///             Event::Left { session, .. } => client.send(format!("{session} goes"))?,
    ///             _ => {}
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When the text is no tag, when the session watches
    /// [`max_watches_per_session`](crate::ServerConfig::max_watches_per_session) already, and when it is over.
    pub fn watch<T>(&self, tag: T) -> Result<Members, JoinError>
    where
        T: TryInto<Tag>,
        T::Error: Into<JoinError>,
    {
        let members = tags::watch(&self.cell, tag.try_into().map_err(Into::into)?)?;
        Ok(Members::new(members.values().cloned().collect()))
    }

    /// Watches a tag no longer; changes that were not told yet are not told. Whether the session watched it.
    pub fn unwatch(&self, tag: impl AsRef<str>) -> bool {
        tags::unwatch(&self.cell, tag.as_ref())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("path", &self.path()).finish_non_exhaustive()
    }
}
