//! A working day in real browsers: several people at once, and everything that comes between them.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::drive::{Browser, Page};
use crate::elements::COUNTED;
use crate::people::{microphone, open_both, start_listening, start_streaming};
use crate::relay::Relay;
use crate::support::Ecoute;
use crate::told::SENT;
use crate::{assert_tone, screenshots, sound, wait_for_tone};

const STARTED: &str = "deep('ecoute-panel >>> #panel').dataset.listening === 'started'";

/// Clicks the headphones of somebody, heard or not.
fn click_headphones(page: &Page<'_>, id: &str) {
    page.click(&format!("[data-commercial=\"{id}\"] ecoute-casque >>> button"));
}

/// Moves the volume in one go: drawn in between, it would be where it was.
pub fn set_volume(page: &Page<'_>, percent: u32) {
    page.evaluate(&format!(
        "(() => {{ const volume = deep('ecoute-panel >>> #volume');
          volume.value = {percent}; volume.dispatchEvent(new Event('input')); }})()"
    ));
}

#[test]
fn each_of_two_supervisors_hears_the_right_one_of_two_salespeople() {
    let ecoute = Ecoute::start();
    let (low, high) = (microphone(440.0), microphone(880.0));
    let phones = [Browser::start(&low, "fr-FR"), Browser::start(&high, "fr-FR")];
    let desks = [Browser::start(&low, "fr-FR"), Browser::start(&low, "en-GB")];
    let lea = phones[0].open(&ecoute.link("commercial", "lea", "Léa Martin"));
    let tom = phones[1].open(&ecoute.link("commercial", "tom", "Tom L."));
    for page in [&lea, &tom] {
        start_streaming(page);
    }
    let paul = desks[0].open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    let ana = desks[1].open_prepared(&ecoute.link("admin", "ana", "Ana R."), sound::TAP);
    start_listening(&paul, "lea");
    start_listening(&ana, "tom");

    // Each switches there, back and there again: the tones are right, and the silence between two is at most 300 ms,
    // in the median, because a busy machine makes holes of its own.
    let switches = |page: &Page<'_>, from: (&str, f64), to: (&str, f64)| {
        let samples = sound::record_while(page, 8000, || {
            for (id, _) in [to, from, to] {
                thread::sleep(Duration::from_millis(1800));
                click_headphones(page, id);
            }
            thread::sleep(Duration::from_millis(1800));
        });
        let mut silences_ms = [1, 2, 3].map(|turn| {
            // From a little before the click up to what leads to the next one.
            let begin = turn * 1800 * 48 - 300 * 48;
            sound::longest_silence_ms(&samples[begin..begin + 1700 * 48])
        });
        silences_ms.sort_unstable();
        assert!(silences_ms[1] <= 300, "{silences_ms:?} ms of silence at switches to {}", to.0);
        let before = sound::measure(&samples[..48_000]);
        assert!((before.hz / from.1 - 1.0).abs() < 0.02, "{before:?} before the switch to {}", to.0);
        wait_for_tone(page, to.1);
    };
    switches(&paul, ("lea", 440.0), ("tom", 880.0));
    tom.wait_for("deep('ecoute-micro >>> #heard-title').innerText.includes('(2)')");
    lea.wait_for("!deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    paul.wait_for("document.querySelector('[data-commercial=tom]').innerText.includes('Ana')");
    switches(&ana, ("tom", 880.0), ("lea", 440.0));
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Ana R.')");
    wait_for_tone(&paul, 880.0); // Another's switch is hers alone.

    // Each has a volume of their own, from nothing to double.
    set_volume(&paul, 100);
    thread::sleep(Duration::from_millis(300));
    let full = sound::listen(&paul, 1000).level;
    set_volume(&paul, 200);
    thread::sleep(Duration::from_millis(300));
    let double = sound::listen(&paul, 1000).level;
    assert!((1.7..2.3).contains(&(double / full)), "{double} / {full}");
    set_volume(&paul, 0);
    thread::sleep(Duration::from_millis(300));
    assert!(sound::listen(&paul, 1000).level < 0.001);
    assert!(sound::listen(&ana, 1000).level > 0.01, "her volume is her own");
    for browser in phones.iter().chain(&desks) {
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    }
}

