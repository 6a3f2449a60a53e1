//! Watches what reaches and leaves the server, and says what may be heard because of that: laws 1, 2 and 8.
//!
//! Bytes are read as they reach or leave the core, so that no network blurs when something was said. What leaves for a
//! listener is bound to what was so at that very moment: the notices that its supervisor's name stands in, told to the
//! page, acknowledged on that conn before it was spoken, and not withdrawn; the listenings that are written down as
//! started; the pauses.
//! Invariant: nothing here is asked of the server, so that no fault of the server hides itself.
//!
//! The server was broken in each of these ways, and each was seen to fail a law here, a scenario, or the comparison of its
//! tables. Whoever changes what is checked breaks it so again:
//! - an acknowledgement of one notice satisfies any; it outlives its page, or the silence of that; who comes back, or opens
//!   a second page, hears on an old one; an encoder is heard like a device; an entry alone lets hear;
//! - a pause does not hold; who leaves is heard by on; what waits over TCP is not withdrawn;
//! - nobody waits for the entry, or for any entry instead of the own; a refused entry counts as written;
//! - what arrives after an acknowledgement or a resume is heard, instead of what was sent after it; an encoder's packets are
//!   judged by when they arrive; a count of another stream, or that began anew, is taken;
//! - an announcement, a start, an interruption or an end is not written down;
//! - a page is told, or a pause answered, once a disk has taken its time, or before; a server that was killed leaves open what
//!   the next one does not close.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ecoute::audit::{Entry, EntryId, Event, ListenEnd, ListeningId, StartedBy};
use ecoute::keys::ConnKey;
use serde_json::Value;

use super::Who;
use super::frames::Frames;

/// For how long the pause of an encoder that is off air counts when it comes back.
const PAUSE_KEPT: Duration = Duration::from_secs(12 * 3600);

/// A supervisor and a salesperson, by their ids.
type Pair = (String, String);

/// A microphone, and the how-manieth packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Next {
    source: u16,
    counter: u32,
}

impl Next {
    /// Reads what a page says beside its count.
    fn of(data: &Value) -> Next {
        let number = |index: usize| data["next"][index].as_u64().unwrap_or_default();
        Next { source: number(0) as u16, counter: number(1) as u32 }
    }

    /// Tells whether a packet was made then or later; of another microphone that is not known here.
    fn is_before(&self, packet: Next) -> bool {
        self.source != packet.source || self.counter <= packet.counter
    }
}

#[derive(Default)]
pub(super) struct Witness {
    pages: BTreeMap<ConnKey, Page>,
    listenings: BTreeMap<ListeningId, Stage>,
    /// Who streams through an encoder, and whose pause is kept since when.
    encoders: BTreeSet<String>,
    pauses_kept: BTreeMap<String, Instant>,
    /// What is so now.
    facts: Rc<Facts>,
    /// What was so when a packet left: by its listener, stream and number, which does not begin again.
    left: HashMap<(Who, u32, u64), Rc<Facts>>,
    /// The newest number of a listener's stream.
    newest: HashMap<(Who, u32), u64>,
    /// Those of which an announcement is durable, for good.
    durable: BTreeSet<ListeningId>,
    /// Who was ever written down to hear whom.
    begun: BTreeSet<Pair>,
    /// Who was told in this turn that they hear whom; it may be over by its end.
    said_to_begin: Vec<Pair>,
    /// How many listeners of one supervisor got one packet, and how many might have.
    shares: HashMap<(String, u16, u32), (usize, usize)>,
}

/// What decides about who may be heard by whom.
#[derive(Clone, Default)]
struct Facts {
    /// The live notices that were acknowledged: for each, what the page's microphone made next.
    acknowledged: BTreeMap<Pair, Vec<Next>>,
    /// What the microphone of who resumed made next.
    resumed: BTreeMap<String, Next>,
    /// How many listenings are written down as started.
    started: BTreeMap<Pair, usize>,
    paused: BTreeSet<String>,
}

/// One TCP connection of a page.
#[derive(Default)]
struct Page {
    /// Whose it is, once the server said so; of salespeople alone.
    commercial_id: Option<String>,
    /// The notices that it was told, whom each names, and what its microphone made next when it acknowledged.
    notices: BTreeMap<u64, (String, Option<Next>)>,
    /// Whose it is; of supervisors alone.
    admin_id: Option<String>,
    /// How often it asked for what protects its person, and was not answered yet.
    unprotected: usize,
    /// Whether another page took over from it: it acknowledges nothing any more.
    is_displaced: bool,
    from_client: Frames,
    from_server: Frames,
    /// How much of what waits to be written was read here.
    seen: usize,
}

