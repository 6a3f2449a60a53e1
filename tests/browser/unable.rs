//! Browsers and frames that can't: without WebRTC, Web Audio or a right to the microphone. Each page says so at once, in
//! words with what to do, and opens no microphone first.
//!
//! Such browsers are not at hand: what they lack is taken out of the page, or made to throw.

use serde_json::json;

use crate::drive::{Browser, Page};
use crate::elements::{COUNTED, start_for};
use crate::people::{microphone, start_streaming};
use crate::site::Site;
use crate::support::Ecoute;

/// What can be wrong with the connection, and whether that is known before it is tried.
const UNABLE: [(&str, bool); 5] = [
    ("delete window.RTCPeerConnection;", true),
    ("window.RTCPeerConnection = class { constructor() { throw new Error('policy'); } };", false),
    ("RTCPeerConnection.prototype.addTransceiver = () => { throw new Error('policy'); };", false),
    ("RTCPeerConnection.prototype.createOffer = async () => { throw new Error('policy'); };", false),
    ("RTCPeerConnection.prototype.setLocalDescription = async () => { throw new Error('policy'); };", false),
];

/// Keeps every track, so that a test can see that none stays open.
const TRACKS: &str = "window.tracks = [];
    const ask = MediaDevices.prototype.getUserMedia;
    MediaDevices.prototype.getUserMedia = async function (...all) {
        const stream = await ask.apply(this, all);
        tracks.push(...stream.getTracks());
        return stream;
    };";

const TITLE: &str = "Ce navigateur ne permet pas l'audio en direct";

fn wait_for_help(page: &Page<'_>, place: &str) {
    page.wait_for(&format!("deep('{place}')?.innerText.replaceAll('\\u00a0', ' ').includes(\"{TITLE}\")"));
}

#[test]
fn a_phone_without_webrtc_says_so_and_opens_no_microphone() {
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    for (script, is_known) in UNABLE {
        let link = ecoute.link("commercial", "lea", "Léa Martin");
        let lea = browser.open_prepared(&link, &format!("{COUNTED}{TRACKS}{script}"));
        if is_known {
            wait_for_help(&lea, "ecoute-micro >>> #help");
            lea.wait_for("document.body.dataset.state === 'error'");
        } else {
            lea.wait_for("document.body.dataset.state === 'ready'");
        }
        lea.click("ecoute-micro >>> #start");
        wait_for_help(&lea, "ecoute-micro >>> #help");
        lea.wait_for("document.body.dataset.state === 'error'");
        assert_eq!(lea.evaluate("deep('ecoute-micro').client.streamingState"), "off", "{script}");
        let open = lea.evaluate("[counts.microphones > 0, tracks.filter((t) => t.readyState === 'live').length]");
        assert_eq!(open, json!([!is_known, 0]), "{script}");
        // Nor is it the network's fault.
        lea.click("#test-open");
        lea.wait_for("document.querySelector('#test-again').checkVisibility() && !document.querySelector('#test-again').disabled");
        let text = lea.evaluate("document.querySelector('#test-all').innerText");
        assert_eq!(text.as_str().unwrap().contains("mode Isolement"), !script.contains("createOffer"), "{text}");
        assert!(!text.as_str().unwrap().contains("pare-feu"), "{text}");
        lea.close();
    }
}

#[test]
fn a_desk_without_webrtc_says_so_and_nobody_waits_for_an_answer() {
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let ecoute = Ecoute::start();
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    for (script, _) in UNABLE {
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), script);
        wait_for_help(&paul, "#help");
        listen_in_vain(&paul, &lea);
        paul.close();
    }
}

fn listen_in_vain(paul: &Page<'_>, lea: &Page<'_>) {
    paul.wait_for("document.querySelector('[data-commercial=lea]')?.dataset.state === 'on_air'");
    paul.click("[data-commercial=lea] ecoute-casque >>> button");
    wait_for_help(paul, "ecoute-panel >>> #panel-state");
    wait_for_help(paul, "#help");
    assert_eq!(lea.evaluate("deep('ecoute-micro').client.listeners.length"), 0, "nobody is heard in vain");
}

