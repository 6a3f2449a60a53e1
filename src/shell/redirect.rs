//! Answers plain HTTP on a port of its own: sends everybody to HTTPS, and shows a certificate authority what it asks for.
//!
//! A program like certbot puts a file into the directory that is served here, and the authority fetches it, to see who
//! has the name (RFC 8555 §8.3). Nothing else is served: clients of this port never reach the core. Invariant: a client
//! has one request, few bytes and a few seconds, and however many come, so many are kept.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::wire::http::{Request, Response, Status, parse_request};

/// How many clients are kept at one time; the one that came first is dropped for another.
pub(super) const CLIENTS_MAX: usize = 256;

/// How many clients are accepted in one turn.
const ACCEPTS_PER_TURN: usize = 32;

/// How long a client may take for all.
const TIME: Duration = Duration::from_secs(5);

/// How long accepting rests after an error, which is mostly a lack of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// The longest head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How much of what a client sends besides is thrown away before it is dropped, in bytes.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// The longest file for an authority, in bytes; one has about 90.
const CHALLENGE_BYTES_MAX: u64 = 4096;

/// The longest name of such a file, in bytes; one has 43.
const CHALLENGE_NAME_BYTES_MAX: usize = 128;

/// Below the directory that is served (RFC 8555 §8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Where clients of the port are sent, and what an authority may see.
pub struct RedirectTo {
    /// The server's own address, without a slash at the end; otherwise HTTPS at the host that was asked for.
    pub base: Option<String>,
    /// The port of HTTPS there.
    pub port: u16,
    /// The directory in which `.well-known/acme-challenge` is.
    pub webroot: PathBuf,
}

/// The port and its clients.
pub(super) struct Redirect {
    listener: TcpListener,
    registry: Registry,
    to: RedirectTo,
    clients: Vec<Option<Client>>,
    /// The token of the first place among the clients.
    first_token: usize,
    /// When to accept; none until somebody waits.
    accept_at: Option<Instant>,
}

struct Client {
    socket: TcpStream,
    phase: Phase,
    until: Instant,
}

/// Where one client is in its life.
enum Phase {
    /// Waiting for a full head.
    Asking { received: Vec<u8> },
    /// Waiting until the socket takes the rest.
    Answering { answer: Vec<u8>, written: usize },
    /// Waiting for the client to leave: closing at once may cost it what it has not read yet.
    Leaving { discarded: usize },
}

impl Redirect {
    /// Takes over a listener and registers it; clients get the tokens from the one after its own.
    pub(super) fn new(
        listener: std::net::TcpListener,
        to: RedirectTo,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Redirect> {
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, token, Interest::READABLE)?;
        let clients = (0..CLIENTS_MAX).map(|_| None).collect();
        let registry = registry.try_clone()?;
        Ok(Redirect { listener, registry, to, clients, first_token: token.0 + 1, accept_at: None })
    }

    /// Takes an event with one of its tokens.
    pub(super) fn on_event(&mut self, now: Instant, token: Token) {
        match token.0.checked_sub(self.first_token) {
            None => self.accept_at = Some(now),
            Some(place) => self.advance(place),
        }
    }

    /// Returns when [`Redirect::handle_timeout`] must be called next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.clients.iter().flatten().map(|client| client.until).chain(self.accept_at).min()
    }

    /// Drops who took too long, and accepts who waits, as far as one turn goes.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for client in &mut self.clients {
            client.take_if(|client| client.until <= now);
        }
        if self.accept_at.is_none_or(|at| now < at) {
            return;
        }
        self.accept_at = Some(now);
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listener.accept() {
                Ok((socket, _)) => self.admit(now, socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accept_at = None;
                    return;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => {
                    self.accept_at = Some(now + REST);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, mut socket: TcpStream) {
        let free = self.clients.iter().position(Option::is_none);
        let oldest = || self.clients.iter().enumerate().min_by_key(|(_, client)| client.as_ref().map(|c| c.until));
        let Some(place) = free.or_else(|| oldest().map(|(place, _)| place)) else { return };
        self.clients[place] = None;
        let token = Token(self.first_token + place);
        // Fails only where the system has no memory: then this client is dropped.
        if self.registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
            let phase = Phase::Asking { received: Vec::new() };
            self.clients[place] = Some(Client { socket, phase, until: now + TIME });
            self.advance(place);
        }
    }

    /// Goes on with a client until it would block; an event of one that is gone finds nobody, or does no harm.
    fn advance(&mut self, place: usize) {
        let Some(slot) = self.clients.get_mut(place) else { return };
        let is_over = |client: &mut Client| match client.advance(&self.to) {
            Ok(()) => true,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        slot.take_if(is_over);
    }
}

impl Client {
    /// Returns when the client may be dropped.
    fn advance(&mut self, to: &RedirectTo) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match &mut self.phase {
                Phase::Asking { received } => {
                    let length = self.socket.read(&mut buffer)?;
                    if length == 0 {
                        return Ok(());
                    }
                    received.extend(&buffer[..length]);
                    let mut answer = Vec::new();
                    match parse_request(received, HEAD_BYTES_MAX) {
                        Ok(None) => continue,
                        Ok(Some((request, _))) => write_answer(&request, to, &mut answer),
                        Err(error) => Response::new(error.status()).write(&mut answer, false, false),
                    }
                    self.phase = Phase::Answering { answer, written: 0 };
                }
                Phase::Answering { answer, written } => {
                    *written += self.socket.write(&answer[*written..])?;
                    if *written == answer.len() {
                        self.socket.shutdown(Shutdown::Write)?;
                        self.phase = Phase::Leaving { discarded: 0 };
                    }
                }
                Phase::Leaving { discarded } => match self.socket.read(&mut buffer)? {
                    0 => return Ok(()),
                    _ if *discarded > DISCARDED_BYTES_MAX => return Ok(()),
                    length => *discarded += length,
                },
            }
        }
    }
}

