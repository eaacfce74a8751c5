//! The simple handshake (RTMP 1.0 §5.2): C0 C1, S0 S1, C2, S2.
//!
//! S2 should repeat our C1 (§5.2.4); many servers send something else and encoders take it, so its content
//! is not looked at.

use std::io;

use rustls::crypto::ring;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of RTMP that is spoken (§5.2.2).
const VERSION: u8 = 3;
/// Bytes of C1, C2, S1 and S2 (§5.2.3).
const BLOCK: usize = 1536;
/// Bytes of a block before its random part: a time and four zeros.
const HEAD: usize = 8;

/// Why the handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] io::Error),
    /// The server answered with something else than RTMP's version.
    #[error("the server answered with the byte {0:#04x} instead of RTMP's version")]
    NotRtmp(u8),
}

/// Shakes hands as the client.
pub(super) async fn shake(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), HandshakeError> {
    let mut hello = [0; 1 + BLOCK];
    hello[0] = VERSION;
    ring::default_provider()
        .secure_random
        .fill(&mut hello[1 + HEAD..])
        .map_err(|_| io::Error::other("there are no random numbers"))?;
    stream.write_all(&hello).await?;
    stream.flush().await?;

    let version = stream.read_u8().await?;
    if version != VERSION {
        return Err(HandshakeError::NotRtmp(version));
    }
    // C2 repeats S1; its second time, when S1 was read, is 0 as our clock stands still (§5.2.4).
    let mut block = [0; BLOCK];
    stream.read_exact(&mut block).await?;
    block[4..HEAD].fill(0);
    stream.write_all(&block).await?;
    stream.flush().await?;
    stream.read_exact(&mut block).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn the_server_gets_its_own_bytes_back() {
        let (mut client, mut server) = duplex(8192);
        let serve = async {
            let mut hello = [0; 1 + BLOCK];
            server.read_exact(&mut hello).await.unwrap();
            assert_eq!((hello[0], &hello[1..9]), (3, [0; 8].as_slice()));
            assert!(hello[9..].iter().any(|byte| *byte != 0));
            let mut answer = vec![3];
            answer.extend((0..BLOCK).map(|n| n as u8));
            answer.extend(&hello[1..]);
            server.write_all(&answer).await.unwrap();
            let mut echo = [0; BLOCK];
            server.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo[..4], answer[1..5]);
            assert_eq!(echo[HEAD..], answer[1 + HEAD..1 + BLOCK]);
        };
        let (shaken, ()) = tokio::join!(shake(&mut client), serve);
        shaken.unwrap();
    }

    #[tokio::test]
    async fn a_web_server_is_told_from_rtmp_by_its_first_byte() {
        let (mut client, mut server) = duplex(8192);
        server.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
        let refused = shake(&mut client).await.unwrap_err();
        assert!(
            matches!(refused, HandshakeError::NotRtmp(b'H')),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_server_that_leaves_in_between_is_seen() {
        let (mut client, mut server) = duplex(8192);
        let serve = async move {
            server.read_exact(&mut [0; 1 + BLOCK]).await.unwrap();
            server.write_all(&[3; 500]).await.unwrap();
        };
        let (shaken, ()) = tokio::join!(shake(&mut client), serve);
        let refused = shaken.unwrap_err();
        assert!(
            matches!(refused, HandshakeError::Connection(_)),
            "{refused}"
        );
    }
}
