//! Drives one WebRTC session: the only code that calls str0m's `Rtc`.
//!
//! Every change to the `Rtc` is followed by a complete drain. Every call is guarded: a panic inside the library on
//! somebody's input ends that peer and no other. What a client is to hear passes the library by, which has nothing to do
//! with it but the handshake: that is an outlet's.
//!
//! Invariant: everything but STUN leaves on paths of authenticated checks from addresses that are this peer's own, whatever
//! path the library has in mind, and no more than a little before it is proven that the client is there.

mod crypto;
mod dtls;
pub(crate) mod egress;
mod gate;
mod newcomer;
mod offer;
pub(crate) mod outlet;
mod proofs;
mod role;
mod route;
mod signs;
pub(crate) mod srtp;
pub(crate) mod track;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rand_core::Rng;
use str0m::net::{Protocol, Receive};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

use crate::config::PeerLimits;
use crate::keys::Client;
use crate::outbox::Outbox;
use crate::path::{Path, Remote};
use crate::wire::classify::{self, Classified, Kind, Meaning};
use crate::wire::{sdp, stun};
use crypto::KeySlot;
pub use crypto::{can_serve_programs, rehearse};
pub use dtls::{OpenSsl, Unfit};
pub use egress::Position;
pub use gate::Refusal;
use gate::{Admitted, Arrival, Check, Gate};
pub use offer::{OfferError, Template, Wanted, key_of_ufrag};
pub(crate) use outlet::Outlet;
use role::Terms;
pub use role::{Owner, PeerRole};
pub use route::Nomination;
use route::Route;
use signs::Signs;
pub use track::MediaPacket;
use track::Track;

/// How often a deadline that is already due is served again at once, before it waits for the next turn.
const TICKS_MAX: usize = 8;

/// What a drain brought to light.
#[derive(Debug)]
pub enum PeerEvent {
    /// The ICE agent answered an authenticated check that came this way, and that may have nominated it; or the client
    /// answered ours.
    Answered { path: Path, nomination: Nomination },
    /// Media may flow.
    Connected,
    /// What comes next is of this stream, and what came before, or was to come, of another or of none.
    Follows { before: Option<u32>, ssrc: u32 },
    /// One RTP packet arrived.
    Packet(MediaPacket),
    /// The session is over.
    Gone(Gone),
}

/// What becomes of a datagram that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The session took it.
    Taken,
    /// It is a report on what the session was sent, still encrypted: whoever sent that can read it, and tells
    /// [`Peer::on_heard`] so where it came on the settled path.
    Report { is_settled: bool },
}

/// Where what a session is sent leaves to at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On this path, whatever it is.
    Straight(Path),
    /// By [`Peer::send_media`]: on two paths, or on one of which little is proven.
    Winding,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// No check came for about 15 s.
    Vanished,
    /// The client closed it, or it had its time.
    Closed,
    /// It did not connect in time.
    Unfinished,
    /// The library failed or panicked on what it was given.
    Failed,
}

/// One WebRTC session and its role.
pub struct Peer {
    /// Absent once the session is over.
    rtc: Option<Box<Rtc>>,
    owner: Owner,
    /// How much it counts among all.
    places: usize,
    state: State,
    /// The offer as it was accepted.
    offer: String,
    ufrag: String,
    route: Route,
    gate: Gate,
    signs: Signs,
    /// When the last packet of its stream was authenticated.
    brought: Instant,
    sought: Option<Sought>,
    /// Datagrams of this session that wait in the server's queue.
    queued: usize,
    track: Track,
    /// Where its keys are left, until it is connected, and what sends with them, until that is taken.
    keys: Option<KeySlot>,
    outlet: Option<Box<Outlet>>,
    /// When it is over at the latest.
    ends: Option<Instant>,
    timeout: Instant,
    /// The deadline that the server has armed, at or before `timeout` once [`Peer::take_deadline`] was heeded.
    armed: Option<Instant>,
}

/// Where a client may have gone without a word, and was asked whether it did.
#[derive(Clone, Copy, Debug)]
struct Sought {
    path: Path,
    transaction_id: stun::TransactionId,
    asked: Instant,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for ICE and DTLS, until this moment.
    Connecting {
        until: Instant,
    },
    Connected,
    /// Connected, but ICE was restarted; waiting for a check of the new kind, until this moment: the library, which
    /// has forgotten all paths, would wait for ever, and media would go on to an address that nobody is at.
    Restarted {
        until: Instant,
    },
    Over,
}