/// How far a listening is, by its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked for, or unsettled since.
    Asked,
    Announced {
        entry: EntryId,
        is_durable: bool,
    },
    Started,
    /// Started once, and acknowledged still.
    Held,
    Ended,
}

impl Witness {
    /// The client of a conn sent this.
    pub(super) fn on_received(&mut self, conn: ConnKey, bytes: &[u8]) {
        let page = self.pages.entry(conn).or_default();
        let texts = page.from_client.push(bytes);
        if texts.is_empty() {
            return;
        }
        for text in texts {
            let Some(text) = text else {
                page.notices.clear();
                continue;
            };
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            let data = &message["data"];
            let is_protection =
                ["pause_streaming", "stop_streaming"].iter().any(|event| message["event"] == *event);
            page.unprotected += usize::from(is_protection && page.commercial_id.is_some());
            let notice_id = data["notice_id"].as_u64().filter(|_| message["event"] == "listener_ack");
            if let Some((_, next)) = notice_id.and_then(|id| page.notices.get_mut(&id)) {
                next.get_or_insert(Next::of(data));
            }
            if let Some(id) = page.commercial_id.as_ref().filter(|id| self.facts.paused.contains(*id))
                && message["event"] == "resume_streaming"
            {
                Rc::make_mut(&mut self.facts).resumed.insert(id.clone(), Next::of(data));
            }
        }
        self.count_notices();
    }

    /// This waits to be written to a conn: what is new in it was said just now.
    pub(super) fn on_pending(&mut self, conn: ConnKey, pending: &[u8]) {
        let page = self.pages.entry(conn).or_default();
        let texts = page.from_server.push(&pending[page.seen.min(pending.len())..]);
        page.seen = pending.len();
        if texts.is_empty() {
            return;
        }
        for text in texts {
            match text.map(|text| serde_json::from_str(&text).expect("the server writes JSON")) {
                Some(message) => self.on_said(conn, &message),
                // The server says goodbye.
                None => drop(self.pages.get_mut(&conn).map(|page| page.notices.clear())),
            }
        }
        self.count_notices();
    }

    pub(super) fn on_written(&mut self, conn: ConnKey, bytes: usize) {
        if let Some(page) = self.pages.get_mut(&conn) {
            page.seen = page.seen.saturating_sub(bytes);
        }
    }

    pub(super) fn on_hangup(&mut self, conn: ConnKey) {
        if self.pages.remove(&conn).is_some_and(|page| !page.notices.is_empty()) {
            self.count_notices();
        }
    }

    /// A packet leaves for a listener.
    pub(super) fn on_media(&mut self, who: Who, datagram: &[u8]) {
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        let ssrc = u32::from_be_bytes([datagram[8], datagram[9], datagram[10], datagram[11]]);
        let newest = self.newest.entry((who, ssrc)).or_insert(sequence.into());
        let step = i64::from(sequence.wrapping_sub(*newest as u16).cast_signed());
        let sequence = newest.saturating_add_signed(step);
        *newest = sequence.max(*newest);
        self.left.entry((who, ssrc, sequence)).or_insert_with(|| Rc::clone(&self.facts));
    }

    /// The server has something written down.
    pub(super) fn on_entry(&mut self, now: Instant, entry: &Entry) {
        let id = entry.event.listening().map(|listening| listening.id);
        let before = id.and_then(|id| self.listenings.get(&id).copied());
        let is_open = before.is_some_and(|stage| stage != Stage::Ended);
        let after = match &entry.event {
            Event::ListenAsked { .. } if before.is_none() => Stage::Asked,
            Event::ListenRefused { .. } if before.is_none() => Stage::Ended,
            Event::ListenAnnounced { .. } if is_open && before != Some(Stage::Started) => {
                Stage::Announced { entry: entry.id, is_durable: false }
            }
            Event::ListenStarted { .. }
                if matches!(before, Some(Stage::Announced { is_durable: true, .. } | Stage::Held)) =>
            {
                Stage::Started
            }
            Event::ListenInterrupted { why, .. } if before == Some(Stage::Started) => {
                if why.keeps_acknowledgement() { Stage::Held } else { Stage::Asked }
            }
            Event::ListenEnded { was_heard, why, .. } if is_open => {
                assert_eq!(*was_heard, before == Some(Stage::Started), "law 8: {}", entry.event);
                assert!(*why != ListenEnd::NotWritten || !was_heard, "law 8: {}", entry.event);
                Stage::Ended
            }
            Event::ListenAsked { .. }
            | Event::ListenRefused { .. }
            | Event::ListenAnnounced { .. }
            | Event::ListenStarted { .. }
            | Event::ListenInterrupted { .. }
            | Event::ListenEnded { .. } => panic!("law 8: {} after {before:?}", entry.event),
            event => return self.on_broadcast_entry(now, event),
        };
        let listening = entry.event.listening().expect("it is of one");
        self.listenings.insert(listening.id, after);
        let pair = pair(&listening.admin_id, &listening.commercial_id);
        self.begun.extend((after == Stage::Started).then(|| pair.clone()));
        let started = Rc::make_mut(&mut self.facts).started.entry(pair);
        let count = started.or_default();
        *count += usize::from(after == Stage::Started);
        *count -= usize::from(before == Some(Stage::Started) && after != Stage::Started);
    }

