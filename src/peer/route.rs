//! Where a session's datagrams leave to.
//!
//! A client names its path by nominating it, and whoever saw a check on its way can send it again from elsewhere. So
//! a path that is in use stays beside the one that was nominated last, until the client has stopped checking it: a
//! client that somebody else moves away loses nothing, and one that really moves hears at both ends of the move.
//! What arrives twice is discarded there (RFC 3711 §3.3.2). A client with two networks goes on checking both: what it
//! nominates again and again, and nothing else in between, is where it is. Some clients nominate once and for all: where
//! nothing comes any more on the path in use, they are where their checks come from.
//!
//! Invariant: a path on which checks go on to come is not given up for one that the client does not nominate again, nor for
//! one of which it is not proven that the client is there; to such a one no more leaves than [`Proofs`] allow.

use std::time::{Duration, Instant};

use super::proofs::Proofs;
use crate::outbox::Outbox;
use crate::path::{Path, Remote};
use crate::wire::classify::Kind;

/// A path that was checked within this time is in use; clients check every 5 s at the least (RFC 7675 §5.1).
const PATH_FRESH: Duration = Duration::from_secs(8);

/// A client that nominates its old path again so long after the last check of another has not moved: by then
/// nothing is on its way that overtook something else.
const PATH_REORDERED: Duration = Duration::from_secs(1);

/// How many datagrams wait for the first path: the flight that begins a handshake.
const HELD_MAX: usize = 4;

/// Whether a check nominates its path (RFC 8445 §7.3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nomination {
    None,
    /// It is a copy of one that did.
    Repeated,
    New,
}

/// The paths on which everything but STUN leaves.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// The path that has been in use for longest.
    settled: Option<Used>,
    /// The one that was nominated since.
    newcomer: Option<Used>,
    /// DTLS that is to leave on the first path: the library begins a handshake with the check that nominates, before it
    /// is known whose address that is.
    held: Vec<Vec<u8>>,
    flights: Flights,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    path: Path,
    /// When it was nominated, after another one or for the first time.
    since: Instant,
    /// When the last check came this way.
    checked: Instant,
    /// When something else did.
    heard: Instant,
    is_proven: bool,
}

/// Where the handshake's datagrams went: whoever ends it has read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flights {
    #[default]
    None,
    To(Path),
    /// To more than one.
    Scattered,
}

impl Flights {
    fn add(&mut self, path: Path) {
        *self = match *self {
            Flights::None => Flights::To(path),
            Flights::To(before) if before == path => Flights::To(path),
            Flights::To(_) | Flights::Scattered => Flights::Scattered,
        };
    }
}

impl Used {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked) < PATH_FRESH
    }

    fn is_alive(&self, now: Instant) -> bool {
        self.is_fresh(now) || now.saturating_duration_since(self.heard) < PATH_FRESH
    }
}

impl Route {
    /// An authenticated check came this way, of which it is proven that the client is there, or not.
    pub(super) fn on_check(&mut self, now: Instant, path: Path, nomination: Nomination, is_proven: bool) {
        let nominates = nomination == Nomination::New;
        self.newcomer.take_if(|newcomer| !newcomer.is_fresh(now));
        if self.settled.is_some_and(|settled| !settled.is_fresh(now))
            && let Some(newcomer) = self.newcomer.take()
        {
            self.settled = Some(newcomer);
        }
        let used = Used { path, since: now, checked: now, heard: now, is_proven };
        match (&mut self.settled, &mut self.newcomer) {
            (Some(settled), newcomer) if settled.path == path => {
                settled.checked = now;
                settled.is_proven |= is_proven;
                match (nomination, newcomer) {
                    (Nomination::New, newcomer) => {
                        newcomer.take_if(|newcomer| newcomer.checked + PATH_REORDERED <= now);
                    }
                    // It is nominated here too, only somebody else was faster.
                    (Nomination::Repeated, Some(newcomer)) => newcomer.since = now,
                    (Nomination::Repeated | Nomination::None, _) => {}
                }
            }
            (settled, newcomer) if newcomer.is_some_and(|newcomer| newcomer.path == path) => {
                if let Some(newcomer) = newcomer {
                    newcomer.checked = now;
                }
                if nominates && newcomer.is_some_and(|newcomer| newcomer.since + PATH_FRESH <= now) {
                    *settled = newcomer.take();
                }
            }
            (Some(settled), newcomer) if nominates && is_proven => match settled.is_proven && settled.is_fresh(now)
            {
                true => *newcomer = Some(used),
                false => *settled = used,
            },
            (Some(settled), _) if (nominates || is_proven) && !settled.is_alive(now) => *settled = used,
            (settled @ None, _) if nominates => *settled = Some(used),
            (Some(_) | None, Some(_) | None) => {}
        }
    }

