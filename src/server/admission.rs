//! Under whom each conn is counted: a stranger's address, or the user whom its token named; and how much all together
//! may have buffered.
//!
//! How much each may is counted in `quotas`. Invariant: a conn is counted under one address or one user at most, and no
//! more once it is gone.

use std::mem;
use std::net::IpAddr;
use std::time::Instant;

use super::Server;
use super::problem::Problem;
use super::quotas::{Account, Network};
use super::resources::Kind;
use crate::config::AdmissionLimits;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::token::TokenError;
use crate::wire::forwarded;
use crate::wire::http::{Request, Status};
use crate::wire::signaling::{Complaint, ErrorCode};

/// How many are passed over in the search for a conn to cut, which carry media or make no room.
const CUT_TRIES: usize = 32;

/// When a client that asked for too much should try again.
const SOON_S: u32 = 1;

/// Where a TCP client is, and under whom it is counted.
pub(super) struct Visitor {
    /// The other end of the TCP connection.
    remote: IpAddr,
    /// The client itself: that end, or the one that a trusted proxy asks for.
    client: IpAddr,
    account: Account,
}

impl Visitor {
    /// Tells whether the client itself is on this machine, and not a proxy that asks for another.
    fn is_local(&self) -> bool {
        self.remote.is_loopback() && self.network() == Network::of(self.remote)
    }

    /// Returns the client's own address, as far as it is known.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Returns the network of that.
    pub(super) fn network(&self) -> Network {
        Network::of(self.client)
    }

    pub(super) fn set_client(&mut self, client: IpAddr) {
        self.client = client;
    }

    /// Counts the client under another account; returns the one before.
    pub(super) fn replace_account(&mut self, account: Account) -> Account {
        mem::replace(&mut self.account, account)
    }
}

impl Server {
    /// Returns a new TCP client, counted; `None` if there are too many strangers at its address.
    pub(super) fn admit(&mut self, now: Instant, remote: IpAddr, out: &mut Outbox) -> Option<Visitor> {
        let account = match self.is_trusted_proxy(remote) {
            true => Account::of_nobody(),
            false => self.count_stranger(now, remote, out)?,
        };
        Some(Visitor { remote, client: remote, account })
    }

    /// Makes room for a new TCP client: cuts one of the largest crowd of strangers, or else the one without a user that has
    /// asked for nothing for the longest time, if it had time to, or a session's that carries nothing. Tells whether there
    /// was one.
    pub(super) fn cut_stranger(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let AdmissionLimits { crowd_min, stranger_grace, .. } = self.settings.limits.admission;
        let of_crowd = self.clients.crowds().member_of_largest(crowd_min, now, stranger_grace);
        let Some(conn) = of_crowd.or_else(|| self.longest_idle(now)) else { return false };
        self.stats.conns_cut_for_newer += 1;
        self.cut(now, conn, out);
        true
    }

    /// Counts another conn of a stranger, for whom others of that address make room; `None` where there are too many all the
    /// same.
    fn count_stranger(&mut self, now: Instant, address: IpAddr, out: &mut Outbox) -> Option<Account> {
        if !address.is_loopback() {
            self.make_place(now, (Network::of(address), false), out);
        }
        self.quotas.stranger_arrives(now, address, &mut self.stats)
    }

    /// Makes room for a conn of an address, which rests or does not, among that address' own: who has asked for nothing
    /// whole goes first, if they had time to, then who rests for longest. A proxy's own there, which are not counted, are
    /// passed over.
    fn make_place(&mut self, now: Instant, (network, rests): (Network, bool), out: &mut Outbox) {
        let grace = self.settings.limits.admission.stranger_grace;
        let mut passed_over = 0;
        while !self.quotas.has_room(network, rests) && passed_over < CUT_TRIES {
            let crowds = self.clients.crowds();
            let longest = crowds.longest_waiting(network, now, grace).or_else(|| crowds.longest_resting(network));
            let Some(conn) = longest else { return };
            if self.clients.visitor(conn).is_some_and(|visitor| visitor.account.is_stranger()) {
                self.stats.conns_cut_for_own += 1;
                self.cut(now, conn, out);
            } else {
                self.clients.stir(now, conn);
                passed_over += 1;
            }
        }
    }

