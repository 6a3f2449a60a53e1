//! The pages in real browsers with a fake microphone, against the real program: what goes in must come out.
#![allow(clippy::disallowed_methods, reason = "browsers live in real time")]

mod checks;
mod clock;
mod crowd;
mod day;
mod desk;
mod drive;
mod elements;
mod embedding;
mod encoder;
mod floor;
mod hands;
mod history;
mod ice_servers;
mod incomplete;
mod journal;
mod microphone;
mod names;
mod notes;
mod npm;
mod people;
mod proxy;
mod recovery;
mod relay;
mod site;
mod sound;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod trouble;
mod types;
mod unable;
mod unread;
mod versions;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use drive::{Browser, Page};
use nix::sys::signal::Signal;
use people::{microphone, start_listening, start_streaming};
use serde_json::Value;
use support::{Ecoute, program};
use tempfile::TempDir;

/// Where screenshots are kept, to be looked at.
fn screenshots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Opens the link of somebody else in a browser where somebody is logged in, and says that it is so.
fn open_another<'a>(browser: &'a Browser, link: &str, script: &str) -> Page<'a> {
    let page = browser.open_prepared(link, script);
    page.click("#replace-go");
    page
}

/// Waits until a page plays the tone, whatever holes a busy machine makes, and however much of another it has still
/// to play from before.
fn wait_for_tone(page: &Page<'_>, hz: f64) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        page.wait_for("loudness() > 0.01");
        let sound = sound::listen(page, 1200);
        if (sound.hz / hz - 1.0).abs() < 0.02 && sound.sounding > 0.5 {
            return;
        }
        assert!(Instant::now() < until, "{sound:?}");
    }
}

/// Asserts that a page plays the tone without a hole.
fn assert_tone(page: &Page<'_>, hz: f64) {
    page.wait_for("loudness() > 0.01");
    thread::sleep(Duration::from_millis(500));
    let sound = sound::listen(page, 5200);
    assert!(sound.seconds > 4.5, "{sound:?}");
    assert!((sound.hz / hz - 1.0).abs() < 0.02, "{sound:?}");
    assert!(sound.level > 0.02, "{sound:?}");
    assert!(sound.sounding >= 0.95, "{sound:?}");
}

/// Everything here trusts these measures.
#[test]
fn tones_and_holes_are_told_apart() {
    let tone = |hz: f64, hole_ms: usize| -> Vec<f64> {
        let sample = |n: usize| (n as f64 / 48_000.0 * hz * std::f64::consts::TAU).sin() * 0.5;
        let is_hole = |n: usize| (48_000..48_000 + hole_ms * 48).contains(&n);
        (0..96_000).map(|n| if is_hole(n) { 0.0 } else { sample(n) }).collect()
    };
    for hz in [120.0, 440.0, 880.0, 1900.0] {
        assert!((sound::measure(&tone(hz, 0)).hz - hz).abs() < 1.5, "{hz} Hz");
    }
    for (hole_ms, sounding) in [(0, 1.0), (20, 0.99), (300, 0.85), (1000, 0.5)] {
        assert_eq!(sound::longest_silence_ms(&tone(440.0, hole_ms)), hole_ms);
        assert!((sound::measure(&tone(440.0, hole_ms)).sounding - sounding).abs() < 0.011, "{hole_ms} ms");
    }
    assert!((sound::measure(&tone(440.0, 0)).level - 0.5 / 2f64.sqrt()).abs() < 0.001);
}

#[test]
fn a_tone_goes_in_and_comes_out() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(390, 844);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.screenshot(&screenshots().join("commercial-ready.png"));
    assert_eq!(lea.evaluate("location.hash"), "", "the token stays in no address bar");

    start_streaming(&lea);
    lea.screenshot(&screenshots().join("commercial-on-air.png"));
    start_listening(&paul, "lea");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    lea.screenshot(&screenshots().join("commercial-heard.png"));
    paul.screenshot(&screenshots().join("admin-listening.png"));
    assert_tone(&paul, 440.0);
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"] .speech').ariaLabel === 'Parle'");
    paul.wait_for("parseFloat(deep('ecoute-panel >>> .level i').style.transform.slice(7)) > 0.2");

    // A pause is silent at once, and what was heard goes on by itself.
    lea.click("ecoute-micro >>> #pause");
    lea.wait_for("document.body.dataset.state === 'paused'");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'pending'");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'paused'");
    assert_eq!(
        paul.evaluate("document.querySelector('[data-commercial=\"lea\"] .speech').checkVisibility()"),
        false
    );
    lea.wait_for("!document.title.includes('vous écoute')");
    lea.screenshot(&screenshots().join("commercial-paused.png"));
    paul.screenshot(&screenshots().join("admin-paused.png"));
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");

    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("!deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'online'");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