impl Peer {
    /// Answers an offer; returns the session and the answer's SDP.
    ///
    /// # Errors
    /// [`OfferError`], and nothing was made.
    pub fn accept(
        template: &Template,
        now: Instant,
        limits: &PeerLimits,
        owner: Owner,
        offer: &str,
        chance: &mut impl Rng,
    ) -> Result<(Peer, String), OfferError> {
        let terms = Terms::of(owner, limits);
        let chosen = offer::accept(template, now, limits, (owner.key, &terms), offer, chance)?;
        let peer = Peer {
            rtc: Some(chosen.rtc),
            owner,
            places: terms.places,
            offer: chosen.offer,
            state: State::Connecting { until: now + limits.handshake_timeout },
            ufrag: chosen.ufrag,
            route: Route::default(),
            gate: Gate::new(now, limits),
            signs: Signs::new(now, terms.patience),
            brought: now,
            sought: None,
            queued: 0,
            track: chosen.track,
            keys: chosen.keys,
            outlet: None,
            ends: terms.lifetime.map(|lifetime| now + lifetime),
            timeout: now,
            armed: None,
        };
        Ok((peer, chosen.answer))
    }

    /// Returns what the session is for.
    pub fn role(&self) -> PeerRole {
        self.owner.role
    }

    /// Returns whose the session is.
    pub fn client(&self) -> Client {
        self.owner.client
    }

    /// Returns how much it counts in [`MediaLimits::peers_max`](crate::config::MediaLimits::peers_max).
    pub fn places(&self) -> usize {
        self.places
    }

    /// Tells whether what its client sends may be the only sign of it.
    pub fn may_stop_checking(&self) -> bool {
        self.signs.may_stop_checking()
    }

    /// Returns the synchronization source of the stream that it brings, where that is known.
    pub fn brings(&self) -> Option<u32> {
        self.track.brings()
    }

