//! The elements in pages of another origin, under a strict policy, and how a broadcast heals.

use super::*;
use crate::npm::react;
use crate::people::open_both;
use crate::site::Site;

/// A server that the sites' origins may use.
pub fn start_for(sites: &[&Site]) -> Ecoute {
    let arguments: Vec<&str> = sites.iter().flat_map(|site| ["--allow-origin", &site.origin]).collect();
    Ecoute::start_with(TempDir::new().unwrap(), &arguments)
}

fn micro_script(ecoute: &Ecoute) -> String {
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    format!(
        "import 'ECOUTE/ecoute.js';
         window.getToken = async () => '{token}';
         document.body.appendChild(document.createElement('ecoute-micro')).getToken = getToken;"
    )
}

fn casque_script(ecoute: &Ecoute) -> String {
    let token = ecoute.token("admin", "paul", "Paul D.");
    format!(
        "import 'ECOUTE/ecoute.js';
         window.getToken = async () => '{token}';
         window.headphones = (id) => Object.assign(document.createElement('ecoute-casque'), {{ commercial: id, getToken }});
         document.body.append(headphones('lea'), ...Array.from({{ length: 49 }}, (_, n) => headphones(`c${{n}}`)));"
    )
}

/// Runs before a page: counts what is opened, and keeps what a test wants to lose.
pub const COUNTED: &str = "window.counts = { sockets: 0, peers: 0, microphones: 0, sent: {} };
    window.WebSocket = class extends WebSocket {
        constructor(...all) { super(...all); window.lastSocket = this; counts.sockets += 1; }
        send(text) {
            const { event } = JSON.parse(text);
            counts.sent[event] = (counts.sent[event] ?? 0) + 1;
            super.send(text);
        }
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...all) { super(...all); counts.peers += 1; }
    };
    const open = MediaDevices.prototype.getUserMedia;
    MediaDevices.prototype.getUserMedia = function (...all) { counts.microphones += 1; return open.apply(this, all); };";

pub const LISTENING: &str = "deep('ecoute-panel >>> #panel')?.dataset.listening";

pub fn go_on_air(page: &Page<'_>) {
    page.wait_for("deep('ecoute-micro').state === 'ready'");
    page.click("ecoute-micro >>> #start");
    page.wait_for("deep('ecoute-micro').state === 'on_air'");
}

fn listen_to_lea(page: &Page<'_>) {
    page.wait_for("deep('ecoute-casque').client?.audio.connection === 'ready'");
    page.wait_for("deep('ecoute-casque >>> button').dataset.state === 'on_air'");
    page.click("ecoute-casque >>> button");
    page.wait_for(&format!("{LISTENING} === 'started'"));
}

