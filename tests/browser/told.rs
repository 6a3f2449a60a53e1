//! Nobody is listened to before they were told: by a row that they see, or a notification that carries the name.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::desk::{assert_accessible_in, say};
use crate::drive::{Browser, Page};
use crate::names::announce;
use crate::people::{microphone, start_listening, start_streaming, wish};
use crate::support::Ecoute;
use crate::{assert_tone, screenshots, sound, wait_for_tone};

/// Runs before a page: keeps what it sends and its last WebSocket, and lets a test hide the page.
pub const SENT: &str = "window.sent = [];
    window.WebSocket = class extends WebSocket {
        constructor(...all) { super(...all); window.lastSocket = this; }
        send(text) {
            const { event, data } = JSON.parse(text);
            if (event !== 'ping') sent.push({ event, ...data });
            if (event === 'register_user' && window.answer) this.onmessage({ data: JSON.stringify(answer) });
            else super.send(text);
        }
    };
    window.said = (event) => sent.filter((message) => message.event === event);
    window.setHidden = (hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    };
    window.notices = async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(({ title, body, silent }) => ({ title, body, silent }));";

pub const CAUSE: &str = "deep('[data-commercial=lea] ecoute-casque').client.wishes[0]?.cause";

/// Opens Léa's page, on air, and Paul's.
fn open_pages<'a>(ecoute: &Ecoute, [phone, desk]: [&'a Browser; 2]) -> (Page<'a>, Page<'a>) {
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SENT);
    lea.resize(390, 844);
    start_streaming(&lea);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    (lea, paul)
}

#[test]
fn a_row_that_is_seen_is_acknowledged_with_what_was_sent() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    // A microphone may take a moment to bring its first packet.
    paul.wait_for("document.querySelector('[data-commercial=lea] .speech')?.dataset.speaks === 'true'");
    start_listening(&paul, "lea");
    let ack = lea.evaluate("said('listener_ack')[0]");
    assert_eq!(ack["told"], "seen");
    assert!(ack["ssrc"].as_u64().unwrap() > 0 && ack["packets_sent"].as_u64().unwrap() > 0, "{ack}");
    let sees = "deep('ecoute-panel >>> #panel-sees').innerText.replaceAll('\\u00a0', ' ')";
    paul.wait_for(&format!("{sees} === 'Votre nom est à son écran : Paul D. – accompagnement'"));
    assert_tone(&paul, 440.0);

    // Of the end of a pause it is said as well; and what comes through a new connection is counted anew.
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for(&format!("{CAUSE} === 'paused'"));
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("loudness() > 0.01");
    let resumed = lea.evaluate("said('resume_streaming')[0]");
    assert_eq!(resumed["ssrc"], ack["ssrc"]);
    assert!(resumed["packets_sent"].as_u64() > ack["packets_sent"].as_u64(), "{resumed} after {ack}");
    lea.evaluate(
        "lastSocket.onmessage({ data: JSON.stringify({ event: 'error', data: { code: 'no_such_peer', message: '' } }) })",
    );
    lea.wait_for("said('start_streaming').length === 2 && said('listener_ack').length === 2");
    let again = lea.evaluate("said('listener_ack')[1]");
    assert_ne!(again["ssrc"], ack["ssrc"]);
    wait_for_tone(&paul, 440.0);

    // Who was told is heard on while the page is out of sight.
    lea.evaluate("setHidden(true)");
    thread::sleep(Duration::from_secs(1));
    wait_for_tone(&paul, 440.0);
    assert_eq!(paul.evaluate(&format!("{CAUSE} ?? null")), json!(null));
    assert_eq!((phone.complaints(), desk.complaints()), (vec![], vec![]));
}