    /// Something else than a check came on the settled path.
    pub(super) fn on_heard(&mut self, now: Instant) {
        if let Some(settled) = &mut self.settled {
            settled.heard = now;
        }
    }

    /// The handshake is over; returns the path that is proven by it, where all of it went there.
    pub(super) fn on_connected(&mut self) -> Option<Path> {
        let settled = self.settled.as_mut().filter(|settled| self.flights == Flights::To(settled.path))?;
        settled.is_proven = true;
        Some(settled.path)
    }

    /// Tells whether a client's address is that of a path in use.
    pub(super) fn uses(&self, now: Instant, client: Remote) -> bool {
        let mut used = self.settled.iter().chain(&self.newcomer);
        used.any(|used| used.path.client() == client && used.is_alive(now))
    }

    /// A path is no more: its TCP connection closed.
    pub(super) fn forget(&mut self, path: Path) {
        self.newcomer.take_if(|newcomer| newcomer.path == path);
        if self.settled.take_if(|settled| settled.path == path).is_some() {
            self.settled = self.newcomer.take();
        }
    }

    /// Returns the path that has been in use for longest.
    pub(super) fn settled(&self) -> Option<Path> {
        self.settled.map(|used| used.path)
    }

    /// Returns the only path on which everything leaves, whatever it is, until a check or an answer comes.
    pub(super) fn straight(&self) -> Option<Path> {
        self.settled.filter(|settled| settled.is_proven && self.newcomer.is_none()).map(|settled| settled.path)
    }

    /// Sends on all paths; tells whether it leaves on any. Where there is none, or none that so much may leave to, DTLS waits,
    /// and other things are lost: what is heard later may be no more to be heard.
    pub(super) fn send(
        &mut self,
        kind: Option<Kind>,
        contents: &[u8],
        proofs: &mut Proofs,
        out: &mut Outbox,
    ) -> bool {
        let Some(settled) = self.settled else {
            self.hold(kind, contents, out);
            return false;
        };
        if let Some(newcomer) = self.newcomer {
            self.flights = Flights::Scattered;
            out.send(newcomer.path, contents);
        }
        if !settled.is_proven {
            if !proofs.may_send(settled.path, contents.len()) {
                self.hold(kind, contents, out);
                return self.newcomer.is_some();
            }
            if kind == Some(Kind::Dtls) {
                self.flights.add(settled.path);
            }
        }
        out.send(settled.path, contents);
        true
    }

    fn hold(&mut self, kind: Option<Kind>, contents: &[u8], out: &mut Outbox) {
        if kind == Some(Kind::Dtls) && self.held.len() < HELD_MAX {
            self.held.push(contents.to_vec());
        } else {
            out.withhold();
        }
    }