    /// Takes it that a conn may rest now, or not any more: what rests counts little.
    pub(super) fn on_rest(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(rests) = self.clients.update_rest(now, conn) else { return };
        let Some(visitor) = self.clients.visitor(conn).filter(|visitor| visitor.account.is_stranger()) else {
            return;
        };
        let network = visitor.network();
        self.release(now, conn);
        if rests && self.is_from_proxy(conn) {
            // Whom it asks for next is not known, so nobody makes room with it for another.
            self.clients.leaves_crowd(conn);
            return;
        }
        self.make_place(now, (network, rests), out);
        if self.clients.visitor(conn).is_none() {
            return;
        }
        // As long as anything rests there are fewer of the others than there may be, so there is room.
        match self.quotas.hold_stranger(now, network, rests, &mut self.stats) {
            Some(account) => drop(self.count_under(conn, account)),
            None => self.cut(now, conn, out),
        }
    }

    /// Closes a conn at once.
    fn cut(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.on_hangup(now, conn, out);
        // The shell finds no such conn and closes the socket.
        out.touch(conn);
    }

    /// Returns the conn without a user, or of a session that does not need it, that has been idle for longest.
    fn longest_idle(&mut self, now: Instant) -> Option<ConnKey> {
        let grace = self.settings.limits.admission.stranger_grace;
        for _ in 0..CUT_TRIES {
            let (_, conn) = self.clients.longest_idle().filter(|(heard, _)| *heard + grace <= now)?;
            if !self.carries_media(now, conn) {
                return Some(conn);
            }
            self.clients.stir(now, conn);
        }
        None
    }

