//! A visit to a server as any client makes it: its name, its port, its certificate, its pages, its clock.
//!
//! Invariant: what can't be known because of something before is not said.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tungstenite::http::Uri;

use super::http::{self, Answer};
use super::report::{Finding, Report};
use super::stream::{self, Stream};
use super::{Limit, certificate, user, wall, words};

/// How long a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;
/// A clock that is off by less harms nobody, in seconds.
const SKEW_S_MAX: i64 = 3;
/// What the server answers at `/health`.
const HEALTHY: &[u8] = br#"{"status":"ok"}"#;
/// What it answers while it ends.
const DRAINING: &[u8] = br#"{"status":"draining"}"#;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub is_https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// What stands before every path of ours.
    pub prefix: String,
}

/// What makes a visitor somebody.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    Given(&'a str),
    /// Made for this visit, from the server's own secret.
    Made(&'a str),
}

/// Who visits, and where.
pub struct Visit<'a> {
    pub place: &'a Place,
    pub credential: Option<Credential<'a>>,
    /// The addresses of the server's machine, where it is this one: then it needs no certificate to be believed.
    pub own_addresses: Option<&'a [IpAddr]>,
    pub limit: Limit,
}

impl Place {
    pub fn new(is_https: bool, address: &SocketAddr) -> Place {
        Place { is_https, host: address.ip().to_string(), port: address.port(), prefix: String::new() }
    }

    /// Reads a URL of a server; `None` where it is none.
    pub fn parse(url: &str) -> Option<Place> {
        let uri: Uri = url.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Some(Place { is_https, host, port, prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Returns the host and the port where it is not the scheme's own, as URLs have them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.is_https { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }

    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.is_https { "https" } else { "http" }, self.authority(), self.prefix)
    }
}

impl Visit<'_> {
    pub fn examine(&self, report: &mut Report<'_>) {
        let Some(addresses) = self.resolve(report) else { return };
        let Some(address) = self.reach(&addresses, report) else { return };
        let Some((stream, is_proved)) = self.open(address, report) else { return };
        if !self.examine_pages(stream, report) {
            return;
        }
        if self.own_addresses.is_none() {
            self.examine_redirect(address, report);
        }
        let is_local = self.own_addresses.is_some();
        match self.credential {
            Some(_) if !is_proved && !is_local => report.add(Finding::warning(
                "audio is not tested: the token is sent to nobody who can't prove to be the server",
                "mend the certificate first",
            )),
            Some(credential) => user::examine(self, address, credential, report),
            None => {
                user::examine_upgrade(self, address, report);
                let mend = "ECOUTE_TOKEN=… ecoute doctor --url URL   # from: ecoute token --role admin --id NAME --ttl 15m";
                report.add(Finding::warning("audio is not tested: that takes a token", mend));
            }
        }
    }

