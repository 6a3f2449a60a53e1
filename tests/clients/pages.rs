//! WHIP and WHEP beside the pages: in one Chromium our own, in another the client that RFC 9725's author wrote.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::drive::{Browser, Page};
use crate::installed::node_modules;
use crate::program::{Endpoint, Kind};
use crate::sound::{self, Sound, microphone};
use crate::support::Ecoute;
use crate::{RACE, listen, publish, whep, whip};

const PUBLISHING: Kind = Kind::Aiortc;

/// Publishes and listens in a page, with the author's clients.
const SCRIPT: &str = r"
    import { WHIPClient } from './whip.js';
    import { WHEPClient } from './whep.js';
    // Of a restart's answer it understands one candidate alone: it puts commas between more.
    const ask = window.fetch;
    window.asked = [];
    window.fetch = async (url, options) => {
        const answer = await ask(url, options);
        asked.push(`${options.method} ${answer.status}`);
        if (options.method !== 'PATCH' || answer.status !== 200) return answer;
        const lines = (await answer.text()).split('\r\n');
        const isCandidate = (line) => line.startsWith('a=candidate');
        const only = lines.find((line) => isCandidate(line) && line.includes(' TRANSPORT '));
        const body = lines.filter((line) => !isCandidate(line) || line === only).join('\r\n');
        return new Response(body, { status: 200, headers: answer.headers });
    };
    const connect = () => {
        const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
        window.connection = connection;
        return connection;
    };
    window.publish = async (url, token) => {
        const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
        const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
        const connection = connect();
        connection.addTransceiver(stream.getAudioTracks()[0], { direction: 'sendonly', streams: [stream] });
        connection.addTransceiver('video', { direction: 'sendonly' });
        window.client = new WHIPClient();
        await client.publish(connection, url, token);
    };
    window.view = async (url, token) => {
        const connection = connect();
        connection.addTransceiver('audio', { direction: 'recvonly' });
        connection.addTransceiver('video', { direction: 'recvonly' });
        connection.ontrack = ({ track }) => {
            if (track.kind !== 'audio') return;
            const stream = new MediaStream([track]);
            // Chromium decodes for an element only.
            window.element = Object.assign(new Audio(), { srcObject: stream, muted: true });
            element.play();
            const context = new AudioContext();
            context.createMediaStreamSource(stream).connect(context.destination);
        };
        window.client = new WHEPClient();
        await client.view(connection, url, token);
    };
    window.ready = true;
";

/// Serves the author's clients at an origin of their own, until the test ends.
struct Site {
    origin: String,
}

impl Site {
    fn start(transport: &'static str) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Browsers open connections that they may not use: none may wait for another.
                thread::spawn(move || answer(&stream, transport));
            }
        });
        Site { origin }
    }
}