    /// Sends the DTLS that waited for a path, or for more that comes from there, if it may leave now.
    pub(super) fn send_held(&mut self, proofs: &mut Proofs, out: &mut Outbox) {
        for contents in std::mem::take(&mut self.held) {
            self.send(Some(Kind::Dtls), &contents, proofs, out);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::net::SocketAddr;

    use str0m::net::Protocol;

    use super::*;
    use crate::outbox::Item;

    fn path(port: u16) -> Path {
        let [remote, local] = [port, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto: Protocol::Udp, remote, local }
    }

    struct Client {
        route: Route,
        proofs: Proofs,
        now: Instant,
    }

    impl Client {
        fn new() -> Client {
            Client { route: Route::default(), proofs: Proofs::default(), now: Instant::now() }
        }

        /// Checks a path after so long, of which it is proven that it is there; returns where datagrams leave to now.
        fn check(&mut self, after_ms: u64, port: u16, nominates: bool) -> Vec<u16> {
            self.check_from(after_ms, port, nominates, true)
        }

        fn check_from(&mut self, after_ms: u64, port: u16, nominates: bool, is_proven: bool) -> Vec<u16> {
            self.now += Duration::from_millis(after_ms);
            let nomination = if nominates { Nomination::New } else { Nomination::None };
            self.route.on_check(self.now, path(port), nomination, is_proven);
            self.send(Kind::Media, 2)
        }

        /// Sends so many bytes; returns where to.
        fn send(&mut self, kind: Kind, bytes: usize) -> Vec<u16> {
            let mut out = Outbox::new();
            self.route.send(Some(kind), &vec![0; bytes], &mut self.proofs, &mut out);
            let to = |item| match item {
                Item::Datagram(datagram) => datagram.path.remote.port(),
                Item::Job(..) | Item::Conn(_) => unreachable!("only datagrams are sent"),
            };
            out.drain().0.map(to).collect()
        }
    }

    #[test]
    fn nothing_leaves_before_a_nomination() {
        let mut client = Client::new();
        assert!(client.check(0, 1, false).is_empty());
        assert_eq!(client.check(10, 1, true), [1]);
        assert_eq!(client.check(10, 2, false), [1]);
    }

    #[test]
    fn of_what_has_no_path_only_dtls_waits() {
        let (mut route, mut proofs, mut out) = (Route::default(), Proofs::default(), Outbox::new());
        for (kind, contents) in
            [(Kind::Media, vec![0x80, 111]), (Kind::Dtls, vec![22]), (Kind::Media, vec![0x80, 200])]
        {
            route.send(Some(kind), &contents, &mut proofs, &mut out);
        }
        for _ in 0..100 {
            route.send(Some(Kind::Dtls), &[23], &mut proofs, &mut out);
        }
        route.send_held(&mut proofs, &mut out);
        assert!(out.is_empty());
        route.on_check(Instant::now(), path(1), Nomination::New, true);
        route.send_held(&mut proofs, &mut out);
        route.send_held(&mut proofs, &mut out);
        let (items, bytes) = out.drain();
        let sent = items.map(|item| match item {
            Item::Datagram(datagram) => datagram.contents(bytes)[0],
            Item::Job(..) | Item::Conn(_) => unreachable!("only datagrams are sent"),
        });
        assert_eq!(sent.collect::<Vec<_>>(), [22, 23, 23, 23], "{HELD_MAX} of them");
    }

    #[test]
    fn a_path_that_is_not_proven_gets_little_and_takes_nothing_over() {
        let mut client = Client::new();
        client.proofs.on_check(path(1), 100);
        assert_eq!(client.check_from(0, 1, true, false), [1], "of little");
        assert!(client.send(Kind::Media, 300).is_empty(), "that is more than three times what came");
        assert_eq!(client.check_from(10, 2, true, true), [2], "one that is proven takes over at once");
        assert_eq!(client.check_from(10, 3, true, false), [2]);
        assert_eq!(client.check_from(7980, 2, false, true), [2]);
        assert_eq!(client.check_from(10, 3, true, true), [3, 2], "it is proven now");
    }

    #[test]
    fn who_ends_a_handshake_has_read_what_was_sent_there_alone() {
        let handshake = |paths: &[u16]| {
            let mut client = Client::new();
            for &port in paths {
                client.proofs.on_check(path(port), 1000);
                // Nothing is left of the one before.
                client.route.settled = None;
                client.check_from(0, port, true, false);
                assert_eq!(client.send(Kind::Dtls, 1000), [port]);
            }
            client.route.on_connected()
        };
        assert_eq!(handshake(&[]), None);
        assert_eq!(handshake(&[1]), Some(path(1)));
        assert_eq!(handshake(&[1, 1]), Some(path(1)));
        assert_eq!(handshake(&[1, 2]), None);
        assert_eq!(handshake(&[1, 2, 1]), None);
    }

    #[test]
    fn who_nominates_once_is_reached_where_the_checks_come_from() {
        let mut client = Client::new();
        client.check(0, 1, true);
        assert_eq!(client.check(5000, 2, false), [1]);
        assert_eq!(client.check(2999, 2, false), [1]);
        assert_eq!(client.check_from(1, 3, false, false), [1], "it is not proven");
        assert_eq!(client.check(0, 2, false), [2], "8 s without a sign of the old path");
        client.route.on_heard(client.now + Duration::from_secs(5));
        assert_eq!(client.check(8000, 1, false), [2], "something else came there");
        assert_eq!(client.check(5000, 1, false), [1]);
    }

    #[test]
    fn who_moves_is_reached_at_once_and_the_old_path_given_up_later() {
        let mut client = Client::new();
        client.check(0, 1, true);
        assert_eq!(client.check(1000, 2, true), [2, 1]);
        assert_eq!(client.check(3000, 2, true), [2, 1]);
        assert_eq!(client.check(3999, 2, true), [2, 1]);
        assert_eq!(client.check(1, 2, true), [2], "8 s without a check of the old path");
    }

    #[test]
    fn who_is_moved_by_somebody_else_stays() {
        let mut client = Client::new();
        client.check(0, 1, true);
        for port in 2..1000 {
            assert_eq!(client.check(2, port, true), [port, 1]);
        }
        assert_eq!(client.check(999, 1, true), [999, 1], "it may have been overtaken");
        assert_eq!(client.check(2000, 1, true), [1]);
        assert_eq!(client.check(0, 7, true), [7, 1]);
        assert_eq!(client.check(7999, 1, false), [7, 1], "this client nominates once only");
        assert_eq!(client.check(1, 1, false), [1]);
    }

    #[test]
    fn who_moved_and_keeps_the_old_network_is_reached_where_it_is() {
        let mut client = Client::new();
        client.check(0, 1, true);
        assert_eq!(client.check(1000, 2, true), [2, 1]);
        for _ in 0..3 {
            assert_eq!(client.check(1250, 1, false), [2, 1], "a spare");
            assert_eq!(client.check(1250, 2, true), [2, 1]);
        }
        assert_eq!(client.check(500, 2, true), [2]);
        assert_eq!(client.check(0, 1, false), [2]);
    }

    #[test]
    fn who_is_copied_by_somebody_faster_stays_where_they_are() {
        let mut client = Client::new();
        client.check(0, 1, true);
        for _ in 0..100 {
            assert_eq!(client.check(2490, 2, true), [2, 1]);
            client.now += Duration::from_millis(10);
            client.route.on_check(client.now, path(1), Nomination::Repeated, true);
        }
        assert_eq!(client.check(0, 1, false), [2, 1]);
    }

    #[test]
    fn who_loses_a_connection_is_reached_on_the_other_path() {
        let mut client = Client::new();
        client.check(0, 1, true);
        client.check(1000, 2, true);
        client.route.forget(path(3));
        assert_eq!(client.check(0, 9, false), [2, 1]);
        client.route.forget(path(1));
        assert_eq!(client.check(0, 9, false), [2]);
        client.route.forget(path(2));
        assert!(client.check(0, 9, false).is_empty());
        assert_eq!(client.check(0, 1, true), [1]);
    }

    #[test]
    fn a_silence_ends_what_was_in_use() {
        let mut client = Client::new();
        client.check(0, 1, true);
        client.check(5000, 2, true);
        assert_eq!(client.check(3000, 1, true), [1, 2], "late, but the other one came in time");
        let mut client = Client::new();
        client.check(0, 1, true);
        assert_eq!(client.check(9000, 2, true), [2]);
        assert!(
            client.route.uses(client.now, path(2).client()) && !client.route.uses(client.now, path(1).client())
        );
        client.now += PATH_FRESH;
        assert!(!client.route.uses(client.now, path(2).client()));
    }
}