#[test]
fn a_hidden_page_without_notifications_lets_nobody_begin() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    lea.evaluate("setHidden(true)");
    wish(&paul, "lea");
    paul.wait_for(&format!("{CAUSE} === 'hidden'"));
    let words = "deep('ecoute-panel >>> #panel-state').innerText.startsWith('Son écran est éteint')";
    paul.wait_for(words);
    assert_accessible_in(&paul, "desk-hidden", &["fr"]);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(paul.evaluate("loudness()"), 0);
    assert_eq!(lea.evaluate("[said('listener_ack').length, said('listener_hidden').length]"), json!([0, 1]));
    lea.evaluate("setHidden(false)");
    paul.wait_for("loudness() > 0.01");
    assert_eq!(lea.evaluate("said('listener_ack')[0].told"), "seen");
}

#[test]
fn a_hidden_page_tells_by_a_notification_that_carries_the_name() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    phone.grant(&ecoute.url(), &["notifications", "audioCapture"]);
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    assert_eq!(lea.evaluate("document.querySelector('#hidden-state').checkVisibility()"), false);
    lea.evaluate("setHidden(true)");
    start_listening(&paul, "lea");
    assert_eq!(lea.evaluate("said('listener_ack')[0].told"), "notified");
    let paul_is_named = json!([{ "title": "● On vous écoute", "silent": true,
        "body": "\u{2068}Paul D.\u{2069} (\u{2068}paul\u{2069})\naccompagnement" }]);
    assert_eq!(lea.evaluate("notices()"), paul_is_named);
    let sees = "deep('ecoute-panel >>> #panel-sees').innerText.startsWith('Votre nom est dans une notification')";
    paul.wait_for(sees);
    let row = "deep('ecoute-micro >>> #listeners').innerText.endsWith('annoncée par notification')";
    lea.wait_for(row);
    assert_tone(&paul, 440.0);

    // A blip of the network: the same listening, which was told, and the page is still out of sight.
    lea.evaluate("lastSocket.close()");
    lea.wait_for("said('listener_ack').length === 2 && said('listener_ack')[1].told === 'notified'");
    paul.wait_for("loudness() > 0.01");
    assert_eq!(lea.evaluate("notices()"), paul_is_named, "kept while they hear");
    thread::sleep(Duration::from_secs(6));
    assert_eq!(lea.evaluate("notices()"), paul_is_named, "kept while they hear");

    // Where it was closed meanwhile, it is there again before anything is heard.
    lea.evaluate(
        "navigator.serviceWorker.ready.then((worker) => worker.getNotifications())
            .then((all) => { all.forEach((shown) => shown.close()); lastSocket.close(); })",
    );
    lea.wait_for("said('listener_ack').length === 3");
    assert_eq!(lea.evaluate("notices()"), paul_is_named, "shown again");

    // It goes where another page tells from now on, with the listener, or as soon as somebody looks.
    let second = take_over(&desk, &ecoute);
    let is_gone = "window.none || (notices().then((all) => { window.none = all.length === 0; }), false)";
    lea.wait_for(is_gone);
    lea.evaluate("window.none = false; setHidden(false)");
    lea.click("ecoute-micro >>> #take-over");
    second.close();
    paul.bring_to_front();
    start_streaming(&lea);
    paul.wait_for("loudness() > 0.01");
    paul.click("ecoute-panel >>> #panel-stop");
    paul.wait_for("deep('ecoute-panel >>> #panel').hidden");
    lea.evaluate("setHidden(true)");
    start_listening(&paul, "lea");
    assert_eq!(lea.evaluate("notices()"), paul_is_named, "a new listening is told anew");
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("deep('ecoute-micro').client.listeners.length === 0");
    lea.wait_for(is_gone);
    start_listening(&paul, "lea");
    assert_eq!(lea.evaluate("said('listener_ack').at(-1).told"), "notified");
    lea.evaluate("window.none = false; setHidden(false)");
    lea.wait_for(is_gone);
    assert_tone(&paul, 440.0);
    assert_eq!((phone.complaints(), desk.complaints()), (vec![], vec![]));
}

