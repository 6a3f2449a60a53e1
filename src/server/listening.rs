//! Carries out what a broadcast decides: notices, audit entries, starts and stops of listenings.
//!
//! Invariant: a listening is announced once its entry is durable, the note of any other effect is in the outbox before the
//! effect, and a conn hears one salesperson at most: who comes on air takes nobody away who is heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use log::debug;

use super::people;
use super::problem::RETRY_AFTER_S;
use super::registration::{Registration, Seat};
use super::{Server, Timer};
use crate::audit::{Event, ListenEnd, OffAir};
use crate::broadcast::{Broadcast, Change, Listener, News, Wish};
use crate::keys::{BroadcastKey, Client, ConnKey, PeerKey, Sink};
use crate::outbox::{NotWritten, Outbox};
use crate::peer::Gone;
use crate::wire::signaling::{Commercial, Complaint, ErrorCode, ServerMessage};
use crate::words::StopCause;

/// A page may say that it is hidden before it acknowledges.
const ANSWERS_PER_NOTICE: usize = 2;

impl Server {
    /// Returns the broadcast of a salesperson, making the row if need be; `None` when the table is full.
    pub(super) fn broadcast_for(&mut self, commercial_id: &str) -> Option<BroadcastKey> {
        if let Some(key) = self.broadcasts.named(commercial_id) {
            return Some(key);
        }
        if self.broadcasts.len() >= self.settings.limits.listening.broadcasts_max && !self.forget_longest_absent() {
            self.stats.tables_full += 1;
            return None;
        }
        Some(self.broadcasts.insert(commercial_id))
    }

    /// A supervisor wishes to hear a salesperson.
    pub(super) fn join(&mut self, now: Instant, key: BroadcastKey, wish: Wish, out: &mut Outbox) {
        let is_new = match wish.key {
            Client::Page(conn) => match self.seat_mut(conn) {
                Some(Seat::Admin { wishes, .. }) if !wishes.contains(&key) => {
                    wishes.push(key);
                    true
                }
                Some(Seat::Admin { .. } | Seat::Commercial { .. } | Seat::Witness { .. }) | None => false,
            },
            Client::Program(_) => true,
        };
        if is_new {
            let (listening, is_device) = (Arc::clone(&wish.listening), self.broadcasts[key].is_device());
            self.note(now, Event::ListenAsked { listening, is_device }, out);
        }
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        let listener = wish.key;
        let changes = broadcast.join(wish);
        if broadcast.takes_over(listener) {
            self.give_way(key, listener);
        }
        self.carry_out(now, key, changes, out);
    }

    /// All else that a supervisor's page wishes for takes nobody's place any more.
    fn give_way(&mut self, key: BroadcastKey, listener: Client) {
        let seat = listener.page().and_then(|conn| self.clients.registration(conn)).map(|who| &who.seat);
        let Some(Seat::Admin { wishes, .. }) = seat else { return };
        for &other in wishes.iter().filter(|&&other| other != key) {
            self.broadcasts[other].give_way(listener);
        }
    }

    /// Does what a broadcast's change asks for, in order, then tells the supervisors.
    pub(super) fn carry_out(&mut self, now: Instant, key: BroadcastKey, changes: Vec<Change>, out: &mut Outbox) {
        self.is_unchecked = true;
        let mut changes = VecDeque::from(changes);
        while let Some(change) = changes.pop_front() {
            for next in self.carry_out_one(now, key, change, out).into_iter().rev() {
                changes.push_front(next);
            }
        }
        if let Some(broadcast) = self.broadcasts.get_mut(key) {
            broadcast.want_update(now, News::All, self.settings.limits.listening.update_interval);
        }
        self.arm_broadcast(key);
    }

    /// A salesperson began to speak: supervisors are to be told.
    pub(super) fn on_speech(&mut self, now: Instant, key: BroadcastKey) {
        self.broadcasts[key].want_update(now, News::Speech, self.settings.limits.listening.update_interval);
        self.arm_broadcast(key);
    }