    /// Tells whether media may flow.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected | State::Restarted { .. })
    }

    /// Returns how many bytes its offer takes, which is kept for restarts.
    pub fn offer_bytes(&self) -> usize {
        self.offer.len()
    }

    /// Returns the session's user fragment, which changes with each restart of ICE.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Tells whether these are the client's ICE credentials.
    pub fn has_credentials(&self, ufrag: &str, pwd: &str) -> bool {
        sdp::credentials(&self.offer) == Some((ufrag, pwd))
    }

    /// Tells whether this is the session's user fragment, whole: the part behind the key can't be guessed.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ufrag == ufrag
    }

    /// Tells whether the session sends its media to this address and was checked from there lately.
    pub fn uses(&self, now: Instant, client: Remote) -> bool {
        self.is_connected() && self.route.uses(now, client)
    }

    /// Takes it that nothing can leave on a path any more.
    pub fn forget_path(&mut self, path: Path) {
        self.route.forget(path);
    }

    /// Returns the path that has been in use for longest.
    pub fn settled_path(&self) -> Option<Path> {
        self.route.settled()
    }

    /// Takes it that a path's address is this peer's; a check that nominated makes datagrams leave on it, once it is proven
    /// that the client is there.
    pub fn confirm_path(
        &mut self,
        now: Instant,
        path: Path,
        nomination: Nomination,
        chance: &mut impl Rng,
        out: &mut Outbox,
    ) {
        if let State::Restarted { .. } = self.state {
            self.state = State::Connected;
        }
        self.signs.on_checked();
        let is_proven = self.gate.proofs.is_proven(path);
        self.route.on_check(now, path, nomination, is_proven);
        if !is_proven {
            if nomination == Nomination::New && self.route.settled() != Some(path) {
                self.gate.proofs.nominate(path);
            }
            self.ask(path, chance, out);
        }
        self.route.send_held(&mut self.gate.proofs, out);
    }

    /// Asks whether the client is at the other end of a path.
    fn ask(&mut self, path: Path, chance: &mut impl Rng, out: &mut Outbox) {
        let Some(transaction_id) = self.gate.proofs.ask(path, chance) else { return };
        let Some(question) = self.question(transaction_id, chance) else { return };
        if self.gate.proofs.may_send(path, question.len()) {
            out.send(path, &question);
        }
    }

    fn question(&self, transaction_id: stun::TransactionId, chance: &mut impl Rng) -> Option<Vec<u8>> {
        let (ufrag, pwd) = sdp::credentials(&self.offer)?;
        let (ufrags, tie_breaker) = ((ufrag, &*self.ufrag), chance.next_u64());
        Some(stun::Question { transaction_id, ufrags, pwd, tie_breaker }.to_bytes())
    }

    /// A packet came, so long, that may be of this client but from an address that is not its own: asks whether the client
    /// has moved there, if nothing came of it for a while. Tells whether it asked.
    pub fn seek(
        &mut self,
        now: Instant,
        (path, bytes): (Path, usize),
        limits: &PeerLimits,
        chance: &mut impl Rng,
        out: &mut Outbox,
    ) -> bool {
        let rests = |since: Instant| now.saturating_duration_since(since) < limits.moved_after;
        let is_asking = self.sought.is_some_and(|sought| rests(sought.asked));
        if !self.is_connected() || rests(self.brought) || is_asking || path.proto != Protocol::Udp {
            return false;
        }
        // The answer to the last question may still be on its way.
        let transaction_id =
            self.sought.filter(|sought| sought.path == path).map(|sought| sought.transaction_id).unwrap_or_else(
                || {
                    let mut transaction_id = stun::TransactionId::default();
                    chance.fill_bytes(&mut transaction_id);
                    transaction_id
                },
            );
        let question =
            self.question(transaction_id, chance).filter(|question| proofs::is_covered(question.len(), bytes));
        let Some(question) = question else { return false };
        self.sought = Some(Sought { path, transaction_id, asked: now });
        out.send(path, &question);
        true
    }

    /// Takes the answer to a question of ours.
    fn receive_answer(
        &mut self,
        now: Instant,
        path: Path,
        answer: (stun::TransactionId, &[u8]),
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let (_, pwd) = sdp::credentials(&self.offer).ok_or(Refusal::Unasked)?;
        if self.sought.is_some_and(|sought| (sought.path, sought.transaction_id) == (path, answer.0)) {
            self.gate.admit_found(path, answer.1, pwd, turn.limits)?;
            self.sought = None;
            turn.events.push(PeerEvent::Answered { path, nomination: Nomination::New });
            return Ok(());
        }
        self.gate.admit_answer(path, answer, pwd)?;
        let nomination = if self.gate.proofs.prove(path) { Nomination::New } else { Nomination::None };
        self.route.on_check(now, path, nomination, true);
        self.route.send_held(&mut self.gate.proofs, turn.out);
        Ok(())
    }

    /// Counts a datagram into the server's queue, if there is room for another one of this session.
    pub fn enqueue(&mut self, queued_max: usize) -> bool {
        let has_room = self.queued < queued_max;
        self.queued += usize::from(has_room);
        has_room
    }

    /// Returns how many datagrams of it wait in the server's queue.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Counts a datagram out of the server's queue.
    pub fn dequeue(&mut self) {
        self.queued = self.queued.saturating_sub(1);
    }

    /// Returns the next deadline if it is earlier than the one that is armed, and takes it that it will be armed.
    ///
    /// The library moves its deadline at every input: one that fires too early costs less than moving it each time.
    pub fn take_deadline(&mut self) -> Option<Instant> {
        let next = self.next_deadline();
        let earlier = self.armed.is_none_or(|armed| next < armed);
        earlier.then(|| {
            self.armed = Some(next);
            next
        })
    }

    /// The deadline fired and is armed no more: lets time pass if there is something to do.
    pub fn on_deadline(&mut self, now: Instant, turn: &mut Turn<'_>) {
        self.armed = None;
        if self.next_deadline() <= now {
            self.handle_timeout(now, turn);
        }
    }

    fn next_deadline(&self) -> Instant {
        let next = self.ends.into_iter().chain(self.signs.end()).fold(self.timeout, Instant::min);
        match self.state {
            State::Connecting { until } | State::Restarted { until } => next.min(until),
            State::Connected | State::Over => next,
        }
    }

    /// Takes a datagram that belongs to this session; `candidate` is the advertised address that stands for
    /// `path.local`.
    ///
    /// # Errors
    /// [`Refusal`], when the library never saw it, or made nothing of it.
    pub fn receive(
        &mut self,
        now: Instant,
        path: Path,
        candidate: SocketAddr,
        datagram: &Classified<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Received, Refusal> {
        if let Meaning::Answer { transaction_id } = datagram.meaning {
            self.receive_answer(now, path, (transaction_id, datagram.bytes), turn)?;
            return Ok(Received::Taken);
        }
        let (is_settled, is_connected) = (self.route.settled() == Some(path), self.is_connected());
        let is_silent = now.saturating_duration_since(self.brought) >= turn.limits.stream_silence;
        let arrival = Arrival { datagram, path, is_settled, is_connected, is_silent };
        let admitted = self.gate.admit(now, arrival, &self.track, turn.limits)?;
        if let Admitted::Check(check) = admitted
            && stun::is_of_controlled(datagram.bytes)
        {
            return Err(self.refuse_role(check, datagram.bytes, turn));
        }
        let check = match admitted {
            Admitted::Check(check) => Some(check),
            Admitted::Packet | Admitted::Newcomer(_) | Admitted::Report | Admitted::Dtls => {
                self.gate.proofs.on_received(path, datagram.bytes.len());
                self.route.send_held(&mut self.gate.proofs, turn.out);
                None
            }
        };
        if matches!(admitted, Admitted::Report) && self.track.sending().is_some() {
            return Ok(Received::Report { is_settled });
        }
        let parsed = guarded(|| Receive::new(path.proto, path.remote, candidate, datagram.bytes).ok());
        let input = parsed.flatten().ok_or(Refusal::Unreadable)?;
        let events = turn.events.len();
        match admitted {
            Admitted::Newcomer(ssrc) => self.receive_newcomer(now, ssrc, input, turn)?,
            Admitted::Check(_) | Admitted::Packet | Admitted::Report | Admitted::Dtls => {
                self.drive(now, check, turn, |rtc| {
                    // What the library can't use it reports; the session lives on, or is reported over by the drain.
                    let _ = rtc.handle_input(Input::Receive(now, input));
                });
            }
        }
        match admitted {
            Admitted::Check(_) if turn.events.len() == events => return Err(Refusal::UnsignedCheck),
            Admitted::Packet if turn.events.len() == events => return Err(Refusal::UnsignedPacket),
            Admitted::Check(_) => {}
            Admitted::Packet | Admitted::Newcomer(_) | Admitted::Report | Admitted::Dtls if is_settled => {
                self.on_heard(now);
            }
            Admitted::Packet | Admitted::Newcomer(_) | Admitted::Report | Admitted::Dtls => {}
        }
        Ok(Received::Taken)
    }

    /// Something else than a check came, the way that the client is reached.
    pub fn on_heard(&mut self, now: Instant) {
        self.signs.on_heard(now);
        self.route.on_heard(now);
    }

    /// Tells a client that takes itself for controlled that it is not. The library might take the other role instead, in
    /// which a lite agent finds no path (RFC 8445 §6.1.1).
    fn refuse_role(&mut self, check: Check, bytes: &[u8], turn: &mut Turn<'_>) -> Refusal {
        let pwd = self.rtc.as_mut().map(|rtc| rtc.direct_api().local_ice_credentials().pass);
        let Some(pwd) = pwd.filter(|pwd| stun::is_signed(bytes, pwd)) else { return Refusal::UnsignedCheck };
        turn.out.send(check.path, &stun::role_conflict(check.transaction_id, &pwd));
        Refusal::RoleConflict
    }

    /// Takes a packet of a stream that the library does not know.
    fn receive_newcomer(
        &mut self,
        now: Instant,
        ssrc: u32,
        input: Receive<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        // What else is due leaves before: what would leave for a stranger's packet must not.
        self.drive(now, None, turn, |rtc| {
            let _ = rtc.handle_input(Input::Timeout(now));
        });
        let (mid, mut packet) = (self.track.mid(), None);
        self.drive(now, None, turn, |rtc| packet = newcomer::authenticate(rtc, now, (mid, ssrc), input));
        let packet = packet.ok_or(Refusal::UnsignedPacket)?;
        self.gate.on_packet(now);
        let before = self.track.brings().filter(|&before| before != ssrc);
        let following = self.track.follow(ssrc, self.track.content(&packet)).ok_or(Refusal::ForeignStream)?;
        turn.events.push(PeerEvent::Follows { before, ssrc });
        self.brought = now;
        turn.events.extend(self.track.bring(self.owner.key, packet).map(PeerEvent::Packet));
        self.drive(now, None, turn, |rtc| following.tell(rtc));
        Ok(())
    }

    /// Restarts ICE, so that the client finds new paths for the same keys; returns the answer's SDP. Media goes on on
    /// the old path until the client nominates another.
    ///
    /// # Errors
    /// [`OfferError`], and nothing has changed, but for [`OfferError::NotAcceptable`], which ended the session.
    pub fn restart_ice(
        &mut self,
        now: Instant,
        wanted: Wanted<'_>,
        chance: &mut impl Rng,
        turn: &mut Turn<'_>,
    ) -> Result<String, OfferError> {
        let restart =
            offer::restart(&self.offer, wanted, turn.limits, (self.owner.key, self.track.direction()), chance)?;
        let mut restarted = None;
        let sent = self.track.sending().map(|sending| (sending.ssrc, sending.cname.clone()));
        let sent = sent.as_ref().map(|(ssrc, cname)| (*ssrc, cname.as_str()));
        self.drive(now, None, turn, |rtc| restarted = restart.apply(rtc, sent));
        let Some((ufrag, answer)) = restarted else {
            if self.rtc.is_some() {
                self.end(Gone::Failed, turn.events);
            }
            return Err(OfferError::NotAcceptable);
        };
        self.ufrag = ufrag;
        self.offer = restart.offer;
        self.gate.on_restart();
        self.sought = None;
        if self.state == State::Connected {
            self.state = State::Restarted { until: now + turn.limits.handshake_timeout };
        }
        Ok(match wanted {
            Wanted::Offer(offer) => sdp::with_rejected(offer, &answer),
            Wanted::Credentials(..) => answer,
        })
    }

    fn handle_timeout(&mut self, now: Instant, turn: &mut Turn<'_>) {
        match self.state {
            State::Connecting { until } if until <= now => return self.end(Gone::Unfinished, turn.events),
            State::Restarted { until } if until <= now => return self.end(Gone::Vanished, turn.events),
            State::Connecting { .. } | State::Restarted { .. } | State::Connected | State::Over => {}
        }
        if self.signs.end().is_some_and(|end| end <= now) {
            return self.end(Gone::Vanished, turn.events);
        }
        if self.ends.is_some_and(|ends| ends <= now) {
            self.close(now, turn);
            turn.events.push(PeerEvent::Gone(Gone::Closed));
            return;
        }
        self.drive(now, None, turn, |rtc| {
            let _ = rtc.handle_input(Input::Timeout(now));
        });
    }

    /// Takes what sends to its client, once it is connected: once and for all.
    pub(crate) fn take_outlet(&mut self) -> Option<Outlet> {
        self.outlet.take().map(|outlet| *outlet)
    }

    /// Returns where what it is sent leaves to, until anything about the session changes; `None` where nothing may leave.
    pub(crate) fn way(&self) -> Option<Way> {
        let straight = self.route.straight().map_or(Way::Winding, Way::Straight);
        self.is_connected().then_some(straight)
    }

    /// Sends what its client is to hear, or a report on it, where [`Peer::way`] winds; tells whether it leaves.
    pub(crate) fn send_media(&mut self, contents: &[u8], out: &mut Outbox) -> bool {
        self.route.send(Some(Kind::Media), contents, &mut self.gate.proofs, out)
    }

    /// Ends the session with a DTLS close alert, as far as it can still send.
    pub fn close(&mut self, now: Instant, turn: &mut Turn<'_>) {
        self.drive(now, None, turn, |rtc| {
            let _ = rtc.close();
        });
        self.drop_rtc();
    }

    /// Calls `act` and drains what it caused, both guarded.
    fn drive(&mut self, now: Instant, check: Option<Check>, turn: &mut Turn<'_>, act: impl FnOnce(&mut Rtc)) {
        if self.rtc.is_none() {
            return;
        }
        let drained = guarded(|| {
            if let Some(rtc) = self.rtc.as_mut() {
                act(rtc);
            }
            self.drain(now, check, turn)
        });
        match drained {
            Some(None) => {}
            Some(Some(gone)) => self.end(gone, turn.events),
            None => self.end(Gone::Failed, turn.events),
        }
    }

    /// Polls until the library waits for time; returns why the session is over, if it is.
    fn drain(&mut self, now: Instant, check: Option<Check>, turn: &mut Turn<'_>) -> Option<Gone> {
        let rtc = self.rtc.as_mut()?;
        let mut ticks = 0;
        loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) if at <= now && ticks < TICKS_MAX => {
                    ticks += 1;
                    let _ = rtc.handle_input(Input::Timeout(now));
                }
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return (!rtc.is_alive()).then_some(Gone::Closed);
                }
                Ok(Output::Transmit(transmit)) => {
                    let contents = &*transmit.contents;
                    match contents.first().and_then(|&first_byte| classify::kind_of(first_byte)) {
                        Some(Kind::Stun) => answer_check(&mut self.gate, check, contents, turn),
                        kind => drop(self.route.send(kind, contents, &mut self.gate.proofs, turn.out)),
                    }
                }
                Ok(Output::Event(event)) => match event {
                    Event::Connected => {
                        self.state = State::Connected;
                        if let Some(path) = self.route.on_connected() {
                            self.gate.proofs.prove(path);
                        }
                        self.outlet = outlet_with(&self.track, self.keys.take());
                        if self.track.sending().is_some() && self.outlet.is_none() {
                            return Some(Gone::Failed);
                        }
                        turn.events.push(PeerEvent::Connected);
                    }
                    Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                        if !self.signs.may_stop_checking() {
                            return Some(Gone::Vanished);
                        }
                        self.signs.on_unchecked();
                    }
                    Event::Closed => return Some(Gone::Closed),
                    Event::RtpPacket(packet) => {
                        self.gate.on_packet(now);
                        if let Some(packet) = self.track.bring(self.owner.key, packet) {
                            self.brought = now;
                            turn.events.push(PeerEvent::Packet(packet));
                        }
                    }
                    _ => {}
                },
                Err(_) => return Some(Gone::Failed),
            }
        }
    }

    fn end(&mut self, gone: Gone, events: &mut Vec<PeerEvent>) {
        self.drop_rtc();
        events.push(PeerEvent::Gone(gone));
    }

    fn drop_rtc(&mut self) {
        self.state = State::Over;
        let rtc = self.rtc.take();
        guarded(|| drop(rtc));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.drop_rtc();
    }
}

