//! What users say over the WebSocket, and who may say it.
//!
//! Invariant: nothing but `register_user` is heard from a conn without a session.

use std::time::Instant;

use super::{CloseCode, Seat, Server, Session};
use crate::audit::{Event, ListenRefusal};
use crate::broadcast::{Broadcast, Wish};
use crate::keys::{BroadcastKey, ConnKey, ListenerKey, Sink};
use crate::outbox::Outbox;
use crate::token::{Claims, is_valid_id};
use crate::wire::signaling::{self, ClientMessage, Complaint, ErrorCode, ServerMessage};
use crate::words::{Role, is_reason};

/// When a client that found no room should try again.
pub(super) const RETRY_AFTER_S: u32 = 10;

impl Server {
    /// Takes one WebSocket message.
    pub(super) fn on_message(&mut self, now: Instant, conn: ConnKey, text: &str, out: &mut Outbox) {
        let message = match signaling::parse(text) {
            Ok(message) => message,
            Err(error) => {
                self.stats.requests_malformed += 1;
                self.complain(conn, Complaint::new(ErrorCode::Malformed, &error.to_string()));
                self.close_conn(now, conn, CloseCode::Malformed, out);
                return;
            }
        };
        let role = self.sessions.get(conn).map(|session| session.claims.role);
        match (message, role) {
            (ClientMessage::RegisterUser(register), _) => self.on_register(now, conn, register, out),
            (ClientMessage::Ping { t }, _) => self.on_ping(conn, t),
            (_, None) => {
                self.complain(conn, Complaint::new(ErrorCode::NotRegistered, "send register_user first"));
                self.close_conn(now, conn, CloseCode::NotRegistered, out);
            }
            (ClientMessage::StartStreaming(start), Some(Role::Commercial)) => {
                self.on_start_streaming(now, conn, &start, out);
            }
            (ClientMessage::StopStreaming, Some(Role::Commercial)) => self.on_stop_streaming(now, conn, out),
            (ClientMessage::PauseStreaming, Some(Role::Commercial)) => self.on_pause(now, conn, true, out),
            (ClientMessage::ResumeStreaming, Some(Role::Commercial)) => self.on_pause(now, conn, false, out),
            (ClientMessage::StreamInterrupted { cause }, Some(Role::Commercial)) => {
                self.on_stream_interrupted(now, conn, cause, out);
            }
            (ClientMessage::GpsUpdate(place), Some(Role::Commercial)) => self.on_gps_update(now, conn, place, out),
            (ClientMessage::ListenerAck { notice_id }, Some(Role::Commercial)) => {
                self.on_listener_ack(now, conn, notice_id, out);
            }
            (ClientMessage::RestartIce { sdp }, Some(Role::Admin | Role::Commercial)) => {
                self.on_restart_ice(now, conn, &sdp, out);
            }
            (ClientMessage::TestConnection { sdp }, Some(Role::Admin | Role::Commercial)) => {
                self.on_test_connection(now, conn, &sdp, out);
            }
            (ClientMessage::OpenAudio { sdp }, Some(Role::Admin)) => self.on_open_audio(now, conn, &sdp, out),
            (ClientMessage::Join { commercial_id, reason }, Some(Role::Admin)) => {
                self.on_join(now, conn, &commercial_id, reason, out);
            }
            (ClientMessage::Leave { commercial_id }, Some(Role::Admin)) => {
                if let Some(&key) = self.broadcast_of.get(&commercial_id) {
                    self.leave(now, key, ListenerKey::Conn(conn), None, out);
                }
            }
            (
                message @ (ClientMessage::StartStreaming(_)
                | ClientMessage::StopStreaming
                | ClientMessage::PauseStreaming
                | ClientMessage::ResumeStreaming
                | ClientMessage::StreamInterrupted { .. }
                | ClientMessage::GpsUpdate(_)
                | ClientMessage::RestartIce { .. }
                | ClientMessage::TestConnection { .. }
                | ClientMessage::ListenerAck { .. }
                | ClientMessage::OpenAudio { .. }
                | ClientMessage::Join { .. }
                | ClientMessage::Leave { .. }),
                Some(Role::Admin | Role::Commercial | Role::Monitor),
            ) => {
                if let ClientMessage::Join { commercial_id, reason } = &message {
                    self.audit_refusal(now, conn, (commercial_id, reason), ListenRefusal::NotThisRole, out);
                }
                self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "not with this role"));
                self.close_conn(now, conn, CloseCode::NotAllowed, out);
            }
        }
    }

    fn on_join(&mut self, now: Instant, conn: ConnKey, commercial_id: &str, reason: String, out: &mut Outbox) {
        match self.wish(conn, commercial_id, &reason) {
            Ok((key, wish)) => self.join(now, key, wish, out),
            Err((why, code, message)) => {
                self.audit_refusal(now, conn, (commercial_id, &reason), why, out);
                self.complain(conn, Complaint::new(code, message).about(commercial_id));
            }
        }
    }

    /// Writes down that somebody was not allowed to listen. What is no id is not written.
    fn audit_refusal(
        &mut self,
        now: Instant,
        conn: ConnKey,
        wanted: (&str, &str),
        why: ListenRefusal,
        out: &mut Outbox,
    ) {
        let Some(claims) = self.sessions.get(conn).map(|session| session.claims.clone()) else { return };
        self.refuse_listening(now, &claims, wanted, why, out);
    }

    /// Writes down that a user was not allowed to listen to this id for this reason, which may both be anything.
    pub(super) fn refuse_listening(
        &mut self,
        now: Instant,
        claims: &Claims,
        (commercial_id, reason): (&str, &str),
        why: ListenRefusal,
        out: &mut Outbox,
    ) {
        let commercial_id = if is_valid_id(commercial_id) { commercial_id } else { "" };
        let reason = if is_reason(reason) { reason } else { "" };
        let listening = self.new_listening((&claims.sub, claims.shown_name()), commercial_id, reason);
        self.note(now, Event::ListenRefused { listening, why }, out);
    }

    /// Returns what a supervisor wishes for, or why it can't be.
    fn wish(
        &mut self,
        conn: ConnKey,
        commercial_id: &str,
        reason: &str,
    ) -> Result<(BroadcastKey, Wish), (ListenRefusal, ErrorCode, &'static str)> {
        let message = "your token does not allow to listen to them";
        let not_allowed = (ListenRefusal::NotThisToken, ErrorCode::NotAllowed, message);
        let Some(Session { claims, seat: Seat::Admin { audio, wishes, .. }, .. }) = self.sessions.get(conn) else {
            return Err(not_allowed);
        };
        if !is_valid_id(commercial_id) || !claims.may_hear(commercial_id) {
            return Err(not_allowed);
        }
        if !is_reason(reason) {
            let message = "a reason is accompagnement, qualité, formation, sécurité or \"autre: …\"";
            return Err((ListenRefusal::BadReason, ErrorCode::BadReason, message));
        }
        let peer = audio.ok_or((ListenRefusal::NoAudio, ErrorCode::NoAudio, "send open_audio first"))?;
        let (admin_id, admin_name) = (claims.sub.clone(), claims.shown_name().to_owned());
        let is_new = self.broadcast_of.get(commercial_id).is_none_or(|key| !wishes.contains(key));
        let limits = &self.settings.limits.listening;
        let has_room =
            !is_new || (wishes.len() < limits.wishes_per_conn_max && self.wishes_count() < limits.wishes_max);
        let key = has_room.then(|| self.broadcast_for(commercial_id)).flatten().ok_or_else(|| {
            self.stats.tables_full += 1;
            (ListenRefusal::TooMany, ErrorCode::TooMany, "too many at once: leave some first")
        })?;
        let listening = self.new_listening((&admin_id, &admin_name), commercial_id, reason);
        Ok((key, Wish { key: ListenerKey::Conn(conn), sink: Sink::Peer(peer), listening }))
    }

    /// Returns how many wishes there are of all.
    pub(super) fn wishes_count(&self) -> usize {
        self.broadcasts.values().map(Broadcast::wishes_count).sum()
    }

    /// Says why a conn that says too much is closed.
    pub(super) fn refuse_rate(&mut self, conn: ConnKey) {
        let complaint = Complaint::new(ErrorCode::TooMany, "too many messages: wait before you come back");
        self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
    }

    pub(super) fn complain(&mut self, conn: ConnKey, complaint: Complaint<'_>) {
        self.send(conn, &ServerMessage::Error(complaint));
    }
}