    fn on_broadcast_entry(&mut self, now: Instant, event: &Event) {
        let id = event.commercial_id().to_owned();
        let facts = Rc::make_mut(&mut self.facts);
        match event {
            Event::BroadcastPaused { .. } => drop(facts.paused.insert(id)),
            Event::BroadcastResumed { .. } => drop(facts.paused.remove(&id)),
            Event::BroadcastStarted { by: StartedBy::Page, .. } => {
                self.encoders.remove(&id);
                facts.paused.remove(&id);
            }
            Event::BroadcastStarted { by: StartedBy::Encoder, .. } => {
                let kept = self.pauses_kept.remove(&id).filter(|at| *at + PAUSE_KEPT > now);
                facts.paused.extend(kept.map(|_| id.clone()));
                self.encoders.insert(id);
            }
            Event::BroadcastStopped { .. } => {
                let is_kept = facts.paused.remove(&id) && self.encoders.contains(&id);
                self.pauses_kept.extend(is_kept.then_some((id, now)));
            }
            _ => {}
        }
    }

    /// The writer answered.
    pub(super) fn on_answered(&mut self, written: EntryId, is_written: bool) {
        let announced = self.listenings.iter_mut().find_map(|(id, stage)| match stage {
            Stage::Announced { entry, is_durable } if *entry == written => Some((*id, is_durable)),
            _ => None,
        });
        if let Some((id, is_durable)) = announced {
            *is_durable = is_written;
            self.durable.extend(is_written.then_some(id));
        }
    }

    /// At the end of a turn. Law 8: who was told that they hear somebody was written down to. Law 9: who asked for what protects
    /// them was answered, whatever the disk does.
    pub(super) fn check_turn(&mut self) {
        let unwritten = self.said_to_begin.drain(..).find(|pair| !self.begun.contains(pair));
        assert_eq!(unwritten, None, "law 8: it begins, and is not written down");
        let waits = self.pages.values().find(|page| page.unprotected > 0);
        assert!(waits.is_none(), "law 9: {:?} waits", waits.and_then(|page| page.commercial_id.as_ref()));
    }

    /// Law 8, of a server that was killed and the journal that the next one found: each listening of which somebody was told is
    /// in it, and all that was open is closed, no later than the kill.
    pub(super) fn check_killed(&self, entries: &[Value], killed_ms: u64) {
        let mut ends: HashMap<&str, &Value> = HashMap::new();
        let mut announced = BTreeSet::new();
        for entry in entries {
            let listening = entry["listening"].as_str().unwrap_or_default();
            match entry["event"].as_str().unwrap_or_default() {
                "listen_announced" => drop(announced.insert(listening)),
                "listen_ended" => assert!(ends.insert(listening, entry).is_none(), "law 8: it ends twice: {entry}"),
                _ => {}
            }
            let is_closing = entry["detail"] == "server died";
            assert!(!is_closing || entry["at_ms"].as_u64() <= Some(killed_ms), "it was dead: {entry} {killed_ms}");
        }
        for id in &self.durable {
            let name = id.to_string();
            assert!(announced.contains(name.as_str()), "law 8: {name} was announced");
            let end = ends.get(name.as_str()).unwrap_or_else(|| panic!("law 8: {name} never ends"));
            let was_open = self.listenings.get(id) != Some(&Stage::Ended);
            assert!(!was_open || end["detail"] == "server died", "law 8: {end}");
        }
    }

