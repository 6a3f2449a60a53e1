//! TCP clients: each one's conn, under whom it is counted, who registered on it, and what all of them have buffered.
//!
//! Sends nothing and decides nothing. Whoever changes a conn touches it, and what was touched is settled once, at the end of
//! the call that changed it. Invariant: every client stands in the tables that it belongs in, and what all have buffered is
//! the sum of what each had when it was settled.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use slotmap::{SecondaryMap, SlotMap};

use super::admission::Visitor;
use super::crowds::Crowds;
use super::quotas::Account;
use super::registration::{Registration, Seat};
use crate::conn::Conn;
use crate::deadlines::Deadlines;
use crate::keys::{BroadcastKey, ConnKey, PeerKey};
use crate::path::Remote;

/// The table of TCP clients.
pub(super) struct Clients {
    rows: SlotMap<ConnKey, Row>,
    registrations: SecondaryMap<ConnKey, Registration>,
    /// Those on which an admin is registered.
    admins: BTreeSet<ConnKey>,
    /// Those without a user, and when each came, asked for something or was checked last.
    idle: Deadlines<ConnKey>,
    /// Those of them that no session needs, by their networks.
    crowds: Crowds,
    /// Those of them that have opened a WebSocket, and whose place is kept for as long as they may take to register.
    registering: BTreeSet<ConnKey>,
    /// Those that speak ICE-TCP and have named a session, by the client's end of their datagrams' path.
    framed: HashMap<Remote, ConnKey>,
    /// Those of them that may have sent a whole datagram; each stands in it at most once.
    ready: VecDeque<ConnKey>,
    /// What all together have buffered, in bytes.
    buffered_bytes: usize,
    /// Those that were changed since they were settled.
    touched: Vec<ConnKey>,
}

struct Row {
    conn: Conn,
    visitor: Visitor,
    is_touched: bool,
}

impl Clients {
    /// Returns a table without clients.
    pub(super) fn new() -> Clients {
        Clients {
            rows: SlotMap::with_key(),
            registrations: SecondaryMap::new(),
            admins: BTreeSet::new(),
            idle: Deadlines::new(),
            crowds: Crowds::new(),
            registering: BTreeSet::new(),
            framed: HashMap::new(),
            ready: VecDeque::new(),
            buffered_bytes: 0,
            touched: Vec::new(),
        }
    }

    /// Adds a client that came just now.
    pub(super) fn insert(&mut self, now: Instant, conn: Conn, visitor: Visitor) -> ConnKey {
        let network = visitor.network();
        let key = self.rows.insert(Row { conn, visitor, is_touched: true });
        self.crowds.put(key, network, now);
        self.idle.arm(key, now);
        self.touched.push(key);
        key
    }

    /// Removes a client, whose registration is over; returns its conn, and under whom it was counted.
    pub(super) fn remove(&mut self, conn: ConnKey) -> Option<(Conn, Visitor)> {
        let Row { conn: client, visitor, .. } = self.rows.remove(conn)?;
        debug_assert!(!self.registrations.contains_key(conn), "its registration ends first");
        self.buffered_bytes -= client.reckoned();
        self.belongs_to_user(conn);
        Some((client, visitor))
    }

    /// Returns how many clients there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns all clients' keys.
    pub(super) fn keys(&self) -> Vec<ConnKey> {
        self.rows.keys().collect()
    }