fn write_answer(request: &Request, to: &RedirectTo, out: &mut Vec<u8>) {
    let head_only = request.method == "HEAD";
    if let Some(name) = request.path.strip_prefix(CHALLENGES) {
        return match read_challenge(&to.webroot, name) {
            Some(contents) => Response::new(Status::Ok)
                .header("X-Content-Type-Options", "nosniff")
                .body("application/octet-stream", &contents)
                .write(out, head_only, false),
            None => Response::new(Status::NotFound).write(out, head_only, false),
        };
    }
    match location(request, to) {
        Some(location) => {
            // Browsers would keep it for ever, also where HTTPS was tried and given up.
            let response = Response::new(Status::PermanentRedirect).header("Cache-Control", "no-store");
            response.header("Location", &location).write(out, head_only, false);
        }
        None => Response::new(Status::BadRequest).write(out, head_only, false),
    }
}

fn location(request: &Request, to: &RedirectTo) -> Option<String> {
    let Request { path, query, .. } = request;
    if !path.starts_with('/') {
        return None;
    }
    if let Some(base) = &to.base {
        return Some(format!("{base}{path}{query}"));
    }
    let host = request.host.as_deref()?;
    // The port of this listener is not the one of HTTPS.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let port = if to.port == 443 { String::new() } else { format!(":{}", to.port) };
    Some(format!("https://{name}{port}{path}{query}"))
}

/// Returns the contents of a file that an authority asks for: of a plain name, so of no other directory.
fn read_challenge(webroot: &Path, name: &str) -> Option<Vec<u8>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > CHALLENGE_NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return None;
    }
    let path = webroot.join(&CHALLENGES[1..]).join(name);
    // Opening a pipe would wait for its other end; a link may lead anywhere.
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > CHALLENGE_BYTES_MAX {
        return None;
    }
    let mut contents = Vec::new();
    File::open(&path).and_then(|file| file.take(CHALLENGE_BYTES_MAX).read_to_end(&mut contents)).ok()?;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let request = |host: Option<&str>, path: &str, query: &str| Request {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Request::default()
        };
        let to =
            |base: Option<&str>, port| RedirectTo { base: base.map(str::to_owned), port, webroot: PathBuf::new() };
        let public = || to(Some("https://ecoute.example"), 8443);
        let cases = [
            ("default port", to(None, 443), request(Some("a.example"), "/b", "?c"), Some("https://a.example/b?c")),
            (
                "another port",
                to(None, 8443),
                request(Some("a.example:80"), "/", ""),
                Some("https://a.example:8443/"),
            ),
            ("IPv6", to(None, 443), request(Some("[2001:db8::1]"), "/", ""), Some("https://[2001:db8::1]/")),
            (
                "IPv6, port",
                to(None, 1),
                request(Some("[2001:db8::1]:80"), "/", ""),
                Some("https://[2001:db8::1]:1/"),
            ),
            ("public", public(), request(Some("evil.example"), "/x", "?y"), Some("https://ecoute.example/x?y")),
            ("public, no host", public(), request(None, "/x", ""), Some("https://ecoute.example/x")),
            ("no host", to(None, 443), request(None, "/x", ""), None),
            ("no path", to(None, 443), request(Some("a"), "*", ""), None),
        ];
        for (name, to, request, want) in cases {
            assert_eq!(location(&request, &to).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn challenges_are_small_files_of_plain_names() {
        let webroot = tempfile::tempdir().unwrap();
        let folder = webroot.path().join(".well-known/acme-challenge");
        fs::create_dir_all(folder.join("folder")).unwrap();
        fs::write(webroot.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("a-B_9"), "a-B_9.thumb").unwrap();
        fs::write(folder.join("dot.ted"), "x").unwrap();
        fs::write(folder.join("longest"), vec![b'x'; 4096]).unwrap();
        fs::write(folder.join("long"), vec![b'x'; 4097]).unwrap();
        std::os::unix::fs::symlink("../../secret", folder.join("link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
        let cases: &[(&str, Option<usize>)] = &[
            ("a-B_9", Some(11)),
            ("longest", Some(4096)),
            ("long", None),
            ("missing", None),
            ("", None),
            (".", None),
            ("..", None),
            ("../../secret", None),
            ("..%2f..%2fsecret", None),
            ("dot.ted", None),
            ("folder", None),
            ("folder/", None),
            ("link", None),
            ("pipe", None),
            ("a-B_9\0", None),
            (&"x".repeat(129), None),
        ];
        for (name, want) in cases {
            assert_eq!(read_challenge(webroot.path(), name).map(|contents| contents.len()), *want, "{name}");
        }
    }
}