#[test]
fn an_allowed_origin_embeds_both_elements_and_they_survive_its_routes() {
    let site = Site::start();
    let ecoute = start_for(&[&site]);
    site.serve(&ecoute, vec![("/lea", micro_script(&ecoute)), ("/paul", casque_script(&ecoute))]);
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open_prepared(&site.url("/lea"), COUNTED);
    lea.resize(390, 844);
    go_on_air(&lea);
    let paul = desk.open_prepared(&site.url("/paul"), &format!("{}{COUNTED}", sound::TAP));
    listen_to_lea(&paul);
    assert_eq!(paul.evaluate("counts.sockets"), 1, "fifty headphones share one connection");
    assert_tone(&paul, 440.0);
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_eq!(lea.evaluate("deep('ecoute-badge')"), Value::Null);
    lea.screenshot(&screenshots().join("foreign-micro.png"));
    // Of a hidden tab the title is all that a person sees.
    let hide = "Object.defineProperty(document, 'hidden', { value: true, configurable: true })";
    let changed = "document.dispatchEvent(new Event('visibilitychange'))";
    assert_eq!(lea.evaluate("document.title"), "CRM");
    lea.evaluate(&format!("{hide}; {changed}"));
    assert_eq!(lea.evaluate("document.title"), "● On vous écoute");
    lea.evaluate(&format!("delete document.hidden; {changed}"));
    assert_eq!(lea.evaluate("document.title"), "CRM");
    paul.wait_for("/perte/.test(deep('ecoute-panel >>> #panel-quality').innerText)");
    paul.screenshot(&screenshots().join("foreign-casque.png"));

    // Another route: the elements are gone, what they started is not, and the badge says who listens.
    let badge = "deep('ecoute-badge >>> .badge')?.innerText";
    lea.evaluate("document.body.replaceChildren('une autre page')");
    assert_eq!(lea.evaluate(&format!("{badge}.includes('Paul D.')")), true);
    lea.screenshot(&screenshots().join("foreign-badge.png"));
    paul.evaluate("document.body.replaceChildren()");
    assert_tone(&paul, 440.0);
    // Who comes while no element is there is shown by the badge, and only then hears.
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for(&format!("{badge}.includes('personne')"));
    paul.evaluate("document.body.append(headphones('lea'))");
    listen_to_lea(&paul);
    lea.wait_for(&format!("{badge}.includes('Paul D.')"));
    paul.wait_for("loudness() > 0.01");

    // Back again: the element shows what goes on, and the badge goes. One that nobody sees is none.
    lea.evaluate("document.body.append(Object.assign(document.createElement('ecoute-micro'), { getToken }))");
    assert_eq!(lea.evaluate("deep('ecoute-micro').state"), "on_air");
    assert_eq!(lea.evaluate("deep('ecoute-badge')"), Value::Null);
    lea.evaluate("deep('ecoute-micro').hidden = true");
    lea.wait_for(&format!("{badge}.includes('Paul D.')"));
    assert_eq!(lea.evaluate("[counts.sockets, counts.peers, counts.microphones].join()"), "1,1,1");
    assert_eq!(paul.evaluate("counts.sockets"), 1);
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn an_origin_that_is_not_allowed_gets_neither_the_library_nor_a_connection() {
    let site = Site::start();
    let ecoute = Ecoute::start();
    let script = "window.library = import('ECOUTE/ecoute.js').then(() => 'loaded', () => 'refused');
        window.socket = new Promise((resolve) => {
            const socket = new WebSocket('ECOUTE/ws'.replace('http', 'ws'));
            socket.onopen = () => resolve('open');
            socket.onerror = () => resolve('refused');
        });";
    site.serve(&ecoute, vec![("/app", script.to_owned())]);
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let page = browser.open(&site.url("/app"));
    page.wait_for("window.socket");
    assert_eq!(page.evaluate("library"), "refused");
    assert_eq!(page.evaluate("socket"), "refused");
}

#[test]
fn a_page_that_shows_no_listener_is_not_listened_to() {
    let site = Site::start();
    let ecoute = start_for(&[&site]);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    let script = format!(
        "import {{ EcouteClient }} from 'ECOUTE/ecoute.js';
         window.client = new EcouteClient({{ server: 'ECOUTE', getToken: async () => '{token}' }});
         client.addEventListener('listener_joined', ({{ detail }}) => {{ window.joined = detail; }});
         client.addEventListener('registered', () => client.startStreaming());
         client.connect();"
    );
    let listener = format!(
        "import {{ EcouteClient }} from 'ECOUTE/ecoute.js';
         const getToken = async () => '{}';
         window.client = new EcouteClient({{ server: 'ECOUTE', getToken }});
         client.addEventListener('registered', () => {{ client.setVolume(0.5); client.listen('lea'); }});
         client.connect();",
        ecoute.token("admin", "ana", "Ana B.")
    );
    site.serve(&ecoute, vec![("/lea", script), ("/paul", casque_script(&ecoute)), ("/ana", listener)]);
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&site.url("/lea"));
    lea.wait_for("client.streamingState === 'live'");
    let paul = desk.open_prepared(&site.url("/paul"), sound::TAP);
    paul.wait_for("deep('ecoute-casque >>> button').dataset.state === 'on_air'");
    paul.click("ecoute-casque >>> button");
    paul.wait_for("deep('ecoute-casque').client.wishes[0]?.cause === 'ack_late'");
    assert_eq!(paul.evaluate("loudness()"), 0);
    // Neither without an element, nor with one that does not name them, nor while nobody could see it.
    let acknowledged = |element: &str| {
        let call = format!("client.acknowledge(joined.notice_id, {element})");
        lea.evaluate(&format!(
            "(() => {{ try {{ {call}; return ''; }} catch (error) {{ return error.code; }} }})()"
        ))
    };
    for element in ["", "null", "{ textContent: 'Paul D.' }", "document.body", "document.createElement('p')"] {
        assert_eq!(acknowledged(element), "notice_not_shown", "{element}");
    }
    lea.evaluate(
        "window.row = document.createElement('p'); row.textContent = 'À l\\'écoute : Paul D.'; row.hidden = true",
    );
    assert_eq!(acknowledged("row"), "", "it may come into view");
    let hide = [
        "document.body.append(row)",
        "Object.assign(row.style, { opacity: 0 }); row.hidden = false",
        "Object.assign(row.style, { opacity: 1, position: 'absolute', top: '-100px' })",
        "row.style.top = '20px'; document.body.append(window.lid = document.createElement('div'));
            Object.assign(lid.style, { position: 'fixed', inset: 0, background: 'white' })",
        "lid.remove(); row.style.top = '3000px'",
    ];
    for step in hide {
        lea.evaluate(&format!("{{ {step}; }}"));
        thread::sleep(Duration::from_millis(700));
        assert_eq!(lea.evaluate("client.listeners[0].told"), Value::Null, "{step}");
    }
    assert_eq!(paul.evaluate("loudness()"), 0);
    // However late, as soon as it can be read it counts.
    lea.evaluate("row.scrollIntoView()");
    paul.wait_for("loudness() > 0.01");
    assert_eq!(lea.evaluate("client.listeners[0].told"), "seen");
    assert_eq!(paul.evaluate("deep('ecoute-casque').client.wishes[0].told"), "seen");

    // Headphones that come once somebody is heard know neither since when nor better how loud.
    lea.evaluate(
        "client.addEventListener('listener_joined', ({ detail }) => {
            row.textContent = detail.admin.name;
            client.acknowledge(detail.notice_id, row);
        })",
    );
    let ana = desk.open(&site.url("/ana"));
    ana.wait_for("client.wishes[0]?.state === 'started'");
    ana.evaluate("document.body.append(Object.assign(document.createElement('ecoute-casque'), { client, commercial: 'lea' }))");
    ana.wait_for("deep('ecoute-panel >>> #panel-name')?.innerText === 'Léa Martin (lea)'");
    assert_eq!(ana.evaluate("deep('ecoute-panel >>> #panel-elapsed').innerText"), "");
    assert_eq!(ana.evaluate("deep('ecoute-panel >>> #volume-percent').innerText"), "50\u{a0}%");
}

