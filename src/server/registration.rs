//! Who a conn is: registering, renewing the token, and the registration's end.
//!
//! Invariant: a registration ends with its token, and what it held ends with it or is the next page's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};

use super::devices::NO_DEVICE;
use super::people::coarse;
use super::problem::RETRY_AFTER_S;
use super::{CloseCode, Server, Timer};
use crate::audit::{Event, Newcomer, OffAir};
use crate::broadcast::{Broadcast, Source};
use crate::history::Seen;
use crate::keys::{BroadcastKey, Client, ConnKey, PeerKey};
use crate::outbox::Outbox;
use crate::token::{Claims, TokenError};
use crate::wire::signaling::{Commercial, Complaint, ErrorCode, RegisterUser, ServerMessage};
use crate::words::{Place, Presence, Role, StopCause};

/// A registered user on one conn.
pub(super) struct Registration {
    pub(super) claims: Claims,
    /// Whether the user was told that the token is about to expire.
    is_warned: bool,
    /// Whether the page said goodbye: it goes by itself, and no network takes it away.
    has_left: bool,
    pub(super) page: String,
    /// Whether the page was shown nobody yet who is away since before it came.
    lacks_absent: bool,
    pub(super) seat: Seat,
    /// The peer that shows the user how the server is reached.
    pub(super) test: Option<PeerKey>,
}

/// What a registered user does here.
pub(super) enum Seat {
    Commercial {
        broadcast: BroadcastKey,
    },
    /// Sees what goes on in the name of a salesperson whose other page took over, and may pause and stop it.
    Witness {
        broadcast: BroadcastKey,
    },
    Admin {
        audio: Option<PeerKey>,
        wishes: Vec<BroadcastKey>,
        /// Who is heard, or was last and is still wished for: when another one starts, this one is left.
        current: Option<BroadcastKey>,
        /// Since when nobody looks at the page, as it says.
        hidden_since: Option<Instant>,
    },
}

impl Registration {
    fn new(claims: Claims, page: String, seat: Seat) -> Registration {
        Registration { claims, is_warned: false, has_left: false, page, lacks_absent: true, seat, test: None }
    }

    /// Tells whether nobody looks at the page, as it says; of a salesperson's page this is not known.
    pub(super) fn is_hidden(&self) -> bool {
        match self.seat {
            Seat::Admin { hidden_since, .. } => hidden_since.is_some(),
            Seat::Commercial { .. } | Seat::Witness { .. } => false,
        }
    }
}

