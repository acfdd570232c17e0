//! Requests of the server, and who waits for their replies.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use nosphere_core::{Message, Payload, Reply, Request, RequestId, SendError, SessionId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep};

use crate::session::{Cell, Live};
use crate::shared::Shared;
use crate::topic::Topic;
use crate::{Client, LocalAudience, PathBroadcaster, dirty};

/// What came of a request to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Whose it is.
    pub session: SessionId,
    /// The reply, or why there is none.
    pub reply: Result<Payload, RequestError>,
}

/// Why a request has no reply.
///
/// Whether the client got it is not known with [`Ended`](Self::Ended) and [`Timeout`](Self::Timeout); with the others it did
/// not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The session ended before it came.
    #[error("the session ended before the reply came")]
    Ended,
    /// The request could not be sent.
    #[error("the request was not sent: {0}")]
    NotSent(#[from] SendError),
    /// It did not come in time.
    #[error("no reply came in time")]
    Timeout,
    /// As many requests wait for this session's replies as may
    /// ([`ServerConfig::max_requests_per_session`](crate::ServerConfig::max_requests_per_session)).
    #[error("too many requests wait for replies of this session")]
    TooMany,
}

/// Asking one client.
impl Client {
    /// Sends a message that asks for a reply, and waits for that. Nothing is sent before the future is polled.
    ///
    /// It arrives once, as messages do, and is neither volatile nor keyed, whatever the message says. One that a full queue
    /// [drops](crate::Overflow::DropOldest) has no reply.
    ///
    /// The wait outlives links: a suspended client may come back and answer. It ends once, by the reply, the `timeout` or
    /// the end of the session. A handler may wait for it: while it does, it gets no other event, and replies are taken
    /// before their turn. But its client can send no more than a window of other messages meanwhile, and a reply behind
    /// those does not come through; who expects that asks from a task of its own.
    ///
    /// # Errors
    ///
    /// Why there is no reply.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use nosphere::{Client, Error};
    /// async fn greet(client: &Client) -> Result<(), Error> {
    ///     let name = client.request("What is your name?", Duration::from_secs(30)).await?;
    ///     let name = name.as_text().map_or("nobody", |name| name.as_str());
    ///     client.send(format!("Hello, {name}"))?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn request(&self, message: impl Into<Message>, timeout: Duration) -> Result<Payload, RequestError> {
        let cell = Arc::clone(self.cell());
        let groups = [(Arc::clone(cell.topic()), vec![Arc::clone(&cell)])];
        let mut replies = Replies::ask(cell.shared(), groups, message.into(), timeout);
        let answer = replies.next().await;
        answer.map_or(Err(RequestError::Ended), |answer| answer.reply)
    }

    /// Asks an audience on this session's path; gives what each of them answers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use nosphere::{Client, Error, Others};
    /// async fn vote(client: &Client) -> Result<(), Error> {
    ///     let answers = client.request_to(Others, "Shall we?", Duration::from_secs(30)).collect().await;
    ///     let yes = answers.iter().filter(|answer| {
    ///         answer.reply.as_ref().is_ok_and(|reply| reply.as_text().is_some_and(|text| *text == "yes"))
    ///     });
    ///     client.send(format!("{} of {} want to", yes.count(), answers.len()))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn request_to(
        &self,
        audience: impl Into<LocalAudience>,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Replies {
        let topic = self.cell().topic();
        let asked = topic.select(&audience.into(), Some(self.id()));
        Replies::ask(self.cell().shared(), [(Arc::clone(topic), asked)], message.into(), timeout)
    }

    /// Answers a request of this client: [`Event::Request`](crate::Event::Request). A second answer is not heard.
    ///
    /// ```
    /// use nosphere::{Client, Error, Event, Handler};
    ///
    /// struct Clock;
    ///
    /// impl Handler for Clock {
    ///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
    ///         if let Event::Request(request) = event {
    ///             let time = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    ///             client.reply(&request, serde_json::json!({ "time": time }))?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn reply(&self, request: &Request, message: impl Into<Message>) -> Result<(), SendError> {
        self.send(Message::reply(request.id, message))
    }
}

/// Asking from outside of any session.
impl PathBroadcaster<'_> {
    /// Asks an audience; gives what each of them answers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use nosphere::{Everyone, Server};
    /// async fn who_is_there(server: &Server) -> usize {
    ///     let broadcaster = server.broadcaster();
    ///     let answers = broadcaster.all().request(Everyone, "Are you there?", Duration::from_secs(5)).collect().await;
    ///     answers.iter().filter(|answer| answer.reply.is_ok()).count()
    /// }
    /// ```
    pub fn request(
        &self,
        audience: impl Into<LocalAudience>,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Replies {
        let audience = audience.into();
        let select = |topic: Arc<Topic>| {
            let asked = topic.select(&audience, None);
            (topic, asked)
        };
        Replies::ask(self.shared(), self.topics(&audience).into_iter().map(select), message.into(), timeout)
    }
}