/// Networks of offices often let nothing but TCP through.
#[test]
fn a_tone_goes_in_and_comes_out_over_tcp() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2]
        .map(|()| Browser::chromium(&tone, "fr-FR", &["--webrtc-ip-handling-policy=disable_non_proxied_udp"]));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), sound::CONNECTIONS);
    let paul = desk
        .open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{}{}", sound::TAP, sound::CONNECTIONS));
    start_streaming(&lea);
    start_listening(&paul, "lea");
    assert_tone(&paul, 440.0);
    for page in [&lea, &paul] {
        assert_eq!(page.evaluate("transport()"), "tcp");
    }
    lea.click("ecoute-micro >>> #stop");
    paul.wait_for("document.querySelector('[data-commercial=\"lea\"]').dataset.state === 'online'");
}

/// The page comes from one address of the server's, audio goes through another: its replies must leave from there.
#[test]
fn a_tone_goes_through_the_second_address() {
    let port = |ip: &str| UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
    let second = port("127.0.0.2").to_string();
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--listen", &second, "--public-address", &second, "--data"]);
    command.arg(data.path());
    let ecoute = Ecoute::start_command(command, data);
    let link = |role: &str, id: &str| format!("http://{}/{role}#t={}", ecoute.address, ecoute.token(role, id, id));
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let lea = phone.open(&link("commercial", "lea"));
    start_streaming(&lea);
    let paul = desk.open_prepared(&link("admin", "paul"), &format!("{}{}", sound::TAP, sound::CONNECTIONS));
    start_listening(&paul, "lea");
    assert_tone(&paul, 440.0);
    assert_eq!(paul.evaluate("transport()"), "udp");
}

#[test]
fn names_ids_and_reasons_in_markup_are_shown_as_they_are() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let (id, name) = ("<img&quot;src=x>", r#"<img src=x onerror=alert(1)> & "Léa" {count}"#);
    let (supervisor, reason) = ("<b>Paul</b><script>alert(1)</script>", "<svg onload=alert(1)>&lt;");
    let lea = phone.open(&ecoute.link("commercial", id, name));
    start_streaming(&lea);
    let paul = desk.open(&ecoute.link("admin", "paul", supervisor));
    let row = format!("document.querySelector('[data-commercial=\"{id}\"]')");
    paul.wait_for(&format!("{row}?.dataset.state === 'on_air'"));
    paul.evaluate(&format!(
        "for (const [place, value] of [['#reason-kind', 'autre'], ['#reason-text', '{reason}']]) {{
            document.querySelector(place).value = value;
            document.querySelector(place).dispatchEvent(new Event('input'));
        }}"
    ));
    start_listening(&paul, id);

    let listeners = "deep('ecoute-micro >>> #listeners').innerText";
    for text in [supervisor, reason] {
        lea.wait_for(&format!("{listeners}.includes('{text}')"));
    }
    for place in [&format!("{row}.innerText"), "deep('ecoute-panel >>> #panel').innerText"] {
        paul.wait_for(&format!("{place}.includes('{name}')"));
    }
    lea.screenshot(&screenshots().join("commercial-markup.png"));
    paul.screenshot(&screenshots().join("admin-markup.png"));
    let made_of_text = "[document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)]
        .flatMap((root) => [...root.querySelectorAll('img:not(.logo), svg[onload], script:not([src]):not(head > script), b')])
        .map((e) => e.outerHTML)";
    for page in [&lea, &paul] {
        assert_eq!(page.evaluate(made_of_text), Value::Array(vec![]));
    }
    // What the policy of the page stops is told to its console.
    assert_eq!((phone.complaints(), desk.complaints()), (vec![], vec![]));
}

