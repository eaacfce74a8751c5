//! Encrypted connections over real sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use warp::http::Version;

use super::{LIMITS, Server, expect, routes};
use crate::facade::accept::ConnectionLimits;
use crate::facade::tls::{CertificateFiles, Tls};

const REQUEST: &[u8] = b"GET /bytes HTTP/1.1\r\nHost: tv.test\r\n\r\n";

/// A certificate for `tv.test` in the folder, and whoever trusts it.
fn certified(folder: &Path) -> (CertificateFiles, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["tv.test".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let files = CertificateFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    (files, certificate.der().clone())
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "tv.test".try_into().unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// One answer to `GET /bytes` on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"0123456789") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn both_protocols_are_spoken_and_browsers_told_to_come_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let (files, trusted) = certified(folder.path());
    let server = Server::start_with(routes(), LIMITS, Some(Tls::new(files).unwrap())).await;
    let mut one = connect(&server, &trusted, b"http/1.1").await.unwrap();
    assert_eq!(one.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let strict = "strict-transport-security: max-age=31536000";
    expect(
        &ask(&mut one).await,
        200,
        &[strict, "x-content-type-options: nosniff"],
    );
    let two = connect(&server, &trusted, b"h2").await.unwrap();
    assert_eq!(two.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(two))
            .await
            .unwrap();
    let driven = tokio::spawn(connection);
    let request = hyper::Request::get("https://tv.test/bytes").body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(
        (answer.version(), answer.status().as_u16()),
        (Version::HTTP_2, 200)
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "0123456789");
    drop((one, sender));
    driven.await.unwrap().unwrap();
    // What speaks plainly is not answered.
    let plain = server
        .exchange("GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    assert!(!plain.contains("HTTP/"), "{plain}");
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    let (files, trusted) = certified(folder.path());
    let limits = ConnectionLimits {
        connections: 1,
        head: Duration::from_millis(300),
        ..LIMITS
    };
    let server = Server::start_with(routes(), limits, Some(Tls::new(files).unwrap())).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // One more is turned away, without a word that it could not read.
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut read = Vec::new();
    let _ = second.read_to_end(&mut read).await;
    assert!(read.is_empty(), "{read:?}");
    assert_eq!(silent.read_to_end(&mut read).await.unwrap(), 0);
    // The place is given back a moment after the connection was closed.
    let mut third = loop {
        if let Ok(third) = connect(&server, &trusted, b"http/1.1").await {
            break third;
        }
        tokio::task::yield_now().await;
    };
    expect(&ask(&mut third).await, 200, &[]);
    drop(third);
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (files, old) = certified(folder.path());
    let tls = Tls::new(files).unwrap();
    let server = Server::start_with(routes(), LIMITS, Some(tls.clone())).await;
    let mut before = connect(&server, &old, b"http/1.1").await.unwrap();
    expect(&ask(&mut before).await, 200, &[]);
    let (_, new) = certified(folder.path());
    assert!(
        connect(&server, &new, b"http/1.1").await.is_err(),
        "nobody has looked yet"
    );
    tls.look(Timestamp::UNIX_EPOCH);
    let mut after = connect(&server, &new, b"http/1.1").await.unwrap();
    assert!(connect(&server, &old, b"http/1.1").await.is_err());
    for connection in [&mut before, &mut after] {
        expect(&ask(connection).await, 200, &["0123456789"]);
    }
    drop((before, after));
    server.stop().await;
}
