//! One salesperson: whether their page is open, whether they are on air, and who listens or wishes to.
//!
//! Sends nothing: every method returns what changes, and the server carries it out in that order.
//!
//! Invariant: a listener is acknowledged only while the very page that acknowledged it is open and awake, and is heard only
//! while the salesperson is on air, not paused and not interrupted. `listener` holds what makes it so and takes it back.
//! A device is on air without a page, and is heard unacknowledged.

mod change;
mod listener;
mod on_air;
mod timeline;
mod witnesses;

use std::time::{Duration, Instant};

use crate::arrivals::Arrival;
use crate::config::BroadcastLimits;
use crate::keys::{Client, ConnKey, PeerKey, Sink};
use crate::speech::Speech;
use crate::wire::signaling::Commercial;
use crate::words::{InterruptedBy, PendingCause, Place, Presence, Quality, Sent};
pub use change::{Change, News, Source, Start, Wish};
use listener::Passed;
use listener::{Delay, Phase};
pub use listener::{Listener, WrongCount};
use on_air::OnAir;
use timeline::Since;
use witnesses::Witnesses;

/// The salesperson's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Closed,
    Open(ConnKey),
    /// Open, but nothing was heard from it for a while: whether a person sees it is not known.
    Silent(ConnKey),
}

/// One salesperson who is connected, on air, wished for, or was here.
#[derive(Debug)]
pub struct Broadcast {
    id: String,
    name: String,
    page: Page,
    /// The page whose connection broke while an encoder was on air, by its name, until a page is open again.
    lost_page: Option<String>,
    witnesses: Witnesses,
    on_air: Option<OnAir>,
    listeners: Vec<Listener>,
    /// When the present state began, in Unix milliseconds; absent for somebody never seen.
    since_ms: Option<u64>,
    last_seen_ms: Option<u64>,
    /// Says that somebody speaks only while they are on air, neither paused nor interrupted.
    speech: Speech,
    /// Whether the last update told of an encoder.
    was_encoders: bool,
    /// Until when an encoder that went off air paused comes back paused.
    pause_kept: Option<Instant>,
    next_update: Option<(Instant, News)>,
    last_update: Option<Instant>,
    last_speech_update: Option<Instant>,
}

impl Broadcast {
    /// Returns a salesperson who is offline.
    pub fn new(id: &str) -> Broadcast {
        Broadcast {
            id: id.to_owned(),
            name: id.to_owned(),
            page: Page::Closed,
            lost_page: None,
            witnesses: Witnesses::default(),
            on_air: None,
            listeners: Vec::new(),
            since_ms: None,
            last_seen_ms: None,
            speech: Speech::silent(),
            was_encoders: false,
            pause_kept: None,
            next_update: None,
            last_update: None,
            last_speech_update: None,
        }
    }

    /// Returns the `commercial_id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the conn of the salesperson's page.
    pub fn page(&self) -> Option<ConnKey> {
        match self.page {
            Page::Closed => None,
            Page::Open(conn) | Page::Silent(conn) => Some(conn),
        }
    }

    /// Takes it that the connection of the page breaks, which did not say goodbye: whoever opens another one while an
    /// encoder is on air takes over from it.
    pub fn lose_page(&mut self, name: String) {
        self.lost_page = (self.source() == Some(&Source::Encoder)).then_some(name);
    }

    /// Returns the name of the page from which another one takes over that opens now.
    pub fn lost_page(&self) -> Option<&str> {
        self.lost_page.as_deref()
    }

    /// Returns the conns of the pages that others took over from.
    pub fn witnesses(&self) -> &[ConnKey] {
        self.witnesses.conns()
    }

    /// Tells whether the page of this name saw until its connection broke.
    pub fn has_lost_witness(&self, name: &str) -> bool {
        self.witnesses.has_lost(name)
    }

    /// Another page took over from the one of this name, which sees from now on, or again.
    pub fn add_witness(&mut self, conn: ConnKey, name: &str) {
        self.witnesses.add(conn, name);
    }

    /// A page does not see any more.
    pub fn remove_witness(&mut self, conn: ConnKey) {
        self.witnesses.remove(conn);
    }

    /// The page of this name may come back to see.
    pub fn lose_witness(&mut self, name: String, limits: &BroadcastLimits) {
        self.witnesses.lose(name, limits.lost_witnesses_max);
    }

    /// Tells whether the salesperson is on air, heard or not.
    pub fn is_on_air(&self) -> bool {
        self.on_air.is_some()
    }

    /// Returns where the audio comes from; `None` off air.
    pub fn source(&self) -> Option<&Source> {
        self.on_air.as_ref().map(|on_air| &on_air.source)
    }

    /// Tells whether the microphone of a page is on air.
    pub fn is_on_air_by_page(&self) -> bool {
        matches!(self.source(), Some(Source::Page(_)))
    }

    /// Tells whether another page than this one is on air.
    pub fn is_on_air_elsewhere(&self, page_name: &str) -> bool {
        matches!(self.source(), Some(Source::Page(name)) if name != page_name)
    }

    /// Tells whether what is on air is nobody's microphone.
    pub fn is_device(&self) -> bool {
        self.source() == Some(&Source::Device)
    }

    /// Returns the session that brings the audio; none off air and while the page builds another one.
    pub fn publisher(&self) -> Option<PeerKey> {
        self.on_air.as_ref().and_then(|on_air| on_air.publisher)
    }