    fn carry_out_one(&mut self, now: Instant, key: BroadcastKey, change: Change, out: &mut Outbox) -> Vec<Change> {
        let Some(broadcast) = self.broadcasts.get(key) else { return Vec::new() };
        let commercial_id = broadcast.id();
        match change {
            Change::WriteEntry { listener } => return self.write_announcement(now, key, listener, out),
            Change::Announce { notice_id, listener } => {
                let notice = joined(broadcast, notice_id, &listener);
                self.tell_pages(key, &notice);
                let page = self.broadcasts[key].page();
                if let Some(client) = page.and_then(|page| self.clients.get_mut(page)) {
                    client.ask_answers(ANSWERS_PER_NOTICE);
                }
            }
            Change::Withdraw { notice_id, listener } => {
                let (admin, reason) = (listener.person(), listener.listening.reason.as_str());
                let listeners_count = broadcast.announced_count();
                let listening_id = listener.listening.id.to_string();
                let notice =
                    ServerMessage::ListenerLeft { notice_id, listening_id, admin, reason, listeners_count };
                self.tell_pages(key, &notice.to_json());
            }
            Change::Pend { listener, cause } => {
                if let Some(conn) = listener.page() {
                    let is_under_way = broadcast.is_under_way(listener);
                    let text = ServerMessage::ListeningPending { commercial_id, cause }.to_json();
                    self.send_text(conn, &text);
                    if !is_under_way {
                        self.let_others_go_on(now, conn, out);
                    }
                }
            }
            Change::Start { listener, is_new } => return self.start(now, key, &listener, is_new, out),
            Change::Interrupt { listener, why } => {
                self.withdraw_sound(now, listener.sink, out);
                let is_device = listener.hears_device;
                self.note(now, Event::ListenInterrupted { listening: listener.listening, is_device, why }, out);
            }
            Change::Stop { listener, was_heard, cause } => self.stop(now, key, &listener, was_heard, cause, out),
            Change::Refuse { listener } => self.refuse_unwritten(now, key, &listener, out),
        }
        Vec::new()
    }

    /// Tells a page that comes back to see of all of whom the pages were told.
    pub(super) fn tell_notices(&mut self, key: BroadcastKey, conn: ConnKey) {
        let broadcast = &self.broadcasts[key];
        let notices = broadcast.notices().map(|(notice_id, listener)| joined(broadcast, notice_id, listener));
        for notice in notices.collect::<Vec<_>>() {
            self.send_text(conn, &notice);
        }
    }

    /// Tells a salesperson's page, and those that it took over from.
    fn tell_pages(&mut self, key: BroadcastKey, text: &str) {
        let broadcast = &self.broadcasts[key];
        let pages: Vec<ConnKey> =
            broadcast.page().into_iter().chain(broadcast.witnesses().iter().copied()).collect();
        for conn in pages {
            self.send_text(conn, text);
        }
    }

    /// Has it written down that a listener is about to be announced; what can't be written is refused.
    fn write_announcement(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        listener: Client,
        out: &mut Outbox,
    ) -> Vec<Change> {
        let broadcast = &self.broadcasts[key];
        let Some(wish) = broadcast.listener(listener) else { return Vec::new() };
        if !wish.takes_over && listener.page().is_some_and(|conn| self.hears_another(conn, key)) {
            return self.broadcasts[key].hold_back(listener);
        }
        let listening = Arc::clone(&wish.listening);
        let event = Event::ListenAnnounced { listening, is_device: broadcast.is_device() };
        let entry = self.open_gate(now, (key, listener), event, out);
        let broadcast = &mut self.broadcasts[key];
        match entry {
            Ok(entry) => broadcast.await_entry(listener, entry).into_iter().collect(),
            Err(NotWritten) => broadcast.refuse(listener),
        }
    }

    /// A listening is over.
    fn stop(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        listener: &Listener,
        was_heard: bool,
        cause: Option<StopCause>,
        out: &mut Outbox,
    ) {
        if was_heard {
            self.withdraw_sound(now, listener.sink, out);
        }
        let why_gone = self.why_gone(listener.key);
        let why = match cause {
            None => why_gone.unwrap_or(ListenEnd::Left),
            Some(StopCause::Switched) => ListenEnd::Switched,
            Some(StopCause::ConnectionLost) => ListenEnd::ConnectionLost,
            Some(StopCause::NotAllowed) => ListenEnd::NotAllowed,
        };
        let broadcast = &self.broadcasts[key];
        let is_device = if was_heard { listener.hears_device } else { broadcast.is_device() };
        let listening = Arc::clone(&listener.listening);
        let (commercial_id, listeners_count) = (broadcast.id(), broadcast.listeners_count());
        let text = ServerMessage::ListeningStopped { commercial_id, listeners_count, cause }.to_json();
        self.note(now, Event::ListenEnded { listening, is_device, was_heard, why }, out);
        let Some(conn) = listener.key.page() else { return };
        self.forget_wish(conn, key);
        // Who is gone did not stop listening: the page comes back and wishes for the same again.
        if why_gone.is_none() {
            self.send_text(conn, &text);
        }
        self.let_others_go_on(now, conn, out);
    }