impl Server {
    pub(super) fn on_register(
        &mut self,
        now: Instant,
        conn: ConnKey,
        mut register: RegisterUser,
        out: &mut Outbox,
    ) {
        if self.is_draining {
            self.complain(conn, Complaint::new(ErrorCode::Draining, "the server restarts: come back in a moment"));
            self.close_conn(now, conn, CloseCode::Restarting, out);
            return;
        }
        // With the line end that a file or a program's output has.
        let claims = match self.verifier.verify(self.unix_s(now), register.token.trim_ascii()) {
            Ok(claims) => claims,
            Err(error) => {
                debug!(target: "signal", "token refused conn={conn:?} error={error}");
                if self.on_token_refused(now, conn, error, out) {
                    let message = format!("the token is refused: {}", error.told());
                    let complaint = Complaint::new(ErrorCode::TokenRefused, &message);
                    self.complain(conn, complaint.reason(error.code()).at(self.unix_ms(now)));
                    self.close_conn(now, conn, CloseCode::TokenRefused, out);
                } else {
                    let complaint = Complaint::new(ErrorCode::TooMany, "too many tokens were refused: wait");
                    self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
                    self.close_conn(now, conn, CloseCode::TooMany, out);
                }
                return;
            }
        };
        if !self.quotas.act(now, &claims.sub, &mut self.stats) {
            let complaint = Complaint::new(ErrorCode::TooMany, "you come back too often: wait");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        }
        if let Some(registration) = self.clients.registration(conn) {
            let is_same = registration.claims.sub == claims.sub && registration.claims.role == claims.role;
            if !(is_same && register.takeover && matches!(registration.seat, Seat::Witness { .. })) {
                self.renew(now, conn, is_same.then_some(claims), out);
                return;
            }
            // It does not break off, and is not to come back to see.
            self.take_goodbye(conn);
            self.end_registration(now, conn, out);
        }
        if self.is_no_device(&claims) {
            self.complain(conn, Complaint::new(ErrorCode::NotAllowed, NO_DEVICE));
            self.close_conn(now, conn, CloseCode::NotAllowed, out);
            return;
        }
        if !self.admit_user(now, conn, &claims.sub) {
            let complaint = Complaint::new(ErrorCode::TooMany, "close another page of yours first");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        }
        let journal_note = register.journal_note.take();
        match claims.role {
            Role::Admin => self.register_admin(now, conn, claims, register.page, out),
            Role::Commercial => self.register_commercial(now, conn, claims, register, out),
            Role::Monitor => {
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "a monitor reads /api/streaming/status"));
                self.close_conn(now, conn, CloseCode::NotAllowed, out);
            }
        }
        self.ask_proof(conn, journal_note, out);
    }

    /// A registered user sent a token again: the same user's later one keeps the registration alive.
    fn renew(&mut self, now: Instant, conn: ConnKey, claims: Option<Claims>, out: &mut Outbox) {
        let Some(claims) = claims else {
            self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "this conn is another user's"));
            self.close_conn(now, conn, CloseCode::NotAllowed, out);
            return;
        };
        // Their name may be another one by now.
        self.meet(&claims);
        let Some(registration) = self.clients.registration_mut(conn) else { return };
        registration.claims = claims;
        registration.is_warned = false;
        // The new token may allow less.
        if let Seat::Admin { wishes, .. } = &registration.seat {
            let may_not_hear = |key: &BroadcastKey| !registration.claims.may_hear(self.broadcasts[*key].id());
            let lost: Vec<BroadcastKey> = wishes.iter().copied().filter(may_not_hear).collect();
            for key in lost {
                self.leave(now, key, Client::Page(conn), Some(StopCause::NotAllowed), out);
            }
        }
        self.arm_registration(now, conn);
        self.greet(now, conn);
        if let Some(registration) = self.clients.registration_mut(conn) {
            registration.lacks_absent = true;
        }
        self.tell_visible(conn, &[]);
        self.ask_seen(now, out);
    }

    fn register_admin(&mut self, now: Instant, conn: ConnKey, claims: Claims, page: String, out: &mut Outbox) {
        let others = self.clients.admins().filter(|(_, other)| other.claims.sub == claims.sub);
        let others: Vec<(ConnKey, bool)> = others.map(|(other, who)| (other, who.page == page)).collect();
        let replaced = others.iter().find(|(_, is_same_page)| *is_same_page).map(|&(other, _)| other);
        if replaced.is_none() && others.len() >= self.settings.limits.registration.conns_per_admin_max {
            self.stats.tables_full += 1;
            let complaint = Complaint::new(ErrorCode::TooMany, "close another page of yours first");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        }
        let seat = Seat::Admin { audio: None, wishes: Vec::new(), current: None, hidden_since: None };
        self.begin_registration(now, conn, Registration::new(claims, page, seat), out);
        // Only now: once nobody is left, who is away is forgotten.
        if let Some(older) = replaced {
            self.close_conn(now, older, CloseCode::TakenOver, out);
        }
        self.tell_visible(conn, &[]);
        self.ask_seen(now, out);
    }

    /// It is known which salespeople were here: supervisors who came since that was known last are shown those who are away.
    pub(super) fn on_seen(&mut self, people: &[Seen]) {
        let lacking = self.clients.admins().filter(|(_, who)| who.lacks_absent);
        let lacking: Vec<ConnKey> = lacking.map(|(conn, _)| conn).collect();
        for conn in lacking {
            let Some(registration) = self.clients.registration_mut(conn) else { continue };
            registration.lacks_absent = false;
            let claims = registration.claims.clone();
            let away = |seen: &&Seen| claims.may_hear(&seen.id) && !self.is_known(&seen.id);
            let away: Vec<&Seen> =
                people.iter().filter(away).take(self.settings.limits.registration.absent_max).collect();
            if !away.is_empty() {
                self.tell_visible(conn, &away);
            }
        }
    }

    fn is_known(&self, commercial_id: &str) -> bool {
        let broadcast = self.broadcasts.named(commercial_id).and_then(|key| self.broadcasts.get(key));
        broadcast.is_some_and(Broadcast::is_known)
    }

    /// Tells a supervisor of all whom the token lets them see, and of these who are away.
    fn tell_visible(&mut self, conn: ConnKey, away: &[&Seen]) {
        let Some(Registration { claims, seat: Seat::Admin { .. }, .. }) = self.clients.registration(conn) else {
            return;
        };
        let known = self.broadcasts.iter().map(|(_, broadcast)| broadcast);
        let visible: Vec<&Broadcast> = known.filter(|b| b.is_known() && claims.may_hear(b.id())).collect();
        let now_ms = self.unix_ms(self.now);
        let away = away.iter().map(|seen| Commercial::away(&seen.id, &seen.name, coarse(seen.at_ms, now_ms)));
        let list = visible.iter().map(|b| self.commercial(b)).chain(away).collect();
        let list = ServerMessage::AvailableStreams(list);
        let places = visible.iter().filter_map(|b| Some(position(b, b.place()?).to_json()));
        let texts: Vec<String> = std::iter::once(list.to_json()).chain(places).collect();
        for text in texts {
            self.send_text(conn, &text);
        }
    }

    fn register_commercial(
        &mut self,
        now: Instant,
        conn: ConnKey,
        claims: Claims,
        register: RegisterUser,
        out: &mut Outbox,
    ) {
        if !claims.device {
            self.know_person(now, &claims.sub, out);
        }
        let Some(key) = self.broadcast_for(&claims.sub) else {
            let complaint = Complaint::new(ErrorCode::TooMany, "no room for another salesperson: try again later");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        };
        let older = self.broadcasts[key].page();
        let page_of = |conn: ConnKey| self.clients.registration(conn).map(|registration| &registration.page);
        let is_another = older.is_some_and(|older| page_of(older) != Some(&register.page));
        if is_another && !register.takeover {
            return match self.is_expected_to_see(key, &register.page) {
                true => self.come_back_to_see(
                    now,
                    conn,
                    key,
                    Registration::new(claims, register.page, Seat::Witness { broadcast: key }),
                    out,
                ),
                false => self.refuse_second_page(now, conn, key),
            };
        }
        let name = claims.shown_name().to_owned();
        let is_elsewhere = self.broadcasts[key].is_on_air_elsewhere(&register.page);
        let lost = self.broadcasts[key].lost_page().filter(|lost| *lost != register.page).map(str::to_owned);
        let seat = Seat::Commercial { broadcast: key };
        self.begin_registration(now, conn, Registration::new(claims, register.page, seat), out);
        // Only now: once nobody is left, who is away is forgotten, and this one has no page yet.
        match older {
            Some(older) if is_another => self.displace(now, key, older, out),
            Some(older) => self.close_conn(now, older, CloseCode::TakenOver, out),
            None => lost.into_iter().for_each(|lost| self.displace_lost(now, key, lost, out)),
        }
        // What is on air is the microphone of a page that is gone.
        if is_elsewhere {
            self.go_off_air(now, key, OffAir::AnotherPage, out);
        }
        let unix_ms = self.unix_ms(now);
        let changes = self.broadcasts[key].open_page(unix_ms, conn, &name);
        let own_state = ServerMessage::CommercialUpdated(self.commercial(&self.broadcasts[key])).to_json();
        self.send_text(conn, &own_state);
        self.carry_out(now, key, changes, out);
        if self.broadcasts[key].is_on_air() {
            self.watch_page(now, conn);
        }
    }

    /// Another page of the same salesperson takes over: who sees only the older one learns all that goes on in their name. What
    /// an encoder sends is heard again once somebody resumes it, who may not be who was heard.
    fn displace(&mut self, now: Instant, key: BroadcastKey, older: ConnKey, out: &mut Outbox) {
        let of = self.subject(self.broadcasts[key].id());
        self.note(now, Event::PageTakenOver { of }, out);
        let test = self.clients.become_witness(older, key);
        if let Some(test) = test {
            self.close_peer(now, test, out);
        }
        self.send(older, &ServerMessage::TakenOver { now: self.unix_ms(now) });
        let name = self.clients.registration(older).map(|registration| registration.page.as_str());
        self.broadcasts[key].add_witness(older, name.unwrap_or_default());
        self.close_page(now, key, out);
        self.pause_encoder(now, key, out);
        self.arm_registration(now, older);
    }

    /// Another page of the same salesperson is open, after the connection of the one before broke: somebody may have waited for
    /// that, or brought it about. It takes over all the same, and the other one comes back to see.
    fn displace_lost(&mut self, now: Instant, key: BroadcastKey, lost: String, out: &mut Outbox) {
        let of = self.subject(self.broadcasts[key].id());
        self.note(now, Event::PageTakenOver { of }, out);
        self.broadcasts[key].lose_witness(lost, &self.settings.limits.broadcast);
        self.pause_encoder(now, key, out);
    }

    fn pause_encoder(&mut self, now: Instant, key: BroadcastKey, out: &mut Outbox) {
        let broadcast = &self.broadcasts[key];
        if broadcast.source() == Some(&Source::Encoder) && broadcast.presence() != Presence::Paused {
            self.note(now, Event::BroadcastPaused { of: self.subject(broadcast.id()) }, out);
            let unix_ms = self.unix_ms(now);
            let changes = self.broadcasts[key].pause(unix_ms);
            self.carry_out(now, key, changes, out);
        }
    }

    /// Tells whether the page of this name saw until its connection broke, or does so over a connection that it has lost.
    fn is_expected_to_see(&self, key: BroadcastKey, page: &str) -> bool {
        self.broadcasts[key].has_lost_witness(page) || self.witness_named(key, page).is_some()
    }

    fn witness_named(&self, key: BroadcastKey, page: &str) -> Option<ConnKey> {
        let is_it = |conn: &ConnKey| self.clients.registration(*conn).is_some_and(|other| other.page == page);
        self.broadcasts[key].witnesses().iter().copied().find(is_it)
    }

    /// A page that others took over from is back, and learns what goes on.
    fn come_back_to_see(
        &mut self,
        now: Instant,
        conn: ConnKey,
        key: BroadcastKey,
        registration: Registration,
        out: &mut Outbox,
    ) {
        let page = registration.page.clone();
        let older = self.witness_named(key, &page);
        self.begin_registration(now, conn, registration, out);
        if let Some(older) = older {
            self.close_conn(now, older, CloseCode::TakenOver, out);
        }
        self.broadcasts[key].add_witness(conn, &page);
        self.send(conn, &ServerMessage::TakenOver { now: self.unix_ms(now) });
        let own_state = ServerMessage::CommercialUpdated(self.commercial(&self.broadcasts[key])).to_json();
        self.send_text(conn, &own_state);
        self.tell_notices(key, conn);
    }

    /// Another page of the same salesperson is open; this one may wait and ask to take over.
    fn refuse_second_page(&mut self, now: Instant, conn: ConnKey, key: BroadcastKey) {
        let broadcast = &self.broadcasts[key];
        let message = "open in another page: register again with takeover to use this one";
        let complaint = Complaint::new(ErrorCode::AlreadyOpen, message).at(self.unix_ms(now));
        let (state, since) = (Some(broadcast.presence()), broadcast.since_ms());
        let source = broadcast.source().and_then(Source::name);
        self.complain(conn, Complaint { state, since, source, ..complaint });
        if let Some(client) = self.clients.get_mut(conn) {
            client.await_takeover(now, &self.settings.limits.conn);
        }
    }

    fn begin_registration(&mut self, now: Instant, conn: ConnKey, registration: Registration, out: &mut Outbox) {
        info!(target: "signal", "registered conn={conn:?} role={}", registration.claims.role);
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.registered();
        let browser = client.take_user_agent();
        let address = self.clients.visitor(conn).map(|visitor| visitor.client().to_string());
        let who = Arc::new(Newcomer {
            id: registration.claims.sub.clone(),
            name: registration.claims.shown_name().to_owned(),
            role: registration.claims.role.name(),
            address: address.unwrap_or_default(),
            browser,
        });
        self.note(now, Event::Registered { who }, out);
        self.meet(&registration.claims);
        self.clients.register(conn, registration);
        self.arm_registration(now, conn);
        self.greet(now, conn);
        self.greet_with_journal(conn);
    }

    /// Remembers somebody by name.
    fn meet(&mut self, claims: &Claims) {
        let people_max = self.settings.limits.registration.people_max;
        let has_forgotten = self.people.meet(&claims.sub, claims.shown_name(), people_max);
        self.stats.people_forgotten += u64::from(has_forgotten);
    }

    pub(super) fn greet(&mut self, now: Instant, conn: ConnKey) {
        let Some(Registration { claims, .. }) = self.clients.registration(conn) else { return };
        let text = ServerMessage::UserRegistered {
            id: &claims.sub,
            role: claims.role.name(),
            name: claims.shown_name(),
            server_version: env!("CARGO_PKG_VERSION"),
            ice_servers: &self.settings.ice_servers,
            devices: self.settings.devices.list(),
            rights: &claims.rights.names(),
            now: self.unix_ms(now),
        }
        .to_json();
        self.send_text(conn, &text);
    }

    /// The page of a conn goes by itself.
    pub(super) fn take_goodbye(&mut self, conn: ConnKey) {
        if let Some(registration) = self.clients.registration_mut(conn) {
            registration.has_left = true;
        }
    }

    /// Forgets who a conn is: its media is closed, its page is gone, its wishes are left.
    pub(super) fn end_registration(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.deadlines.cancel(Timer::Registration(conn));
        let Some(registration) = self.clients.unregister(conn) else { return };
        self.proofs.forget(conn);
        if let Some(test) = registration.test {
            self.close_peer(now, test, out);
        }
        let lost = (!registration.has_left).then_some(registration.page);
        match registration.seat {
            Seat::Commercial { broadcast: key } => {
                if let Some(broadcast) =
                    self.broadcasts.get_mut(key).filter(|broadcast| broadcast.page() == Some(conn))
                {
                    lost.into_iter().for_each(|name| broadcast.lose_page(name));
                    self.close_page(now, key, out);
                }
            }
            Seat::Witness { broadcast: key } => {
                if let Some(broadcast) = self.broadcasts.get_mut(key) {
                    broadcast.remove_witness(conn);
                    lost.into_iter().for_each(|name| broadcast.lose_witness(name, &self.settings.limits.broadcast));
                }
            }
            Seat::Admin { audio, wishes, .. } => {
                for key in wishes {
                    self.leave(now, key, Client::Page(conn), None, out);
                }
                if let Some(audio) = audio {
                    self.close_peer(now, audio, out);
                }
            }
        }
        if self.clients.registrations_len() == 0 {
            self.forget_absent();
            self.people.clear();
        }
    }

    /// Arms the moment at which a registration must be looked at: before its token's end, at it, or when its page has been
    /// silent for too long.
    pub(super) fn arm_registration(&mut self, now: Instant, conn: ConnKey) {
        let Some(registration) = self.clients.registration(conn) else { return };
        let expiry = self.clock.instant_of(now, registration.claims.exp);
        let warning =
            if registration.is_warned { Duration::ZERO } else { self.settings.limits.registration.expiry_warning };
        let expiry = expiry.map(|at| at.checked_sub(warning).unwrap_or(now).max(now));
        let silence = self.page_on_air(registration).and(self.clients.get(conn));
        let silence = silence.map(|client| client.heard() + self.settings.limits.registration.page_silence);
        match expiry.into_iter().chain(silence).min() {
            Some(at) => self.deadlines.arm(Timer::Registration(conn), at),
            None => self.deadlines.cancel(Timer::Registration(conn)),
        }
    }

    pub(super) fn on_registration_deadline(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(registration) = self.clients.registration(conn) else { return };
        let left_s = registration.claims.exp.saturating_sub(self.unix_s(now));
        if left_s == 0 {
            self.complain(
                conn,
                Complaint::new(ErrorCode::TokenRefused, "the token has expired: ask for a new link")
                    .reason(TokenError::Expired.code())
                    .at(self.unix_ms(now)),
            );
            self.close_conn(now, conn, CloseCode::TokenRefused, out);
            return;
        }
        let must_warn =
            !registration.is_warned && left_s <= self.settings.limits.registration.expiry_warning.as_secs();
        let heard = self.clients.get(conn).map(|client| client.heard());
        if let Some(key) = self.page_on_air(registration)
            && heard.is_some_and(|heard| heard + self.settings.limits.registration.page_silence <= now)
        {
            self.on_page_silent(now, key, out);
        }
        if let Some(registration) = self.clients.registration_mut(conn).filter(|_| must_warn) {
            registration.is_warned = true;
            self.send_text(conn, &ServerMessage::TokenExpiring { in_s: left_s }.to_json());
        }
        self.arm_registration(now, conn);
    }

    /// A page on air is asked for signs of life more often.
    pub(super) fn watch_page(&mut self, now: Instant, conn: ConnKey) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.set_ping_interval(now, self.settings.limits.registration.page_ping_interval);
        }
        self.arm_registration(now, conn);
    }

    /// Returns the broadcast whose awake page on air this registration is.
    fn page_on_air(&self, registration: &Registration) -> Option<BroadcastKey> {
        let Seat::Commercial { broadcast: key } = registration.seat else { return None };
        let broadcast = self.broadcasts.get(key)?;
        (broadcast.is_on_air() && !broadcast.is_page_silent()).then_some(key)
    }
}

/// Returns what supervisors are told of a place.
pub(super) fn position(broadcast: &Broadcast, place: Place) -> ServerMessage<'_> {
    ServerMessage::CommercialPosition { commercial_id: broadcast.id(), place }
}
