//! Under whom each conn is counted: a stranger's address, or the user whom its token named; what each may do, and how
//! much all together may have buffered.
//!
//! Invariant: a conn is counted under one address or one user at most, and no more once it is gone.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::{Server, Timer};
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::wire::forwarded;
use crate::wire::http::Request;
use crate::wire::signaling::{Complaint, ErrorCode};

/// How often rows are looked for that say nothing any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// When a client that asked for too many connections should try again.
const OFFER_RETRY_AFTER_S: u32 = 1;

/// Where a TCP client is, and under whom it is counted.
pub(super) struct Visitor {
    /// The other end of the TCP connection.
    remote: IpAddr,
    /// The client's own network: of that end, or of the one that a trusted proxy asks for.
    network: IpAddr,
    account: Account,
}

enum Account {
    /// Of this machine, or a proxy that has not said yet for whom it asks.
    Nobody,
    /// A stranger of the visitor's network.
    Stranger,
    User(String),
}

impl Server {
    /// Returns a new TCP client, counted; `None` if there are too many strangers at its address.
    pub(super) fn admit(&mut self, now: Instant, remote: IpAddr) -> Option<Visitor> {
        let account = if self.is_trusted_proxy(remote) { Account::Nobody } else { self.stranger(now, remote)? };
        Some(Visitor { remote, network: network_of(remote), account })
    }

    /// Makes room for a new TCP client: cuts the one without a user that has asked for nothing for the longest time, if it
    /// had time to. Tells whether there was one.
    pub(super) fn cut_stranger(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let grace = self.config.limits.stranger_grace;
        let Some((_, conn)) = self.idle.first().filter(|(heard, _)| *heard + grace <= now) else { return false };
        self.stats.conns_cut_for_newer += 1;
        self.handle_hangup(now, conn, out);
        // The shell finds no such conn and closes the socket.
        out.touch(conn);
        true
    }

    /// Takes it that a request came: a trusted proxy says for whom. Tells whether there is room for that client.
    pub(super) fn identify(&mut self, now: Instant, conn: ConnKey, request: &Request) -> bool {
        let Some(&Visitor { remote, network: before, .. }) = self.visitors.get(conn) else { return false };
        self.idle.arm(conn, now);
        let client = self.client_of(remote, request);
        let network = network_of(client);
        if network == before {
            return true;
        }
        self.release(conn);
        let account = self.stranger(now, client);
        let is_admitted = account.is_some();
        self.visitors.insert(conn, Visitor { remote, network, account: account.unwrap_or(Account::Nobody) });
        is_admitted
    }

    /// Counts a conn under the user whom its token named; tells whether that user may have another one.
    pub(super) fn admit_user(&mut self, now: Instant, conn: ConnKey, id: &str) -> bool {
        let Some(Visitor { account, .. }) = self.visitors.get(conn) else { return false };
        if matches!(account, Account::User(user) if user == id) {
            return true;
        }
        self.arm_sweep(now);
        if !self.users.hold(now, &id.to_owned()) {
            self.stats.conns_over_user += 1;
            return false;
        }
        self.release(conn);
        if let Some(visitor) = self.visitors.get_mut(conn) {
            visitor.account = Account::User(id.to_owned());
        }
        self.idle.cancel(conn);
        true
    }

    /// Takes it that a conn is gone.
    pub(super) fn dismiss(&mut self, conn: ConnKey) {
        self.release(conn);
        self.visitors.remove(conn);
        self.idle.cancel(conn);
    }

    /// Takes it that a token of this conn was refused; tells whether its address may go on like that.
    ///
    /// Good tokens are never held back by bad ones: a whole office may share the address.
    pub(super) fn on_token_refused(&mut self, now: Instant, conn: ConnKey) -> bool {
        self.stats.tokens_refused += 1;
        self.arm_sweep(now);
        let network = self.visitors.get(conn).map(|visitor| visitor.network);
        let is_allowed = network.is_some_and(|network| self.strangers.take(now, &network));
        if !is_allowed {
            self.stats.tokens_over_rate += 1;
        }
        is_allowed
    }