    /// Takes it that a request came: a trusted proxy says for whom.
    ///
    /// # Errors
    /// What to answer: there is no room for that client, or it can't be told which it is.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let Some(visitor) = self.clients.visitor(conn) else { return Ok(()) };
        let (remote, before) = (visitor.remote, visitor.network());
        let is_stranger = visitor.account.is_stranger();
        self.clients.stir(now, conn);
        if !self.is_trusted_proxy(remote) {
            return Ok(());
        }
        if let Some(client) = self.clients.get_mut(conn) {
            client.set_keep_alive(self.settings.limits.conn.proxy_keep_alive);
        }
        let client = self
            .client_of(remote, request)
            .ok_or_else(|| Problem::new(Status::BadRequest, "Forwarded and X-Forwarded-For name two clients"))?;
        let network = Network::of(client);
        if is_stranger && network == before && client != remote {
            return Ok(());
        }
        self.release(now, conn);
        self.clients.comes_from(conn, client);
        if client != remote {
            let account = self
                .count_stranger(now, client, out)
                .ok_or_else(|| Problem::new(Status::TooManyRequests, "too many connections from your address"))?;
            self.count_under(conn, account);
        }
        self.clients.joins_crowd(now, conn);
        Ok(())
    }

    /// Counts a conn under the user whom its token named; tells whether that user may have another one.
    pub(super) fn admit_user(&mut self, now: Instant, conn: ConnKey, id: &str) -> bool {
        let Some(visitor) = self.clients.visitor(conn) else { return false };
        if visitor.account.is_of_user(id) {
            return true;
        }
        let Some(account) = self.quotas.user_registers(now, id, &mut self.stats) else { return false };
        self.release(now, conn);
        self.count_under(conn, account);
        self.clients.belongs_to_user(conn);
        true
    }

    /// Takes it that a session's check was answered on an ICE-TCP conn: it is that session's, which may have so many, but
    /// where there is no room only those that it needs.
    pub(super) fn admit_checked(&mut self, now: Instant, conn: ConnKey) {
        if self.clients.visitor(conn).is_some_and(|visitor| visitor.account.is_stranger()) {
            self.release(now, conn);
        }
        self.clients.leaves_crowd(conn);
        self.clients.stir(now, conn);
    }

    /// Tells whether a conn comes from this machine.
    pub(super) fn is_local(&self, conn: ConnKey) -> bool {
        self.clients.visitor(conn).is_some_and(|visitor| visitor.remote.is_loopback())
    }

    /// Takes it that a token of this conn was refused; tells whether its address may go on like that.
    ///
    /// Good tokens are never held back by bad ones: a whole office may share the address.
    pub(super) fn on_token_refused(
        &mut self,
        now: Instant,
        conn: ConnKey,
        why: TokenError,
        out: &mut Outbox,
    ) -> bool {
        let Some(network) = self.clients.visitor(conn).map(Visitor::network) else { return false };
        self.note_token_refused(now, network, why, out);
        self.quotas.token_refused(now, network, &mut self.stats)
    }

    /// Counts what a user does that is written down; tells one who does it too often to wait.
    pub(super) fn may_act(&mut self, now: Instant, conn: ConnKey) -> bool {
        let id = self.clients.registration(conn).map(|registration| registration.claims.sub.clone());
        let is_allowed = id.is_some_and(|id| self.quotas.act(now, &id, &mut self.stats));
        if !is_allowed {
            let complaint = Complaint::new(ErrorCode::TooMany, "too often: wait a moment");
            self.complain(conn, complaint.retry_after_s(SOON_S));
        }
        is_allowed
    }

    /// Tells a user who makes too many offers, or one too many of all, to wait; tells whether there was no need to.
    pub(super) fn may_offer(&mut self, now: Instant, conn: ConnKey) -> bool {
        let id = self.clients.registration(conn).map(|registration| registration.claims.sub.clone());
        let is_allowed = id.is_some_and(|id| self.quotas.offer_of_user(now, &id, &mut self.stats));
        if !is_allowed {
            let complaint =
                Complaint::new(ErrorCode::TooMany, "too many connections at once: try again in a moment");
            self.complain(conn, complaint.retry_after_s(SOON_S));
        }
        is_allowed
    }

    /// Counts a request of WHIP or WHEP; tells whether its user and its address may make it.
    pub(super) fn may_request(&mut self, now: Instant, conn: ConnKey, id: &str) -> bool {
        let visitor = self.clients.visitor(conn);
        let network = visitor.filter(|visitor| !visitor.is_local()).map(Visitor::network);
        self.quotas.request_of_program(now, (id, network), &mut self.stats)
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

    /// Asserts that those are counted who are here, and nobody else.
    pub(super) fn check_admission(&self) {
        let resources = self.resources.values().filter(|resource| resource.kind() == Kind::Whep);
        let listenings = resources.filter(|resource| resource.peer().is_some()).count();
        self.quotas.check(self.clients.visitors().map(|visitor| &visitor.account), listenings);
    }

    /// Gives back what a conn held.
    fn release(&mut self, now: Instant, conn: ConnKey) {
        self.count_under(conn, Account::of_nobody()).into_iter().for_each(|held| self.quotas.give_back(now, held));
    }

    /// Counts a conn under another account; returns the one before.
    fn count_under(&mut self, conn: ConnKey, account: Account) -> Option<Account> {
        self.clients.replace_account(conn, account)
    }

    /// Gives back what a visitor held.
    pub(super) fn give_back(&mut self, now: Instant, visitor: Visitor) {
        self.quotas.give_back(now, visitor.account);
    }

    fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    /// Tells whether a conn is a trusted proxy's.
    pub(super) fn is_from_proxy(&self, conn: ConnKey) -> bool {
        self.clients.visitor(conn).is_some_and(|visitor| self.is_trusted_proxy(visitor.remote))
    }

    /// Tells whether a trusted proxy says that the client came to it encrypted.
    pub(super) fn came_encrypted(&self, conn: ConnKey, request: &Request) -> bool {
        let is_https = match &request.x_forwarded_proto {
            Some(protos) => forwarded::is_https(protos),
            None => request.forwarded.as_deref().is_some_and(forwarded::is_https_throughout),
        };
        self.is_from_proxy(conn) && is_https
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
