//! One salesperson: whether their page is open, whether they are on air, and who listens or wishes to.
//!
//! Sends nothing: every method returns what changes, and the server carries it out in that order.
//!
//! Invariant: a listener is `Phase::Forwarding` only while the very page that acknowledged it is open and awake
//! and the salesperson is on air and not paused. There is one place that makes it so ([`Broadcast::acknowledge`]) and one that
//! takes it back (`Broadcast::unsettle`).

mod change;

use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::keys::{ConnKey, PeerKey};
use crate::level::Level;
use crate::wire::signaling::{Commercial, LEVEL_SILENT, PendingCause, Person, Presence, StopCause};
pub use change::{Change, Wish};

/// A supervisor who listens, or wishes to, with one conn.
#[derive(Clone, Debug)]
pub struct Listener {
    pub conn: ConnKey,
    /// The session that plays it.
    pub peer: PeerKey,
    pub admin_id: String,
    pub admin_name: String,
    pub reason: String,
    phase: Phase,
}

/// How far a wish to listen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For the salesperson to be on air with an awake page.
    Waiting,
    /// For the journal to have the entry.
    AwaitingEntry,
    /// For the page to acknowledge the notice.
    AwaitingAck { notice_id: u64, since: Instant, late: bool },
    /// Acknowledged; for the salesperson to resume.
    Held { notice_id: u64 },
    /// Heard.
    Forwarding { notice_id: u64 },
}

impl Phase {
    fn notice_id(self) -> Option<u64> {
        match self {
            Phase::Waiting | Phase::AwaitingEntry => None,
            Phase::AwaitingAck { notice_id, .. } | Phase::Held { notice_id } | Phase::Forwarding { notice_id } => {
                Some(notice_id)
            }
        }
    }
}

/// The salesperson's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Closed,
    Open(ConnKey),
    /// Open, but nothing was heard from it for a while: whether a person sees it is not known.
    Silent(ConnKey),
}

/// A broadcast that is on air.
#[derive(Clone, Debug)]
struct OnAir {
    publisher: PeerKey,
    is_paused: bool,
    commercial_info: Option<Box<RawValue>>,
}

/// One salesperson who is connected, on air or wished for.
#[derive(Debug)]
pub struct Broadcast {
    id: String,
    name: String,
    page: Page,
    on_air: Option<OnAir>,
    listeners: Vec<Listener>,
    /// When the present state began, in Unix milliseconds; absent for somebody never seen.
    since_ms: Option<u64>,
    last_seen_ms: Option<u64>,
    level: Level,
    next_update: Option<Instant>,
    last_update: Option<Instant>,
}

