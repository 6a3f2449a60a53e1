//! What users say over the WebSocket, and who may say it.
//!
//! Invariant: nothing but `register_user` is heard from a conn without a session, and a session ends with its token.

use std::time::{Duration, Instant};

use log::{debug, info};

use super::{CloseCode, Seat, Server, Session, Timer};
use crate::broadcast::Wish;
use crate::keys::{BroadcastKey, ConnKey};
use crate::outbox::{AuditEvent, Outbox};
use crate::peer::Purpose;
use crate::token::{Claims, Role, is_valid_id};
use crate::wire::signaling::{
    self, ClientMessage, Complaint, ErrorCode, Presence, RegisterUser, ServerMessage, StartStreaming,
};

/// When a client that found no room should try again.
const RETRY_AFTER_S: u32 = 10;

impl Server {
    /// Takes one WebSocket message.
    pub(super) fn on_message(&mut self, now: Instant, conn: ConnKey, text: &str, out: &mut Outbox) {
        let message = match signaling::parse(text) {
            Ok(message) => message,
            Err(error) => {
                self.stats.requests_malformed += 1;
                self.complain(conn, Complaint::new(ErrorCode::Malformed, &error.to_string()));
                self.close_conn(now, conn, CloseCode::MALFORMED, out);
                return;
            }
        };
        let role = self.sessions.get(conn).map(|session| session.claims.role);
        match (message, role) {
            (ClientMessage::RegisterUser(register), _) => self.on_register(now, conn, register, out),
            (ClientMessage::Ping { t }, _) => self.send(conn, &ServerMessage::Pong { t }),
            (_, None) => {
                self.complain(conn, Complaint::new(ErrorCode::NotRegistered, "send register_user first"));
                self.close_conn(now, conn, CloseCode::NOT_REGISTERED, out);
            }
            (ClientMessage::StartStreaming(start), Some(Role::Commercial)) => {
                self.on_start_streaming(now, conn, &start, out);
            }
            (ClientMessage::StopStreaming, Some(Role::Commercial)) => self.on_stop_streaming(now, conn, out),
            (ClientMessage::PauseStreaming, Some(Role::Commercial)) => self.on_pause(now, conn, true, out),
            (ClientMessage::ResumeStreaming, Some(Role::Commercial)) => self.on_pause(now, conn, false, out),
            (ClientMessage::ListenerAck { notice_id }, Some(Role::Commercial)) => {
                self.on_listener_ack(now, conn, notice_id, out);
            }
            (ClientMessage::OpenAudio { sdp }, Some(Role::Admin)) => self.on_open_audio(now, conn, &sdp, out),
            (ClientMessage::Join { commercial_id, reason }, Some(Role::Admin)) => {
                self.on_join(now, conn, &commercial_id, reason, out);
            }
            (ClientMessage::Leave { commercial_id }, Some(Role::Admin)) => {
                if let Some(&key) = self.broadcast_of.get(&commercial_id) {
                    self.leave(now, key, conn, None, out);
                }
            }
            (
                message @ (ClientMessage::StartStreaming(_)
                | ClientMessage::StopStreaming
                | ClientMessage::PauseStreaming
                | ClientMessage::ResumeStreaming
                | ClientMessage::ListenerAck { .. }
                | ClientMessage::OpenAudio { .. }
                | ClientMessage::Join { .. }
                | ClientMessage::Leave { .. }),
                Some(Role::Admin | Role::Commercial | Role::Monitor),
            ) => {
                if let ClientMessage::Join { commercial_id, .. } = message {
                    self.audit_refusal(now, conn, &commercial_id, "not with this role", out);
                }
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "not with this role"));
                self.close_conn(now, conn, CloseCode::NOT_ALLOWED, out);
            }
        }
    }

    fn on_register(&mut self, now: Instant, conn: ConnKey, register: RegisterUser, out: &mut Outbox) {
        if self.is_draining {
            self.complain(conn, Complaint::new(ErrorCode::Draining, "the server restarts: come back in a moment"));
            self.close_conn(now, conn, CloseCode::RESTARTING, out);
            return;
        }
        let claims = match self.verifier.verify(self.unix_s(now), &register.token) {
            Ok(claims) => claims,
            Err(error) => {
                self.stats.tokens_refused += 1;
                debug!(target: "signal", "token refused conn={conn:?} error={error}");
                self.complain(conn, Complaint::new(ErrorCode::TokenRefused, "ask for a new link"));
                self.close_conn(now, conn, CloseCode::TOKEN_REFUSED, out);
                return;
            }
        };
        if let Some(session) = self.sessions.get(conn) {
            self.renew(now, conn, (session.claims.sub == claims.sub).then_some(claims), out);
            return;
        }
        match claims.role {
            Role::Admin => self.register_admin(now, conn, claims, register.page, out),
            Role::Commercial => self.register_commercial(now, conn, claims, register, out),
            Role::Monitor => {
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "a monitor reads /api/streaming/status"));
                self.close_conn(now, conn, CloseCode::NOT_ALLOWED, out);
            }
        }
    }

    /// A registered user sent a token again: the same user's later one keeps the session alive.
    fn renew(&mut self, now: Instant, conn: ConnKey, claims: Option<Claims>, out: &mut Outbox) {
        let session = self.sessions.get_mut(conn);
        let renewed = session.zip(claims).filter(|(session, claims)| session.claims.role == claims.role);
        let Some((session, claims)) = renewed else {
            self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "this conn is another user's"));
            self.close_conn(now, conn, CloseCode::NOT_ALLOWED, out);
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
                    self.leave(now, key, conn, None, out);
                }
            }
        }
        self.arm_session(now, conn);
        self.greet(conn, out);
    }

    fn register_admin(&mut self, now: Instant, conn: ConnKey, claims: Claims, page: String, out: &mut Outbox) {
        let same_id = |other: &ConnKey| self.sessions[*other].claims.sub == claims.sub;
        let others: Vec<ConnKey> = self.admins.iter().copied().filter(same_id).collect();
        let replaced = others.iter().copied().find(|&other| self.sessions[other].page == page);
        if let Some(older) = replaced {
            self.close_conn(now, older, CloseCode::TAKEN_OVER, out);
        } else if others.len() >= self.config.limits.conns_per_admin_max {
            self.stats.tables_full += 1;
            let complaint = Complaint::new(ErrorCode::TooMany, "close another page of yours first");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            self.close_conn(now, conn, CloseCode::TOO_MANY, out);
            return;
        }
        let seat = Seat::Admin { audio: None, wishes: Vec::new(), current: None };
        self.begin_session(now, conn, Session { claims, is_warned: false, page, seat }, out);
        self.admins.insert(conn);
        self.arm_levels(now);
        let claims = &self.sessions[conn].claims;
        let visible = self.broadcast_of.values().map(|&key| &self.broadcasts[key]);
        let visible = visible.filter(|broadcast| broadcast.is_known() && claims.may_hear(broadcast.id()));
        let list = ServerMessage::AvailableStreams(visible.map(|broadcast| self.commercial(broadcast)).collect());
        let text = list.to_json();
        self.tell(conn, &text, out);
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
            self.close_conn(now, conn, CloseCode::TOO_MANY, out);
            return;
        };
        if let Some(older) = self.broadcasts[key].page() {
            let same_page = self.sessions.get(older).is_some_and(|session| session.page == register.page);
            if !same_page && !register.takeover {
                self.refuse_second_page(now, conn, key);
                return;
            }
            self.close_conn(now, older, CloseCode::TAKEN_OVER, out);
        }
        let name = claims.shown_name().to_owned();
        let seat = Seat::Commercial { broadcast: key };
        self.begin_session(now, conn, Session { claims, is_warned: false, page: register.page, seat }, out);
        let unix_ms = self.unix_ms(now);
        let changes = self.broadcasts[key].open_page(unix_ms, conn, &name);
        let own_state = ServerMessage::CommercialUpdated(self.commercial(&self.broadcasts[key])).to_json();
        self.tell(conn, &own_state, out);
        self.carry_out(now, key, changes, out);
    }

    /// Another page of the same salesperson is open; this one may wait and ask to take over.
    fn refuse_second_page(&mut self, now: Instant, conn: ConnKey, key: BroadcastKey) {
        let broadcast = &self.broadcasts[key];
        let message = "open in another page: register again with takeover to use this one";
        let complaint = Complaint::new(ErrorCode::AlreadyOpen, message);
        let (state, since) = (Some(broadcast.presence()), broadcast.since_ms());
        self.complain(conn, Complaint { state, since, ..complaint });
        if let Some(client) = self.conns.get_mut(conn) {
            client.await_takeover(now, &self.config.limits);
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
            ice_servers: [],
        }
        .to_json();
        self.tell(conn, &text, out);
    }

    /// Forgets who a conn is: its media is closed, its page is gone, its wishes are left.
    pub(super) fn end_session(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.deadlines.cancel(Timer::Session(conn));
        self.admins.remove(&conn);
        let Some(session) = self.sessions.remove(conn) else { return };
        match session.seat {
            Seat::Commercial { broadcast } => {
                if self.broadcasts.get(broadcast).and_then(|broadcast| broadcast.page()) == Some(conn) {
                    self.close_page(now, broadcast, out);
                }
            }
            Seat::Admin { audio, wishes, .. } => {
                for key in wishes {
                    self.leave(now, key, conn, None, out);
                }
                if let Some(audio) = audio {
                    self.close_peer(now, audio, out);
                }
            }
        }
    }

    fn on_start_streaming(&mut self, now: Instant, conn: ConnKey, start: &StartStreaming<'_>, out: &mut Outbox) {
        let Some(key) = self.own_broadcast(conn) else { return };
        let info_bytes_max = self.config.limits.commercial_info_bytes_max;
        if start.commercial_info.is_some_and(|info| info.get().len() > info_bytes_max) {
            self.complain(conn, Complaint::new(ErrorCode::Malformed, "commercial_info is too long"));
            return;
        }
        if !self.has_room_for_peer() {
            let complaint = Complaint::new(ErrorCode::TooMany, "no room for another connection: try again later");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            return;
        }
        let (peer, answer) = match self.open_peer(now, conn, Purpose::Publish, &start.sdp) {
            Ok(opened) => opened,
            Err(error) => {
                self.complain(conn, Complaint::new(ErrorCode::OfferRefused, &error.to_string()));
                return;
            }
        };
        let broadcast = &self.broadcasts[key];
        if broadcast.publisher().is_none() {
            out.audit(self.audit(now, AuditEvent::BroadcastStarted, broadcast.id(), broadcast.id(), ""));
        }
        let text = ServerMessage::StreamingStarted { commercial_id: broadcast.id(), sdp: &answer }.to_json();
        self.tell(conn, &text, out);
        let unix_ms = self.unix_ms(now);
        let info = start.commercial_info.map(ToOwned::to_owned);
        let (replaced, changes) = self.broadcasts[key].go_on_air(unix_ms, peer, info);
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.carry_out(now, key, changes, out);
        if let Some(client) = self.conns.get_mut(conn) {
            client.set_ping_interval(now, self.config.limits.page_ping_interval);
        }
        self.settle_conn(conn, out);
        self.arm_session(now, conn);
        self.arm_levels(now);
        info!(target: "audio", "on air peer={peer:?}");
    }

    fn on_stop_streaming(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(key) = self.own_broadcast(conn) else { return };
        self.go_off_air(now, key, "stopped", out);
        let text = ServerMessage::StreamingStopped { commercial_id: self.broadcasts[key].id() }.to_json();
        self.tell(conn, &text, out);
    }

    /// Pauses or resumes; asking for what is already so is answered all the same.
    fn on_pause(&mut self, now: Instant, conn: ConnKey, pauses: bool, out: &mut Outbox) {
        let Some(key) = self.own_broadcast(conn) else { return };
        let broadcast = &self.broadcasts[key];
        let is_paused = match broadcast.presence() {
            Presence::OnAir => false,
            Presence::Paused => true,
            Presence::Offline | Presence::Online => {
                self.complain(conn, Complaint::new(ErrorCode::NotOnAir, "you are not on air"));
                return;
            }
        };
        if is_paused != pauses {
            let event = if pauses { AuditEvent::BroadcastPaused } else { AuditEvent::BroadcastResumed };
            out.audit(self.audit(now, event, broadcast.id(), broadcast.id(), ""));
        }
        let commercial_id = broadcast.id();
        let answer = match pauses {
            true => ServerMessage::StreamingPaused { commercial_id },
            false => ServerMessage::StreamingResumed { commercial_id },
        };
        self.tell(conn, &answer.to_json(), out);
        let unix_ms = self.unix_ms(now);
        let broadcast = &mut self.broadcasts[key];
        let changes = if pauses { broadcast.pause(unix_ms) } else { broadcast.resume(unix_ms) };
        self.carry_out(now, key, changes, out);
    }

    fn on_listener_ack(&mut self, now: Instant, conn: ConnKey, notice_id: u64, out: &mut Outbox) {
        let Some(key) = self.own_broadcast(conn) else { return };
        // How many notices a page must acknowledge is decided by others.
        if self.broadcasts[key].awaits_ack(conn, notice_id)
            && let Some(client) = self.conns.get_mut(conn)
        {
            client.forgive_message();
        }
        let change = self.broadcasts[key].acknowledge(conn, notice_id);
        self.carry_out(now, key, change.into_iter().collect(), out);
    }

    fn on_open_audio(&mut self, now: Instant, conn: ConnKey, offer: &str, out: &mut Outbox) {
        if !self.has_room_for_peer() {
            let complaint = Complaint::new(ErrorCode::TooMany, "no room for another connection: try again later");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            return;
        }
        let (peer, answer) = match self.open_peer(now, conn, Purpose::Listen, offer) {
            Ok(opened) => opened,
            Err(error) => {
                self.complain(conn, Complaint::new(ErrorCode::OfferRefused, &error.to_string()));
                return;
            }
        };
        let Some(Seat::Admin { audio, wishes, .. }) = self.seat_mut(conn) else { return };
        let replaced = audio.replace(peer);
        for key in wishes.clone() {
            if let Some(broadcast) = self.broadcasts.get_mut(key) {
                broadcast.replace_listener_peer(conn, peer);
            }
        }
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.tell(conn, &ServerMessage::AudioReady { sdp: &answer }.to_json(), out);
    }

    fn on_join(&mut self, now: Instant, conn: ConnKey, commercial_id: &str, reason: String, out: &mut Outbox) {
        match self.wish(conn, commercial_id, reason) {
            Ok((key, wish)) => self.join(now, key, wish, out),
            Err((code, message)) => {
                self.audit_refusal(now, conn, commercial_id, message, out);
                self.complain(conn, Complaint::new(code, message).about(commercial_id));
            }
        }
    }

    /// Writes down that somebody was not allowed to listen. What is no id is not written.
    fn audit_refusal(&self, now: Instant, conn: ConnKey, commercial_id: &str, why: &str, out: &mut Outbox) {
        let actor = self.sessions.get(conn).map_or("", |session| session.claims.sub.as_str());
        let subject = if is_valid_id(commercial_id) { commercial_id } else { "" };
        out.audit(self.audit(now, AuditEvent::ListenRefused, actor, subject, why));
    }

    /// Returns what a supervisor wishes for, or why it can't be.
    fn wish(
        &mut self,
        conn: ConnKey,
        commercial_id: &str,
        reason: String,
    ) -> Result<(BroadcastKey, Wish), (ErrorCode, &'static str)> {
        let not_allowed = (ErrorCode::NotAllowed, "your token does not allow to listen to them");
        let Some(Session { claims, seat: Seat::Admin { audio, wishes, .. }, .. }) = self.sessions.get(conn) else {
            return Err(not_allowed);
        };
        if !is_valid_id(commercial_id) || !claims.may_hear(commercial_id) {
            return Err(not_allowed);
        }
        let peer = audio.ok_or((ErrorCode::NoAudio, "send open_audio first"))?;
        let (admin_id, admin_name) = (claims.sub.clone(), claims.shown_name().to_owned());
        let is_new = self.broadcast_of.get(commercial_id).is_none_or(|key| !wishes.contains(key));
        let has_room = !is_new || wishes.len() < self.config.limits.wishes_per_conn_max;
        let key = has_room.then(|| self.broadcast_for(commercial_id)).flatten().ok_or_else(|| {
            self.stats.tables_full += 1;
            (ErrorCode::TooMany, "too many at once: leave some first")
        })?;
        Ok((key, Wish { conn, peer, admin_id, admin_name, reason }))
    }

    /// Arms the moment at which a session must be looked at: before its token's end, at it, or when its page has been
    /// silent for too long.
    pub(super) fn arm_session(&mut self, now: Instant, conn: ConnKey) {
        let Some(session) = self.sessions.get(conn) else { return };
        let expiry = self.clock.instant_of(now, session.claims.exp);
        let warning = if session.is_warned { Duration::ZERO } else { self.config.limits.expiry_warning };
        let expiry = expiry.map(|at| at.checked_sub(warning).unwrap_or(now).max(now));
        let silence = self.page_on_air(session).and(self.conns.get(conn));
        let silence = silence.map(|client| client.heard() + self.config.limits.page_silence);
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
            self.close_conn(now, conn, CloseCode::TOKEN_REFUSED, out);
            return;
        }
        let must_warn = !session.is_warned && left_s <= self.config.limits.expiry_warning.as_secs();
        let heard = self.conns.get(conn).map(|client| client.heard());
        if let Some(key) = self.page_on_air(session)
            && heard.is_some_and(|heard| heard + self.config.limits.page_silence <= now)
        {
            self.on_page_silent(now, key, out);
        }
        if let Some(session) = self.sessions.get_mut(conn).filter(|_| must_warn) {
            session.is_warned = true;
            self.tell(conn, &ServerMessage::TokenExpiring { in_s: left_s }.to_json(), out);
        }
        self.arm_session(now, conn);
    }

    /// Returns the broadcast whose awake page on air this session is.
    fn page_on_air(&self, session: &Session) -> Option<BroadcastKey> {
        let Seat::Commercial { broadcast: key } = session.seat else { return None };
        let broadcast = self.broadcasts.get(key)?;
        (broadcast.publisher().is_some() && !broadcast.is_page_silent()).then_some(key)
    }

    /// Says why a conn that says too much is closed.
    pub(super) fn refuse_rate(&mut self, conn: ConnKey) {
        let complaint = Complaint::new(ErrorCode::TooMany, "too many messages: wait before you come back");
        self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
    }

    fn complain(&mut self, conn: ConnKey, complaint: Complaint<'_>) {
        self.send(conn, &ServerMessage::Error(complaint));
    }
}
