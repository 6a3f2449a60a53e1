//! Sessions of WHIP and WHEP clients by their URLs: whose each is, until when, and that it was.
//!
//! Knows no HTTP. Invariant: a resource is active exactly as long as its peer is there, and what is not active is
//! forgotten after a while.

use std::time::Instant;

use rand_core::Rng;

use super::{Server, Timer};
use crate::audit::{Event, ListenEnd, OffAir};
use crate::keys::{BroadcastKey, Client, PeerKey, ResourceKey};
use crate::outbox::Outbox;
use crate::peer::PeerRole;
use crate::token::Claims;
use crate::words::Role;

/// Hexadecimal digits of a resource's key in its name; as many again, twice, are random.
const KEY_DIGITS: usize = 16;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The client sends.
    Whip,
    /// The client hears.
    Whep,
}

/// What a WHIP or WHEP client made.
pub(super) struct Resource {
    /// The random half of its name.
    secret: u128,
    /// Its user's token, without what is of no use any more.
    claims: Claims,
    state: State,
}

/// How far a resource is.
#[derive(Clone, Copy)]
enum State {
    Active {
        peer: PeerKey,
        /// What it sends to or hears.
        broadcast: BroadcastKey,
    },
    /// It is over, and why; a `DELETE` that comes late is answered all the same, until this moment.
    Ended { until: Instant, why: ListenEnd },
}

/// Why the server ends a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its client wants so.
    Stopped,
    TokenExpired,
    TokenRevoked,
    /// What streamed as a device is none.
    NoDevice,
    Restarting,
}

impl Ending {
    fn of_broadcast(self) -> OffAir {
        match self {
            Ending::Stopped => OffAir::Stopped,
            Ending::TokenExpired => OffAir::TokenExpired,
            Ending::TokenRevoked => OffAir::TokenRevoked,
            Ending::NoDevice => OffAir::NotAllowed,
            Ending::Restarting => OffAir::Restarting,
        }
    }

    /// Tells whether what was sent before may not arrive any more.
    fn ends_right(self) -> bool {
        match self {
            Ending::Stopped | Ending::Restarting => false,
            Ending::TokenExpired | Ending::TokenRevoked | Ending::NoDevice => true,
        }
    }

    fn of_listening(self) -> ListenEnd {
        match self {
            Ending::Stopped => ListenEnd::Left,
            Ending::TokenExpired => ListenEnd::TokenExpired,
            Ending::TokenRevoked => ListenEnd::TokenRevoked,
            Ending::NoDevice => ListenEnd::NotAllowed,
            Ending::Restarting => ListenEnd::Restarting,
        }
    }
}

impl Resource {
    /// Returns its peer, while it has one.
    pub(super) fn peer(&self) -> Option<PeerKey> {
        match self.state {
            State::Active { peer, .. } => Some(peer),
            State::Ended { .. } => None,
        }
    }

    /// Returns the broadcast that it sends to or hears, while it has a peer.
    pub(super) fn broadcast(&self) -> Option<BroadcastKey> {
        match self.state {
            State::Active { broadcast, .. } => Some(broadcast),
            State::Ended { .. } => None,
        }
    }

    /// Returns which of the protocols it was made by: only supervisors hear.
    pub(super) fn kind(&self) -> Kind {
        if self.claims.role == Role::Admin { Kind::Whep } else { Kind::Whip }
    }

    /// Tells whether it is this user's.
    pub(super) fn is_of(&self, claims: &Claims) -> bool {
        self.claims.sub == claims.sub && self.claims.role == claims.role
    }
}

impl Server {
    /// Returns a new resource of a user, which is over unless it is activated.
    pub(super) fn new_resource(&mut self, now: Instant, claims: &Claims) -> ResourceKey {
        let secret = u128::from(self.chance.next_u64()) << 64 | u128::from(self.chance.next_u64());
        // The rest was judged, and may be long.
        let claims = Claims { name: None, listen: None, ..claims.clone() };
        self.resources.insert(Resource {
            secret,
            claims,
            state: State::Ended { until: now, why: ListenEnd::ConnectionLost },
        })
    }

    /// Returns the last segment of a resource's URL.
    pub(super) fn name_of_resource(&self, key: ResourceKey) -> String {
        let secret = self.resources.get(key).map_or(0, |resource| resource.secret);
        format!("{:016x}{secret:032x}", slotmap::Key::data(&key).as_ffi())
    }

    /// Returns the resource of this name.
    pub(super) fn resource_of_name(&self, name: &str) -> Option<ResourceKey> {
        let digits = name.get(..KEY_DIGITS)?;
        let key = ResourceKey::from(slotmap::KeyData::from_ffi(u64::from_str_radix(digits, 16).ok()?));
        (self.resources.contains_key(key) && self.name_of_resource(key) == name).then_some(key)
    }

    /// A resource's offer was answered.
    pub(super) fn activate(&mut self, now: Instant, key: ResourceKey, peer: PeerKey, broadcast: BroadcastKey) {
        if let Some(resource) = self.resources.get_mut(key) {
            resource.state = State::Active { peer, broadcast };
        }
        self.arm_resource(now, key);
    }

