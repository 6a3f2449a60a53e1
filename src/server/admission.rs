//! Under whom each conn is counted: a stranger's address, or the user whom its token named; what each may do, and how
//! much all together may have buffered.
//!
//! Invariant: a conn is counted under one address or one user at most, and no more once it is gone.

use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::problem::Problem;
use super::{Server, Timer};
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::quota::Quota;
use crate::wire::forwarded;
use crate::wire::http::{Request, Status};
use crate::wire::signaling::{Complaint, ErrorCode};

/// How often rows are looked for that say nothing any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How many that carry media are passed over in the search for a conn to cut.
const CUT_TRIES: usize = 32;

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

impl Visitor {
    /// Tells whether the client itself is on this machine, and not a proxy that asks for another.
    fn is_local(&self) -> bool {
        self.remote.is_loopback() && self.network == network_of(self.remote)
    }
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
    /// had time to, or a session's that carries nothing. Tells whether there was one.
    pub(super) fn cut_stranger(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let grace = self.settings.limits.admission.stranger_grace;
        for _ in 0..CUT_TRIES {
            let Some((_, conn)) = self.clients.longest_idle().filter(|(heard, _)| *heard + grace <= now) else {
                return false;
            };
            if self.carries_media(now, conn) {
                self.clients.stir(now, conn);
                continue;
            }
            self.stats.conns_cut_for_newer += 1;
            self.on_hangup(now, conn, out);
            // The shell finds no such conn and closes the socket.
            out.touch(conn);
            return true;
        }
        false
    }

    /// Takes it that a request came: a trusted proxy says for whom.
    ///
    /// # Errors
    /// What to answer: there is no room for that client, or it can't be told which it is.
    pub(super) fn identify(&mut self, now: Instant, conn: ConnKey, request: &Request) -> Result<(), Problem> {
        let Some(&Visitor { remote, network: before, .. }) = self.clients.visitor(conn) else { return Ok(()) };
        self.clients.stir(now, conn);
        if !self.is_trusted_proxy(remote) {
            return Ok(());
        }
        let client = self
            .client_of(remote, request)
            .ok_or_else(|| Problem::new(Status::BadRequest, "Forwarded and X-Forwarded-For name two clients"))?;
        let network = network_of(client);
        let is_stranger = matches!(self.clients.visitor(conn), Some(Visitor { account: Account::Stranger, .. }));
        if is_stranger && network == before && client != remote {
            return Ok(());
        }
        self.release(now, conn);
        let account = if client == remote { Some(Account::Nobody) } else { self.stranger(now, client) };
        let is_admitted = account.is_some();
        self.count_under(conn, network, account.unwrap_or(Account::Nobody));
        let problem = || Problem::new(Status::TooManyRequests, "too many connections from your address");
        is_admitted.then_some(()).ok_or_else(problem)
    }

    /// Counts a conn under the user whom its token named; tells whether that user may have another one.
    pub(super) fn admit_user(&mut self, now: Instant, conn: ConnKey, id: &str) -> bool {
        let Some(&Visitor { network, ref account, .. }) = self.clients.visitor(conn) else { return false };
        if matches!(account, Account::User(user) if user == id) {
            return true;
        }
        let is_admitted = self.users.hold(now, &id.to_owned());
        self.settle_quotas(now);
        if !is_admitted {
            self.stats.conns_over_user += 1;
            return false;
        }
        self.release(now, conn);
        self.count_under(conn, network, Account::User(id.to_owned()));
        self.clients.belongs_to_user(conn);
        true
    }

    /// Takes it that a session's check was answered on an ICE-TCP conn: it is that session's, which may have so many, but
    /// where there is no room only those that it needs.
    pub(super) fn admit_checked(&mut self, now: Instant, conn: ConnKey) {
        let visitor = self.clients.visitor_mut(conn);
        if let Some(Visitor { account: account @ Account::Stranger, network, .. }) = visitor {
            *account = Account::Nobody;
            self.strangers.release(now, network);
        }
        self.clients.stir(now, conn);
    }

