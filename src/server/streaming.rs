//! What pages say about their audio: on air, paused, interrupted, restarted; and what they share beside it.
//!
//! Invariant: of all pages only the one that is registered under a salesperson's id changes that salesperson's
//! broadcast.

use std::time::Instant;

use log::info;
use serde_json::Number;
use serde_json::value::RawValue;

use super::Server;
use super::problem::RETRY_AFTER_S;
use super::registration::{Seat, position};
use crate::audit::{Event, OffAir, StartedBy, Subject};
use crate::broadcast::{Source, Start, WrongCount};
use crate::config::PLACES_OF_PAGE;
use crate::keys::{BroadcastKey, Client, ConnKey, PeerKey};
use crate::outbox::Outbox;
use crate::peer::{PeerRole, Wanted};
use crate::wire::signaling::{
    self, Acknowledgement, Complaint, ErrorCode, PageCause, ServerMessage, StartStreaming,
};
use crate::words::{InterruptedBy, Place, Presence, Sent};

impl Server {
    /// Answers a page that wants to know whether we are there, and whether its audio arrives.
    pub(super) fn on_ping(&mut self, now: Instant, conn: ConnKey, t: Number) {
        let broadcast = match self.clients.registration(conn).map(|session| &session.seat) {
            Some(&(Seat::Commercial { broadcast } | Seat::Witness { broadcast })) => Some(broadcast),
            Some(&Seat::Admin { current, .. }) => {
                current.filter(|&key| self.broadcasts.get(key).is_some_and(|broadcast| broadcast.is_heard_by(conn)))
            }
            None => None,
        };
        let media_packets = broadcast.and_then(|key| self.broadcasts.get(key)?.packets());
        self.send(conn, &ServerMessage::Pong { t, now: self.unix_ms(now), media_packets });
    }

    pub(super) fn on_start_streaming(
        &mut self,
        now: Instant,
        (conn, key): (ConnKey, BroadcastKey),
        start: &StartStreaming<'_>,
        out: &mut Outbox,
    ) {
        let info_bytes_max = self.settings.limits.listening.commercial_info_bytes_max;
        let is_info = |info: &RawValue| info.get().len() <= info_bytes_max && signaling::is_readable(info);
        if !start.commercial_info.is_none_or(is_info) {
            let text = "commercial_info is too long, too deep, or not readable everywhere";
            self.complain(conn, Complaint::new(ErrorCode::Malformed, text));
            return;
        }
        // Its token lets it be heard without anybody being told, and this is somebody's microphone.
        if self.clients.registration(conn).is_some_and(|registration| registration.claims.device) {
            let text = "a device streams over WHIP: a page needs a token without device";
            self.complain(conn, Complaint::new(ErrorCode::NotAllowed, text));
            return;
        }
        let Some((peer, answer)) = self.answer_offer(now, conn, PeerRole::Publish(key), &start.sdp) else { return };
        if self.broadcasts[key].is_on_air() && !self.broadcasts[key].is_on_air_by_page() {
            self.go_off_air(now, key, OffAir::ReplacedByPage, out);
        }
        let broadcast = &self.broadcasts[key];
        if !broadcast.is_on_air() {
            let of = Subject { commercial_id: broadcast.id().to_owned(), is_device: false };
            self.note(now, Event::BroadcastStarted { of, by: StartedBy::Page, name: None }, out);
        }
        let broadcast = &self.broadcasts[key];
        let text = ServerMessage::StreamingStarted { commercial_id: broadcast.id(), sdp: &answer }.to_json();
        self.send_text(conn, &text);
        let unix_ms = self.unix_ms(now);
        let commercial_info = start.commercial_info.map(ToOwned::to_owned);
        let source =
            Source::Page(self.clients.registration(conn).map(|page| page.page.clone()).unwrap_or_default());
        let start = Start { publisher: peer, source, commercial_info };
        let (replaced, changes) =
            self.broadcasts[key].go_on_air(now, unix_ms, start, &self.settings.limits.broadcast);
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.carry_out(now, key, changes, out);
        self.watch_page(now, conn);
        info!(target: "audio", "on air peer={peer:?}");
    }

    pub(super) fn on_stop_streaming(
        &mut self,
        now: Instant,
        (conn, key): (ConnKey, BroadcastKey),
        out: &mut Outbox,
    ) {
        self.go_off_air(now, key, OffAir::Stopped, out);
        self.answer_page(conn, key, |commercial_id, cause| {
            ServerMessage::StreamingStopped { commercial_id, cause }.to_json()
        });
    }

