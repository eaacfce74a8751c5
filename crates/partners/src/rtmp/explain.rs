//! From what went wrong to a refusal: a reason and a sentence.

use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::fault::Fault;
use super::handshake::HandshakeError;
use super::refusal::{Reason, Refusal, Step};
use crate::address::Unresolved;

/// What went wrong in a step.
#[derive(Debug)]
pub(super) enum Trouble {
    Unresolved(Unresolved),
    /// The connection could not be made, or broke.
    Connection(io::Error),
    /// The time is over.
    Late,
    /// The server ended the connection in order.
    Ended,
    /// Something else than RTMP answers.
    NotRtmp,
    /// The dialogue failed.
    Fault(Fault),
}

impl From<Unresolved> for Trouble {
    fn from(unresolved: Unresolved) -> Self {
        Self::Unresolved(unresolved)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<HandshakeError> for Trouble {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Connection(error) => Self::Connection(error),
            HandshakeError::NotRtmp(_) => Self::NotRtmp,
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Whose trouble it is: the host and port of the server.
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
}

impl Server<'_> {
    /// The refusal that `trouble` amounts to, which came up in `step`, for which `limit` was the time.
    pub(super) fn refusal(&self, step: Step, trouble: &Trouble, limit: Duration) -> Refusal {
        let (reason, detail) = match trouble {
            Trouble::Unresolved(why) => self.unresolved(why),
            Trouble::Connection(error) => self.broken(step, error),
            Trouble::Late => self.late(step, limit),
            Trouble::Ended => self.ended(step),
            Trouble::NotRtmp => (
                Reason::Handshake,
                format!("What answers at {self} does not speak RTMP; check the host and the port."),
            ),
            Trouble::Fault(fault) => self.fault(step, fault),
        };
        Refusal {
            reason,
            detail,
            step,
        }
    }

    fn unresolved(&self, why: &Unresolved) -> (Reason, String) {
        let host = self.host;
        match why {
            Unresolved::Lookup(_) | Unresolved::Nothing => (
                Reason::Dns,
                format!("The host {host} cannot be found; check its name."),
            ),
            Unresolved::NotPublic => (
                Reason::PrivateAddress,
                format!(
                    "The host {host} leads into a network that is not public; \
                     the operator has not allowed private destinations."
                ),
            ),
        }
    }

    fn broken(&self, step: Step, error: &io::Error) -> (Reason, String) {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
        };
        if let Some(error) = tls_error(error) {
            return (Reason::Tls, self.tls(error));
        }
        match error.kind() {
            ConnectionRefused => (
                Reason::Refused,
                format!("Nobody listens at {self}; check the port, and whether the server runs."),
            ),
            TimedOut => (Reason::Timeout, format!("{self} does not answer.")),
            HostUnreachable | NetworkUnreachable => (
                Reason::Unreachable,
                format!("There is no way from here to {self}."),
            ),
            UnexpectedEof if step >= Step::App => self.ended(step),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
                self.cut(step)
            }
            _ if step == Step::Connect => (
                Reason::Unreachable,
                format!("A connection to {self} cannot be made: {}.", error.kind()),
            ),
            _ => (
                Reason::RemoteClosed,
                format!("The connection to {self} broke: {}.", error.kind()),
            ),
        }
    }

    fn tls(&self, error: &rustls::Error) -> String {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let host = self.host;
        match error {
            InvalidCertificate(why) => match why {
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    format!("The certificate of {self} is for another host than {host}.")
                }
                CertificateError::UnknownIssuer => format!(
                    "The certificate of {self} is signed by an authority that is not trusted here."
                ),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    format!("The certificate of {self} has expired.")
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    format!("The certificate of {self} is not valid yet.")
                }
                CertificateError::Revoked => format!("The certificate of {self} was revoked."),
                _ => format!("The certificate of {self} is not valid."),
            },
            InvalidMessage(_) => format!(
                "What answers at {self} does not speak TLS; check the port, or use rtmp:// if the server \
                 takes no encrypted connections."
            ),
            AlertReceived(alert) => {
                format!("{self} refused the encrypted connection (TLS alert {alert:?}).")
            }
            _ => format!("No encrypted connection could be agreed on with {self}."),
        }
    }

    fn late(&self, step: Step, limit: Duration) -> (Reason, String) {
        let what = match step {
            Step::Resolve => "The host's name was not resolved",
            Step::Connect => "No connection was made",
            Step::Tls => "No encrypted connection came about",
            Step::Handshake => "The handshake of RTMP was not finished",
            Step::App => "The server did not answer the request for the app",
            Step::Publish => "The server did not answer the request to publish",
            Step::Play => "The server did not answer the request to play",
        };
        let seconds = limit.as_secs_f64();
        (
            Reason::Timeout,
            format!("{what} within {seconds} s ({self})."),
        )
    }

    /// Closed in order, without a word: over an app or a key that is wrong, nginx and many platforms do
    /// just that.
    fn ended(&self, step: Step) -> (Reason, String) {
        match step {
            Step::App => (
                Reason::AppRejected,
                format!(
                    "{self} closed the connection when asked for the app; most likely the path in the \
                     URL is wrong."
                ),
            ),
            Step::Publish => (
                Reason::KeyRejected,
                format!(
                    "{self} closed the connection when asked to publish; most likely the stream key is \
                     wrong."
                ),
            ),
            _ => self.cut(step),
        }
    }

    fn cut(&self, step: Step) -> (Reason, String) {
        let when = match step {
            Step::Resolve | Step::Connect => "as soon as it was made",
            Step::Tls => "while it was to be encrypted",
            Step::Handshake => "during the handshake of RTMP",
            Step::App => "when asked for the app",
            Step::Publish => "when asked to publish",
            Step::Play => "when asked to play",
        };
        (
            Reason::RemoteClosed,
            format!("{self} cut the connection {when}."),
        )
    }

    fn fault(&self, step: Step, fault: &Fault) -> (Reason, String) {
        let coded = |code: &Option<&str>| match code {
            Some(code) => format!(" ({code})"),
            None => String::new(),
        };
        match fault {
            Fault::App(code) => (
                Reason::AppRejected,
                format!(
                    "{self} refused the app; check the path in the URL{}.",
                    coded(code)
                ),
            ),
            Fault::Login => (
                Reason::AppRejected,
                format!(
                    "{self} takes only who has a user name and a password, which is not supported."
                ),
            ),
            Fault::Stream(code) => (
                Reason::KeyRejected,
                format!(
                    "{self} refused the stream: the key is wrong, or somebody publishes under it \
                     already{}.",
                    coded(code)
                ),
            ),
            Fault::Closed => self.ended(step),
            Fault::Chunk(_) | Fault::Amf0(_) | Fault::NoCommand | Fault::TooMuch => (
                Reason::Protocol,
                format!("{self} breaks the rules of RTMP: {fault}."),
            ),
        }
    }
}

impl std::fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The TLS error that `error` carries.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