    /// Tells whether a conn comes from this machine.
    pub(super) fn is_local(&self, conn: ConnKey) -> bool {
        self.clients.visitor(conn).is_some_and(|visitor| visitor.remote.is_loopback())
    }

    /// Takes it that a token of this conn was refused; tells whether its address may go on like that.
    ///
    /// Good tokens are never held back by bad ones: a whole office may share the address.
    pub(super) fn on_token_refused(&mut self, now: Instant, conn: ConnKey) -> bool {
        self.stats.tokens_refused += 1;
        let network = self.clients.visitor(conn).map(|visitor| visitor.network);
        let is_allowed = network.is_some_and(|network| self.strangers.take(now, &network));
        self.settle_quotas(now);
        if !is_allowed {
            self.stats.tokens_over_rate += 1;
        }
        is_allowed
    }

    /// Tells a user who makes too many offers, or one too many of all, to wait; tells whether there was no need to.
    pub(super) fn may_offer(&mut self, now: Instant, conn: ConnKey) -> bool {
        let id = self.clients.registration(conn).map(|session| session.claims.sub.clone());
        let is_allowed = id.is_some_and(|id| self.take_offer(now, &id));
        if !is_allowed {
            let complaint =
                Complaint::new(ErrorCode::TooMany, "too many connections at once: try again in a moment");
            self.complain(conn, complaint.retry_after_s(OFFER_RETRY_AFTER_S));
        }
        is_allowed
    }

    /// Counts an offer of a user; tells whether that user, and all together, may make it.
    pub(super) fn take_offer(&mut self, now: Instant, id: &str) -> bool {
        let is_allowed = self.users.take(now, &id.to_owned()) && self.offers.take(now);
        self.settle_quotas(now);
        if !is_allowed {
            self.stats.offers_over_rate += 1;
        }
        is_allowed
    }

    /// Counts an offer of a program, whose requests are counted already; tells whether all together may make it.
    pub(super) fn take_offer_of_program(&mut self, now: Instant) -> bool {
        let is_allowed = self.offers.take(now);
        if !is_allowed {
            self.stats.offers_over_rate += 1;
        }
        is_allowed
    }

    /// Counts a request of WHIP or WHEP under its user, then its address; tells whether both may make it. What a user may
    /// not is not counted under the address: a whole office may share it.
    pub(super) fn take_request(&mut self, now: Instant, conn: ConnKey, id: &str) -> bool {
        let visitor = self.clients.visitor(conn);
        let network = visitor.filter(|visitor| !visitor.is_local()).map(|visitor| visitor.network);
        let is_allowed = self.programs.take(now, &id.to_owned())
            && network.is_none_or(|network| self.programs_networks.take(now, &network));
        self.settle_quotas(now);
        if !is_allowed {
            self.stats.requests_over_rate += 1;
        }
        is_allowed
    }

    /// Counts another WHEP session of a user; tells whether that user may have it.
    pub(super) fn hold_listening(&mut self, now: Instant, id: &str) -> bool {
        let is_allowed = self.programs.hold(now, &id.to_owned());
        self.settle_quotas(now);
        if !is_allowed {
            self.stats.tables_full += 1;
        }
        is_allowed
    }

    /// Takes it that a WHEP session of a user is over.
    pub(super) fn release_listening(&mut self, now: Instant, id: &str) {
        self.programs.release(now, &id.to_owned());
    }

    /// Cuts conns while all together have too much buffered: strangers before users, and those first that have waited
    /// longest, because what an honest client sends and is sent passes through.
    pub(super) fn make_room(&mut self, now: Instant, out: &mut Outbox) {
        self.deliver_framed(now, out);
        self.settle(now, out);
        while self.clients.buffered_bytes() > self.settings.limits.admission.buffered_bytes_max {
            let is_user = |conn| !self.clients.is_idle(conn) || self.is_of_session(conn);
            let waiting =
                self.clients.iter().filter_map(|(conn, client)| Some((is_user(conn), client.waiting()?, conn)));
            let Some((_, _, conn)) = waiting.min() else { return };
            self.stats.conns_cut_for_room += 1;
            self.end_registration(now, conn, out);
            if let Some(client) = self.clients.get_mut(conn) {
                client.abandon();
            }
            self.settle(now, out);
        }
    }