#[test]
fn a_blip_of_the_network_silences_nobody_who_was_told_though_the_page_is_hidden() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    start_listening(&paul, "lea");
    let since = lea.evaluate("deep('ecoute-micro').client.listeners[0].since");
    lea.evaluate("setHidden(true); lastSocket.close()");
    lea.wait_for("said('listener_ack').length === 2 && said('listener_ack')[1].told === 'seen'");
    paul.wait_for("loudness() > 0.01");
    assert_eq!(lea.evaluate("deep('ecoute-micro').client.listeners[0].since"), since);

    // Five minutes later it is no blip any more.
    announce(&lea, 1000, json!({ "id": "ana", "name": "Ana R." }));
    lea.wait_for("said('listener_hidden').length === 1");
    lea.evaluate("window.late = 0; { const now = Date.now; Date.now = () => now() + late; }");
    let told = |minutes: u32| {
        lea.evaluate(&format!("setHidden(false); setHidden(true); late += {}", minutes * 60_000));
        say(&lea, "listener_left", json!({ "notice_id": 1000, "admin": { "id": "ana" }, "listeners_count": 1 }));
        lea.evaluate(&format!("late += {}", minutes * 60_000));
        announce(&lea, 1000, json!({ "id": "ana", "name": "Ana R." }));
        lea.evaluate("deep('ecoute-micro').client.listeners.find(({ notice_id }) => notice_id === 1000).told")
    };
    assert_eq!([told(0), told(4), told(6)], [json!("seen"), json!("seen"), json!(null)]);
    lea.wait_for("said('listener_hidden').length === 2");
}

#[test]
fn going_on_air_first_asks_how_to_tell_out_of_sight() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let ask = "localStorage.removeItem('ecoute.hidden_asked');
        window.permission = 'default'; window.requests = 0;
        Object.defineProperty(Notification, 'permission', { get: () => window.permission });
        Notification.requestPermission = async () => {
            window.requests += 1;
            window.wasClicked = navigator.userActivation.isActive;
            return window.permission = window.answer ?? 'granted';
        };";
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), ask);
    lea.resize(390, 844);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("ecoute-micro >>> #start");
    lea.wait_for("document.querySelector('#hidden-ask').checkVisibility()");
    assert_eq!(lea.evaluate("[deep('ecoute-micro').client.streamingState, requests].join()"), "off,0");
    assert_accessible_in(&lea, "phone-hidden-ask", &["en", "fr"]);
    lea.screenshot(&screenshots().join("phone-hidden-ask.png"));
    lea.click("#hidden-no");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("document.querySelector('#hidden-ask').checkVisibility()"), false);
    assert_eq!(lea.evaluate("requests"), 0);
    lea.wait_for("document.querySelector('#hidden-state').innerText.includes('attend votre retour')");
    // It is asked once, and can be answered otherwise at any time.
    lea.click("ecoute-micro >>> #stop");
    start_streaming(&lea);
    lea.click("#hidden-allow");
    lea.wait_for("!document.querySelector('#hidden-state').checkVisibility()");
    assert_eq!(lea.evaluate("[requests, wasClicked]"), json!([1, true]));

    // A browser that refuses is asked nothing, and the page says what that means.
    lea.evaluate("sessionStorage.clear()");
    lea.reload();
    lea.evaluate("window.permission = 'denied'");
    start_streaming(&lea);
    lea.wait_for("document.querySelector('#hidden-state').innerText.includes('refuse les notifications')");
    assert_eq!(
        lea.evaluate("[requests, document.querySelector('#hidden-allow').checkVisibility()]"),
        json!([0, false])
    );
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

/// Opens another page with Léa's link, which takes over.
fn take_over<'a>(browser: &'a Browser, ecoute: &Ecoute) -> Page<'a> {
    let other = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SENT);
    other.wait_for("document.body.dataset.state === 'already_open'");
    other.click("ecoute-micro >>> #take-over");
    other.wait_for("deep('ecoute-micro').client.connectionState === 'registered'");
    other
}

