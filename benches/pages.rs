//! How long people wait, and what a join costs the server: the real program and pages in real browsers.
//!
//! `cargo bench --bench pages` prints medians; it needs Chromium, as the browser tests do.
#![allow(clippy::disallowed_methods, reason = "people wait in real time")]
#![allow(clippy::disallowed_macros, reason = "figures are what this program is for")]

#[path = "../tests/browser/drive/mod.rs"]
mod drive;
#[path = "../tests/browser/relay.rs"]
mod relay;
#[path = "../tests/browser/sound.rs"]
mod sound;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use drive::{Browser, Page};
use nix::sys::signal::Signal;
use relay::Relay;
use sound::{Microphone, microphone};
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

/// Keeps how long the page's audio connection took from its making to its being connected, in milliseconds.
const JOIN: &str = r"
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...rest) {
            super(...rest);
            const begin = performance.now();
            this.addEventListener('connectionstatechange', () => {
                if (this.connectionState === 'connected') window.joined ??= performance.now() - begin;
            });
        }
    };
";

fn main() {
    // `cargo test --all-targets` runs this too, without `--bench`; measuring is not testing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let ecoute = Ecoute::start();
    println!(
        "program                                    {:.1} MB",
        fs::metadata(PROGRAM).unwrap().len() as f64 / 1e6
    );
    println!("memory at start                            {:.1} MB", resident_kib(&ecoute) as f64 / 1024.0);
    let phones = [("lea", microphone(440.0)), ("tom", microphone(880.0))];
    let desk = Browser::start(&phones[0].1, "fr-FR");
    weigh_pages(&ecoute, &desk);
    measure_joins("UDP", &ecoute, &desk);
    let arguments = ["--webrtc-ip-handling-policy=disable_non_proxied_udp"];
    measure_joins("TCP", &ecoute, &Browser::chromium(&phones[0].1, "fr-FR", &arguments));

    measure_listening("on this machine", &ecoute, &phones, &desk);
    measure_the_road(&phones, &desk);
}

/// Prints what a browser fetches to show each page, as it comes: gzipped.
fn weigh_pages(ecoute: &Ecoute, desk: &Browser) {
    let fetched =
        "performance.getEntries().filter(({ entryType }) => ['navigation', 'resource'].includes(entryType))";
    for (path, link, is_there) in [
        ("/commercial", ecoute.link("commercial", "lea", "Léa Martin"), "document.body.dataset.state === 'ready'"),
        ("/admin", ecoute.link("admin", "paul", "Paul D."), "document.body.dataset.audio === 'ready'"),
        ("/", format!("{}/", ecoute.url()), "document.querySelector('#gate')"),
        ("/ecoute.js of another application", format!("{}/health", ecoute.url()), "true"),
    ] {
        let page = desk.open(&link);
        page.wait_for(&format!("document.readyState === 'complete' && {is_there}"));
        // What is fetched once it is there: its icon, its worker's files.
        thread::sleep(Duration::from_secs(1));
        if path.starts_with("/ecoute.js") {
            page.evaluate("performance.clearResourceTimings(); import('/ecoute.js').then(() => true)");
        }
        let of_page =
            if path.starts_with("/ecoute.js") { fetched.replace("'navigation', ", "") } else { fetched.into() };
        let bytes =
            page.evaluate(&format!("{of_page}.reduce((sum, {{ encodedBodySize }}) => sum + encodedBodySize, 0)"));
        let files = page.evaluate(&format!("{of_page}.length"));
        println!(
            "{:<42} {:.1} kB gzipped, in {files} files",
            format!("{path} weighs"),
            bytes.as_f64().unwrap() / 1e3
        );
        page.close();
    }
}

/// Clicks until tones are heard, of one salesperson and of the other in turn.
fn measure_listening(network: &str, ecoute: &Ecoute, tones: &[(&str, Microphone); 2], desk: &Browser) {
    let phones: Vec<Browser> = tones.iter().map(|(_, tone)| Browser::start(tone, "fr-FR")).collect();
    let links = tones.iter().map(|(id, _)| ecoute.link("commercial", id, id));
    let _pages: Vec<Page<'_>> = phones.iter().zip(links).map(|(phone, link)| on_air(phone, &link)).collect();
    let paul = supervisor(desk, &ecoute.link("admin", "paul", "Paul D."));
    measure_clicks(network, &paul);
}

