//! The least HTTP that nginx's pages take.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::BOUND;

/// The body of the answer to `GET path`.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    // HTTP/1.0: the body ends with the connection, and never comes in chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    // A publisher that is not there is 404 for nginx's RTMP module in some versions, 204 in others.
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("204" | "404") => Ok(String::new()),
        _ => Err(io::Error::other(format!("{path}: {head}"))),
    }
}