fn shows(page: &Page<'_>, part: &str) -> bool {
    page.evaluate(&format!("deep('ecoute-micro >>> #{part}').checkVisibility()")) == true
}

#[test]
fn a_page_that_another_took_over_from_sees_pauses_and_stops() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [phone, other, desk] = [(); 3].map(|()| Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    start_listening(&paul, "lea");
    let second = take_over(&other, &ecoute);
    // Her microphone is let go, and it is on air no more.
    lea.wait_for("deep('ecoute-micro').client.connectionState === 'witness'");
    assert_eq!(
        lea.evaluate("[deep('ecoute-micro').client.microphone, deep('ecoute-micro').client.listeners.length]"),
        json!([null, 0])
    );
    assert!(shows(&lea, "elsewhere") && shows(&lea, "take-over") && !shows(&lea, "stop"));
    assert_eq!(lea.evaluate("deep('ecoute-micro').client.streamingState"), "off");

    start_streaming(&second);
    paul.wait_for("loudness() > 0.01");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    for part in ["elsewhere", "heard", "live", "pause", "stop"] {
        assert!(shows(&lea, part), "{part}");
    }
    for part in ["start", "use-here", "keep-open"] {
        assert!(!shows(&lea, part), "{part}");
    }
    assert_eq!(lea.evaluate("/personne n/i.test(deep('ecoute-micro >>> .micro').innerText)"), false);
    assert_accessible_in(&lea, "phone-witness", &["fr"]);
    let acknowledged = lea.evaluate("said('listener_ack').length");

    lea.click("ecoute-micro >>> #pause");
    second.wait_for("document.body.dataset.state === 'paused'");
    assert_eq!(second.evaluate("deep('ecoute-micro').client.microphone.getAudioTracks()[0].enabled"), false);
    paul.wait_for("loudness() < 0.001");
    lea.wait_for("deep('ecoute-micro >>> #heard-title').innerText.startsWith('À la reprise')");
    assert!(!shows(&lea, "pause"), "who took over resumes");
    assert_accessible_in(&lea, "phone-witness-paused", &["fr"]);
    second.click("ecoute-micro >>> #pause");
    paul.wait_for("loudness() > 0.01");
    lea.wait_for("deep('ecoute-micro >>> #pause').checkVisibility()");

    // What it stops does not come back by itself.
    lea.click("ecoute-micro >>> #stop");
    second.wait_for("document.body.dataset.state === 'ready'");
    thread::sleep(Duration::from_secs(4));
    assert_eq!(second.evaluate("document.body.dataset.state"), "ready");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'online'");
    start_streaming(&second);
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_eq!(lea.evaluate("said('listener_ack').length"), acknowledged, "it acknowledges nobody");

    // It may take back, and the other one sees then.
    lea.click("ecoute-micro >>> #take-over");
    lea.wait_for("document.body.dataset.state === 'ready'");
    second.wait_for("deep('ecoute-micro').client.connectionState === 'witness'");
    start_streaming(&lea);
    paul.wait_for("loudness() > 0.01");
    second.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    // One that leaves by itself is an ordinary second page afterwards; one whose connection breaks comes back to see.
    second.evaluate("lastSocket.close()");
    second.wait_for("deep('ecoute-micro').client.connectionState === 'already_open'");
    second.evaluate("window.answer = { event: 'taken_over', data: {} }; lastSocket.close()");
    second.evaluate("deep('ecoute-micro').client.connect()");
    second.wait_for("deep('ecoute-micro').client.connectionState === 'witness'");
    let on_air = json!({ "commercial_id": "lea", "state": "on_air", "is_streaming": true, "since": 1 });
    say(&second, "commercial_updated", on_air);
    assert!(shows(&second, "live") && shows(&second, "stop"));
    // Why the other one is interrupted this page may not know.
    let interrupted = json!({ "commercial_id": "lea", "state": "interrupted", "interrupted_by": "something_later",
        "is_streaming": true, "since": 1 });
    say(&second, "commercial_updated", interrupted);
    assert_eq!(second.evaluate("deep('ecoute-micro >>> #state').innerText.trim()"), "Interrompu");
    second.evaluate("window.answer = null; lastSocket.close()");
    second.wait_for("deep('ecoute-micro').client.connectionState === 'already_open'");
    assert_eq!(second.evaluate("deep('ecoute-micro').client.streamingState"), "off");
    assert_eq!((phone.complaints(), other.complaints()), (vec![], vec![]));
}

