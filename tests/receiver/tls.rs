//! TLS before the receiver, for `rtmps`: decrypts and passes on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::free_addresses;

/// A TLS front; its connections end when it is dropped.
pub struct TlsFront {
    address: SocketAddr,
    local: SocketAddr,
    ca_file: PathBuf,
    ca: String,
    /// Its threads; taken when it is dropped.
    runtime: Option<Runtime>,
}

impl TlsFront {
    /// Starts one with a certificate for `host`, before what listens at `behind`.
    pub(super) fn start(host: &str, behind: SocketAddr, folder: &Path) -> Self {
        let (config, ca) = certified(host);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let [address] = free_addresses();
        let ca_file = folder.join(format!("ca-{}.pem", address.port()));
        fs::write(&ca_file, &ca).expect("writes the authority's certificate");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listen = |address: SocketAddr| {
            let listener = std::net::TcpListener::bind(address).expect("listens");
            listener.set_nonblocking(true).expect("does not block");
            let address = listener.local_addr().expect("an address");
            runtime.spawn(serve(listener, acceptor.clone(), behind));
            address
        };
        let address = listen(address);
        let local = listen((Ipv4Addr::LOCALHOST, 0).into());
        Self {
            address,
            local,
            ca_file,
            ca,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `app` by the address; the certificate may be for another host.
    pub fn url_of(&self, app: &str) -> String {
        format!("rtmps://{}/{app}", self.address)
    }

    /// Where it listens, too: an address that has a name.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The URL of `app` at `localhost`.
    pub fn local_url_of(&self, app: &str) -> String {
        format!("rtmps://localhost:{}/{app}", self.local.port())
    }

    /// The certificate of the authority that signed its own, as PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The same in a file.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    let listener = TcpListener::from_std(listener).expect("listens");
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(acceptor.clone(), client, behind));
    }
}

async fn pass(acceptor: TlsAcceptor, client: TcpStream, behind: SocketAddr) {
    let Ok(mut client) = acceptor.accept(client).await else {
        return; // it does not trust us, or leaves
    };
    if let Ok(mut server) = TcpStream::connect(behind).await {
        let _ended = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// A server with a certificate for `host`, and the certificate of who signed it.
fn certified(host: &str) -> (ServerConfig, String) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "An authority of a test");
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");

    let mut server = CertificateParams::new([host.to_owned()]).expect("parameters");
    server.distinguished_name.push(DnType::CommonName, host);
    let key = KeyPair::generate().expect("a key");
    let certificate = server.signed_by(&key, &authority).expect("a certificate");

    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .expect("a certificate and its key");
    (config, authority.pem())
}
