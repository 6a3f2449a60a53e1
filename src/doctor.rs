//! Finds out what keeps people from being heard: on the server's machine, or on the way to it from a user's.
//!
//! No part of the server: it runs as a command, with blocking sockets, and looks at a server from outside. Each check
//! makes one [`Finding`] in plain words. Invariant: a token is never printed, never sent to who has not proved to be the
//! server, and every wait ends by [`TIME_MAX`].

mod addresses;
mod certificate;
mod firewall;
mod host;
mod http;
mod process;
mod reach;
mod report;
mod stream;
mod user;
mod visit;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ecoute::host::addresses::{PublicAddress, advertised_for};
use ecoute::host::secret;
use ecoute::peer;
use ecoute::shell::tls::TlsFiles;
use ecoute::token::{self, Claims, Rights, Scope};
use ecoute::words::Role;

use firewall::Door;
pub use report::Report;
use report::{Finding, since};
pub use visit::Place;
use visit::{Credential, Visit};

/// How long all checks may take.
const TIME_MAX: Duration = Duration::from_secs(15);
/// How long a token lasts that is made for the checks.
const TOKEN_LIFE_S: u64 = 60;
/// What mends that nobody knows where to send media to.
const ADVERTISE: &str = "ecoute serve --public-address IP   # the address that clients send to";
/// Whom a token names that is made for the checks.
const OWN_ID: &str = "doctor";

/// What a server on this machine was started with.
pub struct Server {
    /// At least one.
    pub listens: Vec<SocketAddr>,
    /// Where browsers are sent on to HTTPS.
    pub redirect: Option<SocketAddr>,
    /// The host of the address that users know, where it is told.
    pub host: Option<String>,
    pub public_addresses: Vec<PublicAddress>,
    pub data: PathBuf,
    pub secret: PathBuf,
    /// The file with the keys of an identity provider.
    pub public_keys: Option<PathBuf>,
    pub tls: Option<TlsFiles>,
    /// For where the secret can't be read.
    pub token: Option<String>,
}

/// When the checks must be over.
#[derive(Clone, Copy)]
struct Limit {
    until: Instant,
}

impl Limit {
    fn new() -> Limit {
        Limit { until: instant() + TIME_MAX }
    }

    fn is_over(self) -> bool {
        since(instant(), self.until).is_zero()
    }

    /// Returns how long a step may take that wants at most `step`.
    fn left(self, step: Duration) -> Duration {
        step.min(since(instant(), self.until)).max(Duration::from_millis(1))
    }
}

/// Looks at a server from a user's machine. Without a token one is made where the server's secret is at hand.
pub fn examine_way(place: &Place, token: Option<&str>, secret: &Path, report: &mut Report<'_>) {
    let limit = Limit::new();
    let minted = if token.is_none() { secret::load(secret).ok().map(|secret| mint(&secret)) } else { None };
    let credential = match (token, minted.as_deref()) {
        (Some(token), _) => Some(Credential::Given(token)),
        (None, Some(token)) => Some(Credential::Made(token)),
        (None, None) => None,
    };
    Visit { place, credential, own_addresses: None, limit }.examine(report);
}

/// Looks at the machine that a server runs on, or is to run on, and at the server itself.
pub fn examine_server(server: &Server, report: &mut Report<'_>) {
    let limit = Limit::new();
    let secret = host::examine_data(server, limit, report);
    host::examine_public_keys(server, report);
    let mut found = None;
    for &listen in &server.listens {
        let at_port = host::examine_port(server, listen, limit, report);
        found = found.or(at_port.map(|found| (listen, found)));
    }
    let (process, shown) =
        found.as_ref().map_or((None, None), |(_, found)| (found.process.as_ref(), found.shown.as_ref()));
    host::examine_certificate(server, shown, report);
    host::examine_limits(process, report);
    let own = match host::own_addresses() {
        Ok(own) => own,
        Err(error) => {
            report.add(Finding::wrong(format!("this machine does not list its addresses: {error}"), ADVERTISE));
            Vec::new()
        }
    };
    examine_advertised(server, &own, report);
    host::examine_clock(limit, report);
    report.add(host::judge_openssl(peer::rehearse(instant()), openssl::version::version()));
    let mut doors: Vec<Door> = server.listens.iter().map(|listen| Door::of_server(listen.port())).collect();
    doors.extend(server.redirect.map(|listen| Door::of_redirect(listen.port())));
    doors.dedup();
    firewall::examine(&doors, limit, report);
    let Some((listen, found)) = found else { return };
    if let Some(redirect) = server.redirect {
        let place = Place::new(false, &local(redirect));
        report.add(visit::judge_redirect(local(redirect), &place, limit));
    }
    let place = Place::new(found.shown.is_some(), &local(listen));
    let token = secret.map(|secret| mint(&secret));
    let given = server.token.as_deref().map(Credential::Given);
    let credential = token.as_deref().map(Credential::Made).or(given);
    Visit { place: &place, credential, own_addresses: Some(&own), limit }.examine(report);
}

fn examine_advertised(server: &Server, own: &[IpAddr], report: &mut Report<'_>) {
    match advertised_for(&server.public_addresses, &server.listens) {
        Ok(advertised) => report.add(addresses::judge(&advertised, own)),
        // It was said above.
        Err(_) if own.is_empty() => {}
        Err(error) => report.add(Finding::wrong(format!("no address to send media to: {error}"), ADVERTISE)),
    }
}

/// Returns where a server that listens at `listen` is reached from its own machine.
fn local(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        ip => SocketAddr::new(ip, listen.port()),
    }
}

/// Makes a token for the checks: a supervisor's who may hear nobody.
fn mint(secret: &[u8]) -> String {
    let iat = unix_s();
    let claims = Claims {
        sub: OWN_ID.to_owned(),
        role: Role::Admin,
        name: None,
        listen: Some(Scope::new([])),
        device: false,
        rights: Rights::default(),
        exp: iat + TOKEN_LIFE_S,
        iat,
        nbf: None,
        after_revocation: None,
    };
    token::mint(secret, &claims)
}

fn unix_s() -> u64 {
    wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Says in plain words why something could not be read or reached.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => "cut off".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "no route to it".to_owned(),
        _ => error.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a command measures how long answers take")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a command compares clocks")]
fn wall() -> SystemTime {
    SystemTime::now()
}
