//! Asks each address of a session's answer whether it answers: a binding request as WebRTC makes it, signed with the
//! session's own password (RFC 8445 §7.2.2), over UDP and over TCP (RFC 6544, framed as RFC 4571 says).
//!
//! Invariant: only an answer that is signed with the same password counts.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use ecoute::wire::sdp;
use str0m::ice::{StunMessage, TransId};

use super::addresses::is_public;
use super::report::Finding;
use super::{Limit, instant, stream, words};

/// How long an address may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often a request over UDP is sent again.
const REPEAT: Duration = Duration::from_millis(250);
/// How many addresses are asked: more than a server advertises.
const CANDIDATES_MAX: usize = 32;
/// More than any answer takes, in bytes.
const MESSAGE_BYTES_MAX: usize = 2048;
/// Of a host candidate (RFC 8445 §5.1.2.1).
const PRIORITY: u32 = 126 << 24;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Udp,
    Tcp,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Udp => "UDP",
            Way::Tcp => "TCP",
        }
    }

    fn of_ufw(self) -> &'static str {
        match self {
            Way::Udp => "udp",
            Way::Tcp => "tcp",
        }
    }
}

/// An address that a session may be reached at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub way: Way,
    pub address: SocketAddr,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The session answered; `mapped` is where it saw the request come from.
    Answered {
        took: Duration,
        mapped: SocketAddr,
    },
    /// Somebody else answered, or the session did not sign.
    Unsigned,
    Failed(io::Error),
}

/// What both ends sign with.
pub struct Session<'a> {
    answer: &'a str,
    /// The user fragment that was offered.
    ufrag: &'a str,
}

impl<'a> Session<'a> {
    /// Returns the session of an answer (SDP) to an offer with this user fragment.
    pub fn new(answer: &'a str, ufrag: &'a str) -> Session<'a> {
        Session { answer, ufrag }
    }

    /// Returns where the session may be reached, in the answer's order.
    pub fn candidates(&self) -> Vec<Candidate> {
        self.answer.lines().filter_map(parse_candidate).take(CANDIDATES_MAX).collect()
    }

    /// Asks all of them at once.
    pub fn ask(&self, limit: Limit) -> Vec<(Candidate, Outcome)> {
        let candidates = self.candidates();
        thread::scope(|scope| {
            let ask = |&candidate: &Candidate| (candidate, scope.spawn(move || self.ask_one(candidate, limit)));
            let asked: Vec<_> = candidates.iter().map(ask).collect();
            let broken = || Outcome::Failed(io::Error::other("the check itself failed"));
            asked
                .into_iter()
                .map(|(candidate, asked)| (candidate, asked.join().unwrap_or_else(|_| broken())))
                .collect()
        })
    }

    fn ask_one(&self, Candidate { way, address }: Candidate, limit: Limit) -> Outcome {
        let asked = match way {
            Way::Udp => self.ask_udp(address, limit),
            Way::Tcp => self.ask_tcp(address, limit),
        };
        asked.unwrap_or_else(Outcome::Failed)
    }

    fn ask_udp(&self, address: SocketAddr, limit: Limit) -> io::Result<Outcome> {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        let id = TransId::new();
        let request = self.request(id)?;
        let until = instant() + limit.left(ANSWER);
        let mut outcome = Err(io::ErrorKind::TimedOut.into());
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        while instant() < until {
            let sent = instant();
            socket.send(&request)?;
            let next = (sent + REPEAT).min(until);
            while let Some(left) = next.checked_duration_since(instant()).filter(|left| !left.is_zero()) {
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut bytes) {
                    Ok(len) => match self.read_answer(bytes.get(..len).unwrap_or_default(), id, sent) {
                        Some(answered @ Outcome::Answered { .. }) => return Ok(answered),
                        Some(other) => outcome = Ok(other),
                        None => {}
                    },
                    Err(error) if is_timeout(&error) => break,
                    // Nobody is at that port, says the host: ask again, it may only now begin.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        // Somebody who answered wrongly stays so.
                        outcome = outcome.or(Err(error));
                        thread::park_timeout(left);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        outcome
    }

    fn ask_tcp(&self, address: SocketAddr, limit: Limit) -> io::Result<Outcome> {
        let mut stream = stream::connect(address, limit)?;
        let id = TransId::new();
        let request = self.request(id)?;
        let length = u16::try_from(request.len()).map_err(io::Error::other)?;
        let sent = instant();
        stream.write_all(&[&length.to_be_bytes(), request.as_slice()].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length)).min(MESSAGE_BYTES_MAX)];
        stream.read_exact(&mut answer)?;
        Ok(self.read_answer(&answer, id, sent).unwrap_or(Outcome::Unsigned))
    }

    fn request(&self, id: TransId) -> io::Result<Vec<u8>> {
        let (ufrag, password) = self.credentials()?;
        let username = format!("{ufrag}:{}", self.ufrag);
        let message = StunMessage::binding_request(&username, id, true, 1, PRIORITY, false);
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let len = message.to_bytes(Some(password.as_bytes()), &mut bytes, sign).map_err(io::Error::other)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Reads an answer to this request; `None` where it is one to nothing of ours.
    fn read_answer(&self, bytes: &[u8], id: TransId, sent: Instant) -> Option<Outcome> {
        let took = instant().saturating_duration_since(sent);
        let Ok(message) = StunMessage::parse(bytes) else { return Some(Outcome::Unsigned) };
        if message.trans_id() != id || !message.is_successful_binding_response() {
            return Some(Outcome::Unsigned);
        }
        let (_, password) = self.credentials().ok()?;
        let mapped = message.mapped_address().filter(|_| message.verify(password.as_bytes(), sign));
        Some(mapped.map_or(Outcome::Unsigned, |mapped| Outcome::Answered { took, mapped }))
    }

    fn credentials(&self) -> io::Result<(&'a str, &'a str)> {
        sdp::credentials(self.answer).ok_or_else(|| io::Error::other("the answer has no ICE credentials"))
    }
}