    /// Returns the broadcast that a program's session was made for, while it is there.
    pub(super) fn broadcast_of_program(&self, client: Client) -> Option<BroadcastKey> {
        match client {
            Client::Page(_) => None,
            Client::Program(key) => self.resources.get(key).and_then(Resource::broadcast),
        }
    }

    /// Takes it that the peer of a resource is gone: its URL is remembered for a while.
    pub(super) fn retire(&mut self, now: Instant, key: ResourceKey) {
        let has_room = self.resources.len() <= self.settings.limits.program.resources_max;
        let Some(resource) = self.resources.get_mut(key) else { return };
        let until = now + self.settings.limits.program.resource_memory;
        resource.state = State::Ended { until, why: ListenEnd::ConnectionLost };
        let (id, kind) = (resource.claims.sub.clone(), resource.kind());
        if kind == Kind::Whep {
            self.quotas.release_listening(now, &id);
        }
        if has_room {
            self.arm_resource(now, key);
        } else {
            self.forget_resource(key);
        }
    }

    /// Ends a resource: what it sent or heard is over.
    pub(super) fn end_resource(&mut self, now: Instant, key: ResourceKey, ending: Ending, out: &mut Outbox) {
        let Some(&Resource { state: State::Active { peer, broadcast }, .. }) = self.resources.get(key) else {
            return;
        };
        match self.peers.get(peer).map(|peer| peer.role()) {
            Some(PeerRole::Publish(_)) => {
                if self.broadcasts.get(broadcast).is_some_and(|broadcast| broadcast.publisher() == Some(peer)) {
                    self.go_off_air(now, broadcast, ending.of_broadcast(), out);
                }
                self.close_peer(now, peer, out);
            }
            Some(PeerRole::Listen) => {
                if ending.ends_right() {
                    self.void_framed(peer);
                }
                self.close_peer(now, peer, out);
                if let Some(State::Ended { why, .. }) =
                    self.resources.get_mut(key).map(|resource| &mut resource.state)
                {
                    *why = ending.of_listening();
                }
                self.leave(now, broadcast, Client::Program(key), None, out);
            }
            Some(PeerRole::Test) | None => {}
        }
    }

    /// Ends all resources whose token is one of these.
    pub(super) fn end_resources(
        &mut self,
        now: Instant,
        is_over: impl Fn(&Self, &Claims) -> bool,
        ending: Ending,
        out: &mut Outbox,
    ) {
        let over = self.resources.iter().filter(|(_, resource)| is_over(self, &resource.claims));
        let over: Vec<ResourceKey> = over.map(|(key, _)| key).collect();
        for key in over {
            self.end_resource(now, key, ending, out);
        }
    }

    /// Returns why a listening connection is not there any more; `None` where it is, and leaves by itself.
    pub(super) fn why_gone(&self, listener: Client) -> Option<ListenEnd> {
        match listener {
            Client::Page(conn) => self.clients.registration(conn).is_none().then_some(ListenEnd::ConnClosed),
            Client::Program(key) => match self.resources.get(key).map(|resource| resource.state) {
                Some(State::Active { .. }) => None,
                Some(State::Ended { why, .. }) => Some(why),
                None => Some(ListenEnd::ConnectionLost),
            },
        }
    }

    /// Forgets a resource and its URL.
    pub(super) fn forget_resource(&mut self, key: ResourceKey) {
        self.deadlines.cancel(Timer::Resource(key));
        self.resources.remove(key);
    }

    /// Arms the moment at which a resource must be looked at: its token's end, or the end of the memory of it.
    pub(super) fn arm_resource(&mut self, now: Instant, key: ResourceKey) {
        let Some(resource) = self.resources.get(key) else { return };
        let at = match resource.state {
            State::Active { .. } => self.clock.instant_of(now, resource.claims.exp),
            State::Ended { until, .. } => Some(until),
        };
        match at {
            Some(at) => self.deadlines.arm(Timer::Resource(key), at),
            None => self.deadlines.cancel(Timer::Resource(key)),
        }
    }

    pub(super) fn on_resource_deadline(&mut self, now: Instant, key: ResourceKey, out: &mut Outbox) {
        let Some(resource) = self.resources.get(key) else { return };
        match resource.state {
            State::Ended { .. } => self.forget_resource(key),
            State::Active { .. } if resource.claims.is_live(self.unix_s(now)) => self.arm_resource(now, key),
            State::Active { .. } => self.end_resource(now, key, Ending::TokenExpired, out),
        }
    }

    /// Ends the resources of users whose token was revoked, and writes it down.
    pub(super) fn end_revoked_resources(&mut self, now: Instant, out: &mut Outbox) {
        let active = self.resources.values().filter(|resource| resource.peer().is_some());
        let revoked = active.filter(|resource| self.verifier.is_revoked(&resource.claims));
        let events: Vec<Event> = revoked.map(|resource| self.access_revoked(&resource.claims)).collect();
        for event in events {
            self.note(now, event, out);
        }
        self.end_resources(now, |server, claims| server.verifier.is_revoked(claims), Ending::TokenRevoked, out);
    }
}
