//! Panics of the application's code, kept where they happen.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The application's code panicked.
///
/// ```
/// use nosphere::{Event, Panicked, SessionError};
///
/// fn is_bug(event: &Event) -> bool {
///     matches!(event, Event::Error(SessionError::Handler(cause)) if cause.downcast_ref::<Panicked>().is_some())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct Panicked {
    message: String,
}

impl Panicked {
    /// What it panicked with.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn new(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self { message: text.unwrap_or("without a text").into() }
    }
}

/// Calls what may panic. What it leaves half done must not be looked at again, or must bear it.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| Panicked::new(&*panic))
}

/// The same for a future.
pub(crate) async fn contain<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}