#[test]
fn who_has_listened_stays_until_it_is_read() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_pages(&ecoute, [&phone, &desk]);
    let past =
        "[...document.querySelector('#past-list').children].map((row) => row.innerText.replaceAll('\\u00a0', ' '))";
    start_listening(&paul, "lea");
    // A blip is no end.
    lea.evaluate("lastSocket.close()");
    lea.wait_for("document.querySelector('#past').checkVisibility()");
    lea.wait_for("!document.querySelector('#past').checkVisibility() && document.body.dataset.state === 'on_air'");
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("document.querySelector('#past').checkVisibility()");
    let is_said = |rows: &str| {
        let one = r"Écoute terminée : Paul D. \(paul\), de [0-9]{1,2} h [0-9]{2} à [0-9]{1,2} h [0-9]{2}";
        lea.wait_for(&format!("{past}.length === {rows} && {past}.every((row) => /^{one}$/.test(row))"));
    };
    is_said("1");
    assert_accessible_in(&lea, "phone-past", &["en", "fr"]);
    // Over a reload, which ends what went on just then as well.
    start_listening(&paul, "lea");
    lea.wait_for("deep('ecoute-micro').client.listeners.length === 1");
    assert_eq!(lea.evaluate(&format!("{past}.length")), 1, "what goes on is not over");
    lea.reload();
    is_said("2");
    // It goes on where it was.
    start_streaming(&lea);
    paul.wait_for("loudness() > 0.01");
    is_said("1");
    lea.click("#past-read");
    lea.wait_for("!document.querySelector('#past').checkVisibility()");
    paul.click("ecoute-panel >>> #panel-stop");
    is_said("1");
    lea.click("#past-read");
    lea.reload();
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("document.querySelector('#past').checkVisibility()"), false);

    // What somebody wrote there is bounded, and stays theirs.
    let many = "Array.from({ length: 80 }, (_, n) => ({ listening: `l${n}`, id: 'paul', name: 'Paul D.', from: 1e12, until: 1e12 }))";
    lea.evaluate(&format!("localStorage.setItem('ecoute.past.lea', JSON.stringify({many}))"));
    lea.reload();
    lea.wait_for("document.querySelector('#past-list').children.length === 50");
    lea.evaluate("localStorage.setItem('ecoute.past.lea', '{')");
    lea.reload();
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

#[test]
fn the_help_names_microphones_that_stand_in_rooms() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SENT);
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), SENT);
    for (page, role) in [(&lea, "commercial"), (&paul, "admin")] {
        page.bring_to_front();
        page.wait_for("window.said('register_user').length === 1 && deep('#connection').dataset.state === 'up'");
        page.click("#help-open");
        let shown = "document.querySelector('#help-devices').innerText.replaceAll('\\u00a0', ' ')";
        let all = "Micro d'ambiance : Caméra (cam)\nMicro d'ambiance : Hall d'entrée (hall)";
        assert_eq!(page.evaluate(shown), all, "{role}");
        // The list comes again when it changes.
        let user = |devices| json!({ "id": "x", "role": role, "name": "x", "server_version": "1", "ice_servers": [], "devices": devices });
        say(page, "user_registered", user(json!([{ "id": "r2", "place": "<b>Salle</b> \u{202e}2" }])));
        assert_eq!(page.evaluate(shown), "Micro d'ambiance : <b>Salle</b> 2 (r2)", "{role}");
        assert_accessible_in(page, &format!("{role}-devices"), &["fr"]);
        say(page, "user_registered", user(json!([])));
        assert_eq!(page.evaluate("document.querySelector('#help-devices').checkVisibility()"), false, "{role}");
    }
}