#[test]
fn the_meter_follows_what_is_heard_whatever_the_volume() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], ["", SENT]);
    paul.evaluate(
        "window.bar = () => deep('ecoute-panel >>> .level i');
        window.moves = 0;
        new MutationObserver(() => { moves += 1; }).observe(bar(), { attributeFilter: ['style'] });",
    );
    let is_loud = "parseFloat(bar().style.transform.slice(7)) > 0.3";
    let is_empty = "bar().style.transform === 'scaleX(0)'";
    let speech = "document.querySelector('[data-commercial=lea] .speech').ariaLabel";
    paul.wait_for(is_loud);
    paul.wait_for(&format!("{speech} === 'Parle'"));
    paul.click("ecoute-panel >>> #mute");
    set_volume(&paul, 0);
    paul.wait_for("loudness() < 0.001");
    let moves = paul.evaluate("moves");
    paul.wait_for(&format!("moves > {moves} + 5 && {is_loud}"));

    // The microphone is open and nobody speaks.
    let speak = |is_on: bool| {
        lea.evaluate(&format!("deep('ecoute-micro').client.microphone.getAudioTracks()[0].enabled = {is_on}"));
    };
    speak(false);
    paul.wait_for(is_empty);
    paul.wait_for(&format!("{speech} === 'Ne parle pas'"));
    speak(true);
    paul.wait_for(&format!("{is_loud} && {speech} === 'Parle'"));

    // Nobody looks: nothing is measured, and who speaks is not told.
    paul.evaluate("setHidden(true)");
    paul.wait_for(is_empty);
    let moves = paul.evaluate("moves");
    speak(false);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(paul.evaluate("moves"), moves);
    assert_eq!(paul.evaluate(speech), "Parle");
    paul.evaluate("setHidden(false)");
    paul.wait_for(&format!("{speech} === 'Ne parle pas'"));
    assert_eq!(paul.evaluate("said('page_visible').map(({ visible }) => visible)"), json!([false, true]));
    speak(true);
    paul.wait_for(is_loud);

    lea.click("ecoute-micro >>> #pause");
    paul.wait_for(is_empty);
    for browser in [&phone, &desk] {
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    }
}

#[test]
fn a_pause_is_silent_within_300_ms_and_keeps_the_broadcast() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], ["", ""]);
    paul.evaluate(
        "window.silentAt = new Promise((resolve) => {
            let since = null;
            const look = () => {
                if (loudness() > 0.001) since = null; else since ??= Date.now();
                if (since && Date.now() - since > 500) resolve(since); else setTimeout(look, 5);
            };
            look();
        }); true",
    );
    lea.evaluate(
        "addEventListener('click', () => { window.clickedAt = Date.now(); }, { capture: true, once: true })",
    );
    lea.click("ecoute-micro >>> #pause");
    let silent_after_ms = paul.evaluate("silentAt").as_f64().unwrap() - lea.evaluate("clickedAt").as_f64().unwrap();
    assert!(silent_after_ms <= 300.0, "{silent_after_ms} ms");
    // Longer than anybody who sends nothing stays on air: a pause is no end.
    thread::sleep(Duration::from_secs(23));
    assert_eq!(paul.evaluate("document.querySelector('[data-commercial=lea]').dataset.state"), "paused");
    assert_eq!(paul.evaluate("loudness() < 0.001"), true);
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for(&format!("{STARTED} && loudness() > 0.01"));
}

#[test]
fn a_phone_whose_page_dies_is_heard_again_when_it_is_back() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], ["", ""]);
    lea.kill();
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'interrupted'");
    paul.wait_for("loudness() < 0.001");
    paul.screenshot(&screenshots().join("admin-interrupted.png"));
    let again = phone.open(&format!("{}/commercial", ecoute.url()));
    start_streaming(&again);
    paul.wait_for(&format!("{STARTED} && loudness() > 0.01"));
    again.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    wait_for_tone(&paul, 440.0);

    // Another device takes over: the wish follows, and the first one's microphone is let go.
    let high = microphone(880.0);
    let other = Browser::start(&high, "fr-FR");
    let other_page = other.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    other_page.click("ecoute-micro >>> #take-over");
    again.wait_for("document.body.dataset.state === 'already_open'");
    assert_eq!(again.evaluate("deep('ecoute-micro').client.microphone"), Value::Null);
    start_streaming(&other_page);
    paul.wait_for(&format!("{STARTED} && loudness() > 0.01"));
    other_page.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    wait_for_tone(&paul, 880.0);
    // The first one goes on to see who listens.
    again.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
}

