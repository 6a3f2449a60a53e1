//! What the server costs end to end: the release program as its own process, real sockets, and as many listeners as
//! are asked for, all in this process.
//!
//! `cargo bench --bench load -- --listeners 1000`. Pages are the simulation's, driven by a real clock: they register
//! over a WebSocket, bring their audio by WebRTC, wish and acknowledge as real pages do. Every payload is checked.
//!
//! Invariant: a run in which this generator could not keep up ends with an error and not with figures.
#![allow(clippy::disallowed_methods, reason = "load is real, and so is its time")]
#![allow(clippy::disallowed_macros, reason = "figures are what this program is for")]

mod figures;
mod fleet;
mod floor;
mod tally;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use figures::{Figures, Spread};
use fleet::Fleet;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Ecoute, processor_time};
use tempfile::TempDir;

/// Files that are open besides two sockets for each page.
const FILES_BESIDES: u64 = 64;
/// How many sessions, or wishes, are under way at one time.
const AT_ONCE: usize = 16;
/// The shortest time between two new sessions: the server takes 600 a second.
const BETWEEN_SESSIONS: Duration = Duration::from_millis(4);
/// How long it takes at most until everybody is connected, or hears, besides a tenth of a second for each.
const PATIENCE: Duration = Duration::from_secs(20);
/// What runs anyway is measured for so long.
const IDLE: Duration = Duration::from_secs(3);
/// After the last session or wish, before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures what the server costs, over real sockets on this machine.
#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// Pages that listen, each to one salesperson
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4000))]
    listeners: u16,
    /// Pages that stream
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=96))]
    publishers: u16,
    /// How long is measured while all listen
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Cargo says that this is a bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, without `--bench`; measuring is not testing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    match measure(&options) {
        Ok(figures) if options.json => println!("{:#}", figures.to_json()),
        Ok(figures) => println!("{figures}"),
        Err(why) => {
            eprintln!("load: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> Result<Figures, String> {
    let (listeners, publishers) = (usize::from(options.listeners), usize::from(options.publishers));
    reserve_files(2 * (listeners + publishers) as u64 + FILES_BESIDES)?;
    let folder = TempDir::new().map_err(|error| format!("no folder for the server's data: {error}"))?;
    let ecoute = Ecoute::start_with(folder, &["--public-address", "127.0.0.1"]);
    let secret = fs::read_to_string(ecoute.data.path().join("secret"))
        .map_err(|error| format!("the server's secret can't be read: {error}"))?;
    let mut fleet = Fleet::new(ecoute.address, secret.trim().as_bytes())?;
    let processor = || processor_time(ecoute.child.id());

    let patience = PATIENCE + Duration::from_millis(100) * u32::from(options.publishers + options.listeners);
    open(&mut fleet, publishers, patience, |fleet, _| fleet.open_publisher())?;
    fleet.run_for(SETTLE)?;
    let (kib_before, idle_before) = (resident_kib(&ecoute), idle(&mut fleet, processor)?);

    let (begin, before) = (Instant::now(), processor());
    open(&mut fleet, listeners, patience, |fleet, number| fleet.open_listener(number % publishers))?;
    let (opening, opening_cost) = (begin.elapsed(), processor() - before);
    fleet.run_for(SETTLE)?;
    let idle_after = idle(&mut fleet, processor)?;

    join(&mut fleet, publishers, patience)?;
    fleet.run_for(SETTLE)?;
    fleet.tally.begin();
    let before = processor();
    fleet.run_for(Duration::from_secs(options.seconds.into()))?;
    let listening_cost = processor() - before;
    fleet.tally.end();
    fleet.run_for(SETTLE)?;
    let kib_after = resident_kib(&ecoute);

    let counted = fleet.tally.count();
    let lateness = fleet.tally.lateness()?;
    fleet.check()?;
    let (latency, open, join) =
        (fleet.tally.latency(), Spread::of(fleet.opened_us()), Spread::of(fleet.joined_us()));
    let datagram_bytes = fleet.media_bytes();
    // Nobody else sends to its pages' ports any more.
    drop(ecoute);
    let sockets = fleet.hang_up()?;
    let floor_us =
        floor::measure(sockets, publishers, datagram_bytes, Duration::from_secs(options.seconds.into()))?;

    // What runs anyway grew evenly while sessions were opened.
    let anyway = (idle_before + idle_after) / 2.0 * opening.as_secs_f64();
    let delivered = counted.delivered as f64;
    Ok(Figures {
        publishers,
        listeners,
        seconds: options.seconds,
        datagram_bytes,
        expected: counted.expected,
        delivered: counted.delivered,
        repeated: counted.repeated,
        server_us: listening_cost.as_secs_f64() * 1e6 / delivered,
        idle_us: idle_after * f64::from(options.seconds) * 1e6 / delivered,
        floor_us,
        latency,
        lateness,
        open,
        join,
        session_ms: (opening_cost.as_secs_f64() - anyway).max(0.0) * 1e3 / listeners as f64,
        listener_kib: kib_after.saturating_sub(kib_before) as f64 / listeners as f64,
        server_kib: kib_after,
    })
}

/// Opens so many more pages with their audio, some at a time, and waits until all are connected.
fn open(
    fleet: &mut Fleet,
    count: usize,
    patience: Duration,
    open_one: impl Fn(&mut Fleet, usize) -> Result<(), String>,
) -> Result<(), String> {
    let (begin, end) = (fleet.len(), fleet.len() + count);
    let mut next = Instant::now();
    fleet.run_until(patience, "connected", |fleet, now| {
        if fleet.len() < end && fleet.len() - fleet.connected() < AT_ONCE && next <= now {
            next = now + BETWEEN_SESSIONS;
            open_one(fleet, fleet.len() - begin)?;
        }
        Ok(fleet.connected() == end)
    })
}

/// Lets every listener wish for its publisher, some at a time, and waits until all hear.
fn join(fleet: &mut Fleet, publishers: usize, patience: Duration) -> Result<(), String> {
    let mut next = publishers;
    fleet.run_until(patience, "hearing", |fleet, now| {
        while next < fleet.len() && next - publishers - fleet.hearing() < AT_ONCE {
            fleet.join(now, next)?;
            next += 1;
        }
        Ok(publishers + fleet.hearing() == fleet.len())
    })
}

/// Returns how many seconds of processor time the server takes in a second while nothing new happens.
fn idle(fleet: &mut Fleet, processor: impl Fn() -> Duration) -> Result<f64, String> {
    let before = processor();
    fleet.run_for(IDLE)?;
    Ok((processor() - before).as_secs_f64() / IDLE.as_secs_f64())
}

/// Makes sure that this process, and the server that it starts, may open so many files.
fn reserve_files(files: u64) -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("no file limit: {error}"))?;
    if hard < files {
        return Err(format!("{files} open files are needed and {hard} are allowed: raise that with `ulimit -Hn`"));
    }
    if soft < files {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .map_err(|error| format!("the limit of {soft} open files can't be raised: {error}"))?;
    }
    Ok(())
}

fn resident_kib(ecoute: &Ecoute) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", ecoute.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