/// The answers to a request that several clients were asked: one for each of them, as they come.
///
/// It is a [`Stream`] too. The request was sent when this was made; the waiting begins then, too. Dropping it ends that.
#[must_use = "nobody hears the answers"]
pub struct Replies {
    id: RequestId,
    /// How many.
    count: usize,
    /// Who may still answer.
    asked: Vec<Arc<Cell>>,
    answers: UnboundedReceiver<Answer>,
    /// `None` is never.
    deadline: Option<Instant>,
    /// Until then, once somebody waits.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Replies {
    fn ask(
        shared: &Shared,
        groups: impl IntoIterator<Item = (Arc<Topic>, Vec<Arc<Cell>>)>,
        message: Message,
        timeout: Duration,
    ) -> Self {
        let id = shared.next_request();
        let message = Message::request(id, message).shared();
        let (sender, answers) = unbounded_channel();
        let limit = shared.config.max_requests_per_session;
        let mut asked = Vec::new();
        for (topic, cells) in groups {
            topic.in_order(|| cells.iter().for_each(|cell| cell.ask(id, &message, &sender, limit)));
            asked.extend(cells);
        }
        dirty::flush_outside();
        let deadline = Instant::now().checked_add(timeout);
        Self { id, count: asked.len(), asked, answers, deadline, timeout: None }
    }

    /// How many sessions were asked.
    pub fn asked(&self) -> usize {
        self.count
    }

    /// The next answer, or nothing when all have come.
    pub async fn next(&mut self) -> Option<Answer> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// All that have not come yet.
    pub async fn collect(mut self) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.count);
        while let Some(answer) = self.next().await {
            answers.push(answer);
        }
        answers
    }
}

impl Stream for Replies {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        // The sender is in every session that has not answered: without one, there is nothing to wait for.
        if let Poll::Ready(answer) = self.answers.poll_recv(cx) {
            return Poll::Ready(answer);
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(timeout.as_mut().poll(cx));
        let id = self.id;
        for cell in std::mem::take(&mut self.asked) {
            cell.answer(id, Err(RequestError::Timeout));
        }
        // A reply that was taken just now may still be on its way.
        self.answers.poll_recv(cx)
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        for cell in &self.asked {
            drop(cell.lock().forget_request(self.id));
        }
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("id", &self.id).field("asked", &self.asked.len()).finish_non_exhaustive()
    }
}

impl Cell {
    /// Sends a request, or answers in the client's place why that cannot be. The caller flushes.
    fn ask(self: &Arc<Self>, id: RequestId, message: &Message, sender: &UnboundedSender<Answer>, limit: usize) {
        let mut live = self.lock();
        let asked = &mut live.awaited.get_or_insert_default().asked;
        if asked.len() >= limit {
            drop(sender.send(Answer { session: self.id(), reply: Err(RequestError::TooMany) }));
            return;
        }
        // Before it is sent: a reply may come at once.
        asked.insert(id, sender.clone());
        drop(live);
        if let Err(error) = self.append_or_refuse(message) {
            self.answer(id, Err(error.into()));
        }
    }

    /// The client has answered.
    pub(crate) fn take_reply(&self, reply: Reply) {
        if !self.answer(reply.id, Ok(reply.payload)) {
            tracing::debug!(session = %self.id(), request = %reply.id, "a reply that nobody waits for");
        }
    }

    /// Ends a request, unless it has ended already.
    fn answer(&self, id: RequestId, reply: Result<Payload, RequestError>) -> bool {
        let Some(sender) = self.lock().forget_request(id) else { return false };
        // Who asked may be gone.
        drop(sender.send(Answer { session: self.id(), reply }));
        true
    }
}

impl Live {
    /// A request has ended, unless it had before.
    fn forget_request(&mut self, id: RequestId) -> Option<UnboundedSender<Answer>> {
        self.awaited.as_mut()?.asked.remove(&id)
    }

    /// The session is over, and with it every request.
    pub(crate) fn lose_requests(&mut self, session: SessionId) {
        let asked = self.awaited.as_mut().map(|awaited| std::mem::take(&mut awaited.asked));
        for sender in asked.into_iter().flat_map(BTreeMap::into_values) {
            drop(sender.send(Answer { session, reply: Err(RequestError::Ended) }));
        }
    }
}