#[test]
fn a_restart_of_the_server_heals_by_itself() {
    let mut ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    let count_sockets = "window.sockets = 0; window.WebSocket = class extends WebSocket {
        constructor(...rest) { super(...rest); window.sockets += 1; }
    };";
    let script = format!("{}{count_sockets}", sound::TAP);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &script);
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.01");
    for page in [&lea, &paul] {
        page.evaluate("window.isSamePage = true");
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let before = paul.evaluate("sockets");
        let ended = Instant::now();
        ecoute.restart(signal);
        paul.wait_for(&format!("sockets > {before}"));
        paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");
        lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
        assert!(ended.elapsed() < Duration::from_secs(10), "{signal}: {:?}", ended.elapsed());
        wait_for_tone(&paul, 440.0);
    }
    for page in [&lea, &paul] {
        assert_eq!(page.evaluate("isSamePage"), true, "nobody reloaded it");
    }
}

#[test]
fn both_links_work_side_by_side_in_one_profile_and_after_a_reload() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    browser.grant(&ecoute.url(), &["notifications", "audioCapture"]);
    let lea = browser.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    // The tab in front hides the other, which still tells its person who listens.
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    paul.bring_to_front();
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.001");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");

    // Each page kept its own token: reloaded without the link, each is who it was.
    paul.reload();
    paul.wait_for("document.body.dataset.audio === 'ready'");
    assert_eq!(paul.evaluate("location.hash"), "");
    paul.click("ecoute-panel >>> #resume");
    paul.wait_for("loudness() > 0.001");
    lea.bring_to_front();
    lea.reload();
    start_streaming(&lea);
    paul.bring_to_front();
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.001");

    // The start page offers both, and a link that is no link says what to do.
    let start = browser.open(&format!("{}/", ecoute.url()));
    for page in ["/admin", "/commercial"] {
        start.wait_for(&format!("document.querySelector('a[href=\"{page}\"]').checkVisibility()"));
    }
    start.screenshot(&screenshots().join("start-both.png"));
    let stranger = browser.open(&format!("{}/admin#t=not.a.token", ecoute.url()));
    stranger.wait_for("document.body.dataset.connection === 'expired'");
    stranger.wait_for("document.body.innerText.includes('Ce lien n\\'est plus valable')");
    stranger.screenshot(&screenshots().join("admin-expired.png"));
}

/// Runs before a page: keeps its last WebSocket, so that a test can lose it.
const SOCKET_KEPT: &str = "window.WebSocket = class extends WebSocket {
    constructor(...all) { super(...all); window.lastSocket = this; }
};";

#[test]
fn an_open_page_stays_the_same_person() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let karim = browser.open_prepared(&ecoute.link("commercial", "karim", "Karim B."), SOCKET_KEPT);
    start_streaming(&karim);
    // Any site may open a link: who is logged in stays so, until the person here says that they are somebody else.
    let zoe_link = ecoute.link("commercial", "zoe", "Zoé P.");
    let page = browser.open_prepared(&zoe_link, told::SENT);
    let asked = "document.querySelector('#gate').innerText.replaceAll('\\u00a0', ' ').replaceAll('\\n', ' ')";
    for words in ["Vous êtes : Karim B. (karim)", "la page de : Zoé P. (zoe)", "Rester : Karim B."] {
        page.wait_for(&format!("{asked}.includes('{words}')"));
    }
    assert_eq!(page.evaluate("location.hash"), "");
    desk::assert_accessible_in(&page, "phone-replace", &["fr"]);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(page.evaluate("sent.length"), 0, "nothing of the new token leaves");
    page.click("#replace-stay");
    page.wait_for("document.querySelector('#name').textContent === 'Karim B.'");
    page.wait_for("document.body.dataset.state === 'already_open'");
    page.close();
    let zoe = open_another(&browser, &zoe_link, "");
    zoe.wait_for("document.body.dataset.state === 'ready'");
    zoe.close();

    karim.bring_to_front();
    karim.evaluate("lastSocket.close()");
    karim.wait_for("document.body.dataset.state === 'connecting'");
    karim.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(karim.evaluate("document.querySelector('#name').textContent"), "Karim B.");
    let paul = browser.open(&ecoute.link("admin", "paul", "Paul D."));
    paul.wait_for("document.querySelector('[data-commercial=karim]').dataset.state === 'on_air'");
    // So it is with the other role.
    let ana = browser.open(&ecoute.link("admin", "ana", "Ana R."));
    ana.wait_for("document.querySelector('#gate').innerText.includes('Paul D. (paul)')");
    assert_eq!(ana.evaluate("document.body.dataset.connection"), "no_token");
    ana.close();
    assert_eq!(paul.evaluate("document.querySelector('[data-commercial=zoe]')?.dataset.state === 'on_air'"), false);

    // A second tab of the same person asks first, and says what its answer does; the first then says that it ended.
    let second = open_another(&browser, &ecoute.link("commercial", "karim", "Karim B."), "");
    second.wait_for("deep('ecoute-micro >>> #elsewhere').innerText.includes('Le direct en cours s\\'arrêtera')");
    assert_eq!(second.evaluate("document.querySelector('#name').textContent"), "Karim B.");
    second.screenshot(&screenshots().join("commercial-elsewhere.png"));
    second.click("ecoute-micro >>> #take-over");
    second.wait_for("document.body.dataset.state === 'ready'");
    let told = "[...document.querySelectorAll('.toast')].some((t) => t.checkVisibility() && /^Direct arrêté/.test(t.innerText))";
    karim.wait_for(&format!("document.body.dataset.state === 'already_open' && {told}"));
}