/// A connection that is made after the click does not take away what was said of it.
#[test]
fn a_desk_without_web_audio_says_so_whenever_the_connection_is_made() {
    const HELD: &str = "const released = new Promise((resolve) => { window.release = resolve; });
        const apply = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = async function (...all) {
            await released;
            return apply.apply(this, all);
        };
        window.AudioContext = class { constructor() { throw new Error('policy'); } };";
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let ecoute = Ecoute::start();
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    for is_before in [true, false] {
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), HELD);
        if is_before {
            paul.evaluate("release()");
            paul.wait_for("document.body.dataset.audio === 'ready'");
        }
        listen_in_vain(&paul, &lea);
        paul.evaluate("release()");
        paul.wait_for("document.body.dataset.audio === 'ready'");
        wait_for_help(&paul, "ecoute-panel >>> #panel-state");
        wait_for_help(&paul, "#help");
        paul.close();
    }
}

#[test]
fn a_phone_without_web_audio_storage_or_counts_is_on_air_all_the_same() {
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    let lacking = "window.AudioContext = undefined;
        RTCPeerConnection.prototype.getStats = () => { throw new Error('policy'); };
        for (const name of ['localStorage', 'sessionStorage']) {
            Object.defineProperty(window, name, { get() { throw new Error('policy'); } });
        }
        delete Crypto.prototype.getRandomValues;";
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), lacking);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("ecoute-micro >>> #start");
    // Without a storage nothing is remembered of an answer.
    lea.click("#hidden-no");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #meter').hidden"), true);
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("#test-open");
    lea.wait_for("document.querySelector('#test-again').checkVisibility() && !document.querySelector('#test-again').disabled");
    let states = "[...document.querySelectorAll('#test-list [data-check]')].map((row) => row.dataset.state).join()";
    assert_eq!(lea.evaluate(states), "ok,ok,ok,warn,ok");
}

#[test]
fn a_page_without_websockets_says_that_there_is_no_server() {
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), "delete window.WebSocket;");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('Impossible de se connecter au serveur')");
    assert_eq!(lea.evaluate("performance.now() < 8000"), true, "no answer is waited for");
}

#[test]
fn a_frame_without_a_right_to_the_microphone_says_what_it_needs() {
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let (outer, inner) = (Site::start(), Site::start());
    let ecoute = start_for(&[&inner]);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    let framed = format!(
        "import 'ECOUTE/ecoute.js';
         const micro = document.body.appendChild(document.createElement('ecoute-micro'));
         micro.getToken = async () => '{token}';
         const tell = () => parent.postMessage({{ state: micro.state, help: micro.shadowRoot.querySelector('#help').innerText }}, '*');
         setInterval(tell, 100);
         onmessage = () => micro.start();"
    );
    inner.serve(&ecoute, vec![("/framed", framed)]);
    let page = |allow: &str| {
        format!(
            "<!doctype html><html lang=fr><meta charset=utf-8><title>CRM</title><link rel=icon href=data:,>
             <script>onmessage = ({{ data }}) => {{ window.told = data; }};</script>
             <iframe src='{}' {allow} width=400 height=600></iframe>",
            inner.url("/framed")
        )
    };
    outer.serve(&ecoute, vec![("/shut", page("")), ("/open", page("allow='microphone'"))]);
    let open = browser.open(&outer.url("/open"));
    open.wait_for("told.state === 'ready'");
    open.close();
    let shut = browser.open(&outer.url("/shut"));
    shut.wait_for("['ready', 'error'].includes(told.state)");
    // Where a browser says so only once it is asked, it has been asked.
    shut.evaluate("frames[0].postMessage('start', '*')");
    shut.wait_for("told.help.includes('pas droit au micro') && told.help.includes('allow=\"microphone\"')");
    assert_eq!(shut.evaluate("told.state"), "error");
}
