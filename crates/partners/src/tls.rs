//! Whom an encrypted connection trusts. An RTMP server: the certificate authorities that the operator names; FFmpeg is
//! given the same file, so that a test and a push agree (docs/decisions/0011). A webhook's server: those that the
//! machine trusts.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificate authorities that are trusted; clones share them.
#[derive(Clone)]
pub struct TrustRoots(Arc<RootCertStore>);

/// A text without usable certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificates {
    /// It holds none.
    #[error("there is no certificate in it; a PEM text with BEGIN CERTIFICATE is needed")]
    None,
    /// One of them cannot be read.
    #[error("certificate {number} in it cannot be used: {why}")]
    Unusable {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl TrustRoots {
    /// Those in `pem`, a text of one or more certificates. One that cannot be used refuses them all: GnuTLS,
    /// which FFmpeg uses, would trust none of them.
    ///
    /// # Errors
    /// [`InvalidCertificates`] when there is none in it, or one that cannot be used.
    pub fn of(pem: &[u8]) -> Result<Self, InvalidCertificates> {
        Self::nobody().and(pem)
    }

    /// The authorities that this machine trusts. Reads files, once, some 150 certificates; those that
    /// cannot be used are passed over.
    pub fn system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self(Arc::new(roots))
    }

    /// No authority at all: every certificate is refused.
    pub fn nobody() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// These and those in `pem`, a text of one or more certificates.
    ///
    /// # Errors
    /// [`InvalidCertificates`] when there is none in it, or one that cannot be used.
    pub fn and(&self, pem: &[u8]) -> Result<Self, InvalidCertificates> {
        let mut roots = RootCertStore::clone(&self.0);
        let mut number = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            number += 1;
            let unusable = |why: String| InvalidCertificates::Unusable { number, why };
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
        if number == 0 {
            return Err(InvalidCertificates::None);
        }
        Ok(Self(Arc::new(roots)))
    }

    /// How many authorities are trusted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A client that trusts them, TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// The cryptography knows neither.
    pub fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        Ok(config)
    }
}

impl fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoots({})", self.len())
    }
}
