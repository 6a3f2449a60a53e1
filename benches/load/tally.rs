//! Counts which packets were sent and which were heard, and when.
//!
//! Invariant: a packet is counted once for each listener that was to hear it, however often it arrives.

use std::time::Duration;

use crate::figures::Spread;

/// What helps a generator that can't keep up.
pub const LATE_ADVICE: &str = "ask for fewer --listeners, or stop what else runs on this machine";

/// A packet that leaves later than this ends the run, measured or not.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How late measured packets may leave, 99 of 100: half of the time between two.
const LATE_P99_MAX_US: u64 = 10_000;

/// What was heard of all that was sent in the measured time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub expected: u64,
    pub delivered: u64,
    /// Packets that a listener heard more than once, over the whole run.
    pub repeated: u64,
}

/// The whole run's packets.
#[derive(Default)]
pub struct Tally {
    /// By publisher, and by the number of its packet.
    sent_unix_ns: Vec<Vec<u64>>,
    listeners: Vec<Listener>,
    /// The number of each publisher's next packet when the measured time began and ended.
    begun: Option<Vec<usize>>,
    ended: Option<Vec<usize>>,
    latencies_us: Vec<u64>,
    lateness_us: Vec<u64>,
    repeated: u64,
    /// How many listeners heard already when the others came at once; none before that.
    steady: Option<usize>,
    /// The longest time since then between two packets of one of them.
    gap_max_us: u64,
}

/// One listener, and which packets of its publisher it heard.
struct Listener {
    publisher: usize,
    heard: Vec<bool>,
    last_unix_ns: Option<u64>,
}

impl Tally {
    pub fn add_publisher(&mut self) {
        self.sent_unix_ns.push(Vec::new());
    }

    /// Adds a listener to a publisher; returns its number.
    pub fn add_listener(&mut self, publisher: usize) -> usize {
        self.listeners.push(Listener { publisher, heard: Vec::new(), last_unix_ns: None });
        self.listeners.len() - 1
    }

    /// The next packet of a publisher leaves, so much after its time.
    ///
    /// # Errors
    /// That is far too late.
    pub fn send(&mut self, publisher: usize, unix_ns: u64, late: Duration) -> Result<(), String> {
        if late > LATE_MAX {
            return Err(format!("the generator was late: a packet left {late:.1?} after its time; {LATE_ADVICE}"));
        }
        self.sent_unix_ns[publisher].push(unix_ns);
        if self.begun.is_some() {
            self.lateness_us.push(late.as_micros() as u64);
        }
        Ok(())
    }

    /// A packet arrived at a listener.
    ///
    /// # Errors
    /// It is of somebody else, or was never sent.
    pub fn hear(&mut self, listener: usize, source: usize, counter: usize, unix_ns: u64) -> Result<(), String> {
        let Listener { publisher, heard, last_unix_ns } = &mut self.listeners[listener];
        if *publisher != source {
            return Err(format!("listener {listener} hears {source} and not {publisher}"));
        }
        let sent_ns = self.sent_unix_ns[source].get(counter);
        let sent_ns = *sent_ns.ok_or_else(|| format!("packet {counter} of {source} was never sent"))?;
        if heard.len() <= counter {
            heard.resize(counter + 1, false);
        }
        if heard[counter] {
            self.repeated += 1;
        } else if self.begun.as_ref().is_some_and(|begun| begun[source] <= counter)
            && self.ended.as_ref().is_none_or(|ended| counter < ended[source])
        {
            self.latencies_us.push(unix_ns.saturating_sub(sent_ns) / 1000);
        }
        if !std::mem::replace(&mut heard[counter], true) {
            let gap_ns = last_unix_ns.replace(unix_ns).map_or(0, |last_ns| unix_ns.saturating_sub(last_ns));
            if self.steady.is_some_and(|steady| listener < steady) {
                self.gap_max_us = self.gap_max_us.max(gap_ns / 1000);
            }
        }
        Ok(())
    }

    /// What is sent from now on is measured.
    pub fn begin(&mut self) {
        self.begun = Some(self.sent_unix_ns.iter().map(Vec::len).collect());
    }

    /// What is sent from now on is not measured any more.
    pub fn end(&mut self) {
        self.ended = Some(self.sent_unix_ns.iter().map(Vec::len).collect());
    }

    /// All listeners but the first `steady` come at once from now on.
    pub fn begin_storm(&mut self, steady: usize) {
        self.steady = Some(steady);
    }

    /// The longest time until now without a packet for one who heard before the storm began.
    pub fn gap_max_us(&self, unix_ns: u64) -> u64 {
        let steady = self.listeners.iter().take(self.steady.unwrap_or_default());
        let lasts_ns = steady.filter_map(|listener| Some(unix_ns.saturating_sub(listener.last_unix_ns?)));
        self.gap_max_us.max(lasts_ns.max().unwrap_or_default() / 1000)
    }

    pub fn count(&self) -> Counted {
        let mut counted = Counted { repeated: self.repeated, ..Counted::default() };
        let (Some(begun), Some(ended)) = (&self.begun, &self.ended) else { return counted };
        for Listener { publisher, heard, .. } in &self.listeners {
            let measured = begun[*publisher]..ended[*publisher];
            counted.expected += measured.len() as u64;
            let is_heard = |counter: &usize| heard.get(*counter).copied().unwrap_or_default();
            counted.delivered += measured.filter(is_heard).count() as u64;
        }
        counted
    }

    /// From each measured packet's sending to its arrival at one listener's socket.
    pub fn latency(&self) -> Spread {
        Spread::of(self.latencies_us.clone())
    }

    /// How much after its time each packet left since measuring began.
    ///
    /// # Errors
    /// It was so much that the generator's slowness would be measured, and not the server's.
    pub fn lateness(&self) -> Result<Spread, String> {
        let lateness = Spread::of(self.lateness_us.clone());
        if lateness.p99_us > LATE_P99_MAX_US {
            let late_ms = lateness.p99_us / 1000;
            return Err(format!(
                "the generator was late: of 100 packets one left {late_ms} ms too late; {LATE_ADVICE}"
            ));
        }
        Ok(lateness)
    }
}