#[test]
fn a_name_that_something_covers_is_not_shown() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(390, 844);
    start_streaming(&lea);
    let paul = desk.open(&ecoute.link("admin", "paul", "Paul D."));
    let badge = "deep('ecoute-badge >>> .badge')?.innerText ?? ''";
    // Who reads the help sees the badge over it.
    lea.click("#help-open");
    start_listening(&paul, "lea");
    assert_eq!(lea.evaluate(&format!("({badge}).includes('Paul D.')")), true);
    lea.screenshot(&screenshots().join("phone-help-heard.png"));
    lea.evaluate("document.querySelector('#help-all').close()");
    lea.wait_for(&format!("({badge}) === ''"));
    // Cut off by a part of the page that scrolls, the names are in no view; a later dialog does not hide the badge.
    lea.evaluate(
        "Object.assign(document.querySelector('#micro').style, { flex: 'none', height: '60px', overflow: 'scroll' });
         document.querySelector('#micro').scrollTop = 400;",
    );
    lea.wait_for(&format!("({badge}).includes('Paul D.')"));
    lea.evaluate("deep('ecoute-badge >>> .badge').addEventListener('toggle', () => { window.hasRisen = true; })");
    lea.click("#help-open");
    lea.wait_for("window.hasRisen");
    // A badge that styles of the page hide shows nobody.
    lea.evaluate("deep('ecoute-badge').style.display = 'none'");
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("deep('ecoute-micro').client.listeners.length === 0");
    paul.click("[data-commercial=lea] ecoute-casque >>> button");
    paul.wait_for("deep('[data-commercial=lea] ecoute-casque').client.wishes[0]?.cause === 'ack_late'");
}