/// Where a peer puts what it produces.
pub struct Turn<'a> {
    pub limits: &'a PeerLimits,
    pub out: &'a mut Outbox,
    pub events: &'a mut Vec<PeerEvent>,
}

/// Returns what sends to a client, with the keys that were left for it; `None` where nobody sends, or no keys were agreed
/// upon that can be used.
fn outlet_with(track: &Track, keys: Option<KeySlot>) -> Option<Box<Outlet>> {
    let keys = keys?.take()?;
    Outlet::new(track.sending()?, &keys).map(Box::new)
}

/// Sends the answer back the way the check came. The library, a lite agent, sends no STUN of its own.
fn answer_check(gate: &mut Gate, check: Option<Check>, contents: &[u8], turn: &mut Turn<'_>) {
    let Some(check) = check else { return };
    if stun::is_success_response(contents, &check.transaction_id) {
        gate.on_answered(check);
        turn.events.push(PeerEvent::Answered { path: check.path, nomination: check.nomination });
    }
    gate.proofs.on_sent(check.path, contents.len());
    turn.out.send(check.path, contents);
}

/// Returns what `call` returns, or `None` when it panicked.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library leaves behind when it panicked may panic once more when it is dropped.
    #[test]
    fn a_panic_in_a_drop_is_caught() {
        struct Broken;
        impl Drop for Broken {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guarded(|| drop(Broken)), None);
        assert_eq!(guarded(|| 1), Some(1));
    }
}
