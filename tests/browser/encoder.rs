//! What streams over WHIP, beside the pages: the salesperson's shows an encoder of theirs, the supervisor's marks devices.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::desk::assert_accessible;
use crate::drive::{Browser, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, assert_tone, sound, wait_for_tone};

/// Runs before a page: counts the audio connections that it builds.
const COUNTED: &str = "
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...all) { super(...all); window.peers.push(this); }
    };
";

/// Makes a page an encoder: it sends its microphone over WHIP, and nothing else of écoute runs in it.
const ENCODER: &str = "
    window.stream = async (id, token) => {
        const authorization = { Authorization: `Bearer ${token}` };
        window.peer = new RTCPeerConnection();
        const media = await navigator.mediaDevices.getUserMedia({
            audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
        peer.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly', streams: [media] });
        await peer.setLocalDescription();
        const headers = { ...authorization, 'Content-Type': 'application/sdp' };
        const answer = await fetch(`/whip/${id}`, { method: 'POST', headers, body: peer.localDescription.sdp });
        if (answer.status !== 201) return `${answer.status} ${await answer.text()}`;
        window.end = () => fetch(answer.headers.get('Location'), { method: 'DELETE', headers: authorization }).then((r) => r.status);
        await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
        return 'streaming';
    };
";

/// Streams from a page of the server that goes nowhere by itself, as the start page does for whom it knows.
fn stream(encoder: &Page<'_>, id: &str, token: &str) {
    assert_eq!(encoder.evaluate(&format!("stream('{id}', '{token}')")), "streaming");
    encoder.wait_for("peer.connectionState === 'connected'");
}

fn shows(page: &Page<'_>, part: &str) -> bool {
    page.evaluate(&format!("deep('ecoute-micro >>> #{part}').checkVisibility()")) == true
}

#[test]
fn the_salespersons_page_shows_their_encoder() {
    let ecoute = Ecoute::start();
    let (low, high) = (microphone(440.0), microphone(880.0));
    let (phone, desk, studio) =
        (Browser::start(&low, "fr-FR"), Browser::start(&low, "fr-FR"), Browser::start(&high, "fr-FR"));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    lea.resize(390, 844);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    let encoder = studio.open_prepared(&format!("{}/offline", ecoute.url()), ENCODER);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    lea.wait_for("document.body.dataset.state === 'ready'");

    stream(&encoder, "lea", &token);
    lea.wait_for("document.body.dataset.state === 'on_air'");
    for (part, is_shown) in [("live", true), ("pause", true), ("stop", true), ("use-here", true), ("start", false)]
    {
        assert_eq!(shows(&lea, part), is_shown, "{part}");
    }
    lea.wait_for("deep('ecoute-micro >>> #keep-open').innerText.includes('votre encodeur')");
    start_listening(&paul, "lea");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_tone(&paul, 880.0);
    assert_accessible(&lea, "phone-encoder");

    // Another page may take over from this one, and stops nothing by that: it finds the encoder paused, and this one sees.
    let other = desk.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    other.wait_for("document.body.dataset.state === 'already_open'");
    assert_eq!(other.evaluate("deep('ecoute-micro >>> #elsewhere').innerText.includes('arrêtera')"), false);
    other.click("ecoute-micro >>> #take-over");
    other.wait_for("document.body.dataset.state === 'paused'");
    lea.wait_for("deep('ecoute-micro').client.connectionState === 'witness'");
    lea.wait_for("deep('ecoute-micro >>> #state').innerText.includes('rien n')");
    assert!(shows(&lea, "stop") && !shows(&lea, "pause"));
    other.click("ecoute-micro >>> #pause");
    other.wait_for("document.body.dataset.state === 'on_air'");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    paul.bring_to_front();
    wait_for_tone(&paul, 880.0);
    lea.click("ecoute-micro >>> #take-over");
    lea.wait_for("document.body.dataset.state === 'paused'");
    other.close();
    lea.click("ecoute-micro >>> #pause");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    wait_for_tone(&paul, 880.0);

    // The page may go and come back; who listens waits for it, and the encoder is left alone.
    lea.reload();
    lea.wait_for("document.body.dataset.state === 'on_air'");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");
    assert_eq!(lea.evaluate("document.querySelector('#go-on').checkVisibility()"), false);

    lea.click("ecoute-micro >>> #pause");
    lea.wait_for("document.body.dataset.state === 'paused'");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");

    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'online'");
    assert_eq!(lea.evaluate("peers.length"), 0, "no microphone was ever opened here");

    // It may fall silent, and stop by itself, too. Who listens may hear again at any moment: they stay named.
    stream(&encoder, "lea", &token);
    lea.wait_for("document.body.dataset.state === 'on_air'");
    paul.wait_for("loudness() > 0.01");
    encoder.evaluate("peer.getSenders()[0].replaceTrack(null)");
    lea.wait_for("document.body.dataset.state === 'interrupted'");
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #state').innerText.includes('plus aucun son')"), true);
    assert!(shows(&lea, "listeners"));
    assert_eq!(lea.evaluate("/personne/i.test(deep('ecoute-micro >>> .micro').innerText)"), false);
    assert_accessible(&lea, "phone-encoder-silent");
    assert_eq!(encoder.evaluate("end()"), 200);
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn the_pages_microphone_takes_the_encoders_place() {
    let ecoute = Ecoute::start();
    let (low, high) = (microphone(440.0), microphone(880.0));
    let (phone, desk, studio) =
        (Browser::start(&low, "fr-FR"), Browser::start(&low, "fr-FR"), Browser::start(&high, "fr-FR"));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), COUNTED);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    let encoder = studio.open_prepared(&format!("{}/offline", ecoute.url()), ENCODER);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    lea.wait_for("document.body.dataset.state === 'ready'");
    stream(&encoder, "lea", &token);
    start_listening(&paul, "lea");
    assert_tone(&paul, 880.0);

    // The question before the first broadcast stays until it is answered, though something is on air.
    lea.evaluate("localStorage.removeItem('ecoute.hidden_asked')");
    lea.click("ecoute-micro >>> #use-here");
    lea.wait_for("document.querySelector('#hidden-ask').checkVisibility()");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(lea.evaluate("peers.length"), 0);

    // A microphone that is refused changes nothing.
    lea.evaluate(
        "window.ask = navigator.mediaDevices.getUserMedia; navigator.mediaDevices.getUserMedia =
        async () => { throw new DOMException('no', 'NotAllowedError'); }",
    );
    lea.click("#hidden-no");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('Micro refusé')");
    assert_eq!(lea.evaluate("document.body.dataset.state"), "on_air");
    assert!(shows(&lea, "use-here"));
    assert_eq!(paul.evaluate("loudness() > 0.01"), true);

    lea.evaluate("navigator.mediaDevices.getUserMedia = ask");
    lea.click("ecoute-micro >>> #use-here");
    lea.wait_for("peers.at(-1)?.connectionState === 'connected'");
    lea.wait_for(
        "!deep('ecoute-micro >>> #use-here').checkVisibility() && document.body.dataset.state === 'on_air'",
    );
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started'");
    assert_tone(&paul, 440.0);
    let refused = encoder.evaluate(&format!("stream('lea', '{token}')"));
    assert!(refused.as_str().unwrap().starts_with("409 "), "{refused}");
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
}

/// A page that was away for so long that its broadcast ended finds an encoder in its place.
#[test]
fn a_microphone_that_was_replaced_is_let_go() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let lea =
        phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &format!("{COUNTED}{SOCKET_KEPT}"));
    start_streaming(&lea);
    let told = "{ event: 'commercial_updated', data: { commercial_id: 'lea', state: 'on_air', source: 'encoder', since: 1 } }";
    let after = "[micro.client.microphone === null, peers.length, peers[0].connectionState,
        micro.client.streaming.source, document.body.dataset.state]";
    let script = format!(
        "(() => {{ const micro = document.querySelector('ecoute-micro'); window.sent = [];
            const send = lastSocket.send.bind(lastSocket);
            lastSocket.send = (text) => {{ sent.push(JSON.parse(text).event); send(text); }};
            lastSocket.onmessage({{ data: JSON.stringify({told}) }}); return {after}; }})()"
    );
    assert_eq!(lea.evaluate(&script), serde_json::json!([true, 1, "closed", "encoder", "on_air"]));
    assert_eq!(lea.evaluate("sent.includes('stop_streaming')"), false, "that would stop the encoder");
}