#[test]
fn a_link_that_does_not_work_costs_nobody_their_access() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("commercial", "lea", "Léa Martin");
    let page = browser.open(&link);
    page.wait_for("document.body.dataset.state === 'ready'");

    // Cut off inside the signature, it looks like a token; cut off before, it does not.
    let no_signature = &link[..link.rfind('.').unwrap()];
    for (cut, state) in [(&link[..link.len() - 5], "expired"), (no_signature, "no_token")] {
        let damaged = browser.open(cut);
        damaged.wait_for(&format!("document.body.dataset.state === '{state}'"));
        damaged.wait_for("document.querySelector('#gate').innerText.includes('en entier')");
        assert_eq!(damaged.evaluate("location.hash"), "");
        damaged.screenshot(&screenshots().join(format!("commercial-damaged-{state}.png")));
        damaged.close();
    }

    // A link of the other role names the page that it is for; the form takes it just as well.
    let admin = ecoute.link("admin", "paul", "Paul D.");
    let other = browser.open(&admin.replace("/admin#", "/commercial#"));
    other.wait_for("document.querySelector('#gate').innerText.includes('celui d\\'un responsable')");
    other.screenshot(&screenshots().join("commercial-other-role.png"));
    other.click("#gate button");
    other.wait_for("location.pathname === '/admin' && document.body.dataset.connection === 'connected'");
    let other = browser.open(&link.replace("/commercial#", "/admin#"));
    other.wait_for("document.querySelector('#gate').innerText.includes('celui d\\'un commercial')");

    page.reload();
    page.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(page.evaluate("document.querySelector('#name').textContent"), "Léa Martin");
    // Where there can be no microphone, nobody has to press a button to learn it.
    let no_microphone = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })";
    let without = open_another(&browser, &ecoute.link("commercial", "zoe", "Zoé P."), no_microphone);
    without.wait_for("document.body.dataset.state === 'error'");
    without.wait_for("deep('ecoute-micro >>> #help').innerText.includes('accès au micro')");
    let pasting = browser.open(&format!("{}/admin#t=cut", ecoute.url()));
    pasting.wait_for("document.querySelector('#gate input')");
    pasting.evaluate(&format!("document.querySelector('#gate input').value = '{admin}'"));
    pasting.click("#gate button");
    pasting.wait_for("document.body.dataset.connection === 'connected'");
    assert_eq!(pasting.evaluate("location.hash"), "");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