impl Broadcast {
    /// Returns a salesperson who is offline.
    pub fn new(id: &str) -> Broadcast {
        Broadcast {
            id: id.to_owned(),
            name: id.to_owned(),
            page: Page::Closed,
            on_air: None,
            listeners: Vec::new(),
            since_ms: None,
            last_seen_ms: None,
            level: Level::silent(),
            next_update: None,
            last_update: None,
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

    /// Returns the session that brings the audio.
    pub fn publisher(&self) -> Option<PeerKey> {
        self.on_air.as_ref().map(|on_air| on_air.publisher)
    }

    /// Returns the sessions that hear, in the order in which they joined.
    pub fn forwarding(&self) -> impl Iterator<Item = PeerKey> + '_ {
        self.heard_by().map(|listener| listener.peer)
    }

    /// Returns how many listening connections hear.
    pub fn listeners_count(&self) -> usize {
        self.heard_by().count()
    }

    /// Returns how many listening connections the page was told of.
    pub fn announced_count(&self) -> usize {
        self.listeners.iter().filter(|listener| listener.phase.notice_id().is_some()).count()
    }

    /// Tells whether the page is open but was not heard from for too long.
    pub fn is_page_silent(&self) -> bool {
        matches!(self.page, Page::Silent(_))
    }

    /// Returns the wish of a conn.
    pub fn listener(&self, conn: ConnKey) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.conn == conn)
    }

    /// Tells whether the salesperson has been seen, and is not only wished for.
    pub fn is_known(&self) -> bool {
        self.last_seen_ms.is_some()
    }

    /// Tells whether nobody is connected and nobody wishes to listen, so that it can be forgotten.
    pub fn is_idle(&self) -> bool {
        self.page == Page::Closed && self.on_air.is_none() && self.listeners.is_empty()
    }

    /// Returns what the salesperson is doing.
    pub fn presence(&self) -> Presence {
        match (&self.on_air, self.page) {
            (Some(on_air), _) if on_air.is_paused => Presence::Paused,
            (Some(_), _) => Presence::OnAir,
            (None, Page::Closed) => Presence::Offline,
            (None, Page::Open(_) | Page::Silent(_)) => Presence::Online,
        }
    }

    /// Returns when the present state began, in Unix milliseconds.
    pub fn since_ms(&self) -> Option<u64> {
        self.since_ms
    }

    /// Returns the object that supervisors see.
    pub fn to_commercial(&self, named_listeners_max: usize) -> Commercial<'_> {
        Commercial {
            commercial_id: &self.id,
            name: &self.name,
            commercial_info: self.on_air.as_ref().and_then(|on_air| on_air.commercial_info.as_deref()),
            state: self.presence(),
            is_streaming: self.on_air.is_some(),
            listeners_count: self.listeners_count(),
            listeners: self.heard_by().take(named_listeners_max).map(Listener::person).collect(),
            since: self.since_ms,
            last_seen: self.last_seen_ms,
        }
    }

    /// The salesperson's page registered.
    pub fn open_page(&mut self, unix_ms: u64, conn: ConnKey, name: &str) -> Vec<Change> {
        self.page = Page::Open(conn);
        self.name = name.to_owned();
        self.enter_state(unix_ms);
        self.settle_all()
    }

    /// The salesperson's page is gone, and its audio with it.
    pub fn close_page(&mut self, unix_ms: u64) -> Vec<Change> {
        self.page = Page::Closed;
        self.on_air = None;
        self.enter_state(unix_ms);
        let changes = self.unsettle_all(None);
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// Nothing was heard from the page for too long.
    pub fn silence_page(&mut self) -> Vec<Change> {
        let Page::Open(page) = self.page else { return Vec::new() };
        self.page = Page::Silent(page);
        let changes = self.unsettle_all(Some(page));
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// Something was heard from the page again.
    pub fn wake_page(&mut self) -> Vec<Change> {
        let Page::Silent(page) = self.page else { return Vec::new() };
        self.page = Page::Open(page);
        self.settle_all()
    }

    /// The salesperson goes on air, or replaces the session that brings the audio; returns the replaced one.
    pub fn go_on_air(
        &mut self,
        unix_ms: u64,
        publisher: PeerKey,
        commercial_info: Option<Box<RawValue>>,
    ) -> (Option<PeerKey>, Vec<Change>) {
        let is_paused = self.on_air.as_ref().is_some_and(|on_air| on_air.is_paused);
        let replaced = self.on_air.replace(OnAir { publisher, is_paused, commercial_info });
        if replaced.is_none() {
            self.enter_state(unix_ms);
        }
        (replaced.map(|on_air| on_air.publisher), self.settle_all())
    }

    /// The salesperson goes off air; wishes stay.
    pub fn go_off_air(&mut self, unix_ms: u64) -> Vec<Change> {
        if self.on_air.take().is_none() {
            return Vec::new();
        }
        self.enter_state(unix_ms);
        let changes = self.unsettle_all(self.page());
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// The salesperson pauses: nobody hears until they resume, whatever is received.
    pub fn pause(&mut self, unix_ms: u64) -> Vec<Change> {
        let Some(on_air) = self.on_air.as_mut().filter(|on_air| !on_air.is_paused) else { return Vec::new() };
        on_air.is_paused = true;
        self.enter_state(unix_ms);
        let mut changes = Vec::new();
        for listener in &mut self.listeners {
            if let Phase::Forwarding { notice_id } = listener.phase {
                changes.push(Change::Unsettle { listener: listener.clone() });
                listener.phase = Phase::Held { notice_id };
            }
            changes.push(Change::Pend { conn: listener.conn, cause: PendingCause::Paused });
        }
        changes
    }

    /// The salesperson resumes: who was acknowledged hears again, who waited is announced.
    pub fn resume(&mut self, unix_ms: u64) -> Vec<Change> {
        let Some(on_air) = self.on_air.as_mut().filter(|on_air| on_air.is_paused) else { return Vec::new() };
        on_air.is_paused = false;
        self.enter_state(unix_ms);
        let mut changes = Vec::new();
        for listener in &mut self.listeners {
            if let Phase::Held { notice_id } = listener.phase {
                listener.phase = Phase::Forwarding { notice_id };
                changes.push(Change::Start { listener: listener.clone(), is_new: true });
            }
        }
        changes.into_iter().chain(self.settle_all()).collect()
    }

    /// A supervisor wishes to listen. Asking again changes nothing and tells again how far the wish is.
    pub fn join(&mut self, wish: Wish) -> Vec<Change> {
        if let Some(listener) = self.listeners.iter().find(|listener| listener.conn == wish.conn) {
            return match listener.phase {
                Phase::Forwarding { .. } => vec![Change::Start { listener: listener.clone(), is_new: false }],
                _ => vec![Change::Pend { conn: wish.conn, cause: self.pending_cause(listener) }],
            };
        }
        self.listeners.push(Listener {
            conn: wish.conn,
            peer: wish.peer,
            admin_id: wish.admin_id,
            admin_name: wish.admin_name,
            reason: wish.reason,
            phase: Phase::Waiting,
        });
        self.settle(wish.conn)
    }

    /// The entry that [`Change::WriteEntry`] asked for stands in the journal.
    pub fn entry_written(&mut self, now: Instant, conn: ConnKey, notice_id: u64) -> Vec<Change> {
        let Page::Open(page) = self.page else { return Vec::new() };
        let Some(listener) = self.listeners.iter_mut().find(|listener| listener.conn == conn) else {
            return Vec::new();
        };
        if listener.phase != Phase::AwaitingEntry {
            return Vec::new();
        }
        listener.phase = Phase::AwaitingAck { notice_id, since: now, late: false };
        let announce = Change::Announce { page, notice_id, listener: listener.clone() };
        vec![Change::Pend { conn, cause: PendingCause::Ack }, announce]
    }

    /// Tells whether this page was asked to acknowledge this notice.
    pub fn awaits_ack(&self, page: ConnKey, notice_id: u64) -> bool {
        let is_awaited =
            |phase| matches!(phase, Phase::AwaitingAck { notice_id: awaited, .. } if awaited == notice_id);
        self.page() == Some(page) && self.listeners.iter().any(|listener| is_awaited(listener.phase))
    }

    /// The page says that a notice is on its screen: that listener hears from now on.
    pub fn acknowledge(&mut self, page: ConnKey, notice_id: u64) -> Option<Change> {
        if self.page != Page::Open(page) || self.on_air.is_none() {
            return None;
        }
        let awaiting = |listener: &&mut Listener| matches!(listener.phase, Phase::AwaitingAck { notice_id: awaited, .. } if awaited == notice_id);
        let is_paused = self.presence() == Presence::Paused;
        let listener = self.listeners.iter_mut().find(awaiting)?;
        if is_paused {
            listener.phase = Phase::Held { notice_id };
            return None;
        }
        listener.phase = Phase::Forwarding { notice_id };
        Some(Change::Start { listener: listener.clone(), is_new: true })
    }

    /// A supervisor does not wish to listen any more, or can't.
    pub fn leave(&mut self, conn: ConnKey, cause: Option<StopCause>) -> Vec<Change> {
        let Some(index) = self.listeners.iter().position(|listener| listener.conn == conn) else {
            return Vec::new();
        };
        let listener = self.listeners.remove(index);
        let was_heard = matches!(listener.phase, Phase::Forwarding { .. });
        let withdraw = self.page().and_then(|page| withdraw(page, &listener));
        [Change::Stop { listener, was_heard, cause }].into_iter().chain(withdraw).collect()
    }

    /// A supervisor's audio comes through another session from now on.
    pub fn replace_listener_peer(&mut self, conn: ConnKey, peer: PeerKey) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.conn == conn) {
            listener.peer = peer;
        }
    }

    /// A packet came, so loud in dBov. What comes in a pause says nothing to anybody.
    pub fn hear_level(&mut self, now: Instant, level: i8, interval: Duration) {
        if self.presence() == Presence::OnAir {
            self.level.hear(now, level, interval);
        }
    }

    /// Returns how loud the salesperson was since the last call, in dBov.
    pub fn take_level(&mut self, now: Instant, silence: Duration) -> i8 {
        let level = self.level.take(now, silence);
        if self.presence() == Presence::OnAir { level } else { LEVEL_SILENT }
    }

    /// Returns when [`Broadcast::handle_timeout`] must be called next.
    pub fn next_deadline(&self, ack_late: Duration) -> Option<Instant> {
        let is_paused = self.presence() == Presence::Paused;
        let acks = self.listeners.iter().filter_map(|listener| match listener.phase {
            Phase::AwaitingAck { since, late: false, .. } if !is_paused => Some(since + ack_late),
            _ => None,
        });
        acks.chain(self.next_update).min()
    }

    /// Lets time pass: acknowledgements that do not come are reported once.
    pub fn handle_timeout(&mut self, now: Instant, ack_late: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.presence() == Presence::Paused {
            return changes;
        }
        for listener in &mut self.listeners {
            if let Phase::AwaitingAck { since, late, .. } = &mut listener.phase
                && !*late
                && *since + ack_late <= now
            {
                *late = true;
                changes.push(Change::Pend { conn: listener.conn, cause: PendingCause::AckLate });
            }
        }
        changes
    }

    /// Notes that supervisors must be told of a change, at the latest an interval after the last time.
    pub fn want_update(&mut self, now: Instant, interval: Duration) {
        let earliest = self.last_update.map_or(now, |last| (last + interval).max(now));
        self.next_update.get_or_insert(earliest);
    }

    /// Tells whether supervisors are still to be told of a change.
    pub fn wants_update(&self) -> bool {
        self.next_update.is_some()
    }

    /// Tells whether supervisors must be told now, and takes it that they are.
    pub fn take_update(&mut self, now: Instant) -> bool {
        let due = self.next_update.is_some_and(|at| at <= now);
        if due {
            self.next_update = None;
            self.last_update = Some(now);
        }
        due
    }

    fn heard_by(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| matches!(listener.phase, Phase::Forwarding { .. }))
    }

    fn enter_state(&mut self, unix_ms: u64) {
        self.since_ms = Some(unix_ms);
        self.last_seen_ms = Some(unix_ms);
    }

    fn settle_all(&mut self) -> Vec<Change> {
        let conns: Vec<ConnKey> = self.listeners.iter().map(|listener| listener.conn).collect();
        conns.into_iter().flat_map(|conn| self.settle(conn)).collect()
    }

    /// Takes a waiting wish one step further, or tells why it waits.
    fn settle(&mut self, conn: ConnKey) -> Vec<Change> {
        let ready = self.presence() == Presence::OnAir && matches!(self.page, Page::Open(_));
        let Some(index) = self.listeners.iter().position(|listener| listener.conn == conn) else {
            return Vec::new();
        };
        if self.listeners[index].phase != Phase::Waiting {
            return Vec::new();
        }
        if !ready {
            return vec![Change::Pend { conn, cause: self.pending_cause(&self.listeners[index]) }];
        }
        self.listeners[index].phase = Phase::AwaitingEntry;
        vec![Change::WriteEntry { conn }]
    }

    /// Takes every listener back to waiting; `page` is told, unless it is gone.
    fn unsettle_all(&mut self, page: Option<ConnKey>) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.listeners.len() {
            changes.extend(self.unsettle(index, page));
        }
        changes
    }

    fn unsettle(&mut self, index: usize, page: Option<ConnKey>) -> impl Iterator<Item = Change> + use<> {
        let before = self.listeners[index].clone();
        self.listeners[index].phase = Phase::Waiting;
        let was_heard = matches!(before.phase, Phase::Forwarding { .. });
        let withdraw = page.and_then(|page| withdraw(page, &before));
        was_heard.then_some(Change::Unsettle { listener: before }).into_iter().chain(withdraw)
    }

    fn pending_cause(&self, listener: &Listener) -> PendingCause {
        match (self.page, &self.on_air, listener.phase) {
            (_, Some(on_air), _) if on_air.is_paused => PendingCause::Paused,
            (_, _, Phase::AwaitingAck { late: true, .. }) | (Page::Silent(_), Some(_), _) => PendingCause::AckLate,
            (Page::Closed, _, _) => PendingCause::Offline,
            (_, None, _) => PendingCause::OffAir,
            (Page::Open(_), Some(_), _) => PendingCause::Ack,
        }
    }
}

