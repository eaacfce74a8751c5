//! TLS 1.2 and 1.3 with a certificate from files, which may be replaced while the daemon runs.
//!
//! Invariants: a connection keeps the certificate that it began with, the next one has the new one; files that do not fit
//! change nothing, and are told of. They are looked at every few seconds, so that nobody has to say that they are new.

mod validity;

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{DEFAULT_VERSIONS, ServerConfig};
use tokio_rustls::{Accept, TlsAcceptor};
use zeroize::Zeroizing;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A certificate that ends so soon is told of: what renews it by itself does so with a third of 90 days left.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The files of a certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate that can be used.
struct Usable {
    key: Arc<CertifiedKey>,
    /// When it ends.
    ends: Timestamp,
}

impl CertificateFiles {
    /// Whether the files can be used.
    ///
    /// # Errors
    /// One sentence: which one cannot be, and why.
    pub fn check(&self) -> Result<(), String> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Usable, String> {
        let bytes = |file: &Path| {
            std::fs::read(file)
                .map(Zeroizing::new)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))
        };
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&bytes(&self.certificate)?).collect();
        let chain = chain.map_err(|error| format!("{certificate} is no PEM: {error}"))?;
        let Some(first) = chain.first() else {
            return Err(format!(
                "{certificate} holds no certificate; a PEM text with BEGIN CERTIFICATE is needed"
            ));
        };
        let ends = validity::ends(first)
            .ok_or_else(|| format!("{certificate} holds a certificate that cannot be read"))?;
        let private = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?)
            .map_err(|error| format!("{key} holds no private key in PEM: {error}"))?;
        let fitted = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let fitted = fitted.map_err(|error| {
            format!("{key} is not the key of the certificate in {certificate}: {error}")
        })?;
        Ok(Usable {
            key: Arc::new(fitted),
            ends,
        })
    }

    /// What is another when a file is.
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|file| {
            let file = std::fs::metadata(file).ok()?;
            Some([
                file.dev(),
                file.ino(),
                file.size(),
                file.mtime().cast_unsigned(),
                file.mtime_nsec().cast_unsigned(),
                file.ctime().cast_unsigned(),
                file.ctime_nsec().cast_unsigned(),
            ])
        })
    }
}

type Stamp = [Option<[u64; 7]>; 2];

/// What connections are encrypted with. Clones share it.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    served: Arc<Served>,
}

/// The certificate that is served.
struct Served {
    files: CertificateFiles,
    /// Read for each handshake.
    key: RwLock<Arc<CertifiedKey>>,
    /// What was seen of the files at the last look.
    seen: Mutex<Seen>,
}

struct Seen {
    stamp: Stamp,
    /// When the certificate ends that is served.
    ends: Timestamp,
    /// Why the files as they are now are not served.
    unusable: Option<String>,
}

impl Tls {
    /// With the certificate in `files`.
    ///
    /// # Errors
    /// One sentence: the files cannot be used.
    pub fn new(files: CertificateFiles) -> Result<Self, String> {
        let stamp = files.stamp();
        let Usable { key, ends } = files.read()?;
        let served = Arc::new(Served {
            files,
            key: RwLock::new(key),
            seen: Mutex::new(Seen {
                stamp,
                ends,
                unusable: None,
            }),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            served,
        })
    }

