use std::io::{self, IoSlice};

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// A non-blocking vectored write.
pub trait TryWrite {
    /// Writes as much as can be written at once, and says how much that was.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing can be written now; any other error is the stream's end.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl TryWrite for OwnedWriteHalf {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }
}

impl TryWrite for TcpStream {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }
}

impl<T: TryWrite + ?Sized> TryWrite for &T {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        T::try_write_vectored(self, slices)
    }
}