    /// Answers a page that stopped or paused; where it is the one that was taken over from, the other one learns of it.
    fn answer_page(
        &mut self,
        conn: ConnKey,
        key: BroadcastKey,
        message: impl Fn(&str, Option<PageCause>) -> String,
    ) {
        let broadcast = &self.broadcasts[key];
        let other = broadcast.page().filter(|&page| page != conn);
        let (answer, told) = (message(broadcast.id(), None), message(broadcast.id(), Some(PageCause::OtherPage)));
        self.send_text(conn, &answer);
        if let Some(other) = other {
            self.send_text(other, &told);
        }
    }

    /// Pauses; asking for what is already so is answered all the same.
    pub(super) fn on_pause(&mut self, now: Instant, (conn, key): (ConnKey, BroadcastKey), out: &mut Outbox) {
        let Some(is_paused) = self.is_paused(conn, key) else { return };
        if !is_paused {
            let of = self.subject(self.broadcasts[key].id());
            self.note(now, Event::BroadcastPaused { of }, out);
        }
        self.answer_page(conn, key, |commercial_id, cause| {
            ServerMessage::StreamingPaused { commercial_id, cause }.to_json()
        });
        let unix_ms = self.unix_ms(now);
        let changes = self.broadcasts[key].pause(unix_ms);
        self.carry_out(now, key, changes, out);
    }

    /// Ends the pause, for what is sent from now on; asking for what is already so is answered all the same.
    pub(super) fn on_resume(
        &mut self,
        now: Instant,
        (conn, key): (ConnKey, BroadcastKey),
        sent: Sent,
        out: &mut Outbox,
    ) {
        let Some(is_paused) = self.is_paused(conn, key) else { return };
        let commercial_id = self.broadcasts[key].id();
        let answer = ServerMessage::StreamingResumed { commercial_id }.to_json();
        if is_paused {
            self.note(now, Event::BroadcastResumed { of: self.subject(commercial_id) }, out);
        }
        self.send_text(conn, &answer);
        let (unix_ms, ssrc) = (self.unix_ms(now), self.stream_of(key));
        let (changes, counted) = self.broadcasts[key].resume(now, unix_ms, sent, ssrc);
        self.carry_out(now, key, changes, out);
        if counted.is_err() {
            self.ask_for_new_session(conn);
        }
    }

    /// Tells whether what a page has on air is paused; complains where it has nothing.
    fn is_paused(&mut self, conn: ConnKey, key: BroadcastKey) -> Option<bool> {
        match self.broadcasts[key].presence() {
            Presence::OnAir | Presence::Interrupted => Some(false),
            Presence::Paused => Some(true),
            Presence::Offline | Presence::Online => {
                self.complain(conn, Complaint::new(ErrorCode::NotOnAir, "you are not on air"));
                None
            }
        }
    }

    /// Returns which stream the session of a broadcast brings, as far as that is known.
    fn stream_of(&self, key: BroadcastKey) -> Option<u32> {
        self.peers.get(self.broadcasts[key].publisher()?)?.brings()
    }

    /// The page's count of what it sends says nothing of the session that we have of it.
    fn ask_for_new_session(&mut self, conn: ConnKey) {
        let text = "your count of packets is not of this audio connection: build a new one";
        self.complain(conn, Complaint::new(ErrorCode::NoSuchPeer, text));
    }

    /// The page says why it can't be heard for now.
    pub(super) fn on_stream_interrupted(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        cause: InterruptedBy,
        out: &mut Outbox,
    ) {
        // A call that takes the page's microphone is nothing to an encoder.
        if !self.broadcasts[key].is_on_air_by_page() {
            return;
        }
        let unix_ms = self.unix_ms(now);
        let changes = self.broadcasts[key].interrupt(unix_ms, cause);
        self.carry_out(now, key, changes, out);
    }

    /// The page says where the salesperson is; nobody learns it in a pause or off air.
    pub(super) fn on_gps_update(&mut self, now: Instant, key: BroadcastKey, place: Place) {
        if self.broadcasts[key].move_to(now, place, &self.settings.limits.broadcast) {
            let text = position(&self.broadcasts[key], place).to_json();
            for conn in self.supervisors_of(key) {
                self.send_text(conn, &text);
            }
        }
    }

