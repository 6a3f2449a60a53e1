//! What users say over the WebSocket, and who may say it.
//!
//! Invariant: nothing but `register_user` is heard from a conn without a session.

use std::time::Instant;

use super::problem::RETRY_AFTER_S;
use super::registration::{Registration, Seat};
use super::{CloseCode, Server};
use crate::audit::ListenRefusal;
use crate::broadcast::Wish;
use crate::keys::{BroadcastKey, Client, ConnKey, Sink};
use crate::outbox::Outbox;
use crate::token::is_valid_id;
use crate::wire::signaling::{
    self, ClientMessage, Complaint, ErrorCode, MessageError, OfAdmin, OfBoth, OfCommercial, ServerMessage,
};
use crate::words::is_reason;

impl Server {
    /// Takes one WebSocket message.
    pub(super) fn on_message(&mut self, now: Instant, conn: ConnKey, text: &str, out: &mut Outbox) {
        let message = match signaling::parse(text) {
            Ok(message) => message,
            Err(error) => {
                self.stats.requests_malformed += 1;
                self.complain(conn, Complaint::new(ErrorCode::Malformed, &error.to_string()));
                // An odd value of who speaks this protocol is a mistake, and what goes on must not end for it.
                let is_user = self.clients.registration(conn).is_some();
                if !is_user || error == MessageError::NotMessage {
                    self.close_conn(now, conn, CloseCode::Malformed, out);
                }
                return;
            }
        };
        match (message, self.clients.registration(conn).map(|registration| &registration.seat)) {
            (ClientMessage::Register(register), _) => self.on_register(now, conn, register, out),
            (ClientMessage::Ping { t }, _) => self.on_ping(now, conn, t),
            (ClientMessage::OfCommercial(_) | ClientMessage::OfAdmin(_) | ClientMessage::OfBoth(_), None) => {
                self.complain(conn, Complaint::new(ErrorCode::NotRegistered, "send register_user first"));
                self.close_conn(now, conn, CloseCode::NotRegistered, out);
            }
            (ClientMessage::OfCommercial(message), Some(&Seat::Commercial { broadcast })) => {
                self.on_message_of_commercial(now, (conn, broadcast), message, out);
            }
            (ClientMessage::OfCommercial(message), Some(&Seat::Witness { broadcast })) => {
                self.on_message_of_witness(now, (conn, broadcast), &message, out);
            }
            (ClientMessage::OfAdmin(message), Some(Seat::Admin { .. })) => {
                self.on_message_of_admin(now, conn, message, out);
            }
            (
                ClientMessage::OfBoth(message),
                Some(Seat::Commercial { .. } | Seat::Witness { .. } | Seat::Admin { .. }),
            ) => {
                self.on_message_of_both(now, conn, &message, out);
            }
            (
                message @ (ClientMessage::OfCommercial(_) | ClientMessage::OfAdmin(_)),
                Some(Seat::Commercial { .. } | Seat::Witness { .. } | Seat::Admin { .. }),
            ) => self.refuse_role(now, conn, &message, out),
        }
    }

    fn on_message_of_commercial(
        &mut self,
        now: Instant,
        page: (ConnKey, BroadcastKey),
        message: OfCommercial<'_>,
        out: &mut Outbox,
    ) {
        match message {
            OfCommercial::StopStreaming => self.on_stop_streaming(now, page, out),
            OfCommercial::PauseStreaming => self.on_pause(now, page, out),
            // What ends or keeps back sound is never held back; of what does not, each brings entries.
            OfCommercial::StartStreaming(_)
            | OfCommercial::ResumeStreaming { .. }
            | OfCommercial::StreamInterrupted { .. }
                if !self.may_act(now, page.0) => {}
            OfCommercial::StartStreaming(start) => self.on_start_streaming(now, page, &start, out),
            OfCommercial::ResumeStreaming { sent } => self.on_resume(now, page, sent, out),
            OfCommercial::StreamInterrupted { cause } => self.on_stream_interrupted(now, page.1, cause, out),
            OfCommercial::ListenerAck(ack) => self.on_listener_ack(now, page, ack, out),
            OfCommercial::ListenerHidden { notice_id } => self.on_listener_hidden(now, page, notice_id, out),
            OfCommercial::GpsUpdate(place) => self.on_gps_update(now, page.1, place),
        }
    }

    /// A page that another one took over from protects its person, and does nothing else in their name. What it said before
    /// it knew is no mistake.
    fn on_message_of_witness(
        &mut self,
        now: Instant,
        page: (ConnKey, BroadcastKey),
        message: &OfCommercial<'_>,
        out: &mut Outbox,
    ) {
        match message {
            OfCommercial::StopStreaming => self.on_stop_streaming(now, page, out),
            OfCommercial::PauseStreaming => self.on_pause(now, page, out),
            OfCommercial::StartStreaming(_) | OfCommercial::ResumeStreaming { .. } => {
                let text = "another page took over: register again with takeover to use this one";
                self.complain(page.0, Complaint::new(ErrorCode::NotAllowed, text));
            }
            OfCommercial::StreamInterrupted { .. }
            | OfCommercial::ListenerAck(_)
            | OfCommercial::ListenerHidden { .. }
            | OfCommercial::GpsUpdate(_) => {}
        }
    }