#[test]
fn a_lost_connection_heals_on_the_same_session_and_microphone() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], [COUNTED, COUNTED]);

    // Another network: the same session looks for new paths, without a hole.
    for page in [&lea, &paul] {
        page.evaluate("dispatchEvent(new Event('online'))");
        page.wait_for("counts.sent.restart_ice === 1");
    }
    assert_tone(&paul, 440.0);

    // The page's connection is lost and comes back: the broadcast stands, a pause of meanwhile included.
    lea.evaluate("window.Kept = WebSocket; window.WebSocket = class { constructor() { throw new Error(); } }; lastSocket.close()");
    lea.wait_for("document.body.dataset.state === 'connecting'");
    paul.wait_for("document.body.dataset.audio === 'ready' && loudness() < 0.001");
    lea.evaluate("window.WebSocket = Kept");
    // At least: where audio is late, the watch has new paths looked for by itself.
    lea.wait_for("counts.sent.restart_ice >= 2 && document.body.dataset.state === 'on_air'");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_tone(&paul, 440.0);
    lea.evaluate("window.restarts = counts.sent.restart_ice; lastSocket.close()");
    lea.evaluate("deep('ecoute-micro').client.pauseStreaming()");
    lea.wait_for("document.body.dataset.state === 'paused' && counts.sent.restart_ice > restarts");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'paused'");
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("loudness() > 0.01");
    assert_eq!(lea.evaluate("[counts.peers, counts.microphones, counts.sent.start_streaming].join()"), "1,1,1");
    assert_eq!(paul.evaluate("counts.peers"), 1);

    // The server lost the session, which nothing but its word tells.
    let lost = "JSON.stringify({ event: 'error', data: { code: 'no_such_peer', message: '' } })";
    lea.evaluate(&format!("lastSocket.dispatchEvent(new MessageEvent('message', {{ data: {lost} }}))"));
    lea.wait_for("counts.sent.start_streaming === 2 && document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("[counts.peers, counts.microphones].join()"), "2,1");
    assert_tone(&paul, 440.0);
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

#[test]
fn a_call_interrupts_and_a_pause_stays_a_pause() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], [COUNTED, ""]);
    let happens = |event: &str| {
        let track = "deep('ecoute-micro').client.microphone.getAudioTracks()[0]";
        lea.evaluate(&format!("{track}.dispatchEvent(new Event('{event}'))"));
    };
    let is_so = |state: &str| {
        lea.wait_for(&format!("document.body.dataset.state === '{state}'"));
        paul.wait_for(&format!("document.querySelector('[data-commercial=lea]').dataset.state === '{state}'"));
    };

    happens("mute");
    is_so("interrupted");
    paul.wait_for("loudness() < 0.001");
    lea.screenshot(&screenshots().join("commercial-interrupted.png"));
    paul.screenshot(&screenshots().join("admin-interrupted.png"));
    happens("unmute");
    is_so("on_air");
    paul.wait_for("loudness() > 0.01");

    // The end of a call ends no pause, and the end of a pause ends no call.
    happens("mute");
    is_so("interrupted");
    lea.click("ecoute-micro >>> #pause");
    is_so("paused");
    lea.click("ecoute-micro >>> #pause");
    is_so("interrupted");
    lea.click("ecoute-micro >>> #pause");
    is_so("paused");
    happens("unmute");
    thread::sleep(Duration::from_millis(500));
    is_so("paused");
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    lea.click("ecoute-micro >>> #pause");
    is_so("on_air");
    paul.wait_for("loudness() > 0.01");

    // Another microphone is heard without an interruption; one that is taken away is asked for again.
    lea.evaluate("deep('ecoute-micro').client.startStreaming({ noiseSuppression: false })");
    let setting = "deep('ecoute-micro').client.microphone.getAudioTracks()[0].getSettings().noiseSuppression";
    assert_eq!(lea.evaluate(setting), false);
    assert_tone(&paul, 440.0);
    lea.evaluate("counts.microphones = 0; deep('ecoute-micro').client.microphone.getAudioTracks()[0].stop()");
    happens("ended");
    lea.wait_for("counts.microphones === 1");
    is_so("on_air");
    assert_tone(&paul, 440.0);
    assert_eq!(lea.evaluate("[counts.peers, counts.sent.start_streaming].join()"), "1,1");

    // What lasts longer than anybody waits for does not come back behind its user's back.
    happens("mute");
    is_so("interrupted");
    lea.evaluate("{ const now = Date.now; Date.now = () => now() + 301_000; }");
    happens("unmute");
    lea.wait_for("document.body.dataset.state === 'error'");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('5 minutes')");
    assert_eq!(lea.evaluate("deep('ecoute-micro').client.microphone"), Value::Null);
}