    /// Returns where the packet that came last goes, in the order in which they joined.
    pub fn forwarding(&self) -> impl Iterator<Item = Sink> + '_ {
        let may_hear = |listener: &&Listener| {
            let from = self.on_air.as_ref().zip(listener.hears_from());
            from.is_some_and(|(on_air, from)| on_air.is_heard_from(from))
        };
        self.heard_by().filter(may_hear).map(|listener| listener.sink)
    }

    /// Returns the conns of the pages that hear.
    pub fn hearing_conns(&self) -> impl Iterator<Item = ConnKey> + '_ {
        self.heard_by().filter_map(|listener| listener.key.page())
    }

    /// Returns how many listening connections hear.
    pub fn listeners_count(&self) -> usize {
        self.heard_by().count()
    }

    /// Returns how many listening connections hear or wish to.
    pub fn wishes_count(&self) -> usize {
        self.listeners.len()
    }

    /// Returns how many listening connections the page was told of.
    pub fn announced_count(&self) -> usize {
        self.notices().count()
    }

    /// Yields the notices that the page was told, and of whom each is.
    pub fn notices(&self) -> impl Iterator<Item = (u64, &Listener)> {
        self.listeners.iter().filter_map(|listener| Some((listener.phase.notice_id()?, listener)))
    }

    /// Tells whether the page is open but was not heard from for too long.
    pub fn is_page_silent(&self) -> bool {
        matches!(self.page, Page::Silent(_))
    }

    /// Returns who hears or wishes to.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Returns the wish of a listening connection.
    pub fn listener(&self, key: Client) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.key == key)
    }

    /// Tells whether the salesperson has been seen, and is not only wished for.
    pub fn is_known(&self) -> bool {
        self.last_seen_ms.is_some()
    }

    /// Returns when the salesperson was last connected, in Unix milliseconds.
    pub fn last_seen_ms(&self) -> Option<u64> {
        self.last_seen_ms
    }

    /// Tells whether nobody is connected, nobody wishes to listen and nothing is to be remembered, so that it can be
    /// forgotten.
    pub fn is_idle(&self) -> bool {
        self.is_away() && !self.keeps_pause()
    }

    /// Tells whether nobody is connected and nobody wishes to listen.
    pub fn is_away(&self) -> bool {
        let is_seen = self.page != Page::Closed || !self.witnesses.conns().is_empty();
        !is_seen && self.on_air.is_none() && self.listeners.is_empty()
    }

    /// Tells whether an encoder that comes back is to be paused.
    pub fn keeps_pause(&self) -> bool {
        self.pause_kept.is_some()
    }

    /// Returns what the salesperson is doing.
    pub fn presence(&self) -> Presence {
        match (&self.on_air, self.page) {
            (Some(on_air), _) if on_air.is_paused() => Presence::Paused,
            (Some(_), _) if self.interrupted_by().is_some() => Presence::Interrupted,
            (Some(_), _) => Presence::OnAir,
            (None, Page::Closed) => Presence::Offline,
            (None, Page::Open(_) | Page::Silent(_)) => Presence::Online,
        }
    }

    /// Returns when the present state began, in Unix milliseconds.
    pub fn since_ms(&self) -> Option<u64> {
        self.since_ms
    }

    /// Returns where the salesperson is, if they share it.
    pub fn place(&self) -> Option<Place> {
        self.on_air.as_ref().and_then(OnAir::place)
    }

    /// Returns the object that supervisors see.
    pub fn to_commercial(&self, named_listeners_max: usize) -> Commercial<'_> {
        let state = self.presence();
        Commercial {
            commercial_id: &self.id,
            name: &self.name,
            commercial_info: self.on_air.as_ref().and_then(|on_air| on_air.commercial_info.as_deref()),
            state,
            interrupted_by: self.interrupted_by().filter(|_| state == Presence::Interrupted),
            is_streaming: self.on_air.is_some(),
            speaking: self.speech.is_speaking(),
            source: self.source().and_then(Source::name),
            listeners_count: self.listeners_count(),
            listeners: self.heard_by().take(named_listeners_max).map(Listener::person).collect(),
            since: self.since_ms,
            last_seen: self.last_seen_ms,
        }
    }

    /// Takes the salesperson's name.
    pub fn set_name(&mut self, name: &str) {
        self.name = name.to_owned();
    }

    /// The salesperson's page registered. What is on air goes on; whoever listened is announced to it anew.
    pub fn open_page(&mut self, unix_ms: u64, conn: ConnKey, name: &str) -> Vec<Change> {
        let before = self.presence();
        self.lost_page = None;
        self.page = Page::Open(conn);
        self.name = name.to_owned();
        self.note_page(unix_ms, before);
        if let Some(on_air) = &mut self.on_air {
            on_air.page_gone = None;
        }
        if self.is_device() {
            return self.announce_heard();
        }
        self.settle_all()
    }

    /// The salesperson's page is gone. What is on air stays so for a while, unheard: the page may come back.
    pub fn close_page(&mut self, now: Instant, unix_ms: u64) -> Vec<Change> {
        let before = self.presence();
        self.page = Page::Closed;
        self.note_page(unix_ms, before);
        if let Some(on_air) = &mut self.on_air {
            on_air.page_gone = Some(now);
        }
        if self.is_device() {
            return Vec::new();
        }
        let changes = self.unsettle_all(before == Presence::OnAir);
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// Nothing was heard from the page for too long.
    pub fn silence_page(&mut self) -> Vec<Change> {
        let Page::Open(page) = self.page else { return Vec::new() };
        let was_flowing = self.presence() == Presence::OnAir;
        self.page = Page::Silent(page);
        if self.is_device() {
            return Vec::new();
        }
        let changes = self.unsettle_all(was_flowing);
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// Something was heard from the page again.
    pub fn wake_page(&mut self) -> Vec<Change> {
        let Page::Silent(page) = self.page else { return Vec::new() };
        self.page = Page::Open(page);
        self.settle_all()
    }

    /// The salesperson goes on air, or the same source replaces the session that brings the audio; returns the replaced
    /// one. A new session ends what the page said interrupted the old one. Another source must go off air first: who may
    /// hear the one may not hear the other.
    pub fn go_on_air(
        &mut self,
        now: Instant,
        unix_ms: u64,
        start: Start,
        limits: &BroadcastLimits,
    ) -> (Option<PeerKey>, Vec<Change>) {
        let Some(on_air) = &mut self.on_air else {
            let mut on_air = OnAir::new(now, start, limits);
            let is_paused = on_air.is_encoder() && self.pause_kept.take().is_some();
            on_air.paused = is_paused.then(Passed::nothing);
            self.on_air = Some(on_air);
            self.enter_state(unix_ms);
            return (None, self.settle_all());
        };
        debug_assert_eq!(on_air.source, start.source, "another source is on air");
        let replaced = on_air.replace_publisher(start.publisher);
        on_air.commercial_info = start.commercial_info;
        let changes = self.alter(unix_ms, |on_air| on_air.begin_anew(now));
        (replaced, changes)
    }

    /// The session that brought the audio is gone; the page is there to build another one.
    pub fn lose_publisher(&mut self, unix_ms: u64) -> Vec<Change> {
        self.alter(unix_ms, |on_air| {
            on_air.publisher = None;
            on_air.interruption.get_or_insert(InterruptedBy::Network);
        })
    }

    /// The salesperson goes off air; wishes stay. The pause of an encoder stays too, for a while: it comes back by itself,
    /// and must not be heard before the salesperson resumes.
    pub fn go_off_air(&mut self, now: Instant, unix_ms: u64, limits: &BroadcastLimits) -> Vec<Change> {
        let was_flowing = self.presence() == Presence::OnAir;
        let Some(on_air) = self.on_air.take() else { return Vec::new() };
        if on_air.is_paused() && on_air.is_encoder() {
            self.pause_kept = Some(now + limits.pause_memory);
        }
        self.lost_page = None;
        self.enter_state(unix_ms);
        let changes = self.unsettle_all(was_flowing);
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// The salesperson pauses: nobody hears until they resume, whatever is received.
    pub fn pause(&mut self, unix_ms: u64) -> Vec<Change> {
        let before = self.passed();
        self.alter(unix_ms, |on_air| {
            on_air.paused = Some(before);
            on_air.arrivals.cut();
            on_air.forget_place();
        })
    }

    /// The salesperson resumes: the pause is over, and so is what the page said interrupted it. Who was acknowledged
    /// hears what is sent from now on, who waited is announced. `ssrc` is the stream that the page's session brings.
    ///
    /// # Errors
    /// [`WrongCount`] beside what changes: nothing that this session brings is heard, the page has to build another one.
    pub fn resume(
        &mut self,
        now: Instant,
        unix_ms: u64,
        sent: Sent,
        ssrc: Option<u32>,
    ) -> (Vec<Change>, Result<(), WrongCount>) {
        let Some(before) = self.on_air.as_ref().and_then(|on_air| on_air.paused) else {
            return (self.alter(unix_ms, |on_air| on_air.begin_anew(now)), Ok(()));
        };
        let after = self.after(now, sent, ssrc, before);
        let never = self.publisher().map_or(Since::Any, |publisher| Since::Count {
            publisher,
            ssrc: None,
            packets: u64::MAX,
        });
        let changes = self.alter(unix_ms, |on_air| {
            on_air.paused = None;
            on_air.from = after.unwrap_or(never);
            on_air.begin_anew(now);
        });
        (changes, after.map(|_| ()))
    }

    /// The page says why nothing can be heard for now.
    pub fn interrupt(&mut self, unix_ms: u64, cause: InterruptedBy) -> Vec<Change> {
        self.alter(unix_ms, |on_air| on_air.interruption = Some(cause))
    }

    /// A packet came. Where nothing came before, who was acknowledged hears from this packet on.
    pub fn hear(&mut self, now: Instant, unix_ms: u64, arrival: Arrival) -> Vec<Change> {
        let Some(on_air) = &mut self.on_air else { return Vec::new() };
        on_air.timeline.hear(now, arrival);
        if !on_air.is_paused() {
            on_air.arrivals.hear(now, arrival);
        }
        if !on_air.hear(now) {
            return Vec::new();
        }
        self.alter(unix_ms, |on_air| on_air.interruption = None)
    }

    /// Returns how many packets are missing since it is on air; `None` off air.
    pub fn lost(&self) -> Option<u64> {
        self.on_air.as_ref().map(|on_air| on_air.arrivals.lost())
    }

    /// Returns how many packets came since it is on air; `None` off air.
    pub fn packets(&self) -> Option<u64> {
        self.on_air.as_ref().map(|on_air| on_air.packets)
    }

    /// Takes where the salesperson is; tells whether supervisors are to know it.
    pub fn move_to(&mut self, now: Instant, place: Place, limits: &BroadcastLimits) -> bool {
        let is_shared = self.presence() == Presence::OnAir;
        self.on_air.as_mut().is_some_and(|on_air| is_shared && on_air.move_to(now, place, limits))
    }

    /// A packet came, so loud in dBov; tells whether the salesperson begins to speak with it. What comes in a pause says
    /// nothing to anybody.
    pub fn hear_level(&mut self, now: Instant, level: i8, limits: &BroadcastLimits) -> bool {
        self.presence() == Presence::OnAir && self.speech.hear(now, level, &limits.speech)
    }

    /// Tells whether the salesperson speaks, as far as their client declares levels.
    pub fn is_speaking(&self) -> bool {
        self.speech.is_speaking()
    }

    /// Returns how well the audio arrived, when it is time to tell.
    pub fn take_quality(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        limits: &BroadcastLimits,
    ) -> Option<Quality> {
        let is_flowing = self.presence() == Presence::OnAir;
        let on_air = self.on_air.as_mut()?;
        let is_due = on_air.take_quality_tick(now, limits);
        is_due.then(|| on_air.arrivals.take(now, rtt)).flatten().filter(|_| is_flowing)
    }

    /// Returns when the broadcast must be looked at next.
    pub fn next_deadline(&self, limits: &BroadcastLimits) -> Option<Instant> {
        let is_flowing = self.presence() == Presence::OnAir;
        let acks = self.listeners.iter().filter_map(|listener| match listener.phase {
            Phase::AwaitingAck { since, delay: Delay::None, .. } if is_flowing => Some(since + limits.ack_late),
            _ => None,
        });
        let on_air = self.on_air.as_ref().map(|on_air| on_air.next_deadline(limits));
        let update = self.next_update.map(|(at, _)| at);
        acks.chain(update)
            .chain(on_air)
            .chain(self.speech.next_deadline(&limits.speech))
            .chain(self.pause_kept)
            .min()
    }

    /// Tells whether nothing came, or nobody looked, for so long that the broadcast is over.
    pub fn is_over(&self, now: Instant, limits: &BroadcastLimits) -> bool {
        self.on_air.as_ref().is_some_and(|on_air| on_air.is_over(now, limits))
    }

    /// Lets time pass: packets that do not come interrupt, acknowledgements that do not come are reported once, and who
    /// speaks may have stopped.
    pub fn handle_timeout(&mut self, now: Instant, unix_ms: u64, limits: &BroadcastLimits) -> Vec<Change> {
        let mut changes = Vec::new();
        self.pause_kept.take_if(|until| *until <= now);
        self.speech.handle_timeout(now, &limits.speech);
        if self.on_air.as_ref().is_some_and(|on_air| on_air.is_missing(now, limits)) {
            changes = self.interrupt(unix_ms, InterruptedBy::Network);
        }
        if self.presence() != Presence::OnAir {
            return changes;
        }
        for listener in &mut self.listeners {
            if let Phase::AwaitingAck { since, delay: delay @ Delay::None, .. } = &mut listener.phase
                && *since + limits.ack_late <= now
            {
                *delay = Delay::Late;
                changes.push(Change::Pend { listener: listener.key, cause: PendingCause::AckLate });
            }
        }
        changes
    }

    /// Notes that supervisors must be told of a change, at the latest an interval after the last time.
    pub fn want_update(&mut self, now: Instant, news: News, interval: Duration) {
        let earliest = self.last_update.map_or(now, |last| (last + interval).max(now));
        let (_, wanted) = self.next_update.get_or_insert((earliest, news));
        *wanted = news.max(*wanted);
    }

    /// Tells whether an encoder streams or did when this was asked last.
    pub fn take_is_encoders(&mut self) -> bool {
        let is_encoders = self.on_air.as_ref().is_some_and(OnAir::is_encoder);
        std::mem::replace(&mut self.was_encoders, is_encoders) || is_encoders
    }

    /// Tells whether nothing comes from an encoder, so that another one may take its place.
    pub fn is_encoder_silent(&self, now: Instant, limits: &BroadcastLimits) -> bool {
        self.on_air.as_ref().is_some_and(|on_air| on_air.is_encoder() && on_air.is_silent(now, limits))
    }

    /// Tells whether supervisors are still to be told of a change.
    pub fn wants_update(&self) -> bool {
        self.next_update.is_some()
    }

    /// Returns what supervisors must be told now, and takes it that they are.
    pub fn take_update(&mut self, now: Instant) -> Option<News> {
        let (_, news) = self.next_update.take_if(|(at, _)| *at <= now)?;
        self.last_update = Some(now);
        if news == News::Speech {
            self.last_speech_update = Some(now);
        }
        Some(news)
    }

    /// Tells whether who looks again since then may have missed that the salesperson began or stopped to speak.
    pub fn has_turned_since(&self, hidden_since: Instant) -> bool {
        self.last_speech_update.is_some_and(|at| at >= hidden_since)
    }

    /// Returns what keeps the microphone from being heard, apart from a pause.
    fn interrupted_by(&self) -> Option<InterruptedBy> {
        let on_air = self.on_air.as_ref()?;
        let is_page_gone = matches!(on_air.source, Source::Page(_)) && self.page == Page::Closed;
        on_air.interruption.or_else(|| is_page_gone.then_some(InterruptedBy::Network))
    }

    /// Returns the page, where it is open and awake.
    fn awake_page(&self) -> Option<ConnKey> {
        match self.page {
            Page::Open(page) => Some(page),
            Page::Closed | Page::Silent(_) => None,
        }
    }

    /// Changes how it is to be on air, and holds or releases the listeners if that makes the difference.
    fn alter(&mut self, unix_ms: u64, act: impl FnOnce(&mut OnAir)) -> Vec<Change> {
        let before = (self.presence(), self.interrupted_by());
        let Some(on_air) = &mut self.on_air else { return Vec::new() };
        act(on_air);
        let after = (self.presence(), self.interrupted_by());
        if before == after {
            return Vec::new();
        }
        if before.0 != after.0 {
            self.enter_state(unix_ms);
        }
        if after.0 == Presence::OnAir { self.release_all() } else { self.hold_all(before.0 == Presence::OnAir) }
    }

    /// The page came or went, which changes the state or not: an encoder goes on, and so does a pause.
    fn note_page(&mut self, unix_ms: u64, before: Presence) {
        self.last_seen_ms = Some(unix_ms);
        if self.presence() != before {
            self.enter_state(unix_ms);
        }
    }

    fn enter_state(&mut self, unix_ms: u64) {
        self.speech.cut();
        self.since_ms = Some(unix_ms);
        self.last_seen_ms = Some(unix_ms);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::sync::Arc;

    use slotmap::SlotMap;

    use super::*;
    use crate::audit::{EntryId, Listening, ListeningId};
    use crate::wire::media::MediaKind;
    use crate::wire::signaling::Acknowledgement;
    use crate::words::Told;

    struct Scene {
        broadcast: Broadcast,
        limits: BroadcastLimits,
        now: Instant,
        pages: [ConnKey; 2],
        admin: ConnKey,
        publisher: PeerKey,
        audio: PeerKey,
    }

    impl Scene {
        fn new() -> Scene {
            let mut conns: SlotMap<ConnKey, ()> = SlotMap::with_key();
            let mut peers: SlotMap<PeerKey, ()> = SlotMap::with_key();
            Scene {
                broadcast: Broadcast::new("lea"),
                // Nothing but the acknowledgement is waited for.
                limits: BroadcastLimits {
                    quality_interval: Duration::from_secs(3600),
                    ..BroadcastLimits::default()
                },
                now: Instant::now(),
                pages: [conns.insert(()), conns.insert(())],
                admin: conns.insert(()),
                publisher: peers.insert(()),
                audio: peers.insert(()),
            }
        }

        /// On air, and announced to the page under notice 1.
        fn announced() -> Scene {
            let mut scene = Scene::new();
            scene.broadcast.open_page(0, scene.pages[0], "Léa");
            scene.go_on_air();
            assert_eq!(scene.join(), ["write entry"]);
            assert_eq!(scene.write_entry(1), ["announce 1"]);
            scene
        }

        /// Heard under notice 1.
        fn heard() -> Scene {
            let mut scene = Scene::announced();
            assert!(scene.acknowledge(scene.pages[0], 1).is_some());
            assert_eq!(scene.hearing(), 1);
            scene
        }

        fn go_on_air(&mut self) -> Vec<String> {
            self.go_on_air_by(Source::Page("page".into()))
        }

        fn go_on_air_by(&mut self, source: Source) -> Vec<String> {
            let start = Start { publisher: self.publisher, source, commercial_info: None };
            names(&self.broadcast.go_on_air(self.now, 0, start, &self.limits).1)
        }

        fn hear(&mut self) -> Vec<String> {
            let (kind, source) = (MediaKind::Audio, (self.publisher, 1));
            let arrival = Arrival { kind, source, sequence: 1, timestamp: 0, bytes: 80 };
            names(&self.broadcast.hear(self.now, 0, arrival))
        }

        /// A loud packet comes; tells whether they begin to speak with it.
        fn speak(&mut self) -> bool {
            self.broadcast.hear_level(self.now, -20, &self.limits)
        }

        fn wait(&mut self, seconds: u64) -> Vec<String> {
            self.now += Duration::from_secs(seconds);
            names(&self.broadcast.handle_timeout(self.now, 0, &self.limits))
        }

        fn join(&mut self) -> Vec<String> {
            let (key, sink) = (Client::Page(self.admin), Sink::Peer(self.audio));
            let listening = Arc::new(Listening {
                id: ListeningId(1),
                admin_id: "paul".into(),
                admin_name: "Paul D.".into(),
                commercial_id: "lea".into(),
                reason: "formation".into(),
                looks_like: None,
            });
            names(&self.broadcast.join(Wish { key, sink, listening, waits: false }))
        }

        /// The entry that is wanted is on its way.
        fn await_entry(&mut self, entry: u64) {
            self.broadcast.await_entry(Client::Page(self.admin), EntryId(entry));
        }

        fn entry_written(&mut self, entry: u64, notice_id: u64) -> Vec<String> {
            let key = Client::Page(self.admin);
            names(&self.broadcast.entry_written(self.now, key, EntryId(entry), notice_id))
        }

        /// The entry that is wanted is written at once, under the number of its notice.
        fn write_entry(&mut self, notice_id: u64) -> Vec<String> {
            self.await_entry(notice_id);
            self.entry_written(notice_id, notice_id)
        }

        /// The page acknowledges, and says that it has sent nothing.
        fn acknowledge(&mut self, page: ConnKey, notice_id: u64) -> Option<Change> {
            self.acknowledge_after(page, notice_id, 0).unwrap()
        }

        fn acknowledge_after(
            &mut self,
            page: ConnKey,
            notice_id: u64,
            packets_sent: u64,
        ) -> Result<Option<Change>, WrongCount> {
            let sent = Sent { ssrc: Some(1), packets_sent };
            let ack = Acknowledgement { notice_id, told: Told::Seen, sent };
            self.broadcast.acknowledge(self.now, page, ack, Some(1))
        }

        /// The page resumes, and says that it has sent nothing.
        fn resume(&mut self) -> Vec<Change> {
            let (changes, counted) = self.broadcast.resume(self.now, 0, Sent::default(), None);
            assert_eq!(counted, Ok(()));
            changes
        }

        fn hearing(&self) -> usize {
            self.broadcast.listeners_count()
        }
    }

    fn names(changes: &[Change]) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::WriteEntry { .. } => "write entry".to_owned(),
            Change::Announce { notice_id, .. } => format!("announce {notice_id}"),
            Change::Withdraw { notice_id, .. } => format!("withdraw {notice_id}"),
            Change::Pend { cause, .. } => format!("pend {cause:?}"),
            Change::Start { is_new, .. } => if *is_new { "start" } else { "started" }.to_owned(),
            Change::Stop { was_heard, cause, .. } => format!("stop {was_heard} {cause:?}"),
            Change::Refuse { .. } => "refuse".to_owned(),
            Change::Interrupt { why, .. } => format!("interrupt {why:?}"),
        };
        changes.iter().map(name).collect()
    }

    #[test]
    fn a_wish_waits_for_page_and_air() {
        let mut scene = Scene::new();
        assert_eq!(scene.join(), ["pend Offline"]);
        assert_eq!(names(&scene.broadcast.open_page(0, scene.pages[0], "Léa")), ["pend OffAir"]);
        assert_eq!(scene.go_on_air(), ["write entry"]);
        assert_eq!(scene.hearing(), 0);
    }

    #[test]
    fn only_the_told_page_acknowledges_and_only_what_it_was_told() {
        let mut scene = Scene::announced();
        let [page, other] = scene.pages;
        for (name, page, notice_id) in
            [("another page", other, 1), ("the supervisor", scene.admin, 1), ("no notice", page, 2)]
        {
            assert!(scene.acknowledge(page, notice_id).is_none(), "{name}");
        }
        assert!(scene.acknowledge(page, 1).is_some());
        assert!(scene.acknowledge(page, 1).is_none(), "once is enough");
    }

    #[test]
    fn nothing_is_heard_before_its_entry_is_written() {
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.go_on_air();
        scene.join();
        for notice_id in 0..3 {
            assert!(scene.acknowledge(scene.pages[0], notice_id).is_none());
        }
    }

    #[test]
    fn only_the_entry_that_is_waited_for_lets_on() {
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.go_on_air();
        assert_eq!(scene.join(), ["write entry"]);
        scene.await_entry(1);
        scene.broadcast.close_page(scene.now, 0);
        assert_eq!(names(&scene.broadcast.open_page(0, scene.pages[1], "Léa")), ["write entry"]);
        scene.await_entry(2);
        assert_eq!(scene.entry_written(1, 1), [] as [&str; 0], "of the page that is gone");
        assert!(scene.acknowledge(scene.pages[1], 1).is_none());
        assert_eq!(scene.entry_written(2, 2), ["announce 2"]);
        assert_eq!(scene.entry_written(2, 3), [] as [&str; 0], "once is enough");
    }

    #[test]
    fn a_pause_while_an_entry_is_written_holds_whoever_it_lets_on() {
        for source in [Source::Page("page".into()), Source::Encoder, Source::Device] {
            let mut scene = Scene::new();
            scene.broadcast.open_page(0, scene.pages[0], "Léa");
            scene.go_on_air_by(source.clone());
            scene.join();
            scene.await_entry(1);
            assert_eq!(names(&scene.broadcast.pause(0)), ["pend Paused"], "{source:?}");
            assert_eq!(scene.entry_written(1, 1), ["announce 1"], "{source:?}");
            scene.acknowledge(scene.pages[0], 1);
            assert_eq!(scene.hearing(), 0, "{source:?}");
            assert_eq!(names(&scene.resume()), ["start"], "{source:?}");
            assert_eq!(scene.hearing(), 1, "{source:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_down_is_not_heard() {
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.go_on_air();
        scene.join();
        scene.await_entry(1);
        let key = Client::Page(scene.admin);
        assert_eq!(names(&scene.broadcast.entry_refused(key, EntryId(7))), [] as [&str; 0], "another one");
        assert_eq!(names(&scene.broadcast.entry_refused(key, EntryId(1))), ["refuse"]);
        assert_eq!(scene.entry_written(1, 1), [] as [&str; 0]);
        assert_eq!(scene.broadcast.wishes_count(), 0);
    }

    #[test]
    fn an_acknowledgement_dies_with_its_page() {
        let mut scene = Scene::heard();
        let [page, other] = scene.pages;
        assert_eq!(
            names(&scene.broadcast.close_page(scene.now, 0)),
            ["interrupt Unseen", "withdraw 1", "pend Interrupted"]
        );
        assert_eq!(names(&scene.broadcast.open_page(0, other, "Léa")), ["write entry"]);
        scene.write_entry(2);
        for (name, page, notice_id) in [("old page", page, 2), ("old notice", other, 1)] {
            assert!(scene.acknowledge(page, notice_id).is_none(), "{name}");
        }
        assert_eq!(scene.hearing(), 0);
        assert!(scene.acknowledge(other, 2).is_some());
    }

    #[test]
    fn going_off_air_and_falling_silent_keep_the_wish() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.silence_page()), ["interrupt Unseen", "withdraw 1", "pend AckLate"]);
        assert!(scene.acknowledge(scene.pages[0], 1).is_none());
        assert_eq!(names(&scene.broadcast.wake_page()), ["write entry"]);
        scene.write_entry(2);
        scene.acknowledge(scene.pages[0], 2);
        assert_eq!(
            names(&scene.broadcast.go_off_air(scene.now, 0, &scene.limits)),
            ["interrupt OffAir", "withdraw 2", "pend OffAir"]
        );
        assert_eq!(names(&scene.broadcast.go_off_air(scene.now, 0, &scene.limits)), [] as [&str; 0]);
    }

    #[test]
    fn what_the_page_ends_by_its_word_may_take_a_moment_to_be_heard() {
        type Act = fn(&mut Scene) -> Vec<String>;
        let resume: Act = |scene| names(&scene.resume());
        let cases: [(&str, Act, Act); 3] = [
            ("a pause", |scene| names(&scene.broadcast.pause(0)), resume),
            ("a call", |scene| names(&scene.broadcast.interrupt(0, InterruptedBy::Call)), resume),
            (
                "a call, by another session",
                |scene| names(&scene.broadcast.interrupt(0, InterruptedBy::Call)),
                Scene::go_on_air,
            ),
        ];
        for (name, begin, end) in cases {
            let mut scene = Scene::heard();
            scene.hear();
            begin(&mut scene);
            scene.wait(15);
            assert_eq!(end(&mut scene), ["start"], "{name}");
            assert_eq!(scene.wait(1), [] as [&str; 0], "{name}");
            assert!(!scene.broadcast.is_over(scene.now + Duration::from_secs(10), &scene.limits), "{name}");
            assert_eq!(scene.wait(1), ["interrupt Interrupted", "pend Interrupted"], "{name}");
        }
    }

    #[test]
    fn a_pause_holds_everybody_and_lets_them_go_on() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.pause(0)), ["interrupt Paused", "pend Paused"]);
        assert_eq!(scene.hearing(), 0);
        assert_eq!((scene.broadcast.listeners_count(), scene.broadcast.announced_count()), (0, 1));
        assert_eq!(names(&scene.broadcast.pause(0)), [] as [&str; 0]);
        assert_eq!(scene.join(), ["pend Paused"]);
        scene.go_on_air();
        assert_eq!(scene.broadcast.presence(), Presence::Paused, "another session is no end of the pause");
        assert_eq!(names(&scene.resume()), ["start"]);
        assert_eq!(scene.hearing(), 1);
        assert_eq!(names(&scene.resume()), [] as [&str; 0]);
    }

    #[test]
    fn nobody_starts_in_a_pause() {
        let mut scene = Scene::announced();
        scene.broadcast.pause(0);
        assert!(scene.acknowledge(scene.pages[0], 1).is_none(), "acknowledged, and held");
        assert_eq!(scene.hearing(), 0);
        assert_eq!(names(&scene.resume()), ["start"]);
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.go_on_air();
        scene.broadcast.pause(0);
        assert_eq!(scene.join(), ["pend Paused"]);
        assert_eq!(names(&scene.resume()), ["write entry"]);
        scene.broadcast.pause(0);
        assert_eq!(names(&scene.broadcast.go_off_air(scene.now, 0, &scene.limits)), ["pend OffAir"]);
    }

    #[test]
    fn what_does_not_come_interrupts_and_what_comes_ends_it() {
        let mut scene = Scene::heard();
        assert_eq!(scene.hear(), [] as [&str; 0]);
        assert_eq!(scene.wait(1), [] as [&str; 0]);
        assert_eq!(scene.wait(1), ["interrupt Interrupted", "pend Interrupted"]);
        assert_eq!(scene.broadcast.presence(), Presence::Interrupted);
        assert_eq!(scene.broadcast.to_commercial(16).interrupted_by, Some(InterruptedBy::Network));
        assert_eq!(scene.hearing(), 0);
        assert_eq!(scene.wait(1), [] as [&str; 0]);
        assert_eq!(scene.hear(), ["start"], "before the packet that is back is forwarded");
        assert_eq!(scene.hearing(), 1);
        assert!(!scene.broadcast.is_over(scene.now + Duration::from_millis(19_999), &scene.limits));
        assert!(scene.broadcast.is_over(scene.now + Duration::from_secs(20), &scene.limits));
    }

    #[test]
    fn who_has_just_begun_is_not_interrupted() {
        let mut scene = Scene::announced();
        assert_eq!(scene.wait(3), ["pend AckLate"]);
        assert_eq!(scene.broadcast.presence(), Presence::OnAir);
    }

    #[test]
    fn a_call_ends_when_the_page_says_so() {
        let mut scene = Scene::heard();
        assert_eq!(
            names(&scene.broadcast.interrupt(0, InterruptedBy::Call)),
            ["interrupt Interrupted", "pend Interrupted"]
        );
        assert_eq!(scene.hear(), [] as [&str; 0], "the muted microphone sends silence");
        assert_eq!(names(&scene.resume()), ["start"]);
        scene.broadcast.interrupt(0, InterruptedBy::Locked);
        assert_eq!(scene.go_on_air(), ["start"], "a new session brings a new microphone");
    }

    #[test]
    fn no_end_of_an_interruption_ends_a_pause() {
        let mut scene = Scene::heard();
        scene.hear();
        scene.broadcast.pause(0);
        scene.broadcast.interrupt(0, InterruptedBy::Network);
        assert_eq!(scene.hear(), ["pend Paused"]);
        scene.broadcast.interrupt(0, InterruptedBy::Call);
        scene.go_on_air();
        assert_eq!(scene.broadcast.presence(), Presence::Paused);
        assert_eq!(scene.hearing(), 0);
        assert_eq!(names(&scene.resume()), ["start"]);
    }

    #[test]
    fn a_session_that_broke_is_built_anew_under_the_same_notices() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.lose_publisher(0)), ["interrupt Interrupted", "pend Interrupted"]);
        assert_eq!((scene.broadcast.publisher(), scene.broadcast.is_on_air()), (None, true));
        assert_eq!(scene.go_on_air(), [] as [&str; 0]);
        assert_eq!(scene.hear(), ["start"]);
    }

    #[test]
    fn a_page_that_stays_away_ends_what_nobody_may_hear() {
        let mut scene = Scene::heard();
        scene.broadcast.close_page(scene.now, 0);
        assert_eq!(scene.broadcast.presence(), Presence::Interrupted);
        for _ in 0..19 {
            scene.wait(1);
            scene.hear();
            assert!(!scene.broadcast.is_over(scene.now, &scene.limits));
        }
        scene.wait(1);
        scene.hear();
        assert!(scene.broadcast.is_over(scene.now, &scene.limits), "although packets came");
        assert_eq!(scene.hearing(), 0);
    }

    #[test]
    fn a_place_is_told_on_air_only_and_not_too_often() {
        let place = Place { lat: 48.85, lon: 2.35, accuracy_m: 12.0, at: 1 };
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        assert!(!scene.broadcast.move_to(scene.now, place, &scene.limits), "off air");
        scene.go_on_air();
        assert!(scene.broadcast.move_to(scene.now, place, &scene.limits));
        assert!(!scene.broadcast.move_to(scene.now, place, &scene.limits), "again at once");
        scene.now += Duration::from_secs(1);
        assert!(scene.broadcast.move_to(scene.now, place, &scene.limits));
        assert_eq!(scene.broadcast.place(), Some(place));
        scene.broadcast.pause(0);
        assert_eq!(scene.broadcast.place(), None, "a pause forgets it");
        scene.now += Duration::from_secs(1);
        assert!(!scene.broadcast.move_to(scene.now, place, &scene.limits), "paused");
        scene.resume();
        scene.broadcast.close_page(scene.now, 0);
        assert!(!scene.broadcast.move_to(scene.now, place, &scene.limits), "no page");
        scene.broadcast.go_off_air(scene.now, 0, &scene.limits);
        assert_eq!(scene.broadcast.place(), None);
    }

    #[test]
    fn an_encoder_is_heard_by_leave_of_the_page_alone() {
        let mut scene = Scene::new();
        scene.go_on_air_by(Source::Encoder);
        assert_eq!(scene.broadcast.presence(), Presence::OnAir, "no page is missing");
        assert_eq!(scene.join(), ["pend AckLate"]);
        assert_eq!(names(&scene.broadcast.open_page(0, scene.pages[0], "Léa")), ["write entry"]);
        scene.write_entry(1);
        assert!(scene.acknowledge(scene.pages[0], 1).is_some());
        assert_eq!(
            names(&scene.broadcast.close_page(scene.now, 0)),
            ["interrupt Unseen", "withdraw 1", "pend AckLate"]
        );
        assert_eq!((scene.broadcast.presence(), scene.hearing()), (Presence::OnAir, 0));
    }

    #[test]
    fn a_device_is_heard_at_once_and_a_page_that_opens_is_told() {
        let mut scene = Scene::new();
        scene.go_on_air_by(Source::Device);
        assert_eq!(scene.join(), ["write entry"]);
        assert_eq!(scene.hearing(), 0, "not before it is written down");
        assert_eq!(scene.write_entry(1), ["start"]);
        assert_eq!(names(&scene.broadcast.open_page(0, scene.pages[0], "Léa")), ["announce 1"]);
        assert_eq!(names(&scene.broadcast.pause(0)), ["interrupt Paused", "pend Paused"]);
        assert_eq!(names(&scene.resume()), ["start"]);
        assert_eq!(names(&scene.broadcast.close_page(scene.now, 0)), [] as [&str; 0]);
        assert_eq!(scene.hearing(), 1);
    }

    #[test]
    fn an_encoder_that_comes_back_is_as_paused_as_it_was() {
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        for (before, after, want) in [
            (Source::Encoder, Source::Encoder, Presence::Paused),
            (Source::Encoder, Source::Device, Presence::Paused),
            (Source::Page("page".into()), Source::Encoder, Presence::OnAir),
            (Source::Encoder, Source::Page("page".into()), Presence::OnAir),
            (Source::Page("page".into()), Source::Encoder, Presence::Paused),
        ] {
            scene.go_on_air_by(before);
            scene.broadcast.pause(0);
            scene.broadcast.go_off_air(scene.now, 0, &scene.limits);
            scene.go_on_air_by(after.clone());
            assert_eq!(scene.broadcast.presence(), want, "{after:?}");
            scene.resume();
            scene.broadcast.go_off_air(scene.now, 0, &scene.limits);
        }
        scene.go_on_air_by(Source::Encoder);
        scene.broadcast.pause(0);
        scene.broadcast.go_off_air(scene.now, 0, &scene.limits);
        scene.broadcast.close_page(scene.now, 0);
        assert!(scene.broadcast.is_away() && !scene.broadcast.is_idle(), "the pause is to be remembered");
        assert_eq!(scene.broadcast.next_deadline(&scene.limits), Some(scene.now + scene.limits.pause_memory));
        scene.wait(scene.limits.pause_memory.as_secs());
        assert!(scene.broadcast.is_idle(), "but not for ever");
    }

    #[test]
    fn a_page_that_comes_and_goes_begins_no_state_anew_that_goes_on() {
        let cases: [(&str, Source, bool, Presence); 3] = [
            ("an encoder", Source::Encoder, false, Presence::OnAir),
            ("an encoder in a pause", Source::Encoder, true, Presence::Paused),
            ("a page in a pause", Source::Page("page".into()), true, Presence::Paused),
        ];
        for (name, source, is_paused, want) in cases {
            let mut scene = Scene::new();
            scene.broadcast.open_page(1, scene.pages[0], "Léa");
            scene.go_on_air_by(source);
            if is_paused {
                scene.broadcast.pause(2);
            }
            let since = scene.broadcast.since_ms();
            scene.broadcast.close_page(scene.now, 3);
            scene.broadcast.open_page(4, scene.pages[1], "Léa");
            assert_eq!((scene.broadcast.presence(), scene.broadcast.since_ms()), (want, since), "{name}");
            assert_eq!(scene.broadcast.last_seen_ms(), Some(4), "{name}");
        }
    }

    #[test]
    fn an_encoder_that_never_begins_is_over_sooner() {
        for (source, seconds) in [(Source::Page("page".into()), 20), (Source::Encoder, 10), (Source::Device, 10)] {
            let mut scene = Scene::new();
            scene.go_on_air_by(source.clone());
            let is_over =
                |scene: &Scene, ms| scene.broadcast.is_over(scene.now + Duration::from_millis(ms), &scene.limits);
            assert_eq!(
                (is_over(&scene, seconds * 1000 - 1), is_over(&scene, seconds * 1000)),
                (false, true),
                "{source:?}"
            );
            scene.hear();
            assert_eq!((is_over(&scene, 19_999), is_over(&scene, 20_000)), (false, true), "{source:?}");
        }
    }

    #[test]
    fn leaving_tells_both_sides() {
        let mut scene = Scene::heard();
        assert_eq!(
            names(&scene.broadcast.leave(Client::Page(scene.admin), None)),
            ["stop true None", "withdraw 1"]
        );
        assert_eq!(names(&scene.broadcast.leave(Client::Page(scene.admin), None)), [] as [&str; 0]);
        let mut scene = Scene::new();
        scene.join();
        assert_eq!(names(&scene.broadcast.leave(Client::Page(scene.admin), None)), ["stop false None"]);
        assert!(scene.broadcast.is_idle());
    }

    #[test]
    fn joining_again_tells_again_and_changes_nothing() {
        let mut scene = Scene::announced();
        assert_eq!(scene.join(), ["pend Ack"]);
        scene.acknowledge(scene.pages[0], 1);
        assert_eq!(scene.join(), ["started"]);
        assert_eq!(scene.broadcast.listeners_count(), 1);
    }

    #[test]
    fn a_late_acknowledgement_is_reported_once_and_still_counts() {
        let mut scene = Scene::announced();
        let due = scene.broadcast.next_deadline(&scene.limits).unwrap();
        assert_eq!(due, scene.now + scene.limits.ack_late);
        let almost = due - Duration::from_millis(1);
        assert_eq!(names(&scene.broadcast.handle_timeout(almost, 0, &scene.limits)), [] as [&str; 0]);
        assert_eq!(names(&scene.broadcast.handle_timeout(due, 0, &scene.limits)), ["pend AckLate"]);
        assert_eq!(names(&scene.broadcast.handle_timeout(due, 0, &scene.limits)), [] as [&str; 0]);
        assert!(scene.broadcast.next_deadline(&scene.limits).unwrap() > due);
        assert!(scene.acknowledge(scene.pages[0], 1).is_some());
    }

    #[test]
    fn who_is_not_heard_does_not_speak() {
        let speaking = || {
            let mut scene = Scene::heard();
            scene.hear();
            assert!(!scene.speak(), "they may have stopped a moment ago");
            scene.now += scene.limits.speech.interval;
            assert!(scene.speak() && scene.broadcast.is_speaking());
            scene
        };
        type End = fn(&mut Scene);
        let ends: [(&str, End); 5] = [
            ("pause", |scene| drop(scene.broadcast.pause(0))),
            ("call", |scene| drop(scene.broadcast.interrupt(0, InterruptedBy::Call))),
            ("page gone", |scene| drop(scene.broadcast.close_page(scene.now, 0))),
            ("session gone", |scene| drop(scene.broadcast.lose_publisher(0))),
            ("off air", |scene| drop(scene.broadcast.go_off_air(scene.now, 0, &scene.limits))),
        ];
        for (name, end) in ends {
            let mut scene = speaking();
            end(&mut scene);
            let speaks = |scene: &Scene| scene.broadcast.to_commercial(16).speaking;
            assert!(!speaks(&scene), "{name}");
            scene.now += scene.limits.speech.interval;
            assert!(!scene.speak() && !speaks(&scene), "{name}");
        }
        let mut scene = speaking();
        scene.broadcast.pause(0);
        scene.resume();
        assert!(!scene.speak(), "nothing of before is left");
        scene.now += scene.limits.speech.interval;
        assert!(scene.speak());
    }

    #[test]
    fn who_speaks_is_looked_at_again_without_a_packet() {
        let mut scene = Scene::heard();
        scene.speak();
        scene.now += scene.limits.speech.interval;
        assert!(scene.speak());
        let due = scene.now + scene.limits.speech.hangover;
        assert_eq!(scene.broadcast.next_deadline(&scene.limits), Some(due));
        scene.broadcast.handle_timeout(due, 0, &scene.limits);
        assert!(!scene.broadcast.is_speaking());
        assert!(scene.broadcast.next_deadline(&scene.limits).is_none_or(|at| at > due));
    }

    #[test]
    fn updates_are_spaced() {
        let mut scene = Scene::new();
        let interval = Duration::from_millis(200);
        scene.broadcast.want_update(scene.now, News::All, interval);
        assert_eq!(scene.broadcast.take_update(scene.now), Some(News::All));
        assert_eq!(scene.broadcast.take_update(scene.now), None);
        let soon = scene.now + Duration::from_millis(10);
        scene.broadcast.want_update(soon, News::Speech, interval);
        assert_eq!(scene.broadcast.take_update(soon), None);
        let later = scene.now + interval;
        assert_eq!(scene.broadcast.take_update(later), Some(News::Speech));
        assert!(scene.broadcast.has_turned_since(later));
        assert!(!scene.broadcast.has_turned_since(later + Duration::from_millis(1)));
        for (n, wanted) in (1..).zip([[News::Speech, News::All], [News::All, News::Speech]]) {
            for news in wanted {
                scene.broadcast.want_update(later, news, interval);
            }
            assert_eq!(scene.broadcast.take_update(later + interval * n), Some(News::All), "{wanted:?}");
        }
    }
}