    fn resolve(&self, report: &mut Report<'_>) -> Option<Vec<SocketAddr>> {
        let Place { host, port, .. } = self.place;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(ip, *port)]);
        }
        let addresses = resolve(host, *port, self.limit);
        match addresses {
            Ok(addresses) => {
                let listed: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
                report.add(Finding::ok(format!("{host} is {}", listed.join(", "))));
                Some(addresses)
            }
            Err(error) => {
                let text = format!("the name {host} has no address ({error})");
                report.add(Finding::wrong(
                    text,
                    format!("{host}. IN A IP   # in the zone of the name, the server's public address"),
                ));
                None
            }
        }
    }

    /// Connects to all addresses at once; returns the first that answers.
    fn reach(&self, addresses: &[SocketAddr], report: &mut Report<'_>) -> Option<SocketAddr> {
        let limit = self.limit;
        let tried: Vec<(SocketAddr, io::Result<()>)> = thread::scope(|scope| {
            let tries: Vec<_> = addresses
                .iter()
                .map(|&address| (address, scope.spawn(move || stream::connect(address, limit).map(drop))))
                .collect();
            let broken = || Err(io::Error::other("the check itself failed"));
            tries.into_iter().map(|(address, tried)| (address, tried.join().unwrap_or_else(|_| broken()))).collect()
        });
        let first = tried.iter().find(|(_, tried)| tried.is_ok()).map(|&(address, _)| address);
        for (address, tried) in &tried {
            match tried {
                Ok(()) => report.add(Finding::ok(format!("TCP {address} answers"))),
                Err(error) => report.add(unreached(*address, error, first.is_some())),
            }
        }
        first
    }

    /// Returns a connection, and whether it is proved that the server is at its other end.
    fn open(&self, address: SocketAddr, report: &mut Report<'_>) -> Option<(Stream, bool)> {
        let place = self.place;
        if !place.is_https {
            return match stream::connect(address, self.limit) {
                // Whoever writes http:// wants no proof.
                Ok(stream) => Some((Stream::Plain(stream), true)),
                Err(error) => {
                    report.add(unreached(address, &error, false));
                    None
                }
            };
        }
        match stream::connect_tls(address, &place.host, self.limit) {
            Ok((stream, shown)) => {
                if self.own_addresses.is_none() {
                    let findings = certificate::judge(&shown, Some(&place.host), wall());
                    findings.into_iter().for_each(|finding| report.add(finding));
                }
                Some((stream, shown.verdict.is_ok()))
            }
            Err(error) => {
                let text = format!("TCP {address} answers, but speaks no TLS ({})", words(&error));
                let plain = Place { is_https: false, ..place.clone() }.url();
                let mend = format!(
                    "ecoute serve --tls-cert FILE --tls-key FILE   # on the server; without TLS it is {plain}"
                );
                report.add(Finding::wrong(text, mend));
                None
            }
        }
    }

    /// Tells whether it is the server that answers.
    fn examine_pages(&self, mut stream: Stream, report: &mut Report<'_>) -> bool {
        let place = self.place;
        let path = format!("{}/health", place.prefix);
        let answer = match http::get(&mut stream, &place.authority(), &path, "", self.limit) {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{} does not answer as a web server ({})", place.url(), words(&error));
                let other = Place { is_https: !place.is_https, ..place.clone() }.url();
                report.add(Finding::wrong(
                    text,
                    format!("ecoute doctor --url {other}   # or the port is another program's"),
                ));
                return false;
            }
        };
        let finding = judge_health(place, &answer);
        let is_ours = answer.body == HEALTHY;
        report.add(finding);
        if let Some(finding) = answer.skew_s().filter(|_| is_ours).map(judge_skew) {
            report.add(finding);
        }
        let is_elsewhere = self.own_addresses.is_none() && !is_loopback(&place.host);
        if is_ours && !place.is_https && is_elsewhere {
            let text = "without https:// browsers give the pages no microphone";
            report.add(Finding::warning(
                text,
                "ecoute serve --tls-cert FILE --tls-key FILE   # on the server, or a proxy in front",
            ));
        }
        is_ours
    }

    /// Who types the name alone comes without TLS first.
    fn examine_redirect(&self, address: SocketAddr, report: &mut Report<'_>) {
        let place = self.place;
        if place.is_https {
            let port = if place.port == 443 { 80 } else { place.port };
            let plain = Place { is_https: false, port, ..place.clone() };
            report.add(judge_redirect(SocketAddr::new(address.ip(), port), &plain, self.limit));
        }
    }
}

/// Asks for a page without TLS, and says whether that leads to HTTPS.
pub fn judge_redirect(address: SocketAddr, plain: &Place, limit: Limit) -> Finding {
    let path = if plain.prefix.is_empty() { "/" } else { plain.prefix.as_str() };
    let asked = stream::connect(address, limit)
        .and_then(|stream| http::get(&mut Stream::Plain(stream), &plain.authority(), path, "", limit));
    let url = plain.url();
    let mend = "ecoute serve --http-redirect [::]:80   # on the server, or the proxy's own redirect";
    let leads = |answer: &Answer| answer.header("Location").is_some_and(|to| to.starts_with("https://"));
    match asked {
        Ok(answer) if (300..400).contains(&answer.status) && leads(&answer) => {
            Finding::ok(format!("{url} leads to https://"))
        }
        Ok(answer) => {
            let status = answer.status;
            let text = format!(
                "{url} answers {status} and does not lead to https://: who types the name alone gets no microphone"
            );
            Finding::warning(text, mend)
        }
        Err(error) => {
            let text = format!("{url}: {}, so who types the name alone finds nothing", words(&error));
            Finding::warning(text, mend)
        }
    }
}

