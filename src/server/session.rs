//! Who a conn is: registering, renewing the token, and the session's end.
//!
//! Invariant: a session ends with its token, and what it held ends with it or is the next page's.

use std::time::{Duration, Instant};

use log::{debug, info};

use super::signaling::RETRY_AFTER_S;
use super::streaming::position;
use super::{CloseCode, Seat, Server, Session, Timer};
use crate::audit::OffAir;
use crate::broadcast::{Broadcast, Source};
use crate::keys::{BroadcastKey, ConnKey, ListenerKey};
use crate::outbox::Outbox;
use crate::token::Claims;
use crate::wire::signaling::{Complaint, ErrorCode, RegisterUser, ServerMessage};
use crate::words::Role;
use crate::words::StopCause;

impl Server {
    pub(super) fn on_register(&mut self, now: Instant, conn: ConnKey, register: RegisterUser, out: &mut Outbox) {
        if self.is_draining {
            self.complain(conn, Complaint::new(ErrorCode::Draining, "the server restarts: come back in a moment"));
            self.close_conn(now, conn, CloseCode::Restarting, out);
            return;
        }
        let claims = match self.verifier.verify(self.unix_s(now), &register.token) {
            Ok(claims) => claims,
            Err(error) => {
                debug!(target: "signal", "token refused conn={conn:?} error={error}");
                if self.on_token_refused(now, conn) {
                    self.complain(conn, Complaint::new(ErrorCode::TokenRefused, "ask for a new link"));
                    self.close_conn(now, conn, CloseCode::TokenRefused, out);
                } else {
                    let complaint = Complaint::new(ErrorCode::TooMany, "too many tokens were refused: wait");
                    self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
                    self.close_conn(now, conn, CloseCode::TooMany, out);
                }
                return;
            }
        };
        if let Some(session) = self.sessions.get(conn) {
            self.renew(now, conn, (session.claims.sub == claims.sub).then_some(claims), out);
            return;
        }
        if !self.admit_user(now, conn, &claims.sub) {
            let complaint = Complaint::new(ErrorCode::TooMany, "close another page of yours first");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        }
        match claims.role {
            Role::Admin => self.register_admin(now, conn, claims, register.page, out),
            Role::Commercial => self.register_commercial(now, conn, claims, register, out),
            Role::Monitor => {
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "a monitor reads /api/streaming/status"));
                self.close_conn(now, conn, CloseCode::NotAllowed, out);
            }
        }
    }

    /// A registered user sent a token again: the same user's later one keeps the session alive.
    fn renew(&mut self, now: Instant, conn: ConnKey, claims: Option<Claims>, out: &mut Outbox) {
        let session = self.sessions.get_mut(conn);
        let renewed = session.zip(claims).filter(|(session, claims)| session.claims.role == claims.role);
        let Some((session, claims)) = renewed else {
            self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "this conn is another user's"));
            self.close_conn(now, conn, CloseCode::NotAllowed, out);
            return;
        };
        session.claims = claims;
        session.is_warned = false;
        if let Seat::Admin { wishes, .. } = &session.seat {
            // The new token may allow less.
            for key in wishes.clone() {
                let may_hear =
                    self.broadcasts.get(key).is_some_and(|b| self.sessions[conn].claims.may_hear(b.id()));
                if !may_hear {
                    self.leave(now, key, ListenerKey::Conn(conn), Some(StopCause::NotAllowed), out);
                }
            }
        }
        self.arm_session(now, conn);
        self.greet(conn, out);
        if self.admins.contains(&conn) {
            self.tell_visible(conn, out);
        }
    }

    fn register_admin(&mut self, now: Instant, conn: ConnKey, claims: Claims, page: String, out: &mut Outbox) {
        let same_id = |other: &ConnKey| self.sessions[*other].claims.sub == claims.sub;
        let others: Vec<ConnKey> = self.admins.iter().copied().filter(same_id).collect();
        let replaced = others.iter().copied().find(|&other| self.sessions[other].page == page);
        if replaced.is_none() && others.len() >= self.settings.limits.registration.conns_per_admin_max {
            self.stats.tables_full += 1;
            let complaint = Complaint::new(ErrorCode::TooMany, "close another page of yours first");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        }
        let seat = Seat::Admin { audio: None, wishes: Vec::new(), current: None };
        self.begin_session(now, conn, Session { claims, is_warned: false, page, seat, test: None }, out);
        // Only now: once nobody is left, who is away is forgotten.
        if let Some(older) = replaced {
            self.close_conn(now, older, CloseCode::TakenOver, out);
        }
        self.admins.insert(conn);
        self.arm_levels(now);
        self.tell_visible(conn, out);
    }

    /// Tells a supervisor of all whom the token lets them see.
    fn tell_visible(&mut self, conn: ConnKey, out: &mut Outbox) {
        let claims = &self.sessions[conn].claims;
        let known = self.broadcast_of.values().map(|&key| &self.broadcasts[key]);
        let visible: Vec<&Broadcast> = known.filter(|b| b.is_known() && claims.may_hear(b.id())).collect();
        let list = ServerMessage::AvailableStreams(visible.iter().map(|b| self.commercial(b)).collect());
        let places = visible.iter().filter_map(|b| Some(position(b, b.place()?).to_json()));
        let texts: Vec<String> = std::iter::once(list.to_json()).chain(places).collect();
        for text in texts {
            self.tell(conn, &text, out);
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
        let Some(key) = self.broadcast_for(&claims.sub) else {
            let complaint = Complaint::new(ErrorCode::TooMany, "no room for another salesperson: try again later");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TooMany, out);
            return;
        };
        let older = self.broadcasts[key].page();
        if let Some(older) = older {
            let same_page = self.sessions.get(older).is_some_and(|session| session.page == register.page);
            if !same_page && !register.takeover {
                self.refuse_second_page(now, conn, key);
                return;
            }
        }
        let name = claims.shown_name().to_owned();
        let is_elsewhere = self.broadcasts[key].is_on_air_elsewhere(&register.page);
        let seat = Seat::Commercial { broadcast: key };
        let session = Session { claims, is_warned: false, page: register.page, seat, test: None };
        self.begin_session(now, conn, session, out);
        // Only now: once nobody is left, who is away is forgotten, and this one has no page yet.
        if let Some(older) = older {
            self.close_conn(now, older, CloseCode::TakenOver, out);
        }
        // What is on air is the microphone of a page that is gone.
        if is_elsewhere {
            self.go_off_air(now, key, OffAir::AnotherPage, out);
        }
        let unix_ms = self.unix_ms(now);
        let changes = self.broadcasts[key].open_page(unix_ms, conn, &name);
        let own_state = ServerMessage::CommercialUpdated(self.commercial(&self.broadcasts[key])).to_json();
        self.tell(conn, &own_state, out);
        self.carry_out(now, key, changes, out);
        if self.broadcasts[key].is_on_air() {
            self.watch_page(now, conn, out);
        }
    }

    /// Another page of the same salesperson is open; this one may wait and ask to take over.
    fn refuse_second_page(&mut self, now: Instant, conn: ConnKey, key: BroadcastKey) {
        let broadcast = &self.broadcasts[key];
        let message = "open in another page: register again with takeover to use this one";
        let complaint = Complaint::new(ErrorCode::AlreadyOpen, message);
        let (state, since) = (Some(broadcast.presence()), broadcast.since_ms());
        let source = broadcast.source().and_then(Source::name);
        self.complain(conn, Complaint { state, since, source, ..complaint });
        if let Some(client) = self.conns.get_mut(conn) {
            client.await_takeover(now, &self.settings.limits.conn);
        }
    }

    fn begin_session(&mut self, now: Instant, conn: ConnKey, session: Session, out: &mut Outbox) {
        info!(target: "signal", "registered conn={conn:?} role={}", session.claims.role);
        if let Some(client) = self.conns.get_mut(conn) {
            client.registered();
        }
        self.sessions.insert(conn, session);
        self.arm_session(now, conn);
        self.greet(conn, out);
    }

    fn greet(&mut self, conn: ConnKey, out: &mut Outbox) {
        let claims = &self.sessions[conn].claims;
        let text = ServerMessage::UserRegistered {
            id: &claims.sub,
            role: claims.role.name(),
            name: claims.shown_name(),
            server_version: env!("CARGO_PKG_VERSION"),
            ice_servers: &self.settings.ice_servers,
        }
        .to_json();
        self.tell(conn, &text, out);
    }

    /// Forgets who a conn is: its media is closed, its page is gone, its wishes are left.
    pub(super) fn end_session(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.deadlines.cancel(Timer::Session(conn));
        self.admins.remove(&conn);
        let Some(session) = self.sessions.remove(conn) else { return };
        if let Some(test) = session.test {
            self.close_peer(now, test, out);
        }
        match session.seat {
            Seat::Commercial { broadcast } => {
                if self.broadcasts.get(broadcast).and_then(|broadcast| broadcast.page()) == Some(conn) {
                    self.close_page(now, broadcast, out);
                }
            }
            Seat::Admin { audio, wishes, .. } => {
                for key in wishes {
                    self.leave(now, key, ListenerKey::Conn(conn), None, out);
                }
                if let Some(audio) = audio {
                    self.close_peer(now, audio, out);
                }
            }
        }
        if self.sessions.is_empty() {
            self.forget_absent();
        }
    }

    /// Arms the moment at which a session must be looked at: before its token's end, at it, or when its page has been
    /// silent for too long.
    pub(super) fn arm_session(&mut self, now: Instant, conn: ConnKey) {
        let Some(session) = self.sessions.get(conn) else { return };
        let expiry = self.clock.instant_of(now, session.claims.exp);
        let warning =
            if session.is_warned { Duration::ZERO } else { self.settings.limits.registration.expiry_warning };
        let expiry = expiry.map(|at| at.checked_sub(warning).unwrap_or(now).max(now));
        let silence = self.page_on_air(session).and(self.conns.get(conn));
        let silence = silence.map(|client| client.heard() + self.settings.limits.registration.page_silence);
        match expiry.into_iter().chain(silence).min() {
            Some(at) => self.deadlines.arm(Timer::Session(conn), at),
            None => self.deadlines.cancel(Timer::Session(conn)),
        }
    }

    pub(super) fn on_session_deadline(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get(conn) else { return };
        let left_s = session.claims.exp.saturating_sub(self.unix_s(now));
        if left_s == 0 {
            self.complain(
                conn,
                Complaint::new(ErrorCode::TokenRefused, "the token has expired: ask for a new link"),
            );
            self.close_conn(now, conn, CloseCode::TokenRefused, out);
            return;
        }
        let must_warn = !session.is_warned && left_s <= self.settings.limits.registration.expiry_warning.as_secs();
        let heard = self.conns.get(conn).map(|client| client.heard());
        if let Some(key) = self.page_on_air(session)
            && heard.is_some_and(|heard| heard + self.settings.limits.registration.page_silence <= now)
        {
            self.on_page_silent(now, key, out);
        }
        if let Some(session) = self.sessions.get_mut(conn).filter(|_| must_warn) {
            session.is_warned = true;
            self.tell(conn, &ServerMessage::TokenExpiring { in_s: left_s }.to_json(), out);
        }
        self.arm_session(now, conn);
    }

    /// A page on air is asked for signs of life more often.
    pub(super) fn watch_page(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        if let Some(client) = self.conns.get_mut(conn) {
            client.set_ping_interval(now, self.settings.limits.registration.page_ping_interval);
        }
        self.settle_conn(conn, out);
        self.arm_session(now, conn);
    }

    /// Returns the broadcast whose awake page on air this session is.
    fn page_on_air(&self, session: &Session) -> Option<BroadcastKey> {
        let Seat::Commercial { broadcast: key } = session.seat else { return None };
        let broadcast = self.broadcasts.get(key)?;
        (broadcast.is_on_air() && !broadcast.is_page_silent()).then_some(key)
    }
}
