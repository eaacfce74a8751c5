//! A mail server that knows just enough SMTP (RFC 5321), and refuses where it is told to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// What it answers to one command instead of what it should.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fault {
    /// The command, in capitals; empty: none.
    pub command: &'static str,
    /// The answer; empty: none ever comes.
    pub answer: &'static str,
}

/// A mail that was taken.
#[derive(Debug, Default, Clone)]
pub struct Mail {
    /// What came with MAIL.
    pub from: String,
    /// What came with RCPT.
    pub to: String,
    /// What came with AUTH PLAIN, as it was sent.
    pub login: Option<String>,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// Head and body.
    pub text: String,
}

/// See the module's head; it ends when it is dropped.
pub struct MailServer {
    /// Where it listens.
    pub address: SocketAddr,
    taken: mpsc::UnboundedReceiver<Mail>,
    task: AbortHandle,
}

impl MailServer {
    /// One that does everything right but what `fault` says; it offers STARTTLS where it has a `tls`.
    pub async fn start(fault: Fault, tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, taken) = mpsc::unbounded_channel();
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(session(stream, fault, tls.clone(), tell.clone()));
            }
        });
        Self {
            address,
            taken,
            task: task.abort_handle(),
        }
    }

    /// The next mail that it takes, which has to come within half a minute.
    pub async fn next(&mut self) -> Mail {
        let next = tokio::time::timeout(super::BOUND, self.taken.recv());
        next.await.expect("a mail").unwrap()
    }

    /// Whether it has taken nothing that was not looked at.
    pub fn is_idle(&mut self) -> bool {
        self.taken.try_recv().is_err()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn session(
    stream: TcpStream,
    fault: Fault,
    tls: Option<TlsAcceptor>,
    tell: mpsc::UnboundedSender<Mail>,
) {
    let mut stream = BufReader::new(stream);
    let _ = stream.write_all(b"220 test ESMTP\r\n").await;
    let begins_tls = talk(&mut stream, fault, tls.is_some(), false, &tell).await;
    if let (true, Some(tls)) = (begins_tls, tls)
        && let Ok(stream) = tls.accept(stream.into_inner()).await
    {
        let mut stream = BufReader::new(stream);
        talk(&mut stream, fault, false, true, &tell).await;
    }
}

/// Talks until the client leaves; true when TLS begins now.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    fault: Fault,
    offers_tls: bool,
    tls: bool,
    tell: &mpsc::UnboundedSender<Mail>,
) -> bool {
    let mut mail = Mail {
        tls,
        ..Mail::default()
    };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        let line = line.trim_end();
        let (command, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        let answer = match command.to_ascii_uppercase().as_str() {
            command if !fault.command.is_empty() && command == fault.command => fault.answer,
            "EHLO" if offers_tls => "250-test\r\n250 STARTTLS",
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN",
            "STARTTLS" => {
                let _ = stream.write_all(b"220 go\r\n").await;
                return true;
            }
            "AUTH" => {
                mail.login = Some(rest.to_owned());
                "235 known"
            }
            "MAIL" => {
                mail.from = rest.to_owned();
                "250 ok"
            }
            "RCPT" => {
                mail.to = rest.to_owned();
                "250 ok"
            }
            "DATA" => {
                let _ = stream.write_all(b"354 go\r\n").await;
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return false;
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                let _ = tell.send(mail.clone());
                "250 taken"
            }
            "QUIT" => {
                let _ = stream.write_all(b"221 bye\r\n").await;
                return false;
            }
            _ => "502 what?",
        };
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
    }
}
