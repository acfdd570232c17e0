use std::future::Future;

use nosphere_core::Event;

use crate::Client;

/// What a handler may fail with. Its session ends with `internal`; the error is logged.
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
pub trait Handler: Send + 'static {
    /// Takes the next event. The following one waits until this future is done; pings and closes do not.
    ///
    /// While it waits, what it has sent goes out. A message counts as received when this is called, so a slow handler
    /// slows its own client down, and nobody else.
    ///
    /// # Errors
    ///
    /// Whatever the application fails with: its own session ends with [`Reason::Internal`](crate::Reason::Internal).
    fn receive(&mut self, client: &Client, event: Event) -> impl Future<Output = Result<(), Error>> + Send;
}