/// Runs before a page whose WebSocket is slow, in both directions; keeps what its rows said at each acknowledgement.
const SLOW: &str = "window.acks = [];
    window.named = {};
    window.WebSocket = class extends WebSocket {
        set onmessage(take) {
            super.onmessage = ({ data }) => {
                const { event, data: { notice_id, admin } } = JSON.parse(data);
                if (event === 'listener_joined') named[notice_id] = admin.id;
                setTimeout(() => take({ data }), 300);
            };
        }
        send(text) {
            const { event, data } = JSON.parse(text);
            if (event === 'listener_ack') {
                const rows = [...deep('ecoute-micro >>> #listeners').children].filter((row) => row.checkVisibility());
                acks.push({ id: named[data.notice_id], told: data.told, shown: rows.map((row) => row.innerText) });
            }
            setTimeout(() => super.send(text), 300);
        }
    };";

/// Makes a page listen to Léa over WHEP, once for each token; tells which of them got packets.
const PLAYERS: &str = "window.players = {};
    window.play = async (id, token) => {
        const peer = players[id] = new RTCPeerConnection();
        peer.addTransceiver('audio', { direction: 'recvonly' });
        await peer.setLocalDescription();
        const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/sdp' };
        const answer = await fetch('/whep/lea', { method: 'POST', headers, body: peer.localDescription.sdp });
        peer.session = answer.headers.get('Location');
        await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
        peer.leave = () => fetch(peer.session, { method: 'DELETE', headers });
        return answer.status;
    };
    window.hearing = [];
    setInterval(async () => {
        const counts = Object.entries(players).map(async ([id, peer]) =>
            [...(await peer.getStats()).values()].some(({ type, packetsReceived }) => type === 'inbound-rtp' && packetsReceived > 0) && id);
        hearing = (await Promise.all(counts)).filter(Boolean);
    }, 100);";

#[test]
fn who_hears_was_on_the_screen_before_however_slow_the_way() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SLOW);
    lea.resize(320, 568);
    start_streaming(&lea);
    let desk = desk.open_prepared(&ecoute.link("admin", "boss", "Chef"), PLAYERS);
    let ids: Vec<String> = (10..24).map(|n| format!("r{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        let token = ecoute.token("admin", id, &format!("Responsable numéro {n}"));
        assert_eq!(desk.evaluate(&format!("play('{id}', '{token}')")), 201, "{id}");
        // Some are gone before they are announced, or before their acknowledgement is there.
        if n % 4 == 3 {
            thread::sleep(Duration::from_millis(200 * n as u64 / 3));
            desk.evaluate(&format!("players['{id}'].leave().then(() => 1)"));
        }
    }
    let stays = |(n, id): (usize, &String)| (n % 4 != 3).then(|| id.clone());
    let staying: Vec<String> = ids.iter().enumerate().filter_map(stays).collect();
    desk.wait_for(&format!("{}.every((id) => hearing.includes(id))", json!(staying)));
    let acks = lea.evaluate("acks");
    let acks = acks.as_array().unwrap();
    for ack in acks {
        let id = format!("({})", ack["id"].as_str().unwrap());
        let is_shown = ack["shown"].as_array().unwrap().iter().any(|row| row.as_str().unwrap().contains(&id));
        assert!(is_shown && ack["told"] == "seen", "{ack}");
    }
    let hearing = desk.evaluate("hearing");
    for id in hearing.as_array().unwrap() {
        assert!(acks.iter().any(|ack| ack["id"] == *id), "{id} hears, and was not told of");
    }
}