/// Asks the system, which may take longer than anybody wants to wait.
fn resolve(host: &str, port: u16, limit: Limit) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = mpsc::channel();
    let host = host.to_owned();
    thread::Builder::new().spawn(move || {
        // Nobody waits any more where this fails.
        let _ = sender.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect));
    })?;
    let answered = receiver.recv_timeout(limit.left(RESOLVE));
    let found: Vec<SocketAddr> = answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

fn unreached(address: SocketAddr, error: &io::Error, others_answer: bool) -> Finding {
    let port = address.port();
    let text = format!("TCP {address}: {}", words(error));
    let no_route = matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable);
    match error.kind() {
        _ if no_route && others_answer => Finding::ok(format!("{text}, so this machine takes another address")),
        _ if others_answer => Finding::warning(
            format!("{text}: some clients try it first"),
            "take this address out of the name's zone",
        ),
        io::ErrorKind::ConnectionRefused => {
            let mend =
                format!("systemctl start ecoute   # on the server; it listens elsewhere? --listen [::]:{port}");
            Finding::wrong(format!("{text}: nobody listens there"), mend)
        }
        _ => {
            let mend = format!("ufw allow {port}/tcp   # on the server, and in the firewalls between");
            Finding::wrong(format!("{text}: a firewall swallows it, or the address is wrong"), mend)
        }
    }
}

fn judge_health(place: &Place, answer: &Answer) -> Finding {
    let ms = answer.took.as_secs_f64() * 1000.0;
    let proxy = answer.header("Server").or(answer.header("Via")).unwrap_or("a proxy");
    match answer.status {
        200 if answer.body == HEALTHY => {
            Finding::ok(format!("{} is écoute and answers in {ms:.0} ms", place.url()))
        }
        503 if answer.body == DRAINING => {
            Finding::warning("the server is stopping", "wait a moment, then: ecoute doctor")
        }
        502..=504 => {
            let text =
                format!("{proxy} answers {}: it is there, but does not reach écoute behind it", answer.status);
            Finding::wrong(
                text,
                "systemctl restart ecoute   # on the server; the proxy must pass on to its --listen",
            )
        }
        300..=399 => {
            let to = answer.header("Location").unwrap_or_default();
            let to = to.trim_end_matches("/health");
            Finding::wrong(format!("{} leads elsewhere", place.url()), format!("ecoute doctor --url {to}"))
        }
        429 => {
            Finding::warning("the server has had too much from this network", "wait a minute, then: ecoute doctor")
        }
        status => {
            let server = answer.header("Server").unwrap_or("somebody");
            let text = format!("{} is not écoute: {server} answers {status}", place.url());
            Finding::wrong(text, "ecoute doctor --url URL   # the server's own; or stop that program on the server")
        }
    }
}

/// `skew_s` is by how much the server's clock is ahead.
fn judge_skew(skew_s: i64) -> Finding {
    if skew_s.abs() <= SKEW_S_MAX {
        return Finding::ok("this machine and the server have the same time");
    }
    let direction = if skew_s > 0 { "ahead of" } else { "behind" };
    let text = format!(
        "the server's clock is {} s {direction} this machine's: tokens look expired, or as if not yet issued",
        skew_s.abs()
    );
    Finding::wrong(text, "timedatectl set-ntp true   # on the one of the two that is wrong")
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |is_https, host: &str, port, prefix: &str| {
            Some(Place { is_https, host: host.into(), port, prefix: prefix.into() })
        };
        for (url, want, authority) in [
            ("https://ecoute.example", place(true, "ecoute.example", 443, ""), "ecoute.example"),
            ("http://localhost:8080", place(false, "localhost", 8080, ""), "localhost:8080"),
            ("https://[2001:db8::1]:8443", place(true, "2001:db8::1", 8443, ""), "[2001:db8::1]:8443"),
            ("https://ecoute.example/live/", place(true, "ecoute.example", 443, "/live"), "ecoute.example"),
        ] {
            let parsed = Place::parse(url);
            assert_eq!(parsed, want, "{url}");
            assert_eq!(parsed.unwrap().authority(), authority, "{url}");
        }
        for url in ["ftp://a", "ecoute.example", "https://", ""] {
            assert_eq!(Place::parse(url), None, "{url}");
        }
    }
}