/// The same from phones with 150 ms there and back, and how long one is not heard that loses its network.
fn measure_the_road(tones: &[(&str, Microphone); 2], desk: &Browser) {
    let relay = Relay::bind();
    let public_address = relay.address.to_string();
    // Where it listens on more addresses, those are reached past the relay.
    let arguments = ["--public-address", &public_address];
    let mut ecoute = Ecoute::start_at("127.0.0.1:0", TempDir::new().unwrap(), &arguments);
    relay.forward_to(ecoute.address);
    let link = |ecoute: &Ecoute, role: &str, id: &str| {
        ecoute.link(role, id, id).replace(&ecoute.address.to_string(), &public_address)
    };
    let paul = supervisor(desk, &link(&ecoute, "admin", "paul"));
    let road = relay.new_network(Duration::from_millis(75));
    let phones: Vec<Browser> = tones.iter().map(|(_, tone)| Browser::start(tone, "fr-FR")).collect();
    let links = tones.iter().map(|(id, _)| link(&ecoute, "commercial", id));
    let _pages: Vec<Page<'_>> = phones.iter().zip(links).map(|(phone, link)| on_air(phone, &link)).collect();
    measure_clicks("150 ms to the phone", &paul);

    let moves = (0..ROUNDS / 2).map(|_| {
        thread::sleep(Duration::from_secs(3));
        road.move_clients();
        silence_ms(&paul)
    });
    print_median("silence at a new address", moves.collect());
    let offline = (0..3).map(|_| {
        road.cut(true);
        thread::sleep(Duration::from_secs(30));
        road.cut(false);
        until_tone_ms(&paul)
    });
    print_median("back after 30 s offline", offline.collect());
    let restarts = (0..ROUNDS / 2).map(|_| {
        ecoute.restart_with(Signal::SIGKILL, &["--public-address", &public_address]);
        silence_ms(&paul)
    });
    print_median("silence after SIGKILL", restarts.collect());
}

fn on_air<'a>(phone: &'a Browser, link: &str) -> Page<'a> {
    let page = phone.open(link);
    page.wait_for("document.body.dataset.state === 'ready'");
    page.click("ecoute-micro >>> #start");
    page.wait_for("document.body.dataset.state === 'on_air'");
    page
}

fn supervisor<'a>(desk: &'a Browser, link: &str) -> Page<'a> {
    let page = desk.open_prepared(link, &format!("{}{STOPWATCH}", sound::TAP));
    page.wait_for("document.body.dataset.audio === 'ready'");
    page
}

fn measure_clicks(network: &str, paul: &Page<'_>) {
    paul.wait_for("document.querySelector('[data-commercial=\"tom\"]')?.dataset.state === 'on_air'");
    let listens = (0..ROUNDS).map(|_| {
        let ms = click_until_tone(paul, "lea", false);
        paul.click("ecoute-panel >>> #panel-stop");
        paul.wait_for("loudness() < 0.001");
        thread::sleep(Duration::from_millis(300));
        ms
    });
    print_median(&format!("click to first tone, {network}"), listens.collect());
    click_until_tone(paul, "lea", false);
    let switches = (0..ROUNDS).map(|round| {
        let (id, high) = if round % 2 == 0 { ("tom", true) } else { ("lea", false) };
        thread::sleep(Duration::from_millis(500));
        click_until_tone(paul, id, high)
    });
    print_median(&format!("switch A to B, {network}"), switches.collect());
}

/// Waits for silence and returns how long it lasts; none that begins within ten seconds is none.
fn silence_ms(page: &Page<'_>) -> f64 {
    for _ in 0..500 {
        if page.evaluate("loudness() < 0.001") == true {
            return until_tone_ms(page);
        }
        thread::sleep(Duration::from_millis(20));
    }
    0.0
}

fn until_tone_ms(page: &Page<'_>) -> f64 {
    let begin = Instant::now();
    page.wait_for("loudness() > 0.01");
    begin.elapsed().as_secs_f64() * 1000.0
}

/// Opens supervisors' pages up to their warm audio connection: how long that takes, and the server's processor time.
fn measure_joins(transport: &str, ecoute: &Ecoute, desk: &Browser) {
    let (mut costs, mut joins) = (Vec::new(), Vec::new());
    for round in 0..JOINS {
        let link = ecoute.link("admin", &format!("admin{round}"), "Ana");
        let before = processor_nanos(ecoute);
        let page = desk.open_prepared(&link, JOIN);
        page.wait_for("document.body.dataset.audio === 'ready'");
        costs.push((processor_nanos(ecoute) - before) as f64 / 1e6);
        joins.push(page.evaluate("joined").as_f64().unwrap());
        page.close();
    }
    print_median(&format!("join over {transport}"), joins);
    print_median(&format!("processor per join over {transport}"), costs);
}

fn click_until_tone(page: &Page<'_>, id: &str, high: bool) -> f64 {
    page.evaluate(&format!("window.toned = untilTone({high}); true"));
    page.click(&format!("[data-commercial=\"{id}\"] ecoute-casque >>> button"));
    page.evaluate("window.toned").as_f64().unwrap()
}

fn print_median(name: &str, mut ms: Vec<f64>) {
    ms.sort_by(f64::total_cmp);
    let (min, median, max) = (ms[0], ms[ms.len() / 2], ms[ms.len() - 1]);
    println!("{name:<42} {median:.1} ms, the median of {} ({min:.1} to {max:.1})", ms.len());
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
