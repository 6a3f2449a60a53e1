//! All WebRTC sessions: by key, by user fragment and by address, and what they take together.
//!
//! Arms no deadline, and sends nothing by itself but what one session is to hear. Where that leaves to is remembered as long
//! as nobody may have changed the session. Invariant: the sums are those of the sessions that are there, each address is
//! owned by one of them, and each knows how many of its datagrams wait.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;
use slotmap::{SecondaryMap, SlotMap};

use super::sources::Sources;
use crate::config::{MediaLimits, PeerLimits};
use crate::demux::Demux;
use crate::keys::{Client, PeerKey};
use crate::outbox::Outbox;
use crate::path::{Path, Remote};
use crate::peer::{
    MediaPacket, OfferError, Outlet, Owner, Peer, PeerRole, Template, Turn, Wanted, Way, key_of_ufrag,
};
use crate::wire::classify::{Classified, Meaning};

/// The table of sessions.
pub(super) struct Peers {
    template: Template,
    peers: SlotMap<PeerKey, Box<Peer>>,
    /// What sends to those that hear, once they are connected: side by side, because a packet is for many.
    outlets: SecondaryMap<PeerKey, Leaving>,
    demux: Demux,
    sources: Sources,
    /// What their offers take, in bytes.
    offers_bytes: usize,
    /// What they count together in [`MediaLimits::peers_max`].
    places_taken: usize,
    /// Datagrams of sessions that are not connected, or from addresses that are new to them; some outlive their session.
    unconnected: VecDeque<Unconnected>,
}

/// What sends to one client, and where to.
struct Leaving {
    outlet: Outlet,
    /// Forgotten whenever the session may have changed.
    way: Option<Way>,
}

/// A datagram that waits for its turn.
pub(super) struct Unconnected {
    pub(super) peer: PeerKey,
    pub(super) path: Path,
    pub(super) meaning: Meaning,
    pub(super) bytes: Vec<u8>,
}

impl Peers {
    /// Returns an empty table of sessions that are reached at `advertised`.
    pub(super) fn new(advertised: &[SocketAddr], limits: &MediaLimits) -> Peers {
        Peers {
            template: Template::new(advertised),
            peers: SlotMap::with_key(),
            outlets: SecondaryMap::new(),
            demux: Demux::new(limits.addresses_per_peer_max),
            sources: Sources::default(),
            offers_bytes: 0,
            places_taken: 0,
            unconnected: VecDeque::new(),
        }
    }

