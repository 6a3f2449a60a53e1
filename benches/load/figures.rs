//! What a run measured, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

/// How a time is spread over its measurements, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Spread {
    pub fn of(mut measured_us: Vec<u64>) -> Spread {
        measured_us.sort_unstable();
        let at = |share: f64| {
            let index = (measured_us.len() as f64 * share) as usize;
            measured_us.get(index.min(measured_us.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Spread { p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
    }

    fn to_json(self) -> Value {
        json!({ "p50_us": self.p50_us, "p99_us": self.p99_us, "max_us": self.max_us })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        write!(
            f,
            "{:.2} ms, of 100 one {:.2} ms or more, at most {:.2} ms",
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.max_us)
        )
    }
}

/// What a server takes that has nothing to do, as seconds of processor time in a second.
pub struct Idle {
    pub supervisors: usize,
    pub empty: f64,
    /// Resident memory of the empty server.
    pub empty_kib: u64,
    pub connected: f64,
    /// One is on air, and nobody hears them.
    pub on_air: f64,
}

impl Idle {
    pub fn to_json(&self) -> Value {
        json!({
            "supervisors": self.supervisors,
            "empty_share": self.empty,
            "empty_kib": self.empty_kib,
            "connected_share": self.connected,
            "on_air_share": self.on_air,
        })
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Idle { supervisors, empty, empty_kib, connected, on_air } = self;
        writeln!(
            f,
            "empty                  {:.3} % of a core, {:.1} MiB",
            100.0 * empty,
            *empty_kib as f64 / 1024.0
        )?;
        writeln!(f, "{supervisors} supervisors, nobody on air          {:.2} % of a core", 100.0 * connected)?;
        write!(f, "{supervisors} supervisors, one on air, none hears  {:.2} % of a core", 100.0 * on_air)
    }
}

/// What came of listeners who all joined at once.
pub struct Storm {
    pub joiners: usize,
    /// From a wish to the first packet.
    pub join: Spread,
    /// Processor time of the server for each of them, without what runs anyway.
    pub join_ms: f64,
    /// The longest time between two packets of one who heard before.
    pub gap_max_us: u64,
}

impl Storm {
    fn to_json(&self) -> Value {
        json!({
            "joiners": self.joiners,
            "join": self.join.to_json(),
            "server_ms_per_join": self.join_ms,
            "gap_max_us": self.gap_max_us,
        })
    }
}

/// What came of listeners who went and came back, one after the other, round after round.
pub struct Churn {
    pub reopened: usize,
    /// Resident memory of the server when each had been opened once more, and at the end.
    pub first_kib: u64,
    pub last_kib: u64,
}

impl Churn {
    fn to_json(&self) -> Value {
        json!({ "reopened": self.reopened, "first_kib": self.first_kib, "last_kib": self.last_kib })
    }
}

/// What a run measured.
pub struct Figures {
    pub publishers: usize,
    pub listeners: usize,
    pub seconds: u16,
    /// Of the server's datagrams with media.
    pub datagram_bytes: usize,
    /// Packets sent times listeners.
    pub expected: u64,
    pub delivered: u64,
    pub repeated: u64,
    /// Processor time of the server for each delivered packet, all that it does included.
    pub server_us: f64,
    /// How much of that it took as well when nobody listened yet.
    pub idle_us: f64,
    /// What a bare `sendmmsg` of as many datagrams to as many ports takes for each.
    pub floor_us: f64,
    /// From the publisher's socket to the listener's, by the kernel's stamps.
    pub latency: Spread,
    /// How much after their time packets left the generator.
    pub lateness: Spread,
    /// From a page's first byte to its connected session.
    pub open: Spread,
    /// From a wish to the first packet.
    pub join: Spread,
    /// Processor time of the server for each session that was opened, without what runs anyway.
    pub session_ms: f64,
    pub listener_kib: f64,
    /// Resident memory of the whole server.
    pub server_kib: u64,
    pub storm: Option<Storm>,
    pub churn: Option<Churn>,
}

impl Figures {
    pub fn to_json(&self) -> Value {
        json!({
            "publishers": self.publishers,
            "listeners": self.listeners,
            "seconds": self.seconds,
            "datagram_bytes": self.datagram_bytes,
            "packets_expected": self.expected,
            "packets_delivered": self.delivered,
            "packets_repeated": self.repeated,
            "delivered_share": self.delivered_share(),
            "server_us_per_packet": self.server_us,
            "idle_us_per_packet": self.idle_us,
            "floor_us_per_packet": self.floor_us,
            "ratio_to_floor": self.ratio(),
            "latency": self.latency.to_json(),
            "generator_lateness": self.lateness.to_json(),
            "open": self.open.to_json(),
            "join": self.join.to_json(),
            "server_ms_per_session": self.session_ms,
            "kib_per_listener": self.listener_kib,
            "server_kib": self.server_kib,
            "storm": self.storm.as_ref().map(Storm::to_json),
            "churn": self.churn.as_ref().map(Churn::to_json),
        })
    }

    fn delivered_share(&self) -> f64 {
        self.delivered as f64 / self.expected as f64
    }

    fn ratio(&self) -> f64 {
        self.server_us / self.floor_us
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { publishers, listeners, seconds, datagram_bytes, .. } = self;
        writeln!(
            f,
            "{publishers} publishers, {listeners} listeners, {seconds} s, datagrams of {datagram_bytes} bytes"
        )?;
        let share = 100.0 * self.delivered_share();
        writeln!(f, "delivered              {share:.3} % of {}, {} repeated", self.expected, self.repeated)?;
        writeln!(
            f,
            "server per packet      {:.2} µs, of it {:.2} µs when nobody listens",
            self.server_us, self.idle_us
        )?;
        writeln!(f, "bare sendmmsg          {:.2} µs, ratio {:.2}", self.floor_us, self.ratio())?;
        writeln!(f, "latency                {}", self.latency)?;
        writeln!(f, "generator late by      {}", self.lateness)?;
        writeln!(f, "open until connected   {}", self.open)?;
        writeln!(f, "wish until heard       {}", self.join)?;
        writeln!(f, "server per session     {:.2} ms", self.session_ms)?;
        write!(
            f,
            "memory per listener    {:.1} KiB, server {:.1} MiB",
            self.listener_kib,
            self.server_kib as f64 / 1024.0
        )?;
        if let Some(Storm { joiners, join, join_ms, gap_max_us }) = &self.storm {
            write!(
                f,
                "\n{joiners} at once until heard  {join}; server {join_ms:.2} ms each, others' longest gap "
            )?;
            write!(f, "{:.1} ms", *gap_max_us as f64 / 1000.0)?;
        }
        if let Some(Churn { reopened, first_kib, last_kib }) = &self.churn {
            let mib = |kib: &u64| *kib as f64 / 1024.0;
            write!(f, "\n{reopened} came back            server {:.1} MiB after one round, ", mib(first_kib))?;
            write!(f, "{:.1} MiB after the last", mib(last_kib))?;
        }
        Ok(())
    }
}
