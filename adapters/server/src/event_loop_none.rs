//! There is no event loop on this platform: whoever asks for one is told so, and has a task for each session.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

/// There is none.
#[derive(Debug)]
pub(crate) enum EventLoop {}

/// There is none.
#[derive(Debug)]
pub(crate) enum Source {}

impl EventLoop {
    pub(crate) fn here() -> io::Result<Arc<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn adopt(self: &Arc<Self>, _: TcpStream) -> io::Result<Arc<Source>> {
        match **self {}
    }

    pub(crate) fn spawn(self: &Arc<Self>, _: Pin<Box<dyn Future<Output = ()> + Send>>) {
        match **self {}
    }
}

impl Source {
    pub(crate) fn event_loop(&self) -> &Arc<EventLoop> {
        match *self {}
    }

    pub(crate) fn poll_read_ready(&self, _: &Context<'_>) -> Poll<()> {
        match *self {}
    }

    pub(crate) fn poll_write_ready(&self, _: &Context<'_>) -> Poll<()> {
        match *self {}
    }

    pub(crate) fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn shutdown(&self) {
        match *self {}
    }
}