    /// A wish to listen can't be written down.
    fn refuse_unwritten(&mut self, now: Instant, key: BroadcastKey, listener: &Listener, out: &mut Outbox) {
        let broadcast = &self.broadcasts[key];
        let (is_device, commercial_id) = (broadcast.is_device(), broadcast.id().to_owned());
        let (listening, why) = (Arc::clone(&listener.listening), ListenEnd::NotWritten);
        self.note(now, Event::ListenEnded { listening, is_device, was_heard: false, why }, out);
        match (listener.key, listener.sink) {
            (Client::Page(conn), _) => {
                self.forget_wish(conn, key);
                let message = self.unwritten_words(now);
                let complaint = Complaint::new(ErrorCode::JournalUnavailable, &message).about(&commercial_id);
                self.complain(conn, complaint.retry_after_s(RETRY_AFTER_S));
                self.let_others_go_on(now, conn, out);
            }
            // A WHEP client that nobody may hear has no use for its session.
            (Client::Program(_), Sink::Peer(peer)) => self.close_peer(now, peer, out),
        }
    }

    fn forget_wish(&mut self, conn: ConnKey, key: BroadcastKey) {
        if let Some(Seat::Admin { wishes, current, .. }) = self.seat_mut(conn) {
            wishes.retain(|&wish| wish != key);
            current.take_if(|current| *current == key);
        }
    }

    /// Tells whether a supervisor's page hears somebody else, is about to, or would again once a pause of theirs is over.
    fn hears_another(&self, conn: ConnKey, key: BroadcastKey) -> bool {
        let seat = self.clients.registration(conn).map(|registration| &registration.seat);
        let Some(Seat::Admin { wishes, current, .. }) = seat else { return false };
        wishes.iter().filter(|&&other| other != key).any(|&other| {
            let broadcast = &self.broadcasts[other];
            (*current == Some(other) && broadcast.is_about_to_return())
                || broadcast.is_under_way(Client::Page(conn))
        })
    }

    /// What was held back for what a supervisor heard goes on where that is over, the oldest wish first.
    fn let_others_go_on(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(Registration { claims, seat: Seat::Admin { audio: Some(_), wishes, .. }, .. }) =
            self.clients.registration(conn)
        else {
            return;
        };
        let listener = Client::Page(conn);
        let may_go_on = |&&key: &&BroadcastKey| {
            let broadcast = &self.broadcasts[key];
            broadcast.is_held_back(listener) && claims.may_hear(broadcast.id()) && !self.hears_another(conn, key)
        };
        let Some(&key) = wishes.iter().find(may_go_on) else { return };
        let changes = self.broadcasts[key].let_go_on(listener);
        self.carry_out(now, key, changes, out);
    }

    /// A listener hears from now on; what the same conn heard before is left in the same turn, unless it waits itself.
    fn start(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        listener: &Listener,
        is_new: bool,
        out: &mut Outbox,
    ) -> Vec<Change> {
        let page = listener.key.page();
        let is_late = |conn| !self.broadcasts[key].takes_over(listener.key) && self.hears_another(conn, key);
        if is_new && page.is_some_and(is_late) {
            return self.broadcasts[key].hold_back(listener.key);
        }
        let before = match page.map(|conn| self.seat_mut(conn)) {
            Some(Some(Seat::Admin { current, .. })) => current.replace(key),
            Some(Some(Seat::Commercial { .. } | Seat::Witness { .. }) | None) => return Vec::new(),
            // A WHEP client hears one salesperson, for good.
            None => None,
        };
        if before != Some(key) {
            // Who is asked to answer since before has no claim to the place of who was quicker.
            self.give_way(key, listener.key);
        }
        if let Some(other) =
            before.filter(|&other| other != key && self.broadcasts[other].is_under_way(listener.key))
        {
            self.leave(now, other, listener.key, Some(StopCause::Switched), out);
        }
        if is_new {
            let (listening, is_device) = (Arc::clone(&listener.listening), listener.hears_device);
            self.note(now, Event::ListenStarted { listening, is_device, told: listener.told() }, out);
            let Sink::Peer(peer) = listener.sink;
            self.peers.cut(peer);
        }
        let commercial_id = self.broadcasts[key].id();
        let listeners_count = self.broadcasts[key].listeners_count();
        let told = listener.told();
        let text = ServerMessage::ListeningStarted { commercial_id, listeners_count, told }.to_json();
        if let Some(conn) = page {
            self.send_text(conn, &text);
        }
        Vec::new()
    }

