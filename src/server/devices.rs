//! Devices: which ids are nobody's microphone, and which never are because a person used them.
//!
//! A device is heard without anybody acknowledging it. So a token alone makes none: it is named with its place, which all
//! users are shown, and an id under which a person's page was here is none as long as the server remembers. Invariant: no
//! device is on air that is not named, or whose id is a person's.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use log::{error, info};

use super::resources::Ending;
use super::{CloseCode, Server};
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::token::{Claims, Devices};
use crate::wire::signaling::{Complaint, ErrorCode};
use crate::words::Role;

/// What one is told whose token is a device's.
pub(super) const NO_DEVICE: &str = "no device of --devices has this id, or a person's page used it";

/// The ids under which a person's page was here, oldest first. What is kept of one is so short that two may share it: then
/// a device is refused that need not be.
pub(super) struct Persons {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Persons {
    pub(super) fn new() -> Persons {
        Persons { known: HashSet::new(), order: VecDeque::new() }
    }

    /// Remembers an id, and forgets the oldest above so many; tells whether it is new.
    fn insert(&mut self, id: &str, persons_max: usize) -> bool {
        let short = shortened(id);
        let is_new = self.known.insert(short);
        if is_new {
            self.order.push_back(short);
            if self.order.len() > persons_max
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        is_new
    }

    fn has(&self, id: &str) -> bool {
        self.known.contains(&shortened(id))
    }
}

impl Server {
    /// Takes the new contents of the file that names the devices; one that can't be used leaves the old list. Who is not
    /// named any more is ended, and all users are told.
    pub fn handle_devices(&mut self, now: Instant, contents: &[u8], out: &mut Outbox) {
        self.call(now, out, |server, out| match Devices::parse(contents) {
            Ok(devices) => server.on_devices(now, devices, out),
            Err(error) => {
                error!(target: "signal", "the new list of devices is refused, the old one stays: {error}");
            }
        });
    }

    /// Tells whether a token is a device's that may not stream.
    pub(super) fn is_no_device(&self, claims: &Claims) -> bool {
        let is_one = || self.settings.devices.has(&claims.sub) && !self.persons.has(&claims.sub);
        claims.device && claims.role == Role::Commercial && !is_one()
    }

    /// Takes it that an id is a person's, who must be told who listens: a device that streams under it is ended.
    pub(super) fn know_person(&mut self, now: Instant, id: &str, out: &mut Outbox) {
        if self.persons.insert(id, self.settings.limits.registration.persons_max) {
            self.end_resources(now, Server::is_no_device, Ending::NoDevice, out);
        }
    }

    fn on_devices(&mut self, now: Instant, devices: Devices, out: &mut Outbox) {
        info!(target: "signal", "list of devices replaced count={}", devices.list().len());
        self.settings.devices = devices;
        self.end_resources(now, Server::is_no_device, Ending::NoDevice, out);
        let conns: Vec<(ConnKey, bool)> =
            self.clients.registrations().map(|(conn, who)| (conn, self.is_no_device(&who.claims))).collect();
        for (conn, is_over) in conns {
            if is_over {
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, NO_DEVICE));
                self.close_conn(now, conn, CloseCode::NotAllowed, out);
            } else {
                self.greet(now, conn);
            }
        }
    }
}

fn shortened(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