#[test]
fn a_phone_on_the_road_is_heard_again_by_itself() {
    let relay = Relay::bind();
    // Where it listens on more addresses, those are reached past the relay.
    let public_address = relay.address.to_string();
    let data = tempfile::TempDir::new().unwrap();
    let ecoute = Ecoute::start_at("127.0.0.1:0", data, &["--public-address", &public_address]);
    relay.forward_to(ecoute.address);
    let link = |role: &str, id: &str, name: &str| {
        ecoute.link(role, id, name).replace(&ecoute.address.to_string(), &relay.address.to_string())
    };
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let paul = desk.open_prepared(&link("admin", "paul", "Paul D."), sound::TAP);
    paul.wait_for("document.body.dataset.audio === 'ready'");
    let road = relay.new_network(Duration::from_millis(40));
    let lea = phone.open(&link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.01");

    // The carrier gives the phone another address.
    let samples = sound::record_while(&paul, 10_000, || {
        thread::sleep(Duration::from_millis(500));
        road.move_clients();
    });
    let silence_ms = sound::longest_silence_ms(&samples);
    assert!(silence_ms < 8000, "{silence_ms} ms of silence at a new address");
    assert!((sound::measure(&samples[samples.len() - 48_000..]).hz / 440.0 - 1.0).abs() < 0.02);

    // A tunnel: longer than the pages and the server need to notice.
    road.cut(true);
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'interrupted'");
    thread::sleep(Duration::from_secs(12));
    road.cut(false);
    let back = Instant::now();
    paul.wait_for(&format!("{STARTED} && loudness() > 0.01"));
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert!(back.elapsed() < Duration::from_secs(10), "{:?} after a tunnel", back.elapsed());
    assert_tone(&paul, 440.0);
    assert_eq!(lea.evaluate("document.body.dataset.state"), Value::from("on_air"));
}

#[test]
fn an_application_renews_its_token_and_the_sound_goes_on() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    let short = ecoute.token_for("8s", "admin", "paul");
    let later = ecoute.token("admin", "paul", "Paul D.");
    let page = desk.open_prepared(&format!("{}/", ecoute.url()), sound::TAP);
    page.wait_for("document.readyState === 'complete'");
    page.evaluate(&format!(
        "import('/ecoute.js').then(({{ EcouteClient }}) => {{
            const tokens = ['{short}', '{later}'];
            window.asked = 0;
            window.states = [];
            window.client = new EcouteClient({{ getToken: async () => tokens[Math.min(asked++, 1)] }});
            client.addEventListener('connection', ({{ detail }}) => states.push(detail.state));
            client.addEventListener('registered', ({{ detail }}) => {{ window.renewed = detail.renewed; }});
            client.connect();
            addEventListener('click', () => client.listen('lea'), {{ once: true }});
        }})"
    ));
    page.wait_for("client.audio.connection === 'ready'");
    page.click("body");
    page.wait_for("loudness() > 0.01");
    page.wait_for("asked === 2 && renewed === true");
    // Longer than the first one is good for.
    let samples = sound::record_while(&page, 9000, || {});
    // A busy machine makes holes of its own; a page that is cut off needs longer to come back.
    assert!(sound::longest_silence_ms(&samples) <= 1000, "{} ms", sound::longest_silence_ms(&samples));
    assert!((sound::measure(&samples[samples.len() - 48_000..]).hz / 440.0 - 1.0).abs() < 0.02);
    assert_eq!(page.evaluate("states.filter((state) => state !== 'connecting').join()"), "registered");
}

#[test]
fn who_is_revoked_is_cut() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], ["", ""]);

    ecoute.revoke("paul");
    paul.wait_for("loudness() < 0.001");
    paul.wait_for("document.querySelector('#gate').checkVisibility()");
    lea.wait_for("!deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_eq!(lea.evaluate("document.body.dataset.state"), "on_air");
    paul.reload();
    paul.wait_for("document.querySelector('#gate').checkVisibility()");

    ecoute.revoke("lea");
    lea.wait_for("document.querySelector('#gate').checkVisibility()");
    lea.screenshot(&screenshots().join("commercial-revoked.png"));
}

#[test]
fn a_reason_that_nobody_would_understand_costs_nothing_else() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    let script = format!("{}{COUNTED}", sound::TAP);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &script);
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.01");
    paul.evaluate(
        "window.errors = [];
        window.client = deep('[data-commercial=lea] ecoute-casque').client;
        client.addEventListener('error', ({ detail }) => errors.push(detail.code));
        client.listen('tom', { reason: 'training' })",
    );
    paul.wait_for("errors.join() === 'bad_reason'");
    assert_eq!(paul.evaluate("client.wishes.map((wish) => wish.commercial_id).join()"), "lea");
    assert_tone(&paul, 440.0);
    assert_eq!(paul.evaluate("counts.sockets"), 1);
}
