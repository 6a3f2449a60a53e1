//! What a broadcast does when its user acts while it is lost, refused or not there yet.

use serde_json::{Value, json};

use crate::drive::{Browser, Kind, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, sound};

const CLIENT: &str = "deep('ecoute-micro').client";

/// Runs before a page: while `isCut`, no connection comes about.
const CUTTABLE: &str = "window.isCut = false;
    window.WebSocket = class extends WebSocket {
        constructor(url) { super(isCut ? new URL('/none', url) : url); window.lastSocket = this; }
    };";

/// Runs before a page: counts its sockets, and how often it asks whether the server is there; `health` answers that.
const ASKING: &str = "window.sockets = window.asks = 0;
    window.WebSocket = class extends WebSocket {
        constructor(url) { super(url); sockets += 1; }
    };
    window.health = window.ownFetch = fetch.bind(window);
    window.fetch = (url, options) => String(url).endsWith('/health') ? (asks += 1, health(url, options)) : ownFetch(url, options);";

/// Opens Léa's page, and takes from it its connection and all that would follow; sockets are counted from then on.
fn cut_off<'a>(browser: &'a Browser, ecoute: &Ecoute, health: &str) -> Page<'a> {
    let lea =
        browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &format!("{CUTTABLE}{ASKING}"));
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.evaluate(&format!("isCut = true; sockets = 0; window.health = {health}; lastSocket.close()"));
    lea
}

#[test]
fn while_the_server_answers_no_request_firefox_begins_no_socket() {
    let ecoute = Ecoute::start();
    let browser = Browser::start_kind(Kind::Firefox, &microphone(440.0), "fr-FR");
    let lea = cut_off(&browser, &ecoute, "() => new Promise(() => {})");
    // The first one is begun at once; when it has failed the server is asked.
    lea.wait_for("asks >= 5");
    assert_eq!(lea.evaluate("sockets"), 1);
    lea.evaluate("isCut = false; window.health = ownFetch");
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("sockets"), 2);
}

#[test]
fn where_requests_are_refused_sockets_are_tried_less_and_less_often() {
    let ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    for health in ["() => Promise.reject(new TypeError('policy'))", "async () => new Response('', { status: 502 })"]
    {
        let lea = cut_off(&browser, &ecoute, health);
        lea.wait_for("asks === 6");
        // After the one that is begun at once: with the first ask, the second and the fourth.
        assert_eq!(lea.evaluate("sockets"), 4, "{health}");
        lea.evaluate("isCut = false");
        lea.wait_for("document.body.dataset.state === 'ready'");
        lea.close();
    }
}

#[test]
fn a_pause_that_ends_while_everything_is_lost_is_over_for_the_server_too() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    // Where nothing gets through, the server does not learn that a session was closed.
    let script = format!("{SOCKET_KEPT} RTCPeerConnection.prototype.close = () => {{}};");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &script);
    start_streaming(&lea);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    start_listening(&paul, "lea");
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'paused'");
    // The session is lost, then the connection, and only then does she resume.
    lea.evaluate(&format!(
        "lastSocket.onmessage({{ data: JSON.stringify({{ event: 'error', data: {{ code: 'no_such_peer', message: '' }} }}) }});
         lastSocket.close();
         {CLIENT}.resumeStreaming();"
    ));
    lea.wait_for("document.body.dataset.state === 'on_air'");
    paul.wait_for(
        "document.querySelector('[data-commercial=lea]').dataset.state === 'on_air' && loudness() > 0.01",
    );
}

#[test]
fn a_page_without_a_connection_transmits_nothing() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), CUTTABLE);
    start_streaming(&lea);
    let is_enabled = format!("{CLIENT}.microphone.getAudioTracks()[0].enabled");
    assert_eq!(lea.evaluate(&is_enabled), true);
    lea.evaluate("isCut = true; lastSocket.close()");
    lea.wait_for("document.body.dataset.state === 'connecting'");
    assert_eq!(lea.evaluate(&is_enabled), false);
    lea.evaluate(&format!("{CLIENT}.pauseStreaming(); {CLIENT}.resumeStreaming()"));
    assert_eq!(lea.evaluate(&is_enabled), false);
    lea.evaluate("isCut = false");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate(&is_enabled), true);
}

#[test]
fn a_start_that_nobody_answered_is_forgotten_after_5_minutes() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), CUTTABLE);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.evaluate("isCut = true; lastSocket.close()");
    lea.wait_for("document.body.dataset.state === 'connecting'");
    lea.evaluate(&format!("{CLIENT}.startStreaming()"));
    lea.wait_for(&format!("{CLIENT}.streamingState === 'starting'"));
    lea.evaluate("{ const now = Date.now; Date.now = () => now() + 301_000; }");
    lea.evaluate("isCut = false");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('5 minutes')");
    assert_eq!(lea.evaluate(&format!("{CLIENT}.microphone")), Value::Null);
}

