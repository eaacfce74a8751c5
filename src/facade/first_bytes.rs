//! A connection that has to say something soon.
//!
//! The protocol is told by the first bytes, and the wait for them is bounded nowhere else: a
//! client that sends nothing, or half an HTTP/2 preface, would hold its place for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// After so many bytes the protocol is known (the HTTP/2 preface, RFC 9113 §3.4).
const ENOUGH: usize = 24;

/// A connection whose reads fail when its first bytes do not come in time.
pub(super) struct FirstBytes<S> {
    stream: S,
    /// Bytes still wanted, and until when; `None` once they are here or something was answered.
    wanted: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> FirstBytes<S> {
    /// Wants the first bytes of `stream` within `time`.
    pub(super) fn new(stream: S, time: Duration) -> Self {
        Self {
            stream,
            wanted: Some((ENOUGH, Box::pin(sleep(time)))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                let came = buf.filled().len() - before;
                if let Some((left, until)) = this.wanted.take()
                    && left > came
                {
                    this.wanted = Some((left - came, until));
                }
                Poll::Ready(read)
            }
            Poll::Pending => match &mut this.wanted {
                None => Poll::Pending,
                Some((_, until)) => {
                    ready!(until.as_mut().poll(cx));
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wanted = None;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wanted = None;
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