    /// The session that brought a salesperson's audio is gone. A page that is there builds another one, and one whose
    /// network is gone may do so once it is back.
    pub(super) fn on_publisher_gone(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        peer: PeerKey,
        gone: Gone,
        out: &mut Outbox,
    ) {
        let unix_ms = self.unix_ms(now);
        let Some(broadcast) = self.broadcasts.get_mut(key).filter(|b| b.publisher() == Some(peer)) else { return };
        let changes = broadcast.lose_publisher(unix_ms);
        let page = broadcast.page();
        if page.is_none() && gone != Gone::Vanished {
            self.go_off_air(now, key, OffAir::ConnectionLost, out);
            return;
        }
        self.carry_out(now, key, changes, out);
        if let Some(page) = page {
            let complaint = Complaint::new(ErrorCode::NoSuchPeer, "your audio connection broke: build a new one");
            self.send_text(page, &ServerMessage::Error(complaint).to_json());
        }
    }

    /// The session of a WHIP client is gone; if it comes back, it makes another one.
    pub(super) fn on_encoder_gone(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        peer: PeerKey,
        gone: Gone,
        out: &mut Outbox,
    ) {
        let why = match gone {
            Gone::Closed => OffAir::ClosedByEncoder,
            Gone::Unfinished => OffAir::NeverConnected,
            Gone::Vanished | Gone::Failed => OffAir::ConnectionLost,
        };
        if self.broadcasts.get(key).is_some_and(|broadcast| broadcast.publisher() == Some(peer)) {
            self.go_off_air(now, key, why, out);
        }
    }

    /// The session that played a supervisor's audio is gone: what it heard or wished for is left.
    pub(super) fn on_audio_gone(&mut self, now: Instant, conn: ConnKey, peer: PeerKey, out: &mut Outbox) {
        let Some(Seat::Admin { audio, wishes, .. }) = self.seat_mut(conn) else { return };
        if *audio != Some(peer) {
            return;
        }
        *audio = None;
        for key in wishes.clone() {
            self.leave(now, key, Client::Page(conn), Some(StopCause::ConnectionLost), out);
        }
    }

