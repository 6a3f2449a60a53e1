//! How long people wait, and what a join costs the server: the real program and pages in real browsers.
//!
//! `cargo bench --bench pages` prints medians; it needs Chromium, as the browser tests do.
#![allow(clippy::disallowed_methods, reason = "people wait in real time")]
#![allow(clippy::disallowed_macros, reason = "figures are what this program is for")]

#[path = "../tests/browser/chromium.rs"]
mod chromium;
#[path = "../tests/browser/sound.rs"]
mod sound;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use chromium::{Chromium, Page};
use support::{Ecoute, PROGRAM};
use tempfile::TempDir;

const ROUNDS: usize = 10;
const JOINS: usize = 30;

/// Answers with the milliseconds from the next click until what is played has a tone on the wanted side of 600 Hz.
const STOPWATCH: &str = r"
    window.untilTone = (high) => new Promise((resolve) => {
        addEventListener('click', () => {
            const begin = performance.now();
            const samples = new Float32Array(1024);
            const look = () => {
                if (window.loudness() > 0.01) {
                    window.tap.analyser.getFloatTimeDomainData(samples);
                    const crossings = samples.filter((sample, i) => i > 0 && (sample > 0) !== (samples[i - 1] > 0)).length;
                    const isHigh = crossings * 48000 / 1024 / 2 > 600;
                    if (isHigh === high) { resolve(performance.now() - begin); return; }
                }
                setTimeout(look, 1);
            };
            look();
        }, { capture: true, once: true });
    });
";

fn main() {
    // `cargo test --all-targets` runs this too, without `--bench`; measuring is not testing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let ecoute = Ecoute::start();
    println!("program            {:.1} MB", fs::metadata(PROGRAM).unwrap().len() as f64 / 1e6);
    println!("memory at start    {:.1} MB", resident_kib(&ecoute) as f64 / 1024.0);
    let folder = TempDir::new().unwrap();
    let tone = |name: &str, hz: f64| -> PathBuf {
        let path = folder.path().join(name);
        sound::write_tone(&path, hz);
        path
    };
    let phones = [("lea", tone("low.wav", 440.0)), ("tom", tone("high.wav", 880.0))];
    let desk = Chromium::start(&phones[0].1, "fr-FR");
    measure_joins(&ecoute, &desk);

    let phones = phones.map(|(id, tone)| (id, Chromium::start(&tone, "fr-FR")));
    let pages: Vec<Page<'_>> =
        phones.iter().map(|(id, phone)| phone.open(&ecoute.link("commercial", id, id))).collect();
    for page in &pages {
        page.wait_for("document.body.dataset.state === 'ready'");
        page.click("#start");
        page.wait_for("document.body.dataset.state === 'on_air'");
    }
    let script = format!("{}{STOPWATCH}", sound::TAP);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &script);
    paul.wait_for("document.body.dataset.audio === 'ready'");
    paul.wait_for("document.querySelector('[data-commercial=\"tom\"]')?.dataset.state === 'on_air'");
    let listens = (0..ROUNDS).map(|_| {
        let ms = click_until_tone(&paul, "lea", false);
        paul.click("#panel-stop");
        paul.wait_for("loudness() < 0.001");
        thread::sleep(Duration::from_millis(300));
        ms
    });
    print_median("click to first tone", listens.collect());
    click_until_tone(&paul, "lea", false);
    let switches = (0..ROUNDS).map(|round| {
        let (id, high) = if round % 2 == 0 { ("tom", true) } else { ("lea", false) };
        thread::sleep(Duration::from_millis(500));
        click_until_tone(&paul, id, high)
    });
    print_median("switch A to B", switches.collect());
}

/// Opens supervisors' pages up to their warm audio connection, and divides the server's processor time by them.
fn measure_joins(ecoute: &Ecoute, desk: &Chromium) {
    let mut costs = Vec::new();
    for round in 0..JOINS {
        let link = ecoute.link("admin", &format!("admin{round}"), "Ana");
        let before = processor_nanos(ecoute);
        let page = desk.open(&link);
        page.wait_for("document.body.dataset.audio === 'ready'");
        costs.push((processor_nanos(ecoute) - before) as f64 / 1e6);
        page.close();
    }
    print_median("processor per join", costs);
}

fn click_until_tone(page: &Page<'_>, id: &str, high: bool) -> f64 {
    page.evaluate(&format!("window.toned = untilTone({high}); true"));
    page.click(&format!("[data-commercial=\"{id}\"] button.listen"));
    page.evaluate("window.toned").as_f64().unwrap()
}

fn print_median(name: &str, mut ms: Vec<f64>) {
    ms.sort_by(f64::total_cmp);
    let (min, median, max) = (ms[0], ms[ms.len() / 2], ms[ms.len() - 1]);
    println!("{name:<18} {median:.1} ms, the median of {} ({min:.1} to {max:.1})", ms.len());
}

/// The time that the server has been on a processor, in nanoseconds.
fn processor_nanos(ecoute: &Ecoute) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", ecoute.child.id())).unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn resident_kib(ecoute: &Ecoute) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", ecoute.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
