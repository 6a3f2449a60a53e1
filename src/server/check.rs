//! Compares what two tables must agree on, in debug builds, after every turn that may have changed one.
//!
//! Changes nothing. Invariant: each pair of tables that hold one truth is compared here, or in the one type that owns both.

use super::registration::Seat;
use super::{Server, Timer};
use crate::keys::{BroadcastKey, Client, ConnKey, Sink};
use crate::peer::PeerRole;

impl Server {
    /// Asserts that the tables agree.
    pub(super) fn check(&self) {
        self.check_admission();
        self.check_conns();
        self.check_listeners();
        self.check_publishers();
        self.check_peers();
        self.check_jobs();
        self.check_refusals();
    }

    /// Conns that wait for time ↔ deadlines; the page of each broadcast ↔ who registered.
    fn check_conns(&self) {
        self.clients.check();
        self.broadcasts.check();
        for (conn, client) in self.clients.iter() {
            let at = client.next_deadline(&self.settings.limits.conn);
            assert!(at.is_none() || self.deadlines.is_armed(Timer::Conn(conn)), "conns ↔ deadlines");
        }
        for (conn, registration) in self.clients.registrations() {
            if let Seat::Witness { broadcast } = registration.seat {
                assert!(self.broadcasts[broadcast].witnesses().contains(&conn), "registrations ↔ witnesses");
            }
            let Some(broadcast) = self.clients.own_broadcast(conn) else { continue };
            assert_eq!(self.broadcasts[broadcast].page(), Some(conn), "registrations ↔ pages");
        }
        for (key, broadcast) in self.broadcasts.iter() {
            let page = broadcast.page();
            let is_own = page.is_none_or(|page| self.clients.own_broadcast(page) == Some(key));
            assert!(is_own, "pages ↔ registrations");
            for &conn in broadcast.witnesses() {
                let seat = self.clients.registration(conn).map(|who| &who.seat);
                let is_its = matches!(seat, Some(&Seat::Witness { broadcast }) if broadcast == key);
                assert!(is_its, "witnesses ↔ registrations");
            }
            let at = broadcast.next_deadline(&self.settings.limits.broadcast);
            assert!(at.is_none() || self.deadlines.is_armed(Timer::Broadcast(key)), "broadcasts ↔ deadlines");
        }
    }

    /// Wishes and who is heard ↔ listeners; sinks ↔ audio connections.
    fn check_listeners(&self) {
        let mut wished: Vec<(BroadcastKey, ConnKey)> = Vec::new();
        for (conn, registration) in self.clients.registrations() {
            let Seat::Admin { audio, wishes, current, .. } = &registration.seat else { continue };
            wished.extend(wishes.iter().map(|&wish| (wish, conn)));
            assert!(current.is_none_or(|current| wishes.contains(&current)), "current ↔ wishes");
            assert!(wishes.is_empty() || audio.is_some(), "wishes ↔ audio");
            for &wish in wishes {
                let listener = self.broadcasts[wish].listener(Client::Page(conn));
                let sink = listener.map(|listener| listener.sink);
                assert_eq!(sink, audio.map(Sink::Peer), "wishes ↔ listeners, audio ↔ sinks");
                let is_heard = self.broadcasts[wish].is_heard_by(conn);
                assert!(!is_heard || *current == Some(wish), "a conn hears one salesperson, its current one");
            }
        }
        for (key, broadcast) in self.broadcasts.iter() {
            for listener in broadcast.listeners() {
                let is_wished = match listener.key {
                    Client::Page(conn) => wished.contains(&(key, conn)),
                    Client::Program(resource) => {
                        self.resources.get(resource).and_then(|resource| resource.peer()).map(Sink::Peer)
                            == Some(listener.sink)
                    }
                };
                assert!(is_wished, "listeners ↔ wishes and resources");
                let entry = listener.awaited_entry();
                let is_awaited = entry.is_none_or(|entry| self.jobs.awaits((key, listener.key), entry));
                assert!(is_awaited, "who waits for an entry ↔ jobs");
            }
        }
    }

    /// Broadcasts ↔ the sessions that bring their audio.
    fn check_publishers(&self) {
        for (key, peer) in self.peers.iter() {
            let PeerRole::Publish(broadcast) = peer.role() else { continue };
            assert_eq!(self.broadcasts[broadcast].publisher(), Some(key), "publishing sessions ↔ broadcasts");
        }
        for (key, broadcast) in self.broadcasts.iter() {
            let Some(publisher) = broadcast.publisher() else { continue };
            let role = self.peers.get(publisher).map(|peer| peer.role());
            assert_eq!(role, Some(PeerRole::Publish(key)), "broadcasts ↔ publishing sessions");
        }
    }

    /// Sessions ↔ whose they are, what they sum up to, and deadlines.
    fn check_peers(&self) {
        self.peers.check();
        for (key, peer) in self.peers.iter() {
            let is_held = match (peer.client(), peer.role()) {
                (Client::Program(resource), _) => {
                    self.resources.get(resource).and_then(|resource| resource.peer()) == Some(key)
                }
                (Client::Page(conn), PeerRole::Listen) => self.clients.registration(conn).is_some_and(
                    |registration| matches!(registration.seat, Seat::Admin { audio, .. } if audio == Some(key)),
                ),
                (Client::Page(conn), PeerRole::Test) => {
                    self.clients.registration(conn).is_some_and(|registration| registration.test == Some(key))
                }
                // Its page may be away for a while.
                (Client::Page(_), PeerRole::Publish(_)) => true,
            };
            assert!(is_held, "sessions ↔ who has them");
            assert!(self.deadlines.is_armed(Timer::Peer(key)), "sessions ↔ deadlines");
        }
    }

    /// Jobs ↔ their credit; requests that are answered elsewhere ↔ jobs.
    fn check_jobs(&self) {
        self.jobs.check();
        self.check_proofs();
        for (conn, client) in self.clients.iter() {
            let is_known = client.awaited_answer().is_none_or(|job| self.jobs.answers(job, conn));
            assert!(is_known, "conns that wait for an answer ↔ jobs");
        }
    }
}