    pub(super) fn on_sweep_deadline(&mut self, now: Instant) {
        self.strangers.sweep(now);
        self.users.sweep(now);
        self.programs.sweep(now);
        self.programs_networks.sweep(now);
        self.settle_quotas(now);
    }

    /// Counts a stranger; those of this machine are not counted.
    fn stranger(&mut self, now: Instant, address: IpAddr) -> Option<Account> {
        if address.is_loopback() {
            return Some(Account::Nobody);
        }
        let is_admitted = self.strangers.hold(now, &network_of(address));
        self.settle_quotas(now);
        if !is_admitted {
            self.stats.conns_over_address += 1;
        }
        is_admitted.then_some(Account::Stranger)
    }

    /// Gives back what a conn held.
    fn release(&mut self, now: Instant, conn: ConnKey) {
        if let Some(Visitor { network, account, .. }) = self.clients.visitor_mut(conn) {
            let (network, account) = (*network, mem::replace(account, Account::Nobody));
            self.give_back_account(now, network, &account);
        }
    }

    /// Counts a conn of a client of this network.
    fn count_under(&mut self, conn: ConnKey, network: IpAddr, account: Account) {
        if let Some(visitor) = self.clients.visitor_mut(conn) {
            visitor.network = network;
            visitor.account = account;
        }
    }

    /// Gives back what a visitor held.
    pub(super) fn give_back(&mut self, now: Instant, visitor: &Visitor) {
        self.give_back_account(now, visitor.network, &visitor.account);
    }

    fn give_back_account(&mut self, now: Instant, network: IpAddr, account: &Account) {
        match account {
            Account::Nobody => {}
            Account::Stranger => self.strangers.release(now, &network),
            Account::User(id) => self.users.release(now, id),
        }
    }

    /// To be called after rows may have come: they are looked at again until all are gone.
    fn settle_quotas(&mut self, now: Instant) {
        let of_networks = [&self.strangers, &self.programs_networks];
        let of_users = [&self.users, &self.programs];
        let forgotten = of_networks.map(Quota::forgotten).into_iter().chain(of_users.map(Quota::forgotten));
        self.stats.rows_forgotten = forgotten.sum();
        let is_empty = of_networks.into_iter().all(Quota::is_empty) && of_users.into_iter().all(Quota::is_empty);
        if !is_empty && !self.deadlines.is_armed(Timer::Sweep) {
            self.deadlines.arm(Timer::Sweep, now + SWEEP_INTERVAL);
        }
    }

    fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    /// Returns the address of the client for whom a trusted proxy asks; `None` where its two headers name two. A proxy
    /// that sets one passes the other on as the client wrote it, so a client that writes one names itself or nobody.
    fn client_of(&self, proxy: IpAddr, request: &Request) -> Option<IpAddr> {
        let forwarded = request.forwarded.as_deref().map(|list| self.last_hop(proxy, forwarded::forwarded(list)));
        let older = request.x_forwarded_for.as_deref();
        let older = older.map(|list| self.last_hop(proxy, forwarded::x_forwarded_for(list)));
        match (forwarded, older) {
            (Some(one), Some(other)) => (one == other).then_some(one),
            (Some(client), None) | (None, Some(client)) => Some(client),
            (None, None) => Some(proxy),
        }
    }

    /// Returns the last hop that no trusted proxy vouches for. What stands before it, anybody could have written.
    fn last_hop(&self, proxy: IpAddr, hops: Vec<Option<IpAddr>>) -> IpAddr {
        let mut client = proxy;
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