    /// A listener of this supervisor got the how-manieth packet of a microphone: laws 1, 2 and 8.
    pub(super) fn check(&mut self, heard: &Packet<'_>) {
        let &Packet { who, ssrc, sequence, admin_id, commercial_id, source, counter, needs_page } = heard;
        let facts = self.left.get(&(who, ssrc, sequence)).expect("what is heard has left before");
        assert!(!facts.paused.contains(commercial_id), "law 2: {admin_id} hears {commercial_id} in a pause");
        let packet = Next { source, counter };
        let is_resumed = facts.resumed.get(commercial_id).is_none_or(|next| next.is_before(packet));
        assert!(is_resumed, "law 2: {admin_id} hears what {commercial_id} said in a pause");
        let pair = pair(admin_id, commercial_id);
        let told = facts.acknowledged.get(&pair).into_iter().flatten();
        let acknowledged = told.filter(|next| next.is_before(packet)).count();
        let started = facts.started.get(&pair).copied().unwrap_or_default();
        let may_hear = if needs_page { acknowledged.min(started) } else { started };
        let (hearing, most) = self.shares.entry((pair.0, source, counter)).or_default();
        *hearing += 1;
        *most = may_hear.max(*most);
        assert!(acknowledged > 0 || !needs_page, "law 1: {admin_id} hears what {commercial_id} said untold");
        assert!(started > 0, "law 8: {admin_id} hears {commercial_id}, and it is not written down");
        assert!(hearing <= most, "law 1: {hearing} of {admin_id} hear {commercial_id}, {most} may");
    }

    /// Everybody is gone: each listening is closed by its stop.
    pub(super) fn check_closed(&self) {
        let open = self.listenings.iter().find(|(_, stage)| **stage != Stage::Ended);
        assert_eq!(open, None, "law 8: no end is written down");
    }

    /// The server is another one.
    pub(super) fn on_restart(&mut self) {
        let (left, newest) = (std::mem::take(&mut self.left), std::mem::take(&mut self.newest));
        *self = Witness { left, newest, ..Witness::default() };
    }

    fn on_said(&mut self, conn: ConnKey, message: &Value) {
        let (page, data) = (self.pages.get_mut(&conn).expect("it was just read"), &message["data"]);
        if ["streaming_paused", "streaming_stopped", "error"].iter().any(|event| message["event"] == *event) {
            page.unprotected = page.unprotected.saturating_sub(1);
        }
        let facts = Rc::make_mut(&mut self.facts);
        match (message["event"].as_str().unwrap_or_default(), &page.commercial_id) {
            ("user_registered", _) if data["role"] == "commercial" => {
                page.is_displaced = false;
                page.commercial_id = data["id"].as_str().map(str::to_owned);
            }
            ("user_registered", _) => page.admin_id = data["id"].as_str().map(str::to_owned),
            ("taken_over", _) => page.is_displaced = true,
            ("listening_started", _) => {
                let admin_id = page.admin_id.as_deref().expect("a supervisor");
                let pair = pair(admin_id, data["commercial_id"].as_str().expect("it names somebody"));
                self.said_to_begin.push(pair);
            }
            ("listener_joined", _) => {
                let listening = data["listening_id"].as_str().and_then(|id| u64::from_str_radix(id, 16).ok());
                let listening = ListeningId(listening.expect("a notice names the listening"));
                assert!(self.durable.contains(&listening), "law 8: {listening} is told, and is not durable");
                let id = data["notice_id"].as_u64().expect("a notice has a number");
                let admin_id = data["admin"]["id"].as_str().expect("and names somebody").to_owned();
                page.notices.insert(id, (admin_id, None));
            }
            ("listener_left", _) => {
                page.notices.remove(&data["notice_id"].as_u64().expect("a notice has a number"));
            }
            ("streaming_paused", Some(id)) => drop(facts.paused.insert(id.clone())),
            ("streaming_resumed", Some(id)) => drop(facts.paused.remove(id)),
            _ => {}
        }
    }

    fn count_notices(&mut self) {
        let mut acknowledged: BTreeMap<Pair, Vec<Next>> = BTreeMap::new();
        for page in self.pages.values().filter(|page| !page.is_displaced) {
            let Some(id) = &page.commercial_id else { continue };
            for (admin_id, next) in page.notices.values() {
                acknowledged.entry(pair(admin_id, id)).or_default().extend(next);
            }
        }
        if self.facts.acknowledged != acknowledged {
            Rc::make_mut(&mut self.facts).acknowledged = acknowledged;
        }
    }
}

/// A packet that a listener got.
pub(super) struct Packet<'a> {
    pub(super) who: Who,
    pub(super) ssrc: u32,
    pub(super) sequence: u64,
    pub(super) admin_id: &'a str,
    pub(super) commercial_id: &'a str,
    pub(super) source: u16,
    pub(super) counter: u32,
    /// Whether a page must have acknowledged.
    pub(super) needs_page: bool,
}

fn pair(admin_id: &str, commercial_id: &str) -> Pair {
    (admin_id.to_owned(), commercial_id.to_owned())
}