/// A server that was killed knows nothing of a pause. The page does, and nobody hears the encoder before it has said so.
#[test]
fn a_pause_outlives_a_restart_of_the_server() {
    let mut ecoute = Ecoute::start();
    let tone = microphone(880.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    let encoder = desk.open_prepared(&format!("{}/offline", ecoute.url()), ENCODER);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    lea.wait_for("document.body.dataset.state === 'ready'");
    stream(&encoder, "lea", &token);
    paul.bring_to_front();
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.01");
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'paused'");

    // A page that was opened in the pause keeps it as well.
    for is_reloaded in [false, true] {
        if is_reloaded {
            lea.reload();
            lea.wait_for("document.body.dataset.state === 'paused'");
        }
        // A stop that reached nobody changes nothing.
        lea.evaluate(
            "deep('ecoute-micro').client.addEventListener('connection', ({ detail, target }) => {
                if (detail.state !== 'registered') target.stopStreaming();
            })",
        );
        paul.evaluate(
            "window.starts = 0;
            deep('[data-commercial=lea] ecoute-casque').client.addEventListener('listening_started', () => starts++)",
        );
        ecoute.restart(Signal::SIGKILL);
        lea.wait_for("document.body.dataset.state === 'ready'");
        paul.wait_for("document.querySelector('[data-commercial=lea]')?.dataset.state === 'online'");
        stream(&encoder, "lea", &token);
        lea.wait_for("document.body.dataset.state === 'paused'");
        paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'paused'");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(paul.evaluate("[starts, loudness() < 0.001]"), serde_json::json!([0, true]));
    }
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");
}

