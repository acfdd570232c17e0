use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use crate::request::{Answer, begin, complete};
use crate::{Body, Error, Server};

/// Endpoints in front of another service, made by [`Server::in_front_of`].
///
/// The other service gets every request that is not for an endpoint, whole: whatever asks for another path, and whatever
/// asks an endpoint's path for a page.
#[derive(Clone, Debug)]
pub struct Front<S> {
    server: Server,
    inner: S,
}

impl<S> Front<S> {
    pub(crate) fn new(server: Server, inner: S) -> Self {
        Self { server, inner }
    }
}

impl<S> Layer<S> for Server {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        self.clone().in_front_of(inner)
    }
}

impl<S, B, R> Service<Request<B>> for Front<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<FrontBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    /// Always: the other service's readiness is awaited by those requests alone that go on to it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = begin(self.server.shared(), request);
        let shared = Arc::clone(self.server.shared());
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let answered = match answer {
                Answer::Now(answered) => answered,
                Answer::Later(waiting) => complete(shared, waiting).await,
            };
            match answered {
                Ok(response) => Ok(response.map(|body| FrontBody { of: Of::Endpoint { body } })),
                Err((request, _)) => {
                    std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                    Ok(inner.call(request).await?.map(|body| FrontBody { of: Of::Other { body } }))
                }
            }
        })
    }
}

pin_project_lite::pin_project! {
    /// The body of an endpoint's response, or of the other service's.
    #[derive(Debug)]
    pub struct FrontBody<R> {
        #[pin]
        of: Of<R>,
    }
}

pin_project_lite::pin_project! {
    #[derive(Debug)]
    #[project = OfProjected]
    enum Of<R> {
        Endpoint { #[pin] body: Body },
        Other { #[pin] body: R },
    }
}

impl<R: http_body::Body<Data = Bytes, Error: Into<Error>>> http_body::Body for FrontBody<R> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.project().of.project() {
            OfProjected::Endpoint { body } => body.poll_frame(cx).map_err(Into::into),
            OfProjected::Other { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.of {
            Of::Endpoint { body } => body.is_end_stream(),
            Of::Other { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.of {
            Of::Endpoint { body } => body.size_hint(),
            Of::Other { body } => body.size_hint(),
        }
    }
}
