use std::fmt;
use std::future::Future;

use nosphere_core::Event;

use crate::Client;

/// What a handler may fail with: anything.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The application's side of one session: one instance for each.
///
/// ```
/// use nosphere::{Client, Error, Event, Handler};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
///         if let Event::Text(text) = event {
///             client.send(text)?;
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// [The guide](crate::guide::handlers) has the events, and what there is to know about state, errors and admission.
pub trait Handler: Send + 'static {
    /// Takes the next event. The following one waits until this future is done; pings and closes do not.
    ///
    /// While it waits, what it has sent goes out. A message counts as received when this is called, so a slow handler
    /// slows its own client down, and nobody else.
    ///
    /// # Errors
    ///
    /// Whatever the application fails with. It is logged with the session's id, this handler and no other gets it as
    /// [`SessionError::Handler`](crate::SessionError::Handler), and its session ends with
    /// [`Reason::Internal`](crate::Reason::Internal), unless it is ending already. `Disconnected` follows, and before it at most those messages of which
    /// the client was told that they are received. A panic is the same, with [`Panicked`](crate::Panicked) as the error.
    ///
    /// [`SendError::Closed`](crate::SendError::Closed) is no failure: the client has gone, and the end is about to be told.
    fn receive(&mut self, client: &Client, event: Event) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Makes a handler of a closure: the short form, for a factory to return. What it captures is its state.
///
/// ```
/// use nosphere::{Event, Server, handler_fn};
///
/// let server = Server::builder()
///     .endpoint("/echo", |_| {
///         let mut count = 0;
///         handler_fn(move |client, event| {
///             count += 1;
///             async move {
///                 if let Event::Text(text) = event {
///                     client.send(format!("{count}: {text}"))?;
///                 }
///                 Ok(())
///             }
///         })
///     })
///     .build()?;
/// # Ok::<(), nosphere::BuildError>(())
/// ```
pub fn handler_fn<F, R>(receive: F) -> HandlerFn<F>
where
    F: FnMut(Client, Event) -> R + Send + 'static,
    R: Future<Output = Result<(), Error>> + Send,
{
    HandlerFn(receive)
}

/// A closure as a handler; see [`handler_fn`].
#[derive(Clone, Copy)]
pub struct HandlerFn<F>(F);

impl<F, R> Handler for HandlerFn<F>
where
    F: FnMut(Client, Event) -> R + Send + 'static,
    R: Future<Output = Result<(), Error>> + Send,
{
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        (self.0)(client.clone(), event).await
    }
}

impl<F> fmt::Debug for HandlerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFn")
    }
}
