//! What the server costs end to end: the release program as its own process, real sockets, and as many listeners as
//! are asked for, all in this process.
//!
//! `cargo bench --bench load -- --listeners 1000`. Pages are the simulation's, driven by a real clock: they register
//! over a WebSocket, bring their audio by WebRTC, wish and acknowledge as real pages do. Every payload is checked.
//!
//! What was tried, and did not pay: a socket for each family of addresses (0.15 µs of a datagram's 2.9 in the kernel, for a
//! second socket to watch), and no source address where there are several to choose from (0.2 µs; replies would leave from
//! another address than was asked). What is left above the bare floor is mostly the system's: of 200 listeners' time waking
//! takes a tenth to a fifth, as each publisher's packet comes alone, and AES a tenth, as keys do not stay in its caches.
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
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use figures::{Churn, Figures, Idle, Spread, Storm};
use fleet::{Fleet, unix_ns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::slow_disk::SlowDisk;
use support::{Ecoute, processor_time};
use tempfile::TempDir;

/// Files that are open besides two sockets for each page.
const FILES_BESIDES: u64 = 64;
/// How many sessions, or wishes, are under way at one time.
const AT_ONCE: usize = 16;
/// The shortest time between two new sessions: the server takes 600 a second.
const BETWEEN_SESSIONS: Duration = Duration::from_millis(4);
/// The shortest time until the same supervisor joins the same salesperson again: the server takes one wish a second.
const BETWEEN_RETURNS: Duration = Duration::from_millis(1100);
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
    /// Pages that join all at once, while those that listen already go on
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=2000))]
    join_storm: u16,
    /// For how many seconds listeners go and come back, one after the other
    #[arg(long, default_value_t = 0)]
    churn: u32,
    /// Measure only what a server takes that has nothing to do, with as many supervisors as listeners are asked for
    #[arg(long, conflicts_with_all = ["publishers", "join_storm", "churn"])]
    idle: bool,
    /// The server's disk takes so many milliseconds longer to make anything durable
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow_disk: u64,
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
    let told = if options.idle {
        measure_idle(&options)
            .map(|idle| if options.json { format!("{:#}", idle.to_json()) } else { idle.to_string() })
    } else {
        measure(&options).map(|all| if options.json { format!("{:#}", all.to_json()) } else { all.to_string() })
    };
    match told {
        Ok(text) => println!("{text}"),
        Err(why) => {
            eprintln!("load: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Starts the server, and pages that know its secret.
fn start(pages: usize, disk: &SlowDisk) -> Result<(Ecoute, Fleet), String> {
    reserve_files(2 * pages as u64 + FILES_BESIDES)?;
    let folder = TempDir::new().map_err(|error| format!("no folder for the server's data: {error}"))?;
    let mut command = support::program();
    command.args(["--listen", "[::]:0", "--public-address", "127.0.0.1", "--data"]).arg(folder.path());
    disk.carry(&mut command);
    let ecoute = Ecoute::start_command(command, folder);
    let secret = fs::read_to_string(ecoute.data.path().join("secret"))
        .map_err(|error| format!("the server's secret can't be read: {error}"))?;
    let fleet = Fleet::new(ecoute.address, secret.trim().as_bytes())?;
    Ok((ecoute, fleet))
}

/// How long it takes at most until so many are connected, or hear.
fn patience(pages: usize) -> Duration {
    PATIENCE + Duration::from_millis(100) * pages as u32
}

fn measure_idle(options: &Options) -> Result<Idle, String> {
    let (supervisors, duration) = (usize::from(options.listeners), Duration::from_secs(options.seconds.into()));
    let disk = SlowDisk::new(Duration::from_millis(options.slow_disk));
    let (ecoute, mut fleet) = start(1 + supervisors, &disk)?;
    let processor = || processor_time(ecoute.child.id());
    fleet.run_for(SETTLE)?;
    let (empty, empty_kib) = (idle(&mut fleet, processor, duration)?, resident_kib(&ecoute));
    fleet.open_off_air()?;
    open(&mut fleet, supervisors, |fleet, _| fleet.open_listener(0))?;
    fleet.run_for(SETTLE)?;
    let connected = idle(&mut fleet, processor, duration)?;
    fleet.start_streaming(Instant::now(), 0)?;
    fleet.run_until(patience(1), "on air", |fleet, _| Ok(fleet.connected() == fleet.len()))?;
    fleet.run_for(SETTLE)?;
    let on_air = idle(&mut fleet, processor, duration)?;
    Ok(Idle { supervisors, empty, empty_kib, connected, on_air })
}

fn measure(options: &Options) -> Result<Figures, String> {
    let (listeners, publishers) = (usize::from(options.listeners), usize::from(options.publishers));
    let disk = SlowDisk::new(Duration::from_millis(options.slow_disk));
    let (ecoute, mut fleet) = start(publishers + listeners + usize::from(options.join_storm), &disk)?;
    let processor = || processor_time(ecoute.child.id());

    open(&mut fleet, publishers, |fleet, _| fleet.open_publisher())?;
    fleet.run_for(SETTLE)?;
    let (kib_before, idle_before) = (resident_kib(&ecoute), idle(&mut fleet, processor, IDLE)?);

    let (begin, before) = (Instant::now(), processor());
    open(&mut fleet, listeners, |fleet, number| fleet.open_listener(number % publishers))?;
    let (opening, opening_cost) = (begin.elapsed(), processor() - before);
    fleet.run_for(SETTLE)?;
    let idle_after = idle(&mut fleet, processor, IDLE)?;

    let steady = publishers..publishers + listeners;
    join(&mut fleet, steady.clone(), AT_ONCE)?;
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
        (fleet.tally.latency(), Spread::of(fleet.opened_us()), Spread::of(fleet.joined_us(steady.clone())));

    let anyway = listening_cost.as_secs_f64() / f64::from(options.seconds);
    let (storm, churn) = strain(&mut fleet, options, steady, anyway, &ecoute)?;
    let datagram_bytes = fleet.media_bytes();
    // Nobody else sends to its pages' ports any more.
    drop(ecoute);
    let sockets = fleet.hang_up(listeners)?;
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
        storm,
        churn,
    })
}

/// Lets people come in crowds, as far as is asked for; `anyway` is the processor time that a second takes without them.
fn strain(
    fleet: &mut Fleet,
    options: &Options,
    steady: Range<usize>,
    anyway: f64,
    ecoute: &Ecoute,
) -> Result<(Option<Storm>, Option<Churn>), String> {
    let storm = match usize::from(options.join_storm) {
        0 => None,
        joiners => {
            let processor = || processor_time(ecoute.child.id());
            Some(raise_storm(fleet, options.publishers.into(), joiners, anyway, processor)?)
        }
    };
    let churn = match options.churn {
        0 => None,
        seconds => Some(churn(fleet, steady, Duration::from_secs(seconds.into()), ecoute)?),
    };
    fleet.tally.lateness()?;
    fleet.check()?;
    Ok((storm, churn))
}

/// Opens so many more pages and lets all of them join at once; `anyway` is the processor time that a second took before.
fn raise_storm(
    fleet: &mut Fleet,
    publishers: usize,
    joiners: usize,
    anyway: f64,
    processor: impl Fn() -> Duration,
) -> Result<Storm, String> {
    let who = fleet.len()..fleet.len() + joiners;
    open(fleet, joiners, |fleet, number| fleet.open_listener(number % publishers))?;
    fleet.run_for(SETTLE)?;
    fleet.tally.begin_storm(fleet.hearing());
    let (begin, before) = (Instant::now(), processor());
    join(fleet, who.clone(), joiners)?;
    let cost = (processor() - before).as_secs_f64() - anyway * begin.elapsed().as_secs_f64();
    fleet.run_for(SETTLE)?;
    Ok(Storm {
        joiners,
        join: Spread::of(fleet.joined_us(who)),
        join_ms: cost.max(0.0) * 1e3 / joiners as f64,
        gap_max_us: fleet.tally.gap_max_us(unix_ns()),
    })
}

/// Lets listeners go and come back, one after the other and round after round.
fn churn(fleet: &mut Fleet, who: Range<usize>, duration: Duration, ecoute: &Ecoute) -> Result<Churn, String> {
    let (begin, hearing) = (Instant::now(), fleet.hearing());
    let (mut next, mut reopened, mut first_kib) = (begin, 0, None);
    let pause = BETWEEN_SESSIONS.max(BETWEEN_RETURNS / who.len() as u32);
    let mut coming = Vec::new();
    fleet.run_until(duration + patience(who.len()), "back", |fleet, now| {
        for index in (0..coming.len()).rev() {
            if fleet.may_join(coming[index]) {
                fleet.join(now, coming.swap_remove(index))?;
            }
        }
        let is_over = now - begin >= duration;
        let one = who.start + reopened % who.len();
        if !is_over && next <= now && coming.len() < AT_ONCE && !coming.contains(&one) {
            next = now + pause;
            fleet.reopen(one)?;
            coming.push(one);
            reopened += 1;
            if reopened == who.len() {
                first_kib = Some(resident_kib(ecoute));
            }
        }
        Ok(is_over && fleet.hearing() == hearing)
    })?;
    let first_kib = first_kib.ok_or("the time was too short for each to come back once")?;
    Ok(Churn { reopened, first_kib, last_kib: resident_kib(ecoute) })
}

/// Opens so many more pages with their audio, some at a time, and waits until all of them are connected.
fn open(
    fleet: &mut Fleet,
    count: usize,
    open_one: impl Fn(&mut Fleet, usize) -> Result<(), String>,
) -> Result<(), String> {
    let (begin, connected) = (fleet.len(), fleet.connected());
    let mut next = Instant::now();
    fleet.run_until(patience(count), "connected", |fleet, now| {
        let (opened, done) = (fleet.len() - begin, fleet.connected() - connected);
        if opened < count && opened - done < AT_ONCE && next <= now {
            next = now + BETWEEN_SESSIONS;
            open_one(fleet, opened)?;
        }
        Ok(fleet.connected() - connected == count)
    })
}

/// Lets these listeners wish for their publishers, so many at a time, and waits until all of them hear.
fn join(fleet: &mut Fleet, who: Range<usize>, at_once: usize) -> Result<(), String> {
    let heard = fleet.hearing();
    let (count, mut asked) = (who.len(), 0);
    fleet.run_until(patience(count), "hearing", |fleet, now| {
        while asked < count && asked - (fleet.hearing() - heard) < at_once {
            fleet.join(now, who.start + asked)?;
            asked += 1;
        }
        Ok(fleet.hearing() - heard == count)
    })
}

/// Returns how many seconds of processor time the server takes in a second while nothing new happens.
fn idle(fleet: &mut Fleet, processor: impl Fn() -> Duration, duration: Duration) -> Result<f64, String> {
    let before = processor();
    fleet.run_for(duration)?;
    Ok((processor() - before).as_secs_f64() / duration.as_secs_f64())
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