    /// The client looks for new paths for the session that it has.
    pub(super) fn on_restart_ice(&mut self, now: Instant, conn: ConnKey, offer: &str, out: &mut Outbox) {
        if !self.may_offer(now, conn) {
            return;
        }
        let peer = match self.clients.registration(conn).map(|session| &session.seat) {
            Some(Seat::Commercial { broadcast }) => {
                let own = self.broadcasts.get(*broadcast).filter(|broadcast| broadcast.is_on_air_by_page());
                own.and_then(|broadcast| broadcast.publisher())
            }
            Some(Seat::Admin { audio, .. }) => *audio,
            Some(Seat::Witness { .. }) | None => None,
        };
        let restarted = peer.and_then(|peer| self.restart_peer(now, peer, Wanted::Offer(offer), out));
        match restarted {
            Some(Ok(answer)) => self.send_text(conn, &ServerMessage::IceRestarted { sdp: &answer }.to_json()),
            Some(Err(error)) => {
                self.complain(conn, Complaint::new(ErrorCode::OfferRefused, &error.in_words(offer)));
            }
            None => self.complain(conn, Complaint::new(ErrorCode::NoSuchPeer, "build a new connection")),
        }
    }

    pub(super) fn on_listener_ack(
        &mut self,
        now: Instant,
        (conn, key): (ConnKey, BroadcastKey),
        ack: Acknowledgement,
        out: &mut Outbox,
    ) {
        self.forgive_answer(conn);
        let ssrc = self.stream_of(key);
        match self.broadcasts[key].acknowledge(now, conn, ack, ssrc) {
            Ok(change) => self.carry_out(now, key, change.into_iter().collect(), out),
            // The page says it again of the stream that it makes just now.
            Err(WrongCount::OtherStream) => {}
            Err(WrongCount::Impossible) => self.ask_for_new_session(conn),
        }
    }

    /// The page says that its person can't be told of a listener for now.
    pub(super) fn on_listener_hidden(
        &mut self,
        now: Instant,
        (conn, key): (ConnKey, BroadcastKey),
        notice_id: u64,
        out: &mut Outbox,
    ) {
        self.forgive_answer(conn);
        let change = self.broadcasts[key].hide(conn, notice_id);
        self.carry_out(now, key, change.into_iter().collect(), out);
    }

    /// How many notices a page must answer is decided by others, and they may be taken back before its answer is here.
    fn forgive_answer(&mut self, conn: ConnKey) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.forgive_answer();
        }
    }

    pub(super) fn on_open_audio(&mut self, now: Instant, conn: ConnKey, offer: &str, out: &mut Outbox) {
        let Some((peer, answer)) = self.answer_offer(now, conn, PeerRole::Listen, offer) else { return };
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
        self.send_text(conn, &ServerMessage::AudioReady { sdp: &answer }.to_json());
    }

    /// The client wants to know how it reaches the server, on air or not: it gets a session that no audio comes near.
    pub(super) fn on_test_connection(&mut self, now: Instant, conn: ConnKey, offer: &str, out: &mut Outbox) {
        let Some((peer, answer)) = self.answer_offer(now, conn, PeerRole::Test, offer) else { return };
        let replaced = self.clients.registration_mut(conn).and_then(|session| session.test.replace(peer));
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.send_text(conn, &ServerMessage::ConnectionTest { sdp: &answer }.to_json());
    }

    /// The session that a client tested its connection with is over.
    pub(super) fn on_test_gone(&mut self, conn: ConnKey, peer: PeerKey) {
        if let Some(session) = self.clients.registration_mut(conn) {
            session.test.take_if(|test| *test == peer);
        }
    }

    /// Makes a session for an offer and returns it with its answer, or says why not.
    fn answer_offer(
        &mut self,
        now: Instant,
        conn: ConnKey,
        role: PeerRole,
        offer: &str,
    ) -> Option<(PeerKey, String)> {
        if !self.may_offer(now, conn) {
            return None;
        }
        if !self.has_room_for_peer(PLACES_OF_PAGE, offer) {
            let complaint = Complaint::new(ErrorCode::TooMany, "no room for another connection: try again later");
            self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
            return None;
        }
        let opened = self.open_peer(now, (role, Client::Page(conn)), offer);
        opened
            .map_err(|error| self.complain(conn, Complaint::new(ErrorCode::OfferRefused, &error.in_words(offer))))
            .ok()
    }
}