    /// Makes a session for an offer; returns it and the answer.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        limits: &PeerLimits,
        (role, client): (PeerRole, Client),
        offer: &str,
        chance: &mut impl Rng,
    ) -> Result<(PeerKey, String), OfferError> {
        let mut answer = String::new();
        let key = self.peers.try_insert_with_key(|key| {
            let owner = Owner { key, role, client };
            let (peer, text) = Peer::accept(&self.template, now, limits, owner, offer, chance)?;
            answer = text;
            self.offers_bytes += peer.offer_bytes();
            self.places_taken += peer.places();
            Ok::<_, OfferError>(Box::new(peer))
        })?;
        Ok((key, answer))
    }

    /// Restarts ICE of a session; returns the answer, or `None` where there is no such session.
    pub(super) fn restart_ice(
        &mut self,
        now: Instant,
        key: PeerKey,
        wanted: Wanted<'_>,
        chance: &mut impl Rng,
        turn: &mut Turn<'_>,
    ) -> Option<Result<String, OfferError>> {
        let peer = self.get_mut(key)?;
        let bytes_before = peer.offer_bytes();
        let restarted = peer.restart_ice(now, wanted, chance, turn);
        let bytes = peer.offer_bytes();
        self.offers_bytes = self.offers_bytes - bytes_before + bytes;
        Some(restarted)
    }

    /// Removes a session; returns it and the addresses that were its own.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<(Box<Peer>, Vec<Remote>)> {
        let peer = self.peers.remove(key)?;
        self.outlets.remove(key);
        self.offers_bytes -= peer.offer_bytes();
        self.places_taken -= peer.places();
        self.sources.remove(key);
        let addresses = self.demux.remove(key);
        Some((peer, addresses))
    }

    /// Yields all sessions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.peers.iter().map(|(key, peer)| (key, &**peer))
    }

    /// Returns a session.
    pub(super) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.peers.get(key).map(|peer| &**peer)
    }

    /// Returns a session to change; its offer changes by [`Peers::restart_ice`] alone.
    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        if let Some(leaving) = self.outlets.get_mut(key) {
            leaving.way = None;
        }
        self.peers.get_mut(key).map(|peer| &mut **peer)
    }

    /// A session is connected: it is sent from now on what it is to hear.
    pub(super) fn connect(&mut self, key: PeerKey) {
        if let Some(outlet) = self.get_mut(key).and_then(Peer::take_outlet) {
            self.outlets.insert(key, Leaving { outlet, way: None });
        }
    }

    /// Makes the next packet to a session begin anew: what was heard until now is over.
    pub(super) fn cut(&mut self, key: PeerKey) {
        if let Some(leaving) = self.outlets.get_mut(key) {
            leaving.outlet.cut();
        }
    }

    /// Sends a publisher's packet to a session that hears, and a report where one is due; `unix` is the time since the epoch.
    /// Tells whether the packet left. Nothing of the library's is called, and so nothing is guarded.
    #[inline]
    pub(super) fn forward(
        &mut self,
        (now, unix): (Instant, Duration),
        key: PeerKey,
        packet: &MediaPacket,
        out: &mut Outbox,
    ) -> bool {
        let Some(Leaving { outlet, way }) = self.outlets.get_mut(key) else { return false };
        let way = match way {
            Some(way) => *way,
            None => {
                let Some(found) = self.peers.get(key).and_then(|peer| peer.way()) else { return false };
                *way.insert(found)
            }
        };
        let has_left = match way {
            Way::Straight(path) => outlet.send(now, packet, |length, write| out.fill(path, length, |to| write(to))),
            Way::Winding => outlet.send(now, packet, |length, write| {
                let mut contents = vec![0; length];
                write(&mut contents)?;
                self.peers.get_mut(key)?.send_media(&contents, out).then_some(())
            }),
        };
        if has_left && let Some(report) = outlet.report_due(now, unix) {
            match way {
                Way::Straight(path) => out.send(path, &report),
                Way::Winding => _ = self.peers.get_mut(key).map(|peer| peer.send_media(&report, out)),
            }
        }
        has_left
    }

    /// Takes a client's report on what it was sent; tells whether it is the client's.
    pub(super) fn hear_report(&mut self, unix: Duration, key: PeerKey, report: &[u8]) -> bool {
        self.outlets.get_mut(key).is_some_and(|leaving| leaving.outlet.hear(key, unix, report).is_some())
    }

    /// Tells a client that nothing more will come, before its session ends.
    pub(super) fn say_goodbye(&mut self, (now, unix): (Instant, Duration), key: PeerKey, out: &mut Outbox) {
        let goodbye = self.outlets.get_mut(key).and_then(|leaving| leaving.outlet.goodbye(now, unix));
        let peer = self.get_mut(key).filter(|peer| peer.way().is_some());
        if let Some((goodbye, peer)) = goodbye.zip(peer) {
            peer.send_media(&goodbye, out);
        }
    }

    /// Returns the session that a check names, by a whole user fragment: half of one can be guessed.
    pub(super) fn named(&self, ufrag: &str) -> Option<PeerKey> {
        key_of_ufrag(ufrag).filter(|&key| self.peers.get(key).is_some_and(|peer| peer.has_ufrag(ufrag)))
    }

    /// Returns the session that owns an address.
    pub(super) fn owner(&self, remote: Remote) -> Option<PeerKey> {
        self.demux.owner(remote)
    }

    /// Returns the session for which an address was asked that nobody owns.
    pub(super) fn asked_for(&self, remote: Remote) -> Option<PeerKey> {
        self.sources.asked_for(remote)
    }

    /// A session's packet of this synchronization source was authenticated.
    #[inline]
    pub(super) fn follow(&mut self, key: PeerKey, source: u32) {
        self.sources.follow(key, source);
    }

    /// A packet of this synchronization source came, so long, from an address that nobody owns: asks whether the client is
    /// there who sends that source. Tells whether it asked.
    pub(super) fn seek(
        &mut self,
        now: Instant,
        (path, bytes, source): (Path, usize, u32),
        (of_peer, of_media): (&PeerLimits, &MediaLimits),
        chance: &mut impl Rng,
        out: &mut Outbox,
    ) -> bool {
        let Some(key) = self.sources.sender(source) else { return false };
        let Some(peer) = self.get_mut(key) else { return false };
        let has_asked = peer.seek(now, (path, bytes), of_peer, chance, out);
        if has_asked {
            self.sources.ask(path.client(), key, of_media.asked_max);
        }
        has_asked
    }

    /// Returns the addresses of a session.
    pub(super) fn addresses(&self, key: PeerKey) -> &[Remote] {
        self.demux.addresses(key)
    }

    /// Gives an address to a session, whoever had it; returns the one that the session has forgotten for it.
    pub(super) fn claim(&mut self, remote: Remote, key: PeerKey) -> Option<Remote> {
        self.sources.forget(remote);
        let in_use = self.peers.get(key)?.settled_path().map(Path::client);
        self.demux.claim(remote, key, in_use)
    }

    /// Takes an address from the session that owns it, and returns that.
    pub(super) fn forget(&mut self, remote: Remote) -> Option<&mut Peer> {
        let key = self.demux.forget(remote)?;
        self.get_mut(key)
    }

    /// Tells whether there is room for another session that takes so many places, with this offer.
    pub(super) fn has_room(&self, places: usize, offer: &str, limits: &MediaLimits) -> bool {
        self.places_taken + places <= limits.peers_max && self.offers_bytes + offer.len() <= limits.offers_bytes_max
    }

    /// Makes a datagram of a session wait for its turn; tells whether there was room for another one.
    pub(super) fn enqueue(
        &mut self,
        key: PeerKey,
        path: Path,
        datagram: &Classified<'_>,
        limits: &MediaLimits,
    ) -> bool {
        let has_room = self.unconnected.len() < limits.unconnected_queue_max;
        let peer = self.peers.get_mut(key).filter(|_| has_room);
        let is_taken = peer.is_some_and(|peer| peer.enqueue(limits.unconnected_per_peer_max));
        if is_taken {
            let (meaning, bytes) = (datagram.meaning, datagram.bytes.to_vec());
            self.unconnected.push_back(Unconnected { peer: key, path, meaning, bytes });
        }
        is_taken
    }

    /// Returns the datagram that has waited for longest.
    pub(super) fn dequeue(&mut self) -> Option<Unconnected> {
        let datagram = self.unconnected.pop_front()?;
        if let Some(peer) = self.peers.get_mut(datagram.peer) {
            peer.dequeue();
        }
        Some(datagram)
    }

    /// Returns how many datagrams wait.
    pub(super) fn unconnected_len(&self) -> usize {
        self.unconnected.len()
    }

    /// Returns how many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Returns how many addresses they own.
    pub(super) fn addresses_len(&self) -> usize {
        self.demux.len()
    }

    /// Returns how many are known by what they send, or asked for.
    pub(super) fn sources_len(&self) -> usize {
        self.sources.rows_max()
    }

    /// Returns what their offers take, in bytes.
    pub(super) fn offers_bytes(&self) -> usize {
        self.offers_bytes
    }

    /// Asserts the invariant.
    pub(super) fn check(&self) {
        let sum = |of: fn(&Peer) -> usize| self.peers.values().map(|peer| of(peer)).sum::<usize>();
        assert_eq!(self.offers_bytes, sum(Peer::offer_bytes), "what offers take");
        assert_eq!(self.places_taken, sum(Peer::places), "places");
        let mut owned = 0;
        for key in self.peers.keys() {
            let addresses = self.demux.addresses(key);
            assert!(addresses.iter().all(|&remote| self.owner(remote) == Some(key)), "{key:?} shares an address");
            owned += addresses.len();
        }
        assert_eq!(self.demux.len(), owned, "an address is owned by nobody");
        assert!(
            self.outlets.keys().all(|key| self.peers.contains_key(key)),
            "somebody who is gone is sent something"
        );
        let remembered = self.outlets.iter().filter_map(|(key, leaving)| Some((key, leaving.way?)));
        for (key, way) in remembered {
            assert_eq!(Some(way), self.peers[key].way(), "where what {key:?} hears leaves to");
        }
        self.sources.check(|key| self.peers.contains_key(key));
        let mut waiting: SecondaryMap<PeerKey, usize> = SecondaryMap::new();
        for datagram in self.unconnected.iter().filter(|datagram| self.peers.contains_key(datagram.peer)) {
            *waiting.entry(datagram.peer).expect("it is there").or_default() += 1;
        }
        for (key, peer) in &self.peers {
            let count = waiting.get(key).copied().unwrap_or_default();
            assert_eq!(peer.queued(), count, "datagrams of {key:?} that wait");
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use str0m::Rtc;
    use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};
    use str0m::media::Direction;
    use str0m::net::Protocol;

    use super::*;
    use crate::keys::ConnKey;
    use crate::peer::srtp::Keys;
    use crate::peer::track::Sending;
    use crate::wire::classify;
    use crate::wire::media::MediaKind;

    /// Sessions of pages that hear, at some moment.
    struct Table {
        peers: Peers,
        limits: MediaLimits,
        chance: ChaCha20Rng,
        now: Instant,
    }

    impl Table {
        fn new() -> Table {
            let limits =
                MediaLimits { addresses_per_peer_max: 2, unconnected_per_peer_max: 2, ..MediaLimits::default() };
            let peers = Peers::new(&[([192, 0, 2, 1], 8080).into()], &limits);
            Table { peers, limits, chance: ChaCha20Rng::from_seed([1; 32]), now: Instant::now() }
        }

        /// Returns an offer to hear.
        fn offer(&self) -> String {
            let mut rtc = Rtc::builder().build(self.now);
            let mut changes = rtc.sdp_api();
            changes.add_media(str0m::media::MediaKind::Audio, Direction::RecvOnly, None, None, None);
            changes.apply().unwrap().0.to_sdp_string()
        }

        fn insert(&mut self) -> PeerKey {
            let (offer, made) = (self.offer(), (PeerRole::Listen, Client::Page(ConnKey::default())));
            self.peers.insert(self.now, &PeerLimits::default(), made, &offer, &mut self.chance).unwrap().0
        }

        fn enqueue(&mut self, key: PeerKey) -> bool {
            self.peers.enqueue(key, path(1), &classify::read(&[22]).unwrap(), &self.limits)
        }
    }

    fn path(port: u16) -> Path {
        let [remote, local] = [port, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto: Protocol::Udp, remote, local }
    }

    /// Returns what sends to somebody.
    fn outlet() -> Outlet {
        let (profile, kind, cname) = (SrtpProfile::AEAD_AES_128_GCM, MediaKind::Audio, "x".to_owned());
        let material = KeyingMaterial::new(&vec![7; profile.keying_material_len()]);
        let keys = Keys::new(&material, profile, true).unwrap();
        Outlet::new(&Sending { kind, ssrc: 1, payload_type: 111, mid: None, cname, chance: 0 }, &keys).unwrap()
    }

    #[test]
    fn where_somebody_hears_is_asked_again_once_they_may_have_moved() {
        let mut table = Table::new();
        let key = table.insert();
        table.peers.outlets.insert(key, Leaving { outlet: outlet(), way: Some(Way::Winding) });
        assert!(table.peers.get(key).is_some());
        assert_eq!(table.peers.outlets[key].way, Some(Way::Winding));
        assert!(table.peers.get_mut(key).is_some());
        assert_eq!(table.peers.outlets[key].way, None);
    }

    #[test]
    fn sums_addresses_and_what_waits_follow_the_sessions() {
        let mut table = Table::new();
        let [one, two] = [table.insert(), table.insert()];
        let claims = [(1, one), (2, one), (3, one), (1, two)].map(|(port, key)| {
            let forgotten = table.peers.claim(path(port).client(), key);
            table.peers.check();
            forgotten
        });
        assert_eq!(claims, [None, None, Some(path(1).client()), None]);
        assert!(table.enqueue(one) && table.enqueue(one) && table.enqueue(two));
        assert!(!table.enqueue(one), "it has enough");
        let (before, mut out) = (table.peers.offers_bytes(), Outbox::new());
        let mut turn = Turn { limits: &PeerLimits::default(), out: &mut out, events: &mut Vec::new() };
        let longer = Wanted::Credentials("a user fragment that is longer", "0123456789012345678901");
        let restarted = table.peers.restart_ice(table.now, two, longer, &mut table.chance, &mut turn);
        assert!(matches!(restarted, Some(Ok(_))));
        assert_ne!(table.peers.offers_bytes(), before);
        table.peers.check();
        let (_, addresses) = table.peers.remove(one).unwrap();
        assert_eq!(addresses, [2, 3].map(|port| path(port).client()));
        assert!(table.peers.remove(one).is_none());
        assert_eq!(table.peers.claim(path(4).client(), one), None, "who is gone owns nothing");
        let waited: Vec<PeerKey> =
            std::iter::from_fn(|| table.peers.dequeue()).map(|datagram| datagram.peer).collect();
        assert_eq!(waited, [one, one, two]);
        assert!(table.peers.remove(two).is_some());
        assert_eq!((table.peers.offers_bytes(), table.peers.places_taken, table.peers.addresses_len()), (0, 0, 0));
    }

    #[test]
    fn the_check_finds_what_does_not_agree() {
        let breaks: &[(&str, fn(&mut Peers, PeerKey))] = &[
            ("nothing", |_, _| {}),
            ("offers", |peers, _| peers.offers_bytes += 1),
            ("places", |peers, _| peers.places_taken += 1),
            ("somebody who is gone has an address", |peers, key| {
                peers.peers.remove(key);
                (peers.offers_bytes, peers.places_taken) = (0, 0);
            }),
            ("a datagram went uncounted", |peers, _| drop(peers.unconnected.pop_front())),
            ("somebody who is gone is sent something", |peers, _| {
                peers.outlets.insert(
                    slotmap::KeyData::from_ffi(1 << 32 | 99).into(),
                    Leaving { outlet: outlet(), way: None },
                );
            }),
            ("somebody is sent something where they are not", |peers, key| {
                let way = Some(Way::Straight(path(1)));
                peers.outlets.insert(key, Leaving { outlet: outlet(), way });
            }),
        ];
        for (name, break_it) in breaks {
            let mut table = Table::new();
            let key = table.insert();
            table.peers.claim(path(1).client(), key);
            assert!(table.enqueue(key));
            break_it(&mut table.peers, key);
            let holds = catch_unwind(AssertUnwindSafe(|| table.peers.check())).is_ok();
            assert_eq!(holds, *name == "nothing", "{name}");
        }
    }
}
