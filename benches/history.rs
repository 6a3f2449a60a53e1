//! What two years of data cost: a page of history, a look at all of the journal, and what is done for one listening.
//!
//! `cargo bench --bench history` makes a journal as 60 salespeople and 10 supervisors fill it in two years, about a million
//! entries, in the directory that `ECOUTE_BENCH_DATA` names, where it stays for the next run; else in one that goes with it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the bench measures in real time, and prints what it found"
)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ecoute::audit::{
    Entry, EntryId, Event, ListenEnd, Listening, ListeningId, Newcomer, OffAir, StartedBy, Subject,
};
use ecoute::history::{Form, Kind, Query, ROWS_MAX};
use ecoute::host::journal::{Journal, Reading};
use ecoute::token::Scope;
use ecoute::words::Told;
use tempfile::TempDir;

const DAYS: u64 = 730;
const DAY_MS: u64 = 86_400_000;
const BEGIN_MS: u64 = 1_700_000_000_000;
const COMMERCIALS: u64 = 60;
const ADMINS: u64 = 10;
/// How often each salesperson is on air on a day, and heard in it.
const BROADCASTS: u64 = 2;
const LISTENINGS: u64 = 3;
/// How many entries are made durable one by one.
const GATES: usize = 600;

fn main() {
    let kept = std::env::var_os("ECOUTE_BENCH_DATA").map(PathBuf::from);
    let passing = kept.is_none().then(|| TempDir::new().expect("there is room"));
    let data = kept.unwrap_or_else(|| passing.as_ref().expect("one of them is there").path().to_owned());
    if !data.join("journal.db").exists() {
        std::fs::create_dir_all(&data).expect("it may be made");
        fill(&data);
    }
    let reading = Reading::open(&data).expect("it is ours");
    let begin = cpu();
    let verdict = reading.verify(None).expect("nobody changed it");
    println!("verify: entries={} cpu={:?}", verdict.entries, cpu() - begin);
    drop(reading);
    measure_gates();
    let lea = || Some("commercial7".to_owned());
    let all = |kind| Query { left: ROWS_MAX, ..Query::new(kind, Form::Json) };
    let day = BEGIN_MS + 300 * DAY_MS;
    let pages: [(&str, Query); 7] = [
        ("the newest listenings", all(Kind::Listenings)),
        ("the newest broadcasts", all(Kind::Broadcasts)),
        ("of a day long ago", Query { from_ms: Some(day), to_ms: Some(day + DAY_MS), ..all(Kind::Listenings) }),
        ("of one salesperson", Query { commercial_id: lea(), has_sounded: true, ..all(Kind::Listenings) }),
        ("of one supervisor", Query { admin_id: Some("admin3".into()), ..all(Kind::Listenings) }),
        (
            "of one by another",
            Query { commercial_id: lea(), admin_id: Some("nobody".into()), ..all(Kind::Listenings) },
        ),
        ("in a scope of one", Query { scope: Some(Scope::new(["commercial7"])), ..all(Kind::Listenings) }),
    ];
    for (name, query) in pages {
        println!("{name}: {}", measure(&data, &query));
    }
}