    /// The handshake.
    pub(super) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        self.acceptor.accept(stream)
    }

    /// Takes what is new in the files, and says what is wrong at `now`. Reads files.
    pub(super) fn look(&self, now: Timestamp) -> Option<String> {
        let served = &self.served;
        let mut seen = served.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the files are read: what changes meanwhile is seen at the next look.
        let stamp = served.files.stamp();
        if stamp != seen.stamp {
            seen.stamp = stamp;
            seen.unusable = match served.files.read() {
                Ok(Usable { key, ends }) => {
                    seen.ends = ends;
                    *served.key.write().unwrap_or_else(PoisonError::into_inner) = key;
                    tracing::info!(%ends, "connections have a new certificate");
                    None
                }
                Err(sentence) => Some(sentence),
            };
        }
        let (ends, file) = (seen.ends, served.files.certificate.display());
        if let Some(sentence) = &seen.unusable {
            return Some(format!(
                "{sentence}; the certificate from before is served, which ends at {ends}"
            ));
        }
        (ends.duration_since(now) < SOON)
            .then(|| format!("the certificate in {file} ends at {ends}: renew it"))
    }

    /// Looks at the files again and again; what is wrong is logged, and in `trouble`, which hears of the first look and of
    /// every change. Ends when nobody is there to hear it.
    pub async fn follow(self, trouble: watch::Sender<Option<String>>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut first = true;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = trouble.closed() => return,
            }
            let tls = self.clone();
            let look = tokio::task::spawn_blocking(move || tls.look(Timestamp::now()));
            let Ok(now) = look.await else { continue };
            trouble.send_if_modified(|before| {
                let changed = *before != now;
                match &now {
                    Some(why) if changed => tracing::warn!(why, "the certificate of the listener"),
                    None if changed => {
                        tracing::info!("the certificate of the listener is in order")
                    }
                    _ => {}
                }
                *before = now;
                changed || std::mem::take(&mut first)
            });
        }
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.served.fmt(f)
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.files).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A certificate that ends on a day, and its key.
    fn made(year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["tv.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 6, 30);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn files(folder: &Path, (certificate, key): (&str, &str)) -> CertificateFiles {
        let files = CertificateFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        // As certbot does it: another file under the name.
        for (path, text) in [(&files.certificate, certificate), (&files.key, key)] {
            std::fs::write(folder.join("new"), text).unwrap();
            std::fs::rename(folder.join("new"), path).unwrap();
        }
        files
    }

    fn served(tls: &Tls) -> Vec<u8> {
        let key = tls.served.key.read().unwrap();
        key.end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn new_files_are_served_and_those_that_do_not_fit_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let (first, second) = (made(2040), made(2041));
        let tls = Tls::new(files(folder.path(), (&first.0, &first.1))).unwrap();
        let before = served(&tls);
        assert_eq!(tls.look(now), None);
        // The certificate is there, its key is not yet.
        files(folder.path(), (&second.0, &first.1));
        let told = tls.look(now).unwrap();
        assert!(
            told.contains("is not the key") && told.contains("2040-06-30"),
            "{told}"
        );
        assert_eq!(tls.look(now), Some(told), "it is still so");
        assert_eq!(served(&tls), before);
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        assert!(tls.look(now).unwrap().contains("cannot be read"));
        assert_eq!(served(&tls), before);
        files(folder.path(), (&second.0, &second.1));
        assert_eq!(tls.look(now), None);
        assert_ne!(served(&tls), before);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = made(2040);
        let tls = Tls::new(files(folder.path(), (&certificate, &key))).unwrap();
        let at = |time: &str| tls.look(time.parse().unwrap());
        assert_eq!(at("2040-06-15T23:59:59Z"), None);
        for soon in ["2040-06-16T00:00:01Z", "2041-01-01T00:00:00Z"] {
            let told = at(soon).unwrap();
            assert!(told.contains("ends at 2040-06-30T00:00:00Z"), "{told}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_with_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = made(2040);
        let other = made(2040).1;
        for (pair, part) in [
            ((&*certificate, &*other), "key.pem is not the key"),
            ((&*certificate, "nothing"), "key.pem holds no private key"),
            ((&*key, &*key), "cert.pem holds no certificate"),
            (
                (
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                    &*key,
                ),
                "cert.pem holds a certificate that cannot be read",
            ),
        ] {
            let refused = files(folder.path(), pair).check().unwrap_err();
            assert!(refused.contains(part), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
        let files = files(folder.path(), (&certificate, &key));
        files.check().unwrap();
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(
            files
                .check()
                .unwrap_err()
                .contains("cert.pem cannot be read")
        );
    }
}