#[test]
fn a_refusal_that_comes_late_is_told_to_whom_it_concerns() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let script = "window.asked = [];
        MediaDevices.prototype.getUserMedia = () => new Promise((_, refuse) => asked.push(refuse));";
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), script);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("ecoute-micro >>> #start");
    lea.click("ecoute-micro >>> #stop");
    lea.click("ecoute-micro >>> #start");
    lea.evaluate("asked[0](new DOMException('', 'NotAllowedError')); new Promise((done) => setTimeout(done, 100))");
    assert_eq!(lea.evaluate(&format!("{CLIENT}.streamingState")), "asking");
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #help').hidden"), true);
    // One that comes when the element is gone is found where it is back.
    lea.evaluate("window.micro = deep('ecoute-micro'); micro.remove()");
    lea.evaluate("asked[1](new DOMException('', 'NotAllowedError')); new Promise((done) => setTimeout(done, 100))");
    lea.evaluate("document.querySelector('main').append(micro)");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('refusé')");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn who_logs_in_does_not_go_on_with_the_broadcast_of_another() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let page = browser.open_prepared(&format!("{}/", ecoute.url()), SOCKET_KEPT);
    let [lea, karim] = ["lea", "karim"].map(|id| ecoute.token("commercial", id, id));
    page.evaluate(&format!(
        "window.token = '{lea}';
         import('/ecoute.js').then(({{ EcouteClient }}) => {{
            window.client = new EcouteClient({{ getToken: async () => token }});
            client.connect();
         }})"
    ));
    page.wait_for("client.connectionState === 'registered'");
    page.evaluate("client.startStreaming()");
    page.wait_for("client.streamingState === 'live'");
    page.evaluate(&format!(
        "window.token = '{karim}'; window.sent = [];
         const send = WebSocket.prototype.send;
         WebSocket.prototype.send = function (text) {{ sent.push(JSON.parse(text).event); send.call(this, text); }};
         lastSocket.close()"
    ));
    page.wait_for("client.user.id === 'karim'");
    assert_eq!(page.evaluate("[client.streamingState, client.microphone].join()"), "off,");
    // What ends is not said as the other: they may have an encoder on air.
    assert_eq!(page.evaluate("sent.join()"), "register_user");

    // Nor is a team shown to who comes behind its supervisor.
    let _tom = browser.open(&ecoute.link("commercial", "tom", "Tom L."));
    let paul = ecoute.token("admin", "paul", "Paul D.");
    let sees_tom = "client.commercials.some(({ commercial_id }) => commercial_id === 'tom')";
    for (token, id, may_see) in [(&paul, "paul", true), (&lea, "lea", false)] {
        page.evaluate(&format!("window.token = '{token}'; lastSocket.close()"));
        page.wait_for(&format!("client.user.id === '{id}' && {sees_tom} === {may_see}"));
    }
}

#[test]
fn what_was_for_one_connection_is_over_with_it() {
    let ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let script = "window.registers = [];
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            const { event, data } = JSON.parse(text);
            if (event === 'register_user') registers.push(Boolean(data.takeover));
            return send.call(this, text);
        };";
    let lea =
        browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &format!("{script}{CUTTABLE}"));
    lea.wait_for("document.body.dataset.state === 'ready'");

    // Who connects after a close takes nothing over that somebody before wanted.
    lea.evaluate(&format!("{CLIENT}.close(); {CLIENT}.takeOver(); {CLIENT}.close(); {CLIENT}.connect()"));
    lea.wait_for("document.body.dataset.state === 'ready' && registers.length > 1");
    assert_eq!(lea.evaluate("registers"), json!([false, false]));

    // A delay that the server names is waited for once.
    let waits = format!(
        "window.delays = [];
         {CLIENT}.addEventListener('connection', ({{ detail }}) => detail.state === 'waiting' && delays.push(detail.retry_in_ms));
         lastSocket.onmessage({{ data: JSON.stringify({{ event: 'server_draining', data: {{ reconnect_in_ms: 2000 }} }}) }});
         isCut = true;
         lastSocket.close()"
    );
    lea.evaluate(&waits);
    lea.wait_for("delays.length >= 2");
    assert_eq!(lea.evaluate("[delays[0] === 2000, delays[1] < 2000]"), json!([true, true]));
    lea.evaluate("isCut = false");
    lea.wait_for("document.body.dataset.state === 'ready'");
}
