//! One request over HTTP/1.1 on a connection of its own.

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of the head of an answer at most.
const MAX_HEAD: usize = 16 << 10;

/// Sends `request` and gives the answer to `read`. The connection ends when that is done: what else the server says is
/// never read.
pub(crate) async fn exchange<S, B, T, E>(
    stream: S,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: From<hyper::Error>,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let answer = async { read(sender.send_request(request).await?).await };
    tokio::pin!(answer, connection);
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // It may have ended with the answer, which is then at hand.
            _ = &mut connection, if !ended => ended = true,
        }
    }
}