    /// A listening connection does not wish to hear a salesperson any more.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        key: BroadcastKey,
        listener: Client,
        cause: Option<StopCause>,
        out: &mut Outbox,
    ) {
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        let changes = broadcast.leave(listener, cause);
        self.carry_out(now, key, changes, out);
    }

    /// Takes a salesperson off air, writes it down and closes the session that brought the audio.
    pub(super) fn go_off_air(&mut self, now: Instant, key: BroadcastKey, why: OffAir, out: &mut Outbox) {
        let unix_ms = self.unix_ms(now);
        let Some(broadcast) = self.broadcasts.get(key).filter(|broadcast| broadcast.is_on_air()) else { return };
        let publisher = broadcast.publisher();
        let (page, of) = (broadcast.page(), self.subject(broadcast.id()));
        let packets = broadcast.packets().zip(broadcast.lost());
        self.note(now, Event::BroadcastStopped { of, why, packets }, out);
        if let Some(page) = page
            && let Some(client) = self.clients.get_mut(page)
        {
            client.set_ping_interval(now, self.settings.limits.conn.ping_interval);
        }
        if let Some(publisher) = publisher {
            self.close_peer(now, publisher, out);
        }
        let changes = self.broadcasts[key].go_off_air(now, unix_ms, &self.settings.limits.broadcast);
        self.carry_out(now, key, changes, out);
    }

    /// A salesperson's page is gone. Its audio may go on for a while, unheard, until the page is back; one that took
    /// its audio down before it went is not waited for.
    pub(super) fn close_page(&mut self, now: Instant, key: BroadcastKey, out: &mut Outbox) {
        // A page that fell silent first has lost its network, and its audio with it.
        let is_left = |broadcast: &Broadcast| broadcast.publisher().is_none() && !broadcast.is_page_silent();
        if self.broadcasts.get(key).is_some_and(is_left) {
            self.go_off_air(now, key, OffAir::PageClosed, out);
        }
        let unix_ms = self.unix_ms(now);
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        let changes = broadcast.close_page(now, unix_ms);
        self.carry_out(now, key, changes, out);
    }

    /// Something was heard from a conn: if it is a page that was silent, its listeners are announced anew.
    pub(super) fn on_page_heard(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(key) = self.clients.own_broadcast(conn) else { return };
        let Some(broadcast) = self.broadcasts.get_mut(key).filter(|broadcast| broadcast.is_page_silent()) else {
            return;
        };
        let changes = broadcast.wake_page();
        self.carry_out(now, key, changes, out);
        self.arm_registration(now, conn);
    }

    /// Nothing was heard from a page on air for too long: nobody knows whether its person sees who listens.
    pub(super) fn on_page_silent(&mut self, now: Instant, key: BroadcastKey, out: &mut Outbox) {
        debug!(target: "signal", "page silent broadcast={key:?}");
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        let changes = broadcast.silence_page();
        self.carry_out(now, key, changes, out);
    }

    pub(super) fn on_broadcast_deadline(&mut self, now: Instant, key: BroadcastKey, out: &mut Outbox) {
        let unix_ms = self.unix_ms(now);
        let limits = &self.settings.limits.broadcast;
        let Some(broadcast) = self.broadcasts.get_mut(key) else { return };
        if broadcast.is_over(now, limits) {
            self.end_broadcast(now, key, out);
        } else {
            let (before, was_speaking) = (broadcast.presence(), broadcast.is_speaking());
            let changes = broadcast.handle_timeout(now, unix_ms, limits);
            let is_interrupted = broadcast.presence() != before;
            let has_turned = broadcast.is_speaking() != was_speaking;
            for change in changes {
                self.carry_out_one(now, key, change, out);
            }
            if is_interrupted || has_turned {
                let news = if is_interrupted { News::All } else { News::Speech };
                self.broadcasts[key].want_update(now, news, self.settings.limits.listening.update_interval);
            }
            self.tell_quality(now, key);
        }
        if let Some(news) = self.broadcasts[key].take_update(now) {
            self.tell_update(key, news);
        }
        let broadcast = &self.broadcasts[key];
        let is_wanted = broadcast.is_known() && self.clients.registrations_len() > 0;
        if broadcast.is_idle() && !broadcast.wants_update() && !is_wanted {
            self.forget(key);
            return;
        }
        self.arm_broadcast(key);
    }

    /// Nothing came, or nobody looked, for so long that the broadcast is over.
    fn end_broadcast(&mut self, now: Instant, key: BroadcastKey, out: &mut Outbox) {
        let was_by_page = self.broadcasts[key].is_on_air_by_page();
        self.go_off_air(now, key, OffAir::ConnectionLost, out);
        let broadcast = &self.broadcasts[key];
        let text = ServerMessage::StreamingStopped { commercial_id: broadcast.id(), cause: None }.to_json();
        // What an encoder does, the page learns by its state.
        if let Some(page) = broadcast.page().filter(|_| was_by_page) {
            self.send_text(page, &text);
        }
    }

    /// Tells the salesperson and who hears them how well the audio arrives, when it is time.
    fn tell_quality(&mut self, now: Instant, key: BroadcastKey) {
        let broadcast = &mut self.broadcasts[key];
        let page = broadcast.page();
        // An encoder may be anywhere.
        let near = page.filter(|_| broadcast.is_on_air_by_page());
        let rtt = near.and_then(|page| self.clients.get(page)).and_then(|client| client.rtt());
        let Some(quality) = broadcast.take_quality(now, rtt, &self.settings.limits.broadcast) else { return };
        let text = ServerMessage::StreamQuality { commercial_id: broadcast.id(), quality }.to_json();
        let conns: Vec<ConnKey> = broadcast.hearing_conns().chain(page).collect();
        for conn in conns {
            self.send_text(conn, &text);
        }
    }

    /// Forgets who is away; nobody is here who could see them.
    pub(super) fn forget_absent(&mut self) {
        for key in self.broadcasts.keys_of(Broadcast::is_idle) {
            self.forget(key);
        }
    }

    /// Makes room by forgetting who is away for the longest time; tells whether somebody was.
    fn forget_longest_absent(&mut self) -> bool {
        let absent = self.broadcasts.iter().filter(|(_, broadcast)| broadcast.is_away());
        let longest = absent.min_by_key(|(_, broadcast)| (broadcast.keeps_pause(), broadcast.last_seen_ms()));
        let longest = longest.map(|(key, _)| key);
        if let Some(key) = longest {
            self.forget(key);
        }
        longest.is_some()
    }

    /// Forgets a row that was made for somebody who then did nothing.
    pub(super) fn forget_unseen(&mut self, key: BroadcastKey) {
        if self.broadcasts.get(key).is_some_and(|broadcast| broadcast.is_idle() && !broadcast.is_known()) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: BroadcastKey) {
        self.broadcasts.remove(key);
        self.deadlines.cancel(Timer::Broadcast(key));
    }

    /// Sends `commercial_updated` to every supervisor who may see it, and to the salesperson's pages what they do not do
    /// themselves. Whether they speak alone is for supervisors who look.
    fn tell_update(&mut self, key: BroadcastKey, news: News) {
        let conns = match news {
            News::Speech => self.looking_at(key),
            News::All => {
                let concerns_page = self.broadcasts[key].take_is_encoders();
                let broadcast = &self.broadcasts[key];
                let page = broadcast.page().filter(|_| concerns_page);
                let own = page.into_iter().chain(broadcast.witnesses().iter().copied());
                self.supervisors_of(key).into_iter().chain(own).collect()
            }
        };
        let broadcast = &self.broadcasts[key];
        if !broadcast.is_known() || conns.is_empty() {
            return;
        }
        let text = ServerMessage::CommercialUpdated(self.commercial(broadcast)).to_json();
        for conn in conns {
            self.send_text(conn, &text);
        }
    }

    /// A supervisor's page is hidden or looked at. Whoever looks again is told of all who began or stopped to speak
    /// meanwhile.
    pub(super) fn on_page_visible(&mut self, now: Instant, conn: ConnKey, is_visible: bool) {
        let Some(Seat::Admin { hidden_since, .. }) = self.seat_mut(conn) else { return };
        if !is_visible {
            hidden_since.get_or_insert(now);
            return;
        }
        let Some(since) = hidden_since.take() else { return };
        let Some(registration) = self.clients.registration(conn) else { return };
        let missed = self.broadcasts.iter().map(|(_, broadcast)| broadcast).filter(|broadcast| {
            broadcast.is_known()
                && broadcast.has_turned_since(since)
                && registration.claims.may_hear(broadcast.id())
        });
        let texts = missed.map(|b| ServerMessage::CommercialUpdated(self.commercial(b)).to_json());
        for text in texts.collect::<Vec<_>>() {
            self.send_text(conn, &text);
        }
    }

    /// Returns the conns of supervisors who may see and hear a salesperson.
    pub(super) fn supervisors_of(&self, key: BroadcastKey) -> Vec<ConnKey> {
        let id = self.broadcasts[key].id();
        let may_see = self.clients.admins().filter(|(_, registration)| registration.claims.may_hear(id));
        may_see.map(|(conn, _)| conn).collect()
    }

    /// Returns those of them whose pages are not hidden.
    fn looking_at(&self, key: BroadcastKey) -> Vec<ConnKey> {
        let mut conns = self.supervisors_of(key);
        conns.retain(|&conn| self.clients.registration(conn).is_some_and(|registration| !registration.is_hidden()));
        conns
    }

    /// Returns a salesperson as supervisors see them.
    pub(super) fn commercial<'a>(&self, broadcast: &'a Broadcast) -> Commercial<'a> {
        let commercial = broadcast.to_commercial(self.settings.limits.listening.named_listeners_max);
        let now_ms = self.unix_ms(self.now);
        Commercial { last_seen: commercial.last_seen.map(|seen_ms| people::coarse(seen_ms, now_ms)), ..commercial }
    }

    pub(super) fn seat_mut(&mut self, conn: ConnKey) -> Option<&mut Seat> {
        self.clients.registration_mut(conn).map(|registration| &mut registration.seat)
    }

    fn arm_broadcast(&mut self, key: BroadcastKey) {
        let deadline = self.broadcasts.get(key).and_then(|b| b.next_deadline(&self.settings.limits.broadcast));
        match deadline {
            Some(at) => self.deadlines.arm(Timer::Broadcast(key), at),
            None => self.deadlines.cancel(Timer::Broadcast(key)),
        }
    }
}

/// Returns the notice of a listener.
fn joined(broadcast: &Broadcast, notice_id: u64, listener: &Listener) -> String {
    let (admin, reason) = (listener.person(), listener.listening.reason.as_str());
    let listeners_count = broadcast.announced_count();
    let listening_id = listener.listening.id.to_string();
    ServerMessage::ListenerJoined { notice_id, listening_id, admin, reason, listeners_count }.to_json()
}