fn answer(mut stream: &TcpStream, transport: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    // The rest of the head is read, so that closing is no reset.
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let (kind, body) = match request.split(' ').nth(1).unwrap_or_default() {
        "/whip.js" => ("text/javascript", read("whip.js")),
        "/whep.js" => ("text/javascript", read("whep.js")),
        _ => {
            let script = SCRIPT.replace("TRANSPORT", transport);
            (
                "text/html",
                format!("<!doctype html><link rel=icon href=data:,><script type=module>{script}</script>"),
            )
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    // The browser may have left.
    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
}

fn read(name: &str) -> String {
    fs::read_to_string(node_modules().join("whip-whep").join(name)).unwrap()
}

fn assert_tone(sound: &Sound) {
    assert!((sound.hz - 440.0).abs() < 3.0, "{sound:?}");
    assert!(sound.level > 0.02, "{sound:?}");
    assert!(sound.sounding > 0.95, "{sound:?}");
}

fn assert_page_hears(page: &Page<'_>) {
    page.wait_for("loudness() > 0.01");
    thread::sleep(Duration::from_millis(500));
    let sound = sound::listen(page, 3000);
    assert!(sound.seconds > 2.5, "{sound:?}");
    assert_tone(&sound);
}

fn start_listening(page: &Page<'_>, id: &str) {
    page.wait_for("document.body.dataset.audio === 'ready'");
    page.wait_for(&format!("document.querySelector('[data-commercial=\"{id}\"]')?.dataset.state === 'on_air'"));
    page.click(&format!("[data-commercial=\"{id}\"] ecoute-casque >>> button"));
    page.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started'");
}

#[test]
fn a_supervisor_s_page_hears_a_device() {
    let ecoute = Ecoute::start();
    let publisher = publish(PUBLISHING, &ecoute, "cam", &[]);
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    start_listening(&paul, "cam");
    assert_page_hears(&paul);
    publisher.stop();
    paul.wait_for("document.querySelector('[data-commercial=\"cam\"]').dataset.state !== 'on_air'");
}

#[test]
fn browsers_hear_on_when_numbers_begin_again() {
    let ecoute = Ecoute::start();
    let mut publisher = publish(PUBLISHING, &ecoute, "cam", &[]);
    let tone = microphone(440.0);
    let desks = [Browser::chromium(&tone, "fr-FR", &[]), Browser::firefox(&tone, "fr-FR", &[])];
    let pages = desks.each_ref().map(|desk| {
        let page = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
        start_listening(&page, "cam");
        page.wait_for("loudness() > 0.01");
        page
    });
    publisher.tell("race");
    thread::sleep(RACE);
    publisher.tell("walk");
    for page in &pages {
        assert_page_hears(page);
    }
    publisher.stop();
}

#[test]
fn a_page_is_heard_over_whep() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("ecoute-micro >>> #start");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    for kind in [Kind::Aiortc, Kind::Libdatachannel, Kind::Werift] {
        let listener = listen(kind, &ecoute, "lea", &[]);
        lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
        thread::sleep(Duration::from_secs(3));
        let samples = listener.stop_and_hear();
        assert!(samples.len() > 48_000 * 5 / 2, "{kind:?} heard {} samples", samples.len());
        assert_tone(&sound::measure(&samples[4800..]));
        lea.wait_for("!deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    }
}

/// Without `device` in the token, an encoder is somebody's microphone: their page shows who listens before a packet leaves.
#[test]
fn who_publishes_for_a_person_is_heard_once_their_page_shows_it() {
    let ecoute = Ecoute::start();
    let own = Endpoint { token: ecoute.token("commercial", "lea", "Léa Martin"), ..whip(&ecoute, "lea") };
    let mut publisher = PUBLISHING.publish(&own, &[]);
    publisher.wait_until_connected();
    let mut listener = Kind::Aiortc.listen(&whep(&ecoute, "lea"), &[]);
    listener.wait_until_connected();
    thread::sleep(Duration::from_secs(2));
    assert!(!listener.has_said("heard"), "nobody's page has shown that Paul listens");

    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    listener.wait_for("heard");
    thread::sleep(Duration::from_secs(2));
    listener.stop_after_tone(1.5);
    lea.wait_for("!deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    publisher.stop();
}

/// The clients that RFC 9725's author wrote, in a page of another origin, restart included.
#[test]
fn the_author_s_clients_publish_and_listen() {
    the_author_s_clients("udp", &[]);
}

#[test]
fn the_author_s_clients_publish_and_listen_over_tcp() {
    the_author_s_clients("tcp", &["--webrtc-ip-handling-policy=disable_non_proxied_udp"]);
}

fn the_author_s_clients(transport: &'static str, arguments: &[&str]) {
    let site = Site::start(transport);
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &["--allow-origin", &site.origin]);
    let tone = microphone(440.0);
    let mut arguments = arguments.to_vec();
    arguments.push("--autoplay-policy=no-user-gesture-required");
    let browser = Browser::chromium(&tone, "fr-FR", &arguments);
    let script = format!("{}{}", sound::TAP, sound::CONNECTIONS);
    let [publisher, listener] = [(); 2].map(|()| browser.open_prepared(&site.origin, &script));
    let call = |page: &Page<'_>, name: &str, endpoint: &Endpoint| {
        page.wait_for("window.ready");
        page.evaluate(&format!("{name}('{}', '{}')", endpoint.url, endpoint.token));
        page.wait_for("connection.connectionState === 'connected'");
        assert_eq!(page.evaluate("transport()"), transport);
    };
    call(&publisher, "publish", &whip(&ecoute, "cam"));
    publisher.wait_for("asked.includes('PATCH 204')");
    call(&listener, "view", &whep(&ecoute, "cam"));
    // It remembers no entity-tag of the answer to its offer.
    listener.wait_for("asked.includes('PATCH 204')");
    assert_page_hears(&listener);

    for page in [&publisher, &listener] {
        let before = page.evaluate("connection.remoteDescription.sdp.match(/ice-ufrag:(.*)/)[1]");
        page.evaluate("client.restart()");
        page.wait_for("asked.includes('PATCH 200')");
        assert_ne!(page.evaluate("connection.remoteDescription.sdp.match(/ice-ufrag:(.*)/)[1]"), before);
        // The old pair goes on until the new one is found.
        thread::sleep(Duration::from_secs(2));
        page.wait_for("connection.connectionState === 'connected'");
        assert_page_hears(&listener);
    }
    for page in [&listener, &publisher] {
        page.evaluate("client.stop()");
        page.wait_for("asked.includes('DELETE 200')");
    }
}
