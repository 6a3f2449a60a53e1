//! Networks as they are: NAT that forgets, addresses that change, blackouts, loss; with the real program, real browsers
//! and the kernel's own routing, in network namespaces. Side by side they measure what each of them measures alone: half of
//! their time is waiting.
#![allow(clippy::disallowed_methods, reason = "networks live in real time")]
#![allow(clippy::disallowed_macros, reason = "figures are for whoever runs the tests")]

mod blackouts;
#[path = "../browser/drive/mod.rs"]
mod drive;
mod held_back;
mod internet;
mod late;
mod losses;
mod moves;
mod namespace;
mod office;
#[path = "../browser/people.rs"]
mod people;
mod places;
#[path = "../browser/sound.rs"]
mod sound;
#[path = "../support/mod.rs"]
mod support;
mod tcp;
mod wire;

use std::thread;
use std::time::Duration;

use drive::{Browser, Page};
use support::Ecoute;

/// How long a sound takes to be steady after it began.
const STEADY: Duration = Duration::from_millis(500);

/// Runs before a page: keeps its connections, and reads of them what they report.
const STATS: &str = "window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...rest) { super(...rest); peers.push(this); }
    };
    window.reports = async () => [...(await peers.at(-1).getStats()).values()];
    window.report = async (type) => (await reports()).find((report) => report.type === type);
    window.end = async (side) => {
        const all = await reports();
        const pair = all.find(({ id }) => id === all.find(({ type }) => type === 'transport').selectedCandidatePairId);
        return all.find(({ id }) => id === pair[side]);
    };
    window.protocol = async () => (await end('localCandidateId')).protocol;
    window.server = async () => (await end('remoteCandidateId')).address;";

fn start_listening(page: &Page<'_>, id: &str) {
    people::start_listening(page, id);
    page.wait_for("loudness() > 0.01");
    thread::sleep(STEADY);
}

fn open_both<'a>(ecoute: &Ecoute, browsers: [&'a Browser; 2], before: [&str; 2]) -> (Page<'a>, Page<'a>) {
    let both = people::open_both(ecoute, browsers, before);
    thread::sleep(STEADY);
    both
}

/// Returns the longest silence that a page plays, in ms, within so many seconds, one second into which something happens
/// to the network.
fn silence_ms(page: &Page<'_>, seconds: usize, act: impl FnOnce()) -> usize {
    let heard = sound::record_while(page, seconds as u32 * 1000, || {
        thread::sleep(Duration::from_millis(1000));
        act();
    });
    assert!(heard.len() > 48_000 * (seconds - 1), "{} samples", heard.len());
    assert!(sound::longest_silence_ms(&heard[heard.len() - 48_000..]) < 200, "no sound at the end");
    sound::longest_silence_ms(&heard)
}