/// A link that the server does not take, whose maker is told why in one word.
#[test]
fn a_refused_link_says_why() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let secret = std::fs::read_to_string(ecoute.data.path().join("secret")).unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(secret.trim().as_bytes());
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let link = |page: &str, edit: Value| {
        let role = if page == "admin" { "admin" } else { "commercial" };
        let mut claims = serde_json::json!({ "sub": "ines", "role": role, "iat": now_s - 60, "exp": now_s + 600 });
        claims.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        format!("{}/{page}#t={token}", ecoute.url())
    };
    ecoute.revoke("zoe");
    // The claims, then what is read in French and in English.
    let cases = [
        (serde_json::json!({ "exp": now_s - 1 }), "Votre accès a expiré", "Your access has expired"),
        (serde_json::json!({ "sub": "zoe" }), "Votre accès a été retiré", "Your access has ended"),
        (serde_json::json!({ "nbf": now_s + 600 }), "pas encore valable", "not valid yet"),
        (serde_json::json!({ "device": "no" }), "mal préparé", "set up incorrectly"),
    ];
    for page in ["admin", "commercial"] {
        for (edit, french, english) in &cases {
            let shown = browser.open_prepared(&link(page, edit.clone()), "");
            shown.wait_for(&format!("document.querySelector('#gate').innerText.includes('{french}')"));
            let is_shown = |word: &str| {
                shown.evaluate(&format!("document.querySelector('#gate').innerText.includes('{word}')"))
            };
            assert_eq!(is_shown("claims"), edit.get("device").is_some(), "{page}: {edit}");
            shown.click("#languages button:nth-child(2)");
            assert_eq!(is_shown(english), true, "{page}: {edit}");
            shown.click("#languages button:nth-child(1)");
            desk::assert_accessible_in(&shown, &format!("{page}-refused"), &["fr"]);
            shown.evaluate("localStorage.clear()");
            shown.close();
        }
    }
    // A name that a form let through is shown on one line, and its bearer gets in.
    let odd = link(
        "admin",
        serde_json::json!({ "name": "Inès\t\u{202e}\n", "exp": now_s as f64 + 600.5, "device": null }),
    );
    let page = browser.open(&odd);
    page.wait_for("document.body.dataset.connection === 'connected'");
    page.wait_for("document.querySelector('#name').textContent === 'Inès'");
}

#[test]
fn what_mail_programs_and_sentences_do_to_a_link_does_not_damage_it() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("admin", "paul", "Paul D.");
    let encoded = link.replace("/admin#t=", "/admin%23t%3D");
    let connected = "document.body.dataset.connection === 'connected'";
    for (form, link) in [
        ("a full stop", format!("{link}.")),
        ("brackets", format!("{link})>,")),
        ("encoded", encoded.clone()),
        ("encoded again", encoded.replace('%', "%25")),
        ("encoded, a full stop", format!("{encoded}.")),
        ("in the fragment", link.replace("#t=", "#t%3d")),
        ("a slash", link.replace("/admin#", "/admin/#")),
        ("followed", format!("{link}&utm_source=mail")),
    ] {
        let page = browser.open(&link);
        page.wait_for(connected);
        assert_eq!(page.evaluate("location.pathname + location.hash"), "/admin", "{form}");
        page.evaluate("localStorage.clear()");
        page.close();
        let pasting = browser.open(&format!("{}/admin", ecoute.url()));
        pasting.wait_for("document.querySelector('#gate input')");
        pasting.evaluate(&format!("document.querySelector('#gate input').value = 'Le lien : <{link}'"));
        pasting.click("#gate button");
        pasting.wait_for(connected);
        pasting.evaluate("localStorage.clear()");
        pasting.close();
    }
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn an_access_that_expires_says_that_the_broadcast_ended() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let short_link =
        |role: &str, id: &str| format!("{}/{role}#t={}", ecoute.url(), ecoute.token_for("15s", role, id));
    let lea = phone.open(&short_link("commercial", "lea"));
    let paul = desk.open(&short_link("admin", "paul"));
    start_streaming(&lea);
    lea.resize(390, 844);
    for page in [&lea, &paul] {
        page.wait_for("document.querySelector('#gate').checkVisibility()");
        assert_eq!(page.evaluate("document.body.innerText.includes('token_refused')"), false);
    }
    // One message, of what is true now; the one of the start is gone.
    assert_eq!(
        lea.evaluate("[...document.querySelectorAll('.toast')].filter((t) => t.checkVisibility()).length"),
        1
    );
    assert_eq!(lea.evaluate("document.querySelector('.toast').innerText.startsWith('Direct arrêté')"), true);
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #announce').textContent"), "");
    assert_eq!(paul.evaluate("document.querySelectorAll('.toast').length"), 0);
    for (page, name) in [(&lea, "phone"), (&paul, "desk")] {
        assert_eq!(page.evaluate("document.querySelector('#test-open')?.checkVisibility() ?? false"), false);
        desk::assert_accessible_in(page, &format!("{name}-expired"), &["fr"]);
    }
}