    /// Tells a user who makes too many offers, or one too many of all, to wait; tells whether there was no need to.
    pub(super) fn may_offer(&mut self, now: Instant, conn: ConnKey) -> bool {
        let id = self.sessions.get(conn).map(|session| session.claims.sub.clone());
        let is_allowed = id.is_some_and(|id| self.users.take(now, &id)) && self.offers.take(now);
        if !is_allowed {
            self.stats.offers_over_rate += 1;
            let complaint =
                Complaint::new(ErrorCode::TooMany, "too many connections at once: try again in a moment");
            self.complain(conn, complaint.retry_after_s(OFFER_RETRY_AFTER_S));
        }
        is_allowed
    }

    /// Cuts conns while all together have too much buffered: those first that have waited longest, because what an
    /// honest client sends and is sent passes through.
    pub(super) fn make_room(&mut self, now: Instant, out: &mut Outbox) {
        while self.buffered_bytes > self.config.limits.buffered_bytes_max {
            let waiting = self.conns.iter().filter_map(|(conn, client)| Some((client.waiting()?, conn)));
            let Some((_, conn)) = waiting.min() else { return };
            self.stats.conns_cut_for_room += 1;
            self.end_session(now, conn, out);
            if let Some(client) = self.conns.get_mut(conn) {
                client.abandon();
            }
            self.settle_conn(conn, out);
        }
    }

    /// Keeps the sum of what conns have buffered, after one of them may have changed.
    pub(super) fn reckon(&mut self, conn: ConnKey) {
        let Some(client) = self.conns.get_mut(conn) else { return };
        let (before, after) = client.reckon(self.now);
        self.buffered_bytes = self.buffered_bytes - before + after;
    }

    pub(super) fn on_sweep_deadline(&mut self, now: Instant) {
        self.strangers.sweep(now);
        self.users.sweep(now);
        if !self.strangers.is_empty() || !self.users.is_empty() {
            self.arm_sweep(now);
        }
    }

    /// Counts a stranger; those of this machine are not counted.
    fn stranger(&mut self, now: Instant, address: IpAddr) -> Option<Account> {
        if address.is_loopback() {
            return Some(Account::Nobody);
        }
        self.arm_sweep(now);
        if !self.strangers.hold(now, &network_of(address)) {
            self.stats.conns_over_address += 1;
            return None;
        }
        Some(Account::Stranger)
    }

    fn release(&mut self, conn: ConnKey) {
        let Some(visitor) = self.visitors.get(conn) else { return };
        match &visitor.account {
            Account::Nobody => {}
            Account::Stranger => self.strangers.release(&visitor.network),
            Account::User(id) => self.users.release(id),
        }
    }

    fn arm_sweep(&mut self, now: Instant) {
        if !self.deadlines.is_armed(Timer::Sweep) {
            self.deadlines.arm(Timer::Sweep, now + SWEEP_INTERVAL);
        }
    }

    fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    /// Returns the client's address: the last hop that no trusted proxy vouches for. What stands before it, anybody
    /// could have written.
    fn client_of(&self, remote: IpAddr, request: &Request) -> IpAddr {
        let mut client = remote;
        if !self.is_trusted_proxy(remote) {
            return client;
        }
        let hops = match (&request.forwarded, &request.x_forwarded_for) {
            (Some(list), _) => forwarded::forwarded(list),
            (None, Some(list)) => forwarded::x_forwarded_for(list),
            (None, None) => Vec::new(),
        };
        for hop in hops.into_iter().rev() {
            let Some(ip) = hop else { break };
            client = ip;
            if !self.is_trusted_proxy(ip) {
                break;
            }
        }
        client
    }
}

/// Returns what is counted as one address: of IPv6 a whole /64, which is what one subscriber has (RFC 6177 §2).
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
