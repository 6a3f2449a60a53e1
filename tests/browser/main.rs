//! The pages in a real Chromium with a fake microphone, against the real program: what goes in must come out.
#![allow(clippy::disallowed_methods, reason = "browsers live in real time")]

mod chromium;
mod sound;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use chromium::{Chromium, Page};
use support::Ecoute;
use tempfile::TempDir;

/// Where screenshots are kept, to be looked at.
fn screenshots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A microphone that plays a tone, in a folder that lives as long as it.
fn microphone(hz: f64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tone.wav");
    sound::write_tone(&path, hz);
    (folder, path)
}

fn start_streaming(page: &Page<'_>) {
    page.wait_for("document.body.dataset.state === 'ready'");
    page.click("#start");
    page.wait_for("document.body.dataset.state === 'on_air'");
}

fn start_listening(page: &Page<'_>, id: &str) {
    page.wait_for("document.body.dataset.audio === 'ready'");
    page.wait_for(&format!("document.querySelector('[data-commercial=\"{id}\"]')?.dataset.state === 'on_air'"));
    page.click(&format!("[data-commercial=\"{id}\"] button.listen"));
    page.wait_for("document.querySelector('#panel').dataset.listening === 'started'");
}

/// Asserts that a page plays the tone without a hole.
fn assert_tone(page: &Page<'_>, hz: f64) {
    page.wait_for("loudness() > 0.01");
    thread::sleep(Duration::from_millis(500));
    let sound = sound::listen(page, 5000);
    assert!(sound.seconds > 4.5, "{sound:?}");
    assert!((sound.hz / hz - 1.0).abs() < 0.02, "{sound:?}");
    assert!(sound.level > 0.02, "{sound:?}");
    assert!(sound.sounding >= 0.95, "{sound:?}");
}

#[test]
fn a_tone_goes_in_and_comes_out() {
    let ecoute = Ecoute::start();
    let (_folder, tone) = microphone(440.0);
    let phone = Chromium::start(&tone, "fr-FR");
    let desk = Chromium::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(390, 844);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.screenshot(&screenshots().join("commercial-ready.png"));
    assert_eq!(lea.evaluate("location.hash"), "", "the token stays in no address bar");

    start_streaming(&lea);
    lea.screenshot(&screenshots().join("commercial-on-air.png"));
    start_listening(&paul, "lea");
    lea.wait_for("document.querySelector('#listeners').innerText.includes('Paul D.')");
    lea.wait_for("document.title.includes('Paul D.')");
    lea.screenshot(&screenshots().join("commercial-heard.png"));
    paul.screenshot(&screenshots().join("admin-listening.png"));
    assert_tone(&paul, 440.0);
    let bar = "document.querySelector('[data-commercial=\"lea\"] .level i').style.transform";
    paul.wait_for(&format!("parseFloat({bar}.slice(7)) > 0.2"));

    // A pause is silent at once, and what was heard goes on by itself.
    lea.click("#pause");
    lea.wait_for("document.body.dataset.state === 'paused'");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    paul.wait_for("document.querySelector('#panel').dataset.listening === 'pending'");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'paused'");
    lea.wait_for("!document.title.includes('Paul D.')");
    lea.screenshot(&screenshots().join("commercial-paused.png"));
    paul.screenshot(&screenshots().join("admin-paused.png"));
    lea.click("#pause");
    paul.wait_for("document.querySelector('#panel').dataset.listening === 'started' && loudness() > 0.01");
    lea.wait_for("document.title.includes('Paul D.')");

    paul.click("#panel-stop");
    lea.wait_for("!document.querySelector('#listeners').innerText.includes('Paul D.')");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    lea.click("#stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'online'");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn both_links_work_side_by_side_in_one_profile_and_after_a_reload() {
    let ecoute = Ecoute::start();
    let (_folder, tone) = microphone(440.0);
    let browser = Chromium::start(&tone, "fr-FR");
    let lea = browser.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    // The tab in front hides the other, which still tells its person who listens.
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    paul.bring_to_front();
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.001");
    lea.wait_for("document.title.includes('Paul D.')");

    // Each page kept its own token: reloaded without the link, each is who it was.
    paul.reload();
    paul.wait_for("document.body.dataset.audio === 'ready'");
    assert_eq!(paul.evaluate("location.hash"), "");
    paul.click("#resume");
    paul.wait_for("loudness() > 0.001");
    lea.bring_to_front();
    lea.reload();
    start_streaming(&lea);
    paul.bring_to_front();
    paul.wait_for("document.querySelector('#panel').dataset.listening === 'started' && loudness() > 0.001");

    // The start page offers both, and a link that is no link says what to do.
    let start = browser.open(&format!("http://{}/", ecoute.address));
    for page in ["/admin", "/commercial"] {
        start.wait_for(&format!("document.querySelector('a[href=\"{page}\"]').checkVisibility()"));
    }
    start.screenshot(&screenshots().join("start-both.png"));
    let stranger = browser.open(&format!("http://{}/admin#t=not.a.token", ecoute.address));
    stranger.wait_for("document.body.dataset.connection === 'expired'");
    stranger.wait_for("document.body.innerText.includes('Votre accès a expiré')");
    stranger.screenshot(&screenshots().join("admin-expired.png"));
}
