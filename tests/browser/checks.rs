//! « Tester ma connexion » on the salesperson's page, where everything passes, and where UDP or the microphone does not.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::desk::assert_accessible;
use crate::drive::{Browser, Page};
use crate::people::{microphone, start_streaming};
use crate::screenshots;
use crate::support::Ecoute;

/// Runs before a page: counts what the page holds open, and lets a test close ways.
const COUNTED: &str = "
    window.tracks = []; window.peers = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
        if (window.refusal) throw new DOMException('no', window.refusal);
        const stream = await ask(constraints);
        if (window.isQuiet) stream.getTracks().forEach((track) => { track.enabled = false; });
        window.tracks.push(...stream.getTracks());
        return stream;
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...all) { super(...all); window.peers.push(this); }
        setRemoteDescription({ type, sdp }) {
            // Nobody listens on port 1.
            return super.setRemoteDescription({ type, sdp: window.isTcpClosed ? sdp.replace(/ tcp (\\d+) (\\S+) \\d+ /g, ' tcp $1 $2 1 ') : sdp });
        }
    };
    window.isReleased = () => tracks.every((t) => t.readyState === 'ended') && peers.every((p) => p.connectionState === 'closed');
";

/// What each check came to.
fn results(page: &Page<'_>) -> Value {
    let all = "Object.fromEntries([...document.querySelectorAll('#test-list [data-check]')]
        .map((row) => [row.dataset.check, row.dataset.state]))";
    page.evaluate(all)
}

fn wait_for_end(page: &Page<'_>) {
    page.wait_for("document.querySelector('#test-again').checkVisibility() && !document.querySelector('#test-again').disabled");
}

fn said(page: &Page<'_>, check: &str) -> String {
    let text = format!("document.querySelector('#test-list [data-check={check}]').innerText");
    page.evaluate(&text).as_str().unwrap().replace('\u{a0}', " ")
}

#[test]
fn everything_passes_and_is_released() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    lea.resize(390, 844);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("#test-open");
    wait_for_end(&lea);
    let all_ok = json!({ "server": "ok", "udp": "ok", "tcp": "ok", "microphone": "ok", "clock": "ok" });
    assert_eq!(results(&lea), all_ok);
    assert_eq!(lea.evaluate("document.querySelector('#test-summary').innerText.startsWith('Tout va bien')"), true);
    assert_eq!(lea.evaluate("peers.length"), 2, "each way was tried by itself");
    assert!(said(&lea, "udp").contains(" ms"), "{}", said(&lea, "udp"));
    assert_eq!(lea.evaluate("isReleased()"), true);
    assert_accessible(&lea, "phone-test");

    // Out of date by an hour, nothing to hear, and no TCP, which nobody misses.
    lea.evaluate("window.isTcpClosed = true");
    lea.evaluate("window.isQuiet = true");
    lea.evaluate("(() => { const now = Date.now; Date.now = () => now() + 3_600_000; })()");
    lea.click("#test-again");
    wait_for_end(&lea);
    let warned = json!({ "server": "ok", "udp": "ok", "tcp": "warn", "microphone": "warn", "clock": "warn" });
    assert_eq!(results(&lea), warned);
    assert!(said(&lea, "clock").contains("heure automatiques"), "{}", said(&lea, "clock"));
    assert!(said(&lea, "tcp").contains("Rien à faire"), "{}", said(&lea, "tcp"));
    lea.press("Escape");
    assert_eq!(lea.evaluate("isReleased()"), true);
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn a_blocked_way_and_a_refused_microphone_are_told_apart() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let flag = "--webrtc-ip-handling-policy=disable_non_proxied_udp";
    let browser = Browser::chromium(&tone, "fr-FR", &[flag]);
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    lea.resize(390, 844);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.evaluate("window.refusal = 'NotAllowedError'");
    let keep = "window.said = ''; new MutationObserver(() => {
        window.said += document.querySelector('#test-list [data-check=udp]').innerText;
    }).observe(document.querySelector('#test-list'), { childList: true, subtree: true })";
    lea.evaluate(&format!("{{ {keep} }}"));
    lea.click("#test-open");
    wait_for_end(&lea);
    let told = json!({ "server": "ok", "udp": "fail", "tcp": "ok", "microphone": "fail", "clock": "ok" });
    assert_eq!(results(&lea), told);
    assert!(said(&lea, "udp").contains("passera par TCP"), "{}", said(&lea, "udp"));
    assert_eq!(lea.evaluate("said.includes('pare-feu')"), false, "nothing is advised before TCP was tried");
    assert!(said(&lea, "microphone").contains("Micro refusé"), "{}", said(&lea, "microphone"));
    assert_accessible(&lea, "phone-test-blocked");
    lea.evaluate("document.querySelector('#test-all').scrollTop = 1e6");
    lea.screenshot(&screenshots().join("phone-test-blocked-end.png"));

    // What was found is in the diagnostic.
    lea.press("Escape");
    lea.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }");
    lea.click("#diagnostic");
    lea.wait_for("/test_udp state=fail/.test(copied) && /test_tcp state=ok .*rtt_ms=[0-9]+/.test(copied)");
}

#[test]
fn a_test_ends_with_its_dialog_and_never_meets_a_broadcast() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    lea.wait_for("document.body.dataset.state === 'ready'");
    // Closed while it listens to a microphone that says nothing.
    lea.evaluate("window.isQuiet = true");
    lea.click("#test-open");
    lea.wait_for("tracks.length === 1");
    lea.press("Escape");
    lea.wait_for("isReleased()");
    lea.evaluate("window.isQuiet = false");

    // A broadcast that starts meanwhile, whoever started it, has the microphone for itself.
    lea.click("#test-open");
    lea.wait_for("document.querySelector('#test-list [data-check=udp]').dataset.state !== 'waiting'");
    lea.evaluate("deep('ecoute-micro').client.startStreaming()");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("document.querySelector('#test-all').open"), false);
    assert_eq!(lea.evaluate("document.querySelector('#test-open').checkVisibility()"), false);
    thread::sleep(Duration::from_millis(500));
    let open = "[tracks.filter((t) => t.readyState === 'live').length, peers.filter((p) => p.connectionState === 'connected').length]";
    assert_eq!(lea.evaluate(open), json!([1, 1]));
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.querySelector('#test-open').checkVisibility()");
    start_streaming(&lea);
    drop(ecoute);
}

#[test]
fn without_a_server_the_test_says_so() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "en-GB");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    lea.wait_for("document.body.dataset.state === 'ready'");
    drop(ecoute);
    lea.wait_for("document.body.dataset.state === 'connecting'");
    lea.click("#test-open");
    wait_for_end(&lea);
    let told =
        json!({ "server": "fail", "udp": "skipped", "tcp": "skipped", "microphone": "ok", "clock": "skipped" });
    assert_eq!(results(&lea), told);
    assert_eq!(
        lea.evaluate("document.querySelector('#test-summary').innerText.includes('go on air from here')"),
        true
    );
    assert_eq!(lea.evaluate("peers.length"), 0);
}