/// Has 100 entries a second made durable, each by itself, and beside them as much written and synced without a journal.
fn measure_gates() {
    let data = TempDir::new().expect("there is room");
    let mut journal = Journal::open(data.path()).expect("it may be made").0;
    let mut bare = File::create(data.path().join("bare")).expect("there is room");
    let (mut gates, mut syncs, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut number = 0;
    while entries.len() < GATES {
        tell_day(&mut entries, BEGIN_MS, 7, &mut number);
    }
    for entry in entries.iter().take(GATES) {
        let begin = Instant::now();
        journal.append(&[entry]).expect("there is room");
        gates.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(5));
        let begin = Instant::now();
        bare.write_all(&[7; 4096]).and_then(|()| bare.sync_data()).expect("there is room");
        syncs.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    for (name, took) in [("an entry durable", &mut gates), ("a bare fsync of 4 KiB", &mut syncs)] {
        took.sort_unstable();
        println!("{name}: median={:?} p99={:?}", took[GATES / 2], took[GATES * 99 / 100]);
    }
}

/// Asks again and again for the pages that follow each other, each piece as the server does.
fn measure(data: &Path, query: &Query) -> String {
    let reading = Reading::open(data).expect("it is ours");
    let mut took = Vec::new();
    let mut next = Some(query.clone());
    while took.len() < 200 {
        let mut asked = Some(Box::new(next.take().unwrap_or_else(|| query.clone()).into()));
        let began = Instant::now();
        let mut bytes = Vec::new();
        let mut longest = Duration::ZERO;
        while let Some(query) = asked {
            let begin = Instant::now();
            let piece = reading.answer(*query, BEGIN_MS + DAYS * DAY_MS).expect("it can be read");
            longest = longest.max(begin.elapsed());
            bytes.extend(piece.bytes);
            asked = piece.rest;
        }
        took.push((began.elapsed(), longest));
        let answer: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
        let cursor = answer["next"].as_str().and_then(ecoute::history::Place::parse);
        next = cursor.map(|after| Query { after: Some(after), ..query.clone() });
    }
    took.sort_unstable();
    let at = |part: usize| took[took.len() * part / 100].0;
    let longest = took.iter().map(|(_, piece)| *piece).max().unwrap_or_default();
    format!("median={:?} p95={:?} longest_piece={longest:?}", at(50), at(95))
}

fn fill(data: &Path) {
    let (mut journal, problem) = Journal::open(data).expect("it may be made");
    assert!(problem.is_none(), "{problem:?}");
    let (mut number, mut count) = (0, 0);
    let begin = cpu();
    for day in 0..DAYS {
        let mut entries = Vec::new();
        for commercial in 0..COMMERCIALS {
            tell_day(&mut entries, BEGIN_MS + day * DAY_MS + commercial * 1000, commercial, &mut number);
        }
        entries.sort_by_key(|entry| entry.at);
        count += entries.len();
        for group in entries.chunks(1024) {
            journal.append(&group.iter().collect::<Vec<_>>()).expect("there is room");
        }
    }
    journal.keep_note().expect("there is room");
    let bytes = std::fs::metadata(data.join("journal.db")).map_or(0, |file| file.len());
    println!("filled: entries={count} bytes={bytes} cpu={:?}", cpu() - begin);
}

/// Tells a day of one salesperson.
fn tell_day(entries: &mut Vec<Entry>, begin_ms: u64, commercial: u64, number: &mut u64) {
    let id = format!("commercial{commercial}");
    let of = || Subject { commercial_id: id.clone(), is_device: false };
    let mut tell = |at_ms: u64, event| {
        entries.push(Entry { id: EntryId(0), at: UNIX_EPOCH + Duration::from_millis(at_ms), event });
    };
    let who = Newcomer {
        id: id.clone(),
        name: format!("Commercial {commercial}"),
        role: "commercial",
        address: "192.0.2.1".into(),
        browser: "Mozilla/5.0 (Linux; Android 14) Chrome/140".into(),
    };
    tell(begin_ms, Event::Registered { who: Arc::new(who) });
    for broadcast in 0..BROADCASTS {
        let on_air_ms = begin_ms + 1000 + broadcast * 14_400_000;
        tell(on_air_ms, Event::BroadcastStarted { of: of(), by: StartedBy::Page, name: None });
        for listening in 0..LISTENINGS {
            *number += 1;
            let admin = (*number * 7 + listening) % ADMINS;
            let listening_ms = on_air_ms + 60_000 + listening * 900_000;
            let listening = Arc::new(Listening {
                id: ListeningId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                admin_id: format!("admin{admin}"),
                admin_name: format!("Responsable {admin}"),
                commercial_id: id.clone(),
                reason: "accompagnement".into(),
                looks_like: None,
            });
            let (of, is_device) = (|| Arc::clone(&listening), false);
            tell(listening_ms, Event::ListenAsked { listening: of(), is_device });
            tell(listening_ms + 5, Event::ListenAnnounced { listening: of(), is_device });
            tell(listening_ms + 300, Event::ListenStarted { listening: of(), is_device, told: Some(Told::Seen) });
            let end = Event::ListenEnded { listening: of(), is_device, was_heard: true, why: ListenEnd::Left };
            tell(listening_ms + 600_000, end);
        }
        let end = Event::BroadcastStopped { of: of(), why: OffAir::Stopped, packets: Some((180_000, 12)) };
        tell(on_air_ms + 3_600_000, end);
    }
}

/// Returns the CPU time of this process so far.
fn cpu() -> Duration {
    let time =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("there is such a clock");
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}