impl Listener {
    /// Returns who it is, as others see it.
    pub fn person(&self) -> Person<'_> {
        Person { id: &self.admin_id, name: &self.admin_name }
    }
}

fn withdraw(page: ConnKey, listener: &Listener) -> Option<Change> {
    let notice_id = listener.phase.notice_id()?;
    Some(Change::Withdraw { page, notice_id, listener: listener.clone() })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const LATE: Duration = Duration::from_secs(3);

    struct Scene {
        broadcast: Broadcast,
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
            scene.broadcast.go_on_air(0, scene.publisher, None);
            assert_eq!(scene.join(), ["write entry"]);
            let changes = scene.broadcast.entry_written(scene.now, scene.admin, 1);
            assert_eq!(names(&changes), ["pend Ack", "announce 1"]);
            scene
        }

        /// Heard under notice 1.
        fn heard() -> Scene {
            let mut scene = Scene::announced();
            assert!(scene.broadcast.acknowledge(scene.pages[0], 1).is_some());
            assert_eq!(scene.broadcast.forwarding().collect::<Vec<_>>(), [scene.audio]);
            scene
        }

        fn join(&mut self) -> Vec<String> {
            let (conn, peer) = (self.admin, self.audio);
            let (admin_id, admin_name) = ("paul".to_owned(), "Paul D.".to_owned());
            names(&self.broadcast.join(Wish { conn, peer, admin_id, admin_name, reason: "formation".into() }))
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
            Change::Unsettle { .. } => "unsettle".to_owned(),
        };
        changes.iter().map(name).collect()
    }

    #[test]
    fn a_wish_waits_for_page_and_air() {
        let mut scene = Scene::new();
        assert_eq!(scene.join(), ["pend Offline"]);
        assert_eq!(names(&scene.broadcast.open_page(0, scene.pages[0], "Léa")), ["pend OffAir"]);
        assert_eq!(names(&scene.broadcast.go_on_air(0, scene.publisher, None).1), ["write entry"]);
        assert_eq!(scene.broadcast.forwarding().count(), 0);
    }

    #[test]
    fn only_the_told_page_acknowledges_and_only_what_it_was_told() {
        let mut scene = Scene::announced();
        let [page, other] = scene.pages;
        for (name, page, notice_id) in
            [("another page", other, 1), ("the supervisor", scene.admin, 1), ("no notice", page, 2)]
        {
            assert!(scene.broadcast.acknowledge(page, notice_id).is_none(), "{name}");
        }
        assert!(scene.broadcast.acknowledge(page, 1).is_some());
        assert!(scene.broadcast.acknowledge(page, 1).is_none(), "once is enough");
    }

    #[test]
    fn nothing_is_heard_before_its_entry_is_written() {
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.broadcast.go_on_air(0, scene.publisher, None);
        scene.join();
        for notice_id in 0..3 {
            assert!(scene.broadcast.acknowledge(scene.pages[0], notice_id).is_none());
        }
    }

    #[test]
    fn an_acknowledgement_dies_with_its_page() {
        let mut scene = Scene::heard();
        let [page, other] = scene.pages;
        assert_eq!(names(&scene.broadcast.close_page(0)), ["unsettle", "pend Offline"]);
        scene.broadcast.open_page(0, other, "Léa");
        scene.broadcast.go_on_air(0, scene.publisher, None);
        scene.broadcast.entry_written(scene.now, scene.admin, 2);
        for (name, page, notice_id) in [("old page", page, 2), ("old notice", other, 1)] {
            assert!(scene.broadcast.acknowledge(page, notice_id).is_none(), "{name}");
        }
        assert_eq!(scene.broadcast.forwarding().count(), 0);
        assert!(scene.broadcast.acknowledge(other, 2).is_some());
    }

    #[test]
    fn going_off_air_and_falling_silent_keep_the_wish() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.silence_page()), ["unsettle", "withdraw 1", "pend AckLate"]);
        assert!(scene.broadcast.acknowledge(scene.pages[0], 1).is_none());
        assert_eq!(names(&scene.broadcast.wake_page()), ["write entry"]);
        scene.broadcast.entry_written(scene.now, scene.admin, 2);
        scene.broadcast.acknowledge(scene.pages[0], 2);
        assert_eq!(names(&scene.broadcast.go_off_air(0)), ["unsettle", "withdraw 2", "pend OffAir"]);
        assert_eq!(names(&scene.broadcast.go_off_air(0)), [] as [&str; 0]);
    }

    #[test]
    fn a_pause_holds_everybody_and_lets_them_go_on() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.pause(0)), ["unsettle", "pend Paused"]);
        assert_eq!(scene.broadcast.forwarding().count(), 0);
        assert_eq!((scene.broadcast.listeners_count(), scene.broadcast.announced_count()), (0, 1));
        assert_eq!(names(&scene.broadcast.pause(0)), [] as [&str; 0]);
        assert_eq!(scene.join(), ["pend Paused"]);
        scene.broadcast.go_on_air(0, scene.publisher, None);
        assert_eq!(scene.broadcast.presence(), Presence::Paused, "another session is no end of the pause");
        assert_eq!(names(&scene.broadcast.resume(0)), ["start"]);
        assert_eq!(scene.broadcast.forwarding().count(), 1);
        assert_eq!(names(&scene.broadcast.resume(0)), [] as [&str; 0]);
    }

    #[test]
    fn nobody_starts_in_a_pause() {
        let mut scene = Scene::announced();
        scene.broadcast.pause(0);
        assert!(scene.broadcast.acknowledge(scene.pages[0], 1).is_none(), "acknowledged, and held");
        assert_eq!(scene.broadcast.forwarding().count(), 0);
        assert_eq!(names(&scene.broadcast.resume(0)), ["start"]);
        let mut scene = Scene::new();
        scene.broadcast.open_page(0, scene.pages[0], "Léa");
        scene.broadcast.go_on_air(0, scene.publisher, None);
        scene.broadcast.pause(0);
        assert_eq!(scene.join(), ["pend Paused"]);
        assert_eq!(names(&scene.broadcast.resume(0)), ["write entry"]);
        scene.broadcast.pause(0);
        assert_eq!(names(&scene.broadcast.go_off_air(0)), ["pend OffAir"]);
    }

    #[test]
    fn leaving_tells_both_sides() {
        let mut scene = Scene::heard();
        assert_eq!(names(&scene.broadcast.leave(scene.admin, None)), ["stop true None", "withdraw 1"]);
        assert_eq!(names(&scene.broadcast.leave(scene.admin, None)), [] as [&str; 0]);
        let mut scene = Scene::new();
        scene.join();
        assert_eq!(names(&scene.broadcast.leave(scene.admin, None)), ["stop false None"]);
        assert!(scene.broadcast.is_idle());
    }

    #[test]
    fn joining_again_tells_again_and_changes_nothing() {
        let mut scene = Scene::announced();
        assert_eq!(scene.join(), ["pend Ack"]);
        scene.broadcast.acknowledge(scene.pages[0], 1);
        assert_eq!(scene.join(), ["started"]);
        assert_eq!(scene.broadcast.listeners_count(), 1);
    }

    #[test]
    fn a_late_acknowledgement_is_reported_once_and_still_counts() {
        let mut scene = Scene::announced();
        let due = scene.broadcast.next_deadline(LATE).unwrap();
        assert_eq!(due, scene.now + LATE);
        let almost = due - Duration::from_millis(1);
        assert_eq!(names(&scene.broadcast.handle_timeout(almost, LATE)), [] as [&str; 0]);
        assert_eq!(names(&scene.broadcast.handle_timeout(due, LATE)), ["pend AckLate"]);
        assert_eq!(names(&scene.broadcast.handle_timeout(due, LATE)), [] as [&str; 0]);
        assert_eq!(scene.broadcast.next_deadline(LATE), None);
        assert!(scene.broadcast.acknowledge(scene.pages[0], 1).is_some());
    }

    #[test]
    fn a_pause_has_no_level() {
        let mut scene = Scene::heard();
        let silence = Duration::from_millis(400);
        scene.broadcast.hear_level(scene.now, -20, silence);
        assert_eq!(scene.broadcast.take_level(scene.now, silence), -20);
        scene.broadcast.pause(0);
        scene.broadcast.hear_level(scene.now, -5, silence);
        assert_eq!(scene.broadcast.take_level(scene.now, silence), LEVEL_SILENT);
        scene.broadcast.resume(0);
        assert_eq!(scene.broadcast.take_level(scene.now, silence), -20, "nothing of the pause is left");
    }

    #[test]
    fn updates_are_spaced() {
        let mut scene = Scene::new();
        let interval = Duration::from_millis(200);
        scene.broadcast.want_update(scene.now, interval);
        assert!(scene.broadcast.take_update(scene.now));
        assert!(!scene.broadcast.take_update(scene.now));
        let soon = scene.now + Duration::from_millis(10);
        scene.broadcast.want_update(soon, interval);
        assert!(!scene.broadcast.take_update(soon));
        assert!(scene.broadcast.take_update(scene.now + interval));
    }
}