    fn on_message_of_admin(&mut self, now: Instant, conn: ConnKey, message: OfAdmin, out: &mut Outbox) {
        match message {
            OfAdmin::OpenAudio { sdp } => self.on_open_audio(now, conn, &sdp, out),
            OfAdmin::Join { commercial_id, reason, waits } => {
                self.on_join(now, conn, (&commercial_id, &reason), waits, out);
            }
            OfAdmin::Leave { commercial_id } => self.on_leave(now, conn, &commercial_id, out),
            OfAdmin::PageVisible { visible } => self.on_page_visible(now, conn, visible),
            OfAdmin::ConfirmRestoration { at } => self.on_confirm_restoration(now, conn, at, out),
        }
    }

    fn on_message_of_both(&mut self, now: Instant, conn: ConnKey, message: &OfBoth, out: &mut Outbox) {
        match message {
            OfBoth::RestartIce { sdp } => self.on_restart_ice(now, conn, sdp, out),
            OfBoth::TestConnection { sdp } => self.on_test_connection(now, conn, sdp, out),
        }
    }

    /// Closes a conn whose user said what only others may; a wish to listen is written down.
    fn refuse_role(&mut self, now: Instant, conn: ConnKey, message: &ClientMessage<'_>, out: &mut Outbox) {
        if let ClientMessage::OfAdmin(OfAdmin::Join { commercial_id, reason, waits: _ }) = message {
            self.audit_refusal(now, conn, (commercial_id, reason), ListenRefusal::NotThisRole, out);
        }
        self.complain(conn, Complaint::new(ErrorCode::NotAllowed, "not with this role"));
        self.close_conn(now, conn, CloseCode::NotAllowed, out);
    }

    fn on_join(&mut self, now: Instant, conn: ConnKey, wanted: (&str, &str), waits: bool, out: &mut Outbox) {
        let (commercial_id, reason) = wanted;
        match self.wish(now, conn, commercial_id, reason) {
            Ok((key, wish)) => self.join(now, key, Wish { waits, ..wish }, out),
            Err((why, code, message)) => {
                self.audit_refusal(now, conn, wanted, why, out);
                let complaint = Complaint::new(code, message).about(commercial_id);
                let is_soon = why == ListenRefusal::TooOften;
                self.complain(conn, if is_soon { complaint.retry_after_s(RETRY_AFTER_S) } else { complaint });
            }
        }
    }

    fn on_leave(&mut self, now: Instant, conn: ConnKey, commercial_id: &str, out: &mut Outbox) {
        if let Some(key) = self.broadcasts.named(commercial_id) {
            self.leave(now, key, Client::Page(conn), None, out);
        }
    }

    /// Writes down that somebody was not allowed to listen.
    fn audit_refusal(
        &mut self,
        now: Instant,
        conn: ConnKey,
        wanted: (&str, &str),
        why: ListenRefusal,
        out: &mut Outbox,
    ) {
        let Some(claims) = self.clients.registration(conn).map(|registration| registration.claims.clone()) else {
            return;
        };
        self.refuse_listening(now, &claims, wanted, why, out);
    }

    /// Returns what a supervisor wishes for, or why it can't be.
    fn wish(
        &mut self,
        now: Instant,
        conn: ConnKey,
        commercial_id: &str,
        reason: &str,
    ) -> Result<(BroadcastKey, Wish), (ListenRefusal, ErrorCode, &'static str)> {
        let message = "your token does not allow to listen to them";
        let not_allowed = (ListenRefusal::NotThisToken, ErrorCode::NotAllowed, message);
        let too_often = (ListenRefusal::TooOften, ErrorCode::TooMany, "you begin to listen too often: wait");
        let Some(Registration { claims, seat: Seat::Admin { audio, wishes, .. }, .. }) =
            self.clients.registration(conn)
        else {
            return Err(not_allowed);
        };
        if !is_valid_id(commercial_id) || !claims.may_hear(commercial_id) {
            return Err(not_allowed);
        }
        if !is_reason(reason) {
            let message = "a reason is accompagnement, qualité, formation, sécurité or \"autre: …\"";
            return Err((ListenRefusal::BadReason, ErrorCode::BadReason, message));
        }
        if !self.quotas.act(now, &claims.sub, &mut self.stats) {
            return Err(too_often);
        }
        let peer = audio.ok_or((ListenRefusal::NoAudio, ErrorCode::NoAudio, "send open_audio first"))?;
        let (admin_id, admin_name) = (claims.sub.clone(), claims.shown_name().to_owned());
        let is_new = self.broadcasts.named(commercial_id).is_none_or(|key| !wishes.contains(&key));
        let limits = &self.settings.limits.listening;
        let has_room =
            !is_new || (wishes.len() < limits.wishes_per_conn_max && self.wishes_count() < limits.wishes_max);
        let key = has_room.then(|| self.broadcast_for(commercial_id)).flatten().ok_or_else(|| {
            self.stats.tables_full += 1;
            (ListenRefusal::TooMany, ErrorCode::TooMany, "too many at once: leave some first")
        })?;
        if is_new && !self.quotas.join(now, (&admin_id, key), &mut self.stats) {
            self.forget_unseen(key);
            return Err(too_often);
        }
        let listening = self.new_listening((&admin_id, &admin_name), commercial_id, reason);
        Ok((key, Wish { key: Client::Page(conn), sink: Sink::Peer(peer), listening, waits: false }))
    }

    /// Returns how many wishes there are of all.
    pub(super) fn wishes_count(&self) -> usize {
        self.broadcasts.iter().map(|(_, broadcast)| broadcast.wishes_count()).sum()
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