    /// Yields all conns.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnKey, &Conn)> {
        self.rows.iter().map(|(key, row)| (key, &row.conn))
    }

    /// Returns a conn.
    pub(super) fn get(&self, conn: ConnKey) -> Option<&Conn> {
        self.rows.get(conn).map(|row| &row.conn)
    }

    /// Returns a conn to change: it is settled at the end of the call.
    pub(super) fn get_mut(&mut self, conn: ConnKey) -> Option<&mut Conn> {
        let row = self.rows.get_mut(conn)?;
        if !row.is_touched {
            row.is_touched = true;
            self.touched.push(conn);
        }
        Some(&mut row.conn)
    }

    /// Takes one that was touched, whose buffers count from now on as they are; `None` once there is none.
    pub(super) fn take_touched(&mut self, now: Instant) -> Option<ConnKey> {
        let conn = self.touched.pop()?;
        // One that is gone needs no more.
        if let Some(row) = self.rows.get_mut(conn) {
            row.is_touched = false;
            let (before, after) = row.conn.reckon(now);
            self.buffered_bytes = self.buffered_bytes - before + after;
        }
        Some(conn)
    }

    /// Returns what all together have buffered, in bytes.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Yields under whom each client is counted.
    pub(super) fn visitors(&self) -> impl Iterator<Item = &Visitor> {
        self.rows.values().map(|row| &row.visitor)
    }

    /// Returns under whom a client is counted.
    pub(super) fn visitor(&self, conn: ConnKey) -> Option<&Visitor> {
        self.rows.get(conn).map(|row| &row.visitor)
    }

    /// Counts a client under another account; returns the one before.
    pub(super) fn replace_account(&mut self, conn: ConnKey, account: Account) -> Option<Account> {
        self.rows.get_mut(conn).map(|row| row.visitor.replace_account(account))
    }

    /// Takes it that a client has this address; it stands in no crowd.
    pub(super) fn comes_from(&mut self, conn: ConnKey, client: IpAddr) {
        if let Some(row) = self.rows.get_mut(conn) {
            row.visitor.set_client(client);
            self.crowds.remove(conn);
        }
    }

    /// Takes it that a client is one of the strangers of its network.
    pub(super) fn joins_crowd(&mut self, now: Instant, conn: ConnKey) {
        if let Some(row) = self.rows.get(conn) {
            self.crowds.put(conn, row.visitor.network(), now);
        }
    }

    /// Returns the client without a user that did nothing for the longest time, and since when.
    pub(super) fn longest_idle(&self) -> Option<(Instant, ConnKey)> {
        self.idle.first()
    }

    /// Takes it that a client without a user did something.
    pub(super) fn stir(&mut self, now: Instant, conn: ConnKey) {
        if self.rows.contains_key(conn) {
            self.idle.arm(conn, now);
            self.crowds.stir(conn, now);
        }
    }

    /// Takes it that a client without a user has opened a WebSocket, to register by `until`: it is passed over until then,
    /// if not so many are already.
    pub(super) fn registers(&mut self, conn: ConnKey, until: Instant, kept_max: usize) {
        if self.idle.is_armed(conn) && self.registering.len() < kept_max {
            self.registering.insert(conn);
            self.stir(until, conn);
        }
    }

    /// Takes it that a client is a session's, which needs it or does not, or a proxy's that asks for nobody now: whatever its
    /// network has, it is no stranger's.
    pub(super) fn leaves_crowd(&mut self, conn: ConnKey) {
        self.crowds.remove(conn);
    }

    /// Takes it that a client is a user's.
    pub(super) fn belongs_to_user(&mut self, conn: ConnKey) {
        self.idle.cancel(conn);
        self.crowds.remove(conn);
        self.registering.remove(&conn);
    }

    /// Returns strangers by their networks.
    pub(super) fn crowds(&self) -> &Crowds {
        &self.crowds
    }

    /// Takes it that a stranger's client rests, or does not any more, where that is new; tells which.
    pub(super) fn update_rest(&mut self, now: Instant, conn: ConnKey) -> Option<bool> {
        let rests = self.get(conn)?.rests();
        if self.crowds.rests(conn)? == rests {
            return None;
        }
        self.crowds.set_rests(conn, now, rests);
        Some(rests)
    }

    /// Tells whether no user is known of a client.
    pub(super) fn is_idle(&self, conn: ConnKey) -> bool {
        self.idle.is_armed(conn)
    }

    /// Registers a user on a conn.
    pub(super) fn register(&mut self, conn: ConnKey, registration: Registration) {
        match registration.seat {
            Seat::Admin { .. } => drop(self.admins.insert(conn)),
            Seat::Commercial { .. } | Seat::Witness { .. } => {}
        }
        self.registrations.insert(conn, registration);
    }

    /// Takes it that a salesperson's page is not theirs any more, but goes on to see; returns the session that it tests with.
    pub(super) fn become_witness(&mut self, conn: ConnKey, broadcast: BroadcastKey) -> Option<PeerKey> {
        let registration = self.registrations.get_mut(conn)?;
        registration.seat = Seat::Witness { broadcast };
        registration.test.take()
    }

    /// Ends the registration of a conn, and returns it.
    pub(super) fn unregister(&mut self, conn: ConnKey) -> Option<Registration> {
        self.admins.remove(&conn);
        self.registrations.remove(conn)
    }

    /// Returns who registered on a conn.
    pub(super) fn registration(&self, conn: ConnKey) -> Option<&Registration> {
        self.registrations.get(conn)
    }

    /// Returns who registered on a conn, to change what they do; nobody becomes another role.
    pub(super) fn registration_mut(&mut self, conn: ConnKey) -> Option<&mut Registration> {
        self.registrations.get_mut(conn)
    }

    /// Yields all who registered.
    pub(super) fn registrations(&self) -> impl Iterator<Item = (ConnKey, &Registration)> {
        self.registrations.iter()
    }

    /// Returns how many registered.
    pub(super) fn registrations_len(&self) -> usize {
        self.registrations.len()
    }

    /// Yields the conns on which admins are registered, and who that is.
    pub(super) fn admins(&self) -> impl Iterator<Item = (ConnKey, &Registration)> {
        self.admins.iter().filter_map(|&conn| Some((conn, self.registrations.get(conn)?)))
    }

    /// Returns the broadcast of the salesperson whose page a conn is.
    pub(super) fn own_broadcast(&self, conn: ConnKey) -> Option<BroadcastKey> {
        match self.registrations.get(conn)?.seat {
            Seat::Commercial { broadcast } => Some(broadcast),
            Seat::Witness { .. } | Seat::Admin { .. } => None,
        }
    }

    /// Returns the session by which the supervisor hears whose page a conn is.
    pub(super) fn audio(&self, conn: ConnKey) -> Option<PeerKey> {
        match self.registrations.get(conn)?.seat {
            Seat::Admin { audio, .. } => audio,
            Seat::Commercial { .. } | Seat::Witness { .. } => None,
        }
    }

    /// Returns the conn whose datagrams go to this client's end.
    pub(super) fn framed(&self, remote: Remote) -> Option<ConnKey> {
        self.framed.get(&remote).copied()
    }

    /// Takes it that a conn speaks ICE-TCP and has named a session.
    pub(super) fn name_framed(&mut self, conn: ConnKey) {
        if let Some(row) = self.rows.get(conn) {
            self.framed.insert(row.conn.ends().path().client(), conn);
        }
    }

    /// Forgets where a conn was found that is gone; tells whether it was found there.
    pub(super) fn forget_framed(&mut self, conn: ConnKey, remote: Remote) -> bool {
        let is_its = self.framed.get(&remote) == Some(&conn);
        if is_its {
            self.framed.remove(&remote);
        }
        is_its
    }

    /// Makes a conn wait for its turn to be read from.
    pub(super) fn push_ready(&mut self, conn: ConnKey) {
        self.ready.push_back(conn);
    }

    /// Returns whose turn it is to be read from.
    pub(super) fn pop_ready(&mut self) -> Option<ConnKey> {
        self.ready.pop_front()
    }

    /// Returns how many wait to be read from.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Returns how many rows the fullest of the tables has.
    pub(super) fn rows_max(&self) -> usize {
        let of_strangers = self.idle.len().max(self.crowds.len()).max(self.registering.len());
        self.rows.len().max(of_strangers).max(self.framed.len()).max(self.admins.len())
    }

    /// Asserts that the tables agree: what all have buffered, who registered, who is idle, where ICE-TCP is found, and who
    /// is ready.
    pub(super) fn check(&self) {
        let reckoned: usize = self.rows.values().map(|row| row.conn.reckoned()).sum();
        assert_eq!(reckoned, self.buffered_bytes, "conns ↔ buffered bytes");
        assert!(self.touched.is_empty() && self.rows.values().all(|row| !row.is_touched), "all are settled");
        let is_admin = |registration: &Registration| matches!(registration.seat, Seat::Admin { .. });
        let admins = self.registrations.iter().filter(|(_, registration)| is_admin(registration));
        assert_eq!(admins.map(|(conn, _)| conn).collect::<BTreeSet<_>>(), self.admins, "registrations ↔ admins");
        for conn in self.registrations.keys() {
            assert!(self.rows.contains_key(conn), "registrations ↔ conns");
            assert!(!self.idle.is_armed(conn), "registrations ↔ idle");
        }
        self.crowds.check();
        assert!(self.registering.iter().all(|&conn| self.idle.is_armed(conn)), "registering ↔ idle");
        for (conn, row) in &self.rows {
            let network = self.crowds.network(conn);
            assert!(network.is_none_or(|network| network == row.visitor.network()), "crowds ↔ networks");
            assert!(network.is_none() || self.idle.is_armed(conn), "crowds ↔ idle");
            assert!(
                self.crowds.rests(conn).is_none_or(|rests| rests == row.conn.rests()),
                "crowds ↔ conns at rest"
            );
        }
        for (remote, &conn) in &self.framed {
            let found = self.get(conn).map(|client| client.ends().path().client());
            assert_eq!(found, Some(*remote), "framed ↔ conns");
        }
        let ready: BTreeSet<ConnKey> = self.ready.iter().copied().collect();
        assert_eq!(ready.len(), self.ready.len(), "each once in the queue of those who are ready");
        for (conn, row) in &self.rows {
            assert!(!row.conn.is_ready() || ready.contains(&conn), "ready queue ↔ flags");
        }
    }
}