/// Signs as STUN does (RFC 8489 §14.5).
fn sign(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("SHA-1 has 20 bytes")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Reads `a=candidate:foundation component transport priority address port typ …` (RFC 8839 §5.1).
fn parse_candidate(line: &str) -> Option<Candidate> {
    let mut fields = line.trim_end().strip_prefix("a=candidate:")?.split(' ').skip(2);
    let way = match fields.next()?.to_ascii_lowercase().as_str() {
        "udp" => Way::Udp,
        "tcp" if line.contains(" tcptype passive") => Way::Tcp,
        _ => return None,
    };
    let ip: IpAddr = fields.nth(1)?.parse().ok()?;
    Some(Candidate { way, address: SocketAddr::new(ip, fields.next()?.parse().ok()?) })
}

/// Says what the outcomes mean. `own` are the addresses of the server's machine, where it is this one.
pub fn judge(outcomes: &[(Candidate, Outcome)], own: Option<&[IpAddr]>) -> Vec<Finding> {
    let answers = |way| {
        let of_way = outcomes.iter().filter(move |(candidate, _)| candidate.way == way);
        of_way.filter(|(_, outcome)| matches!(outcome, Outcome::Answered { .. })).count()
    };
    let mut findings = Vec::new();
    for (candidate, outcome) in outcomes {
        let is_only = answers(candidate.way) == 0;
        findings.push(match outcome {
            Outcome::Answered { took, mapped } => {
                let (way, address, ms) = (candidate.way.name(), candidate.address, took.as_secs_f64() * 1000.0);
                Finding::ok(format!(
                    "audio by {way} to {address}: answered in {ms:.1} ms, from {mapped} as it is seen there"
                ))
            }
            Outcome::Unsigned => {
                let Candidate { way, address } = candidate;
                let text = format!("audio by {} to {address}: somebody else answers", way.name());
                Finding::wrong(text, format!("ecoute serve --public-address IP   # {} is another's", address.ip()))
            }
            Outcome::Failed(error) => failed(*candidate, error, is_only, own),
        });
    }
    for way in [Way::Udp, Way::Tcp] {
        if answers(way) > 0 || !outcomes.iter().any(|(candidate, _)| candidate.way == way) {
            continue;
        }
        let name = way.name();
        let others = match way {
            Way::Udp if answers(Way::Tcp) > 0 => "audio goes over TCP, and stutters where packets are lost",
            Way::Tcp if answers(Way::Udp) > 0 => "audio goes over UDP, but nobody hears from where UDP is blocked",
            Way::Udp | Way::Tcp => "nobody can hear or be heard from here",
        };
        let text = format!("{name} does not get through to the server: {others}");
        let ports = outcomes.iter().find(|(candidate, _)| candidate.way == way);
        let port = ports.map_or(0, |(candidate, _)| candidate.address.port());
        let mend = format!("ufw allow {port}/{}   # on the server, and in the firewalls between", way.of_ufw());
        findings.push(Finding::wrong(text, mend));
    }
    findings
}

fn failed(candidate: Candidate, error: &io::Error, is_only: bool, own: Option<&[IpAddr]>) -> Finding {
    let Candidate { way, address } = candidate;
    let text = format!("audio by {} to {address}: {}", way.name(), words(error));
    let no_route = matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable);
    if no_route && !is_only {
        return Finding::ok(format!("{text}, so this machine takes another way"));
    }
    match own {
        Some(own) if !own.contains(&address.ip()) => {
            let text = format!(
                "{text}; that is no address of this machine, and some routers do not pass on what comes from inside"
            );
            Finding::warning(text, "ecoute doctor --url URL --token TOKEN   # from a machine elsewhere")
        }
        Some(_) => {
            let mend = format!("ufw allow {}/{}", address.port(), way.of_ufw());
            Finding::wrong(format!("{text}, though the address is this machine's"), mend)
        }
        None if !is_only && !is_public(address.ip()) => {
            Finding::ok(format!("{text}, as is to be expected of a private address from outside"))
        }
        None if !is_only => {
            let mend = format!("ecoute serve --public-address IP   # on the server; leave out {}", address.ip());
            Finding::warning(format!("{text}: clients lose time on it, though others answer"), mend)
        }
        None if !is_public(address.ip()) => {
            let text = format!("{text}; the server advertises a private address");
            Finding::wrong(
                text,
                "ecoute serve --public-address IP   # on the server: the address that clients reach",
            )
        }
        None => {
            let mend = format!(
                "ufw allow {}/{}   # on the server, if {} is its address; else: ecoute serve --public-address IP",
                address.port(),
                way.of_ufw(),
                address.ip()
            );
            Finding::wrong(text, mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    const ANSWER_SDP: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=candidate:1 1 udp 2130706175 203.0.113.7 8080 typ host\r\n\
        a=candidate:2 1 UDP 2130706175 2001:db8::7 8080 typ host\r\n\
        a=candidate:3 1 tcp 1 203.0.113.7 443 typ host tcptype passive\r\n\
        a=candidate:4 1 tcp 1 203.0.113.7 9 typ host tcptype active\r\n\
        a=candidate:5 1 udp 1 abc.local 9 typ host\r\n\
        a=candidate:6 1 udp\r\n";

    fn at(way: Way, address: &str) -> Candidate {
        Candidate { way, address: address.parse().unwrap() }
    }

    #[test]
    fn reads_candidates() {
        let want =
            [at(Way::Udp, "203.0.113.7:8080"), at(Way::Udp, "[2001:db8::7]:8080"), at(Way::Tcp, "203.0.113.7:443")];
        assert_eq!(Session::new(ANSWER_SDP, "ours").candidates(), want);
    }

    /// Answers one request as a server with this password would, from a forged socket or its own.
    fn answer(password: &'static str) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = socket.local_addr().unwrap();
        thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 2048];
                let (len, from) = socket.recv_from(&mut bytes).unwrap();
                let request = StunMessage::parse(&bytes[..len]).unwrap();
                assert_eq!(request.username(), Some("abcd:ours"));
                assert!(request.verify(b"0123456789012345678901", sign));
                let reply = StunMessage::binding_reply(request.trans_id(), from);
                let mut bytes = [0; 2048];
                let len = reply.to_bytes(Some(password.as_bytes()), &mut bytes, sign).unwrap();
                socket.send_to(&bytes[..len], from).unwrap();
            })
            .unwrap();
        address
    }

    #[test]
    fn only_a_signed_answer_counts() {
        let session = Session::new(ANSWER_SDP, "ours");
        let good = Candidate { way: Way::Udp, address: answer("0123456789012345678901") };
        let Outcome::Answered { mapped, .. } = session.ask_one(good, Limit::new()) else { panic!("no answer") };
        assert!(mapped.ip().is_loopback());
        let forged = Candidate { way: Way::Udp, address: answer("another password of somebody") };
        assert!(matches!(session.ask_one(forged, Limit::new()), Outcome::Unsigned));
    }

    #[test]
    fn what_outcomes_mean() {
        let ok =
            || Outcome::Answered { took: Duration::from_millis(12), mapped: "198.51.100.9:4000".parse().unwrap() };
        let failed = |kind: io::ErrorKind| Outcome::Failed(kind.into());
        let (silent, no_route) = (io::ErrorKind::TimedOut, io::ErrorKind::NetworkUnreachable);
        let (public, private, v6) = ("203.0.113.7:8080", "10.0.0.2:8080", "[2001:db8::7]:8080");
        let own: Vec<IpAddr> = vec!["10.0.0.2".parse().unwrap()];
        let verdicts = |outcomes: &[(Candidate, Outcome)], own: Option<&[IpAddr]>| {
            judge(outcomes, own).iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        let (good, warning, wrong) = (Verdict::Ok, Verdict::Warning, Verdict::Wrong);
        let both = || vec![(at(Way::Udp, public), ok()), (at(Way::Tcp, public), ok())];
        assert_eq!(verdicts(&both(), None), [good, good]);
        let mut more = both();
        more.push((at(Way::Udp, private), failed(silent)));
        more.push((at(Way::Udp, v6), failed(no_route)));
        assert_eq!(verdicts(&more, None), [good; 4], "a private one beside it, and no IPv6 here");
        let other = vec![(at(Way::Udp, public), ok()), (at(Way::Udp, "203.0.113.8:8080"), failed(silent))];
        assert_eq!(verdicts(&other, None), [good, warning]);
        let blocked = vec![(at(Way::Udp, public), failed(silent)), (at(Way::Tcp, public), ok())];
        let findings = judge(&blocked, None);
        assert_eq!(findings.len(), 3);
        assert_eq!(
            findings[2].text,
            "UDP does not get through to the server: audio goes over TCP, and stutters where packets are lost"
        );
        assert!(findings[2].mend.as_deref().unwrap().starts_with("ufw allow 8080/udp"), "{findings:?}");
        let alone = vec![(at(Way::Udp, private), failed(silent))];
        let findings = judge(&alone, None);
        assert!(findings[0].text.contains("the server advertises a private address"), "{findings:?}");
        assert!(findings[1].text.ends_with("nobody can hear or be heard from here"), "{findings:?}");
        assert_eq!(verdicts(&alone, Some(&own)), [wrong, wrong], "its own");
        let hairpin = vec![(at(Way::Udp, public), failed(silent)), (at(Way::Udp, private), ok())];
        assert_eq!(verdicts(&hairpin, Some(&own)), [warning, good], "a router in front");
        assert_eq!(verdicts(&[(at(Way::Udp, public), Outcome::Unsigned)], None), [wrong, wrong]);
    }
}
