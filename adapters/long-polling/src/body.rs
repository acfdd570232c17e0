use std::pin::pin;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away, or broke HTTP. No answer will reach it.
    #[error("the body ended early: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The body is longer than the limit.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
}

/// Reads a whole body of at most `limit` bytes. A length that is only claimed allocates nothing.
///
/// # Errors
///
/// When the body is too long, or ends early.
pub async fn read_body<B>(body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(limit)),
        Err(error) => Err(BodyError::Broken(error)),
    }
}

/// Reads and drops what is left of a body, up to `limit` bytes, so that the answer is not lost together with it: HTTP/1.1 resets
/// a connection that has more to read than anybody wants (RFC 9112 §9.6). Nothing is read of what is said to be longer.
pub async fn discard_body<B: Body>(body: B, limit: usize) {
    let mut body = pin!(body);
    if body.size_hint().lower() > limit as u64 {
        return;
    }
    let mut left = limit;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Buf::remaining);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::{Frame, SizeHint};
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_beyond_is_not() {
        let body = |n: usize| Full::new(Bytes::from(vec![b'x'; n]));
        assert_eq!(read_body(body(8), 8).await.unwrap().len(), 8);
        assert!(matches!(read_body(body(9), 8).await, Err(BodyError::TooLarge(8))));
        assert_eq!(read_body(body(0), 0).await.unwrap().len(), 0);
    }

    /// A body that comes in pieces of three bytes, and fails after some.
    struct Pieces {
        left: u32,
        claimed: SizeHint,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            self.left = self.left.checked_sub(1).expect("it is not read on");
            Poll::Ready(Some(match self.left {
                0 => Err(std::io::ErrorKind::ConnectionReset.into()),
                _ => Ok(Frame::data(Bytes::from_static(b"abc"))),
            }))
        }

        fn size_hint(&self) -> SizeHint {
            self.claimed
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_no_body() {
        let body = Pieces { left: 3, claimed: SizeHint::default() };
        assert!(matches!(read_body(body, 100).await, Err(BodyError::Broken(_))));
    }

    #[tokio::test]
    async fn what_is_beyond_the_limit_is_not_read() {
        let body = Pieces { left: 3, claimed: SizeHint::default() };
        assert!(matches!(read_body(body, 5).await, Err(BodyError::TooLarge(5))));
        // Nothing at all of one that says so beforehand.
        let body = Pieces { left: 0, claimed: SizeHint::with_exact(1 << 60) };
        assert!(matches!(read_body(body, 5).await, Err(BodyError::TooLarge(5))));
    }

    #[tokio::test]
    async fn no_more_than_the_limit_is_dropped_and_nothing_of_what_is_longer() {
        let mut body = Pieces { left: 5, claimed: SizeHint::default() };
        discard_body(Pin::new(&mut body), 5).await;
        assert_eq!(body.left, 3, "two pieces of three bytes");
        let body = Pieces { left: 0, claimed: SizeHint::with_exact(6) };
        discard_body(body, 5).await;
    }
}