#[test]
fn devices_are_marked() {
    let ecoute = Ecoute::start();
    let tone = microphone(880.0);
    let (desk, studio) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    let encoder = studio.open_prepared(&format!("{}/offline", ecoute.url()), ENCODER);
    let token = ecoute.device_token("hall", "Hall d'entrée");
    stream(&encoder, "hall", &token);
    start_listening(&paul, "hall");
    let tag = "document.querySelector('[data-commercial=hall] .tag').innerText";
    assert_eq!(paul.evaluate(tag), "Appareil");
    let sees = "deep('ecoute-panel >>> #panel-sees').innerText";
    assert!(paul.evaluate(sees).as_str().unwrap().starts_with("Appareil."), "{}", paul.evaluate(sees));
    assert_tone(&paul, 880.0);
    assert_accessible(&paul, "desk-device");

    // Whoever looks after it sees the same, and stops it.
    let hall = desk.open(&format!("{}/commercial#t={token}", ecoute.url()));
    hall.wait_for("document.body.dataset.state === 'on_air'");
    hall.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    hall.wait_for("deep('ecoute-micro >>> #keep-open').innerText.includes('appareil')");
    hall.click("ecoute-micro >>> #stop");
    hall.wait_for("document.body.dataset.state === 'ready'");
    paul.wait_for("document.querySelector('[data-commercial=hall]').dataset.state === 'online'");
    assert_eq!(paul.evaluate("document.querySelector('[data-commercial=hall] .tag').checkVisibility()"), false);
}
