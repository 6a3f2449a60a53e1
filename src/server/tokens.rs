//! Takes new public keys, revocations and credentials of TURN servers while the server runs.
//!
//! Invariant: once a list of revoked users is taken, no conn and no broadcast is left whose token it refuses.

use std::time::Instant;

use log::{error, info};

use super::{CloseCode, Server};
use crate::audit::{Event, OffAir};
use crate::broadcast::Broadcast;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::token::{Claims, PublicKeys, Revoked, TokenError};
use crate::wire::ice_server::Credentials;
use crate::wire::signaling::{Complaint, ErrorCode, ServerMessage};
use crate::words::Role;

impl Server {
    /// Takes the new contents of the file with public keys; what can't be read leaves the old keys. Who is connected
    /// stays so until their token expires.
    pub fn handle_public_keys(&mut self, contents: &[u8]) {
        match PublicKeys::parse(contents) {
            Ok(keys) => {
                info!(target: "signal", "public keys replaced count={}", keys.len());
                self.verifier.set_keys(keys);
            }
            Err(error) => error!(target: "signal", "the new public keys are refused, the old ones stay: {error}"),
        }
    }

    /// Takes the new contents of the file with the TURN servers' credentials; what can't be read leaves the old ones. A
    /// client is told of them when it registers or posts an offer.
    pub fn handle_ice_credentials(&mut self, contents: &[u8]) {
        match Credentials::parse(contents) {
            Ok(credentials) => {
                info!(target: "signal", "credentials of the TURN servers replaced");
                self.settings.ice_servers.iter_mut().for_each(|server| server.set_credentials(&credentials));
            }
            Err(error) => {
                error!(target: "signal", "the new credentials for TURN are refused, the old ones stay: {error}");
            }
        }
    }

    pub(super) fn on_revoked(&mut self, now: Instant, contents: &[u8], out: &mut Outbox) {
        let revoked = match Revoked::parse(contents) {
            Ok(revoked) => revoked,
            Err(error) => {
                error!(target: "signal", "the new list of revoked users is refused, the old one stays: {error}");
                return;
            }
        };
        info!(target: "signal", "list of revoked users replaced count={}", revoked.len());
        let before = self.verifier.replace_revoked(revoked);
        let all = self.clients.registrations();
        let revoked = all.filter(|(_, registration)| self.verifier.is_revoked(&registration.claims));
        let conns: Vec<ConnKey> = revoked.map(|(conn, _)| conn).collect();
        for conn in conns {
            self.end_revoked(now, conn, out);
        }
        self.end_revoked_resources(now, out);
        // A broadcast may wait for its page to come back; what began it was issued before what is new on the list. An
        // encoder's token is known, and was judged above.
        let is_new = |id: &str| self.verifier.revoked().until_s(id) > before.until_s(id);
        let is_alone = |b: &Broadcast| b.is_on_air_by_page() && b.page().is_none() && is_new(b.id());
        for key in self.broadcasts.keys_of(is_alone) {
            let id = self.broadcasts[key].id();
            let event = Event::AccessRevoked {
                user_id: id.to_owned(),
                role: Role::Commercial.name(),
                of: Some(self.subject(id)),
            };
            self.note(now, event, out);
            self.go_off_air(now, key, OffAir::TokenRevoked, out);
        }
    }

    fn end_revoked(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(session) = self.clients.registration(conn) else { return };
        let event = self.access_revoked(&session.claims);
        self.note(now, event, out);
        let complaint = Complaint::new(ErrorCode::TokenRefused, "the token was revoked: ask for a new link");
        self.send(conn, &ServerMessage::Error(complaint.reason(TokenError::Revoked.code()).at(self.unix_ms(now))));
        self.close_conn(now, conn, CloseCode::Revoked, out);
    }

    /// Returns what is written down when a token is refused that was good.
    pub(super) fn access_revoked(&self, claims: &Claims) -> Event {
        let Claims { sub, role, .. } = claims;
        let of = (*role == Role::Commercial).then(|| self.subject(sub));
        Event::AccessRevoked { user_id: sub.clone(), role: role.name(), of }
    }
}
