//! What lasts as long as a salesperson is on air: the session, the pause, the interruption, the last packet.
//!
//! Knows no listener. Invariant: `position` is absent while paused, and what was sent before the last pause ended is heard by
//! nobody.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::listener::Passed;
use super::timeline::{Since, Timeline};
use super::{Source, Start};
use crate::arrivals::Arrivals;
use crate::config::BroadcastLimits;
use crate::keys::PeerKey;
use crate::words::{InterruptedBy, Place};

/// A broadcast that is on air.
#[derive(Debug)]
pub(super) struct OnAir {
    /// The session that brings the audio; absent while the page builds another one.
    pub(super) publisher: Option<PeerKey>,
    pub(super) source: Source,
    pub(super) commercial_info: Option<Box<RawValue>>,
    /// While it is paused, what had come when that began.
    pub(super) paused: Option<Passed>,
    /// From where on it may be heard: what was sent in a pause may come after it.
    pub(super) from: Since,
    pub(super) timeline: Timeline,
    pub(super) interruption: Option<InterruptedBy>,
    /// Since when a packet is waited for: the last one, or what the page did since that lets it begin anew.
    waiting_since: Instant,
    /// Whether a packet ever came: who has just begun is not interrupted.
    has_begun: bool,
    /// How many packets came.
    pub(super) packets: u64,
    /// Since when the page is not connected.
    pub(super) page_gone: Option<Instant>,
    /// Where the salesperson is, and when that was told.
    position: Option<(Place, Instant)>,
    pub(super) arrivals: Arrivals,
    next_quality: Instant,
}

impl OnAir {
    pub(super) fn new(now: Instant, start: Start, limits: &BroadcastLimits) -> OnAir {
        OnAir {
            publisher: Some(start.publisher),
            source: start.source,
            commercial_info: start.commercial_info,
            paused: None,
            from: Since::Any,
            timeline: Timeline::default(),
            interruption: None,
            waiting_since: now,
            has_begun: false,
            packets: 0,
            page_gone: None,
            position: None,
            arrivals: Arrivals::new(now),
            next_quality: now + limits.quality_interval,
        }
    }

    /// Another session brings the audio; returns the one before. Another encoder has to begin by itself.
    pub(super) fn replace_publisher(&mut self, publisher: PeerKey) -> Option<PeerKey> {
        self.has_begun &= !self.is_encoder();
        self.publisher.replace(publisher)
    }

    /// Tells whether nothing is transmitted.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Tells whether the packet that came last is from behind this place, and behind the last pause.
    pub(super) fn is_heard_from(&self, from: Since) -> bool {
        self.timeline.is_after(self.from) && self.timeline.is_after(from)
    }

    /// A packet came; tells whether it ends an interruption by the network.
    pub(super) fn hear(&mut self, now: Instant) -> bool {
        self.waiting_since = now;
        self.has_begun = true;
        self.packets += 1;
        self.interruption == Some(InterruptedBy::Network)
    }

    /// The page ends what kept its packets away: the next one may take as long as any.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.waiting_since = now;
        self.interruption.take_if(|cause| *cause != InterruptedBy::Network);
    }

    /// Tells whether it is time to say that nothing comes.
    pub(super) fn is_missing(&self, now: Instant, limits: &BroadcastLimits) -> bool {
        self.missing_at(limits).is_some_and(|at| at <= now)
    }

    /// Tells whether nothing came for so long, or nobody looks for so long, that it is over.
    pub(super) fn is_over(&self, now: Instant, limits: &BroadcastLimits) -> bool {
        self.over_at(limits) <= now
    }

    /// Tells whether it is time to say how well packets arrive, and takes it that it is said.
    pub(super) fn take_quality_tick(&mut self, now: Instant, limits: &BroadcastLimits) -> bool {
        let is_due = self.next_quality <= now;
        if is_due {
            self.next_quality = now + limits.quality_interval;
        }
        is_due
    }

    pub(super) fn next_deadline(&self, limits: &BroadcastLimits) -> Instant {
        let missing = self.missing_at(limits).into_iter();
        missing.chain([self.over_at(limits), self.next_quality]).min().expect("two of them are always there")
    }

    /// Takes a place, unless one was taken a moment ago; tells whether it was.
    pub(super) fn move_to(&mut self, now: Instant, place: Place, limits: &BroadcastLimits) -> bool {
        let is_early = self.position.is_some_and(|(_, at)| now < at + limits.position_interval);
        if !is_early {
            self.position = Some((place, now));
        }
        !is_early
    }

    pub(super) fn forget_place(&mut self) {
        self.position = None;
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.position.map(|(place, _)| place)
    }

    /// Tells whether the audio comes from a WHIP client.
    pub(super) fn is_encoder(&self) -> bool {
        match self.source {
            Source::Page(_) => false,
            Source::Encoder | Source::Device => true,
        }
    }

    /// Tells whether nothing comes, paused or not.
    pub(super) fn is_silent(&self, now: Instant, limits: &BroadcastLimits) -> bool {
        self.waiting_since + limits.interrupted_after <= now
    }

    fn missing_at(&self, limits: &BroadcastLimits) -> Option<Instant> {
        let may_be_missing = self.has_begun && self.interruption.is_none() && !self.is_paused();
        may_be_missing.then(|| self.waiting_since + limits.interrupted_after)
    }

    fn over_at(&self, limits: &BroadcastLimits) -> Instant {
        let page_gone = self.page_gone.filter(|_| matches!(self.source, Source::Page(_)));
        let since = page_gone.map_or(self.waiting_since, |gone| gone.min(self.waiting_since));
        since + self.patience(limits)
    }

    /// Returns for how long a packet is waited for: a page says what keeps it, an encoder that has not begun is broken.
    fn patience(&self, limits: &BroadcastLimits) -> Duration {
        match self.source {
            Source::Encoder | Source::Device if !self.has_begun => limits.whip_silent_start,
            Source::Page(_) | Source::Encoder | Source::Device => limits.off_air_after,
        }
    }
}