#[test]
fn nothing_is_cut_off_or_covered_at_any_width() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    browser.grant(&ecoute.url(), &["notifications", "audioCapture"]);
    let long_name = "Maximilienne-Alexandrine de La Rochefoucauld-Montmorency-Sainte-Croix d'Aubigny";
    let lea = browser.open(&ecoute.link("commercial", "lea", long_name));
    start_streaming(&lea);
    for index in 0..4 {
        let link = ecoute.link("commercial", &format!("c{index}"), &format!("Commercial {index}"));
        let page = open_another(&browser, &link, "");
        page.wait_for("document.body.dataset.state === 'ready'");
    }
    lea.resize(360, 740);
    lea.wait_for("deep('ecoute-micro >>> #live').getBoundingClientRect().height < 40");
    lea.screenshot(&screenshots().join("commercial-long-name.png"));
    let paul = browser.open(&ecoute.link("admin", "paul", "Paul D."));
    paul.bring_to_front();
    start_listening(&paul, "lea");
    let is_whole = "(() => {
        const isWithin = (e) => { const r = e.getBoundingClientRect(), p = e.parentElement.getBoundingClientRect();
            return !e.checkVisibility() || r.left >= p.left - 1 && r.right <= p.right + 1; };
        const isReachable = (e) => { e.scrollIntoView(); const r = e.getBoundingClientRect();
            return e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)); };
        return document.documentElement.scrollWidth <= innerWidth
            && [...document.querySelectorAll('.person > *'), ...deep('ecoute-panel >>> header').children].every(isWithin)
            && [...document.querySelectorAll('footer button, .person:last-child .listen')].every(isReachable);
    })()";
    for (width, height) in [(320, 640), (360, 740), (768, 1024), (900, 700), (1024, 768), (1280, 800)] {
        paul.resize(width, height);
        paul.screenshot(&screenshots().join(format!("admin-{width}.png")));
        paul.wait_for(is_whole);
    }
    // However short the window, the list is there, and the keyboard stops at nothing that the panel covers.
    for (width, height) in [(390, 700), (640, 400)] {
        paul.resize(width, height);
        paul.evaluate("(scrollTo(0, 0), document.querySelector('.person').focus())");
        for _ in 0..5 {
            paul.press("ArrowDown");
            let is_seen = "(() => { const name = document.activeElement.querySelector('.name');
                const { x, y, height } = name.getBoundingClientRect();
                return name.contains(document.elementFromPoint(x + 20, y + height / 2)); })()";
            paul.wait_for(is_seen);
        }
        paul.screenshot(&screenshots().join(format!("admin-{width}x{height}.png")));
    }
    paul.resize(1280, 800);
    day::set_volume(&paul, 0);
    paul.wait_for("deep('ecoute-panel >>> #volume-icon [data-name=muted]')");
    // What is not known to be true any more neither counts on nor looks live.
    drop(ecoute);
    paul.wait_for("document.body.dataset.connection === 'connecting'");
    let clock = "document.querySelector('[data-commercial=lea] .elapsed').textContent";
    let frozen = paul.evaluate(clock);
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(paul.evaluate(clock), frozen);
    paul.wait_for("deep('ecoute-panel >>> .level i').style.transform === 'scaleX(0)'");
    paul.wait_for("/^Connexion perdue à [0-9:]+\\u00a0:/.test(document.querySelector('#lost').innerText)");
    paul.click("#languages [lang=en]");
    paul.wait_for("/^Connection lost at [0-9]{2}:[0-9]{2}:/.test(document.querySelector('#lost').innerText)");
    paul.screenshot(&screenshots().join("admin-disconnected.png"));
}