/// An application whose only component shows what the hook returns, with a new `getToken` at every render.
fn react_script(token: &str) -> String {
    format!(
        "import {{ createUseEcoute }} from 'ECOUTE/useEcoute.js';
         import {{ React, createRoot }} from '/react.js';
         const useEcoute = createUseEcoute(React);
         function Application() {{
             const ecoute = useEcoute({{ getToken: async () => window.token ?? '{token}' }});
             window.ecoute = ecoute;
             window.renders = (window.renders ?? 0) + 1;
             const streams = ecoute.availableStreams.map(({{ commercial_id: id }}) => React.createElement('button',
                 {{ key: id, id, onClick: () => ecoute.startListening(id, {{ reason: 'formation' }}) }}, id));
             const start = React.createElement('button', {{ id: 'start', onClick: () => ecoute.startStreaming() }}, 'start');
             return React.createElement('main', null, start, ...streams, JSON.stringify(ecoute, null, 1));
         }}
         const root = createRoot(document.body.appendChild(document.createElement('div')));
         window.show = (route) => root.render(React.createElement(React.StrictMode, null,
             route && React.createElement(Application, {{ key: String(route) }})));
         show(true);"
    )
}

#[test]
fn the_hook_streams_and_listens_in_a_real_react() {
    let site = Site::start();
    let ecoute = start_for(&[&site]);
    let lea = react_script(&ecoute.token("commercial", "lea", "Léa Martin"));
    let paul = react_script(&ecoute.token("admin", "paul", "Paul D."));
    site.serve(&ecoute, vec![("/lea", lea), ("/paul", paul), ("/react", react("18.3.1"))]);
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open_prepared(&site.url("/lea"), COUNTED);
    lea.wait_for("ecoute.isConnected && !ecoute.isStreaming");
    lea.click("#start");
    lea.wait_for("ecoute.isStreaming && deep('ecoute-badge >>> .badge').innerText.includes('personne')");

    let paul = desk.open_prepared(&site.url("/paul"), &format!("{}{COUNTED}", sound::TAP));
    paul.wait_for("ecoute.availableStreams[0]?.state === 'on_air' && ecoute.currentListeningTo === null");
    paul.click("#lea");
    paul.wait_for("ecoute.isListening && ecoute.currentListeningTo === 'lea' && ecoute.error === null");
    lea.wait_for("deep('ecoute-badge >>> .badge').innerText.includes('Paul D.')");
    assert_tone(&paul, 440.0);
    paul.evaluate("ecoute.setVolume(0)");
    paul.wait_for("ecoute.audioVolume === 0 && loudness() < 0.001");
    let renders = paul.evaluate("renders");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(paul.evaluate("renders"), renders, "who goes on to speak renders nothing");
    paul.evaluate("ecoute.stopListening()");
    paul.wait_for("!ecoute.isListening && ecoute.currentListeningTo === null");
    paul.evaluate("ecoute.disconnect()");
    paul.wait_for("!ecoute.isConnected");
    assert_eq!(paul.evaluate("counts.sockets"), 1, "one client in spite of every render's own function");
    paul.evaluate("ecoute.connect()");
    paul.wait_for("ecoute.isConnected");
    // A route that comes with a function of its own goes on, whether it comes after the other one or in its place; where
    // somebody else is logged in by then, what the other one began ends, and nothing is done under the other's name.
    let ana = ecoute.token("admin", "ana", "Ana R.");
    let routes = ["show(false), setTimeout(() => show(true), 100)", "show('another')"];
    for (route, (name, next)) in routes.into_iter().zip([("Paul D.", Some(&ana)), ("Ana R.", None)]) {
        paul.wait_for("document.querySelector('#lea')");
        paul.click("#lea");
        lea.wait_for(&format!("deep('ecoute-badge >>> .badge').innerText.includes('{name}')"));
        paul.evaluate(&format!("window.token = {}; window.former = lastSocket; {route}", serde_json::json!(next)));
        lea.wait_for("deep('ecoute-badge >>> .badge').innerText.includes('personne')");
        paul.wait_for("former.readyState === WebSocket.CLOSED && lastSocket !== former");
        paul.wait_for("ecoute.isConnected && ecoute.currentListeningTo === null && ecoute.error === null");
    }
    lea.evaluate("ecoute.stopStreaming()");
    lea.wait_for("!ecoute.isStreaming && !deep('ecoute-badge')");
    // What goes wrong is told.
    lea.evaluate(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }",
    );
    lea.click("#start");
    lea.wait_for("ecoute.error?.code === 'microphone_missing'");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}
