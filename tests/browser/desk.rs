//! What stands around hearing and being heard: the supervisor's desk, the salesperson's options, the installed app.
//!
//! Both pages are looked at by axe-core in each of their main states, in both languages, light and dark.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::drive::{Browser, Page};
use crate::npm::installed;
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, assert_tone, open_another, screenshots, sound};

/// Returns the source of axe-core.
fn axe() -> String {
    std::fs::read_to_string(installed(&["axe-core@4.11.1"]).join("axe-core/axe.min.js")).unwrap()
}

/// What a finger can hit, by its label where it has one, and is smaller than 44 px either way.
const TOO_SMALL: &str =
    "[document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)]
    .flatMap((root) => [...root.querySelectorAll('button, a, input, select, summary')])
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.unseen'))
    .filter((e) => {
        const { width, height } = (e.closest('label') ?? e).getBoundingClientRect();
        return width < 43.5 || height < 43.5;
    })
    .map((e) => e.outerHTML)";

/// Asserts in both languages, light and dark, that the page is accessible, and keeps what it looks like.
pub fn assert_accessible(page: &Page<'_>, state: &str) {
    assert_accessible_in(page, state, &["en", "fr"]);
}

/// Asserts the same in some languages.
pub fn assert_accessible_in(page: &Page<'_>, state: &str, languages: &[&str]) {
    if page.evaluate("typeof axe") != "object" {
        page.evaluate(&axe());
    }
    assert_eq!(page.evaluate(TOO_SMALL), json!([]), "{state}");
    for language in languages {
        page.evaluate(&format!("document.querySelector('#languages [lang={language}]')?.click()"));
        for scheme in ["dark", "light"] {
            page.prefer(scheme);
            let run = "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.map((v) =>
                v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary).join('; ')))";
            let violations = page.evaluate(run);
            page.screenshot(&screenshots().join(format!("{state}-{language}-{scheme}.png")));
            assert_eq!(violations, json!([]), "{state}, {language}, {scheme}");
        }
    }
}

/// Lets a page believe that the server said something.
pub fn say(page: &Page<'_>, event: &str, data: Value) {
    let message = json!({ "event": event, "data": data }).to_string();
    page.evaluate(&format!("lastSocket.onmessage({{ data: {} }})", json!(message)));
}

#[test]
fn pages_are_accessible_in_every_state() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let karim = phone.open(&ecoute.link("commercial", "karim", "Karim B."));
    start_streaming(&karim);
    let _ines = open_another(&phone, &ecoute.link("commercial", "ines", "Inès R."), "");
    let origin = ecoute.url();
    phone.grant(&origin, &["geolocation", "audioCapture"]);
    let lea = open_another(&phone, &ecoute.link("commercial", "lea", "Léa Martin"), SOCKET_KEPT);
    lea.bring_to_front();
    lea.resize(390, 844);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), SOCKET_KEPT);

    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_accessible(&lea, "phone-ready");
    lea.click("#device-try");
    lea.wait_for("document.querySelector('#trial').checkVisibility()");
    lea.screenshot(&screenshots().join("phone-trial.png"));
    lea.click("#help-open");
    lea.click("#help-all details:nth-of-type(2) summary");
    assert_accessible(&lea, "phone-help");
    lea.press("Escape");

    start_streaming(&lea);
    start_listening(&paul, "lea");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    let quality =
        json!({ "commercial_id": "lea", "loss": 0.002, "jitter_ms": 8, "rtt_ms": 40, "bitrate_bps": 32_000 });
    say(&lea, "stream_quality", quality);
    assert_accessible(&lea, "phone-heard");

    let at = paul.evaluate("Date.now() - 12_000");
    let position = json!({ "commercial_id": "lea", "lat": 48.85837, "lon": 2.29448, "accuracy_m": 8.2, "at": at });
    say(&paul, "commercial_position", position);
    for (id, name, state, more) in [
        (
            "tom",
            "Tom L.",
            "interrupted",
            json!({ "interrupted_by": "call", "listeners": [{ "id": "ana", "name": "Ana" }] }),
        ),
        ("ida", "Ida K.", "interrupted", json!({ "interrupted_by": "locked" })),
        ("zoe", "Zoé P.", "paused", json!({})),
        ("hugo", "Hugo S.", "offline", json!({ "since": null, "last_seen": 1_700_000_000_000u64 })),
    ] {
        let since = paul.evaluate("Date.now() - 480_000");
        let mut commercial = json!({ "commercial_id": id, "name": name, "state": state, "is_streaming": true,
            "listeners": [], "since": since, "last_seen": since });
        commercial.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        commercial["listeners_count"] = json!(commercial["listeners"].as_array().unwrap().len());
        say(&paul, "commercial_updated", commercial);
    }
    assert_accessible(&paul, "desk-listening");
    paul.click("[data-commercial=lea] .place button");
    paul.wait_for("document.querySelector('#place-map').href === 'geo:48.85837,2.29448?q=48.85837,2.29448'");
    assert_accessible(&paul, "desk-place");
    paul.press("Escape");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.listening"), "started");
    paul.click("#help-open");
    assert_accessible(&paul, "desk-help");
    paul.press("Escape");
    for (width, height) in [(390, 844), (820, 1180)] {
        paul.resize(width, height);
        assert_accessible(&paul, &format!("desk-{width}"));
    }
    paul.resize(1280, 800);

    lea.click("ecoute-micro >>> #pause");
    lea.wait_for("document.body.dataset.state === 'paused'");
    assert_accessible(&lea, "phone-paused");
    paul.click("ecoute-panel >>> #panel-stop");
    paul.wait_for("deep('ecoute-panel >>> #panel').hidden");
    assert_accessible(&paul, "desk-rows");
    let start = desk.open(&format!("{origin}/"));
    start.evaluate("localStorage.clear()");
    start.reload();
    start.wait_for("document.querySelector('#gate input')");
    start.resize(390, 844);
    assert_accessible(&start, "start");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn a_minute_of_a_supervisor_by_keyboard_alone() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    // Of three tabs two are out of sight.
    phone.grant(&ecoute.url(), &["notifications", "audioCapture"]);
    let karim = phone.open(&ecoute.link("commercial", "karim", "Karim B."));
    start_streaming(&karim);
    let ines = open_another(&phone, &ecoute.link("commercial", "ines", "Inès R."), "");
    start_streaming(&ines);
    let lea = open_another(&phone, &ecoute.link("commercial", "lea", "Alix Martin"), "");
    lea.wait_for("document.body.dataset.state === 'ready'");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    paul.wait_for("document.body.dataset.audio === 'ready'");
    paul.wait_for("document.querySelectorAll('.person[data-state=on_air]').length === 2");
    let is_heard = |id: &str| {
        paul.wait_for(&format!("deep('ecoute-panel >>> #panel').dataset.commercial === '{id}'"));
        paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started' && loudness() > 0.01");
    };
    let focused = "document.activeElement.dataset.commercial";

    // Search without the accent, go down into what was found, listen.
    paul.press("/");
    for letter in ["i", "n", "e", "s"] {
        paul.press(letter);
    }
    paul.wait_for("[...document.querySelectorAll('.person')].filter((row) => row.checkVisibility()).length === 1");
    paul.press("ArrowDown");
    assert_eq!(paul.evaluate(focused), "ines");
    paul.hold("Enter", 3);
    is_heard("ines");
    // It is read aloud, once.
    paul.wait_for("deep('ecoute-panel >>> #panel-state[role=status]').innerText.replace('\\u00a0', ' ') === 'Vous écoutez : Inès R.'");
    assert_eq!(paul.evaluate("document.querySelector('#announce').innerText"), "");

    // Mute and unmute; what is a letter in a text field is one.
    let shown = "getComputedStyle(deep('ecoute-panel >>> #mute'), '::before').content";
    assert_eq!(paul.evaluate(shown), "\"M\" / \"\"", "shown, and no part of the name");
    paul.press("m");
    paul.wait_for("loudness() < 0.001");
    paul.press("/");
    paul.press("m");
    assert_eq!(paul.evaluate("document.querySelector('#search').value"), "m");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #mute').getAttribute('aria-pressed')"), "true");
    paul.press("Escape");
    assert_eq!(paul.evaluate("document.querySelector('#search').value"), "");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.listening"), "started");
    paul.press("m");
    paul.wait_for("loudness() > 0.01");

    // The volume takes arrow keys of its own. Some Tabs lead there, past the rest of the row and the page's end.
    for _ in 0..40 {
        if paul.evaluate("document.activeElement.shadowRoot?.activeElement.id ?? ''") == "volume" {
            break;
        }
        paul.press("Tab");
    }
    for _ in 0..16 {
        paul.press("ArrowLeft");
    }
    paul.wait_for("deep('ecoute-panel >>> #volume').value === '0' && loudness() < 0.001");
    for _ in 0..16 {
        paul.press("ArrowRight");
    }
    paul.wait_for("deep('ecoute-panel >>> #volume').value === '80' && loudness() > 0.01");

    // Switch: from anywhere but a field, a button here, the arrows lead back into the list.
    paul.press("Tab");
    assert_eq!(paul.evaluate("deep('ecoute-panel').shadowRoot.activeElement.localName"), "button");
    paul.press("ArrowDown");
    paul.press("Home");
    for _ in 0..2 {
        if paul.evaluate(focused) != "karim" {
            paul.press("ArrowDown");
        }
    }
    assert_eq!(paul.evaluate(focused), "karim");
    let order = "[...document.querySelectorAll('.person')].map((row) => row.dataset.commercial).join()";
    let before = paul.evaluate(order);
    paul.press("Enter");
    is_heard("karim");
    paul.screenshot(&screenshots().join("desk-keyboard.png"));
    // Somebody goes on air meanwhile: nothing moves under the keyboard, which stands on the row's button now.
    paul.press("Tab");
    start_streaming(&lea);
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'on_air'");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(paul.evaluate(order), before);

    paul.press("?");
    paul.wait_for("document.querySelector('#help-all').open");
    // Who speaks to the computer turns the letters off, and is shown none.
    paul.evaluate("document.querySelector('#help-all input').focus()");
    paul.press(" ");
    assert_eq!(paul.evaluate(shown), "none");
    paul.press("Escape");
    paul.wait_for("!document.querySelector('#help-all').open");
    paul.press("m");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #mute').getAttribute('aria-pressed')"), "false");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.listening"), "started");
    paul.press("Escape");
    paul.wait_for("deep('ecoute-panel >>> #panel').hidden && loudness() < 0.001");
    karim.wait_for("deep('ecoute-micro >>> #heard').hidden");
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn the_keyboard_is_not_lost_on_the_way_on_air_and_off() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.wait_for("document.body.dataset.state === 'ready'");
    let focused = "deep('ecoute-micro').shadowRoot.activeElement?.id";
    lea.evaluate("deep('ecoute-micro >>> #start').focus()");
    lea.press("Enter");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate(focused), "state");
    lea.press("Tab");
    assert_eq!(lea.evaluate(focused), "pause");
    lea.hold("Enter", 3);
    lea.wait_for("document.body.dataset.state === 'paused'");
    lea.press("Tab");
    assert_eq!(lea.evaluate(focused), "stop");
    lea.press("Enter");
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate(focused), "state");
    lea.press("Tab");
    assert_eq!(lea.evaluate(focused), "start");
}

#[test]
fn the_list_is_searched_filtered_and_sorted() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), SOCKET_KEPT);
    paul.wait_for("document.body.dataset.connection === 'connected'");
    let begin = paul.evaluate("Date.now()").as_f64().unwrap();
    for (id, state, minutes) in [
        ("b", "on_air", 5.0),
        ("a", "online", 0.0),
        ("d", "on_air", 50.0),
        ("c", "offline", 0.0),
        ("e", "paused", 9.0),
    ] {
        let since = (minutes > 0.0).then_some(begin - minutes * 60_000.0);
        let commercial = json!({ "commercial_id": id, "name": format!("Personne {id}"), "state": state, "since": since,
            "is_streaming": since.is_some(), "speaking": false, "listeners": [], "listeners_count": 0, "last_seen": begin });
        say(&paul, "commercial_updated", commercial);
    }
    let speaks = |id: &str, minutes: f64, speaking: bool| {
        say(
            &paul,
            "commercial_updated",
            json!({ "commercial_id": id, "name": format!("Personne {id}"), "state": "on_air",
            "since": begin - minutes * 60_000.0, "is_streaming": true, "speaking": speaking, "listeners": [],
            "listeners_count": 0, "last_seen": begin }),
        );
    };
    let shown = "[...document.querySelectorAll('.person')].filter((row) => !row.hidden)
        .map((row) => row.dataset.commercial).join('')";
    let sort_by = |sort: &str| {
        paul.evaluate(&format!("document.querySelector('#sort').value = '{sort}'"));
        paul.evaluate("document.querySelector('#sort').dispatchEvent(new Event('input'))");
        paul.evaluate(shown)
    };
    assert_eq!(sort_by("name"), "abcde");
    assert_eq!(sort_by("state"), "bdeac");
    assert_eq!(sort_by("duration"), "debac");
    assert_eq!(sort_by("speech"), "bdeac");
    speaks("d", 50.0, true);
    paul.wait_for(&format!("{shown} === 'dbeac'"));
    speaks("d", 50.0, false);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(paul.evaluate(shown), "dbeac", "who has just spoken stays in front");
    let counts = "[...document.querySelectorAll('.count')].map((count) => count.innerText).join()";
    assert_eq!(paul.evaluate(counts), "5,3,4");
    for (filter, left) in [("air", "dbe"), ("there", "dbea"), ("all", "dbeac")] {
        paul.click(&format!("[data-filter={filter}]"));
        assert_eq!(paul.evaluate(shown), left);
    }
    // Under the pointer nothing moves, not even for somebody who speaks; the next moment without it does.
    let onto = |selector: &str| {
        let middle = paul.evaluate(&format!(
            "(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect(); return [r.x + 50, r.y + 9]; }})()"
        ));
        paul.point_at(middle[0].as_f64().unwrap(), middle[1].as_f64().unwrap());
    };
    onto(".person[data-commercial=e]");
    paul.evaluate("document.activeElement.blur()");
    speaks("b", 5.0, true);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(paul.evaluate(shown), "dbeac");
    onto("header");
    paul.wait_for(&format!("{shown} === 'bdeac'"));
    assert_eq!(sort_by("name"), "abcde");
    paul.reload();
    paul.wait_for("document.querySelector('#sort').value === 'name'");
}

/// Runs before a page: counts how many watches of the position are open.
const WATCHES: &str = "
    window.watches = 0;
    const { watchPosition, clearWatch } = Geolocation.prototype;
    Geolocation.prototype.watchPosition = function (...all) { window.watches += 1; return watchPosition.apply(this, all); };
    Geolocation.prototype.clearWatch = function (id) { window.watches -= 1; return clearWatch.call(this, id); };
";

#[test]
fn a_position_is_shown_while_it_is_shared_and_not_longer() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    phone.grant(&ecoute.url(), &["geolocation", "audioCapture"]);
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), WATCHES);
    lea.resize(390, 844);
    lea.place_at(48.85837, 2.29448, 8.0);
    let paul = desk.open(&ecoute.link("admin", "paul", "Paul D."));
    start_streaming(&lea);
    let row = "document.querySelector('[data-commercial=lea] .place button')";
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'on_air'");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(paul.evaluate(&format!("{row}.checkVisibility()")), false, "not before it is chosen");
    lea.click("#share-position");
    lea.wait_for("document.querySelector('#position').innerText.includes('Position partagée')");
    assert_accessible_in(&lea, "phone-position", &["fr"]);
    paul.wait_for(&format!("{row}.checkVisibility()"));
    paul.click("[data-commercial=lea] .place button");
    paul.wait_for("document.querySelector('#place').innerText.includes('48.85837, 2.29448')");
    assert_eq!(
        paul.evaluate("document.querySelector('#place-map').href"),
        "geo:48.85837,2.29448?q=48.85837,2.29448"
    );

    desk.grant(&ecoute.url(), &["clipboardReadWrite", "clipboardSanitizedWrite"]);
    paul.click("#place-copy");
    paul.wait_for("document.querySelector('#place-copy').innerText === 'Coordonnées copiées.'");

    // A pause hides it, and closes what shows it; going on shares it again.
    lea.click("ecoute-micro >>> #pause");
    lea.wait_for("!document.querySelector('#position').checkVisibility()");
    paul.wait_for(&format!("!{row}.checkVisibility() && !document.querySelector('#place').checkVisibility()"));
    lea.screenshot(&screenshots().join("phone-position-paused.png"));
    assert_eq!(lea.evaluate("watches"), 0, "it is not even read");
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for(&format!("{row}.checkVisibility()"));
    lea.click("#position-off");
    lea.wait_for("!document.querySelector('#position').checkVisibility() && !document.querySelector('#share-position').checked");
    assert_eq!(lea.evaluate("watches"), 0);

    // It is no choice for the next time: a reload starts with no.
    lea.click("#share-position");
    lea.reload();
    assert_eq!(lea.evaluate("document.querySelector('#share-position').checked"), false);

    // Refused, it says what to do, and is not chosen any more.
    phone.grant(&ecoute.url(), &["audioCapture"]);
    start_streaming(&lea);
    lea.click("#share-position");
    lea.wait_for("document.querySelector('#position-problem').innerText.startsWith('Position refusée')");
    assert_eq!(lea.evaluate("document.querySelector('#share-position').checked"), false);
    assert_eq!(lea.evaluate("watches"), 0);
    lea.screenshot(&screenshots().join("phone-position-refused.png"));
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

/// Runs before a page: counts how often it vibrates and holds the screen on, and keeps how it asked for a microphone.
const PHONE: &str = "
    window.locks = [];
    const request = async () => {
        const lock = { released: false, release() { this.released = true; } };
        window.locks.push(lock);
        return lock;
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
    window.held = () => locks.filter((lock) => !lock.released).length;
    window.setHidden = (hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        if (hidden) for (const lock of locks) lock.released = true; // As browsers do.
        document.dispatchEvent(new Event('visibilitychange'));
    };
    window.vibrations = 0;
    navigator.vibrate = () => { window.vibrations += 1; return true; };
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (constraints) => { window.asked = constraints.audio; return ask(constraints); };
";

#[test]
fn a_phone_vibrates_once_for_each_supervisor_and_not_when_discreet() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), PHONE);
    start_streaming(&lea);
    let hear = |id: &str| {
        let page = desk.open(&ecoute.link("admin", id, id));
        start_listening(&page, "lea");
        lea.wait_for(&format!("deep('ecoute-micro >>> [data-admin={id}]')"));
        page.click("ecoute-panel >>> #panel-stop");
        page.wait_for("deep('ecoute-panel >>> #panel').hidden");
        // Who comes next finds nobody logged in.
        page.evaluate("localStorage.clear()");
        page.close();
        lea.evaluate("vibrations")
    };
    assert_eq!([hear("paul"), hear("paul"), hear("ana")], [1, 1, 2]);
    lea.evaluate("(() => { const now = Date.now; Date.now = () => now() + 301_000; })()");
    assert_eq!(hear("paul"), 3, "five minutes later it is news again");
    lea.click("#discreet");
    assert_eq!(hear("tom"), 3);
}

#[test]
fn the_screen_stays_on_while_on_air() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), PHONE);
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("locks.length"), 0);
    start_streaming(&lea);
    lea.wait_for("held() === 1");
    // The browser takes it back with the page out of sight, and it is taken again when that is seen.
    lea.evaluate("setHidden(true)");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(lea.evaluate("[held(), locks.length]"), json!([0, 1]));
    lea.evaluate("setHidden(false)");
    lea.wait_for("held() === 1 && locks.length === 2");
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("held() === 0");
}

#[test]
fn a_reload_on_air_offers_to_go_on() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), PHONE);
    lea.resize(390, 844);
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("document.querySelector('#go-on').checkVisibility()"), false);
    // The second microphone, and no suppression of what the customer says.
    lea.click("#hear-client");
    lea.wait_for("document.querySelector('#device').options.length > 2");
    lea.evaluate("document.querySelector('#device').selectedIndex = 2");
    lea.evaluate("document.querySelector('#device').dispatchEvent(new Event('input'))");
    let device = lea.evaluate("document.querySelector('#device').value");
    start_streaming(&lea);
    assert_eq!(lea.evaluate("asked.deviceId?.exact ?? asked.deviceId"), device);
    assert_eq!(lea.evaluate("asked.noiseSuppression"), false);
    lea.reload();
    lea.wait_for("document.querySelector('#go-on').innerText.includes('Reprendre le direct')");
    lea.wait_for("document.querySelector('#go-on').checkVisibility()");
    assert_accessible_in(&lea, "phone-go-on", &["fr"]);
    assert_eq!(lea.evaluate("document.querySelector('#hear-client').checked"), true, "choices are kept");
    lea.click("#go-on-air");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("asked.deviceId?.exact ?? asked.deviceId"), device);
    // Who stops wants to be off air, after a reload too.
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.reload();
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("document.querySelector('#go-on').checkVisibility()"), false);
}

#[test]
fn the_app_is_installable_and_its_worker_answers_for_nothing_but_a_missing_network() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    // From a private window nothing can be installed.
    let browser = Browser::chromium(&tone, "fr-FR", &[]);
    let link = ecoute.link("commercial", "lea", "Léa Martin");
    let lea = browser.open(&link);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.evaluate("navigator.serviceWorker.ready.then(() => true)");
    let manifest = lea.devtools("Page.getAppManifest", json!({}));
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    assert!(manifest["url"].as_str().unwrap().ends_with("/commercial.webmanifest"), "{manifest}");
    let errors = lea.devtools("Page.getInstallabilityErrors", json!({}));
    assert_eq!(errors["installabilityErrors"], json!([]), "{errors}");

    // Controlled by the worker, the page reaches the server itself, and the worker's store holds two things only.
    lea.wait_for("navigator.serviceWorker.controller");
    let stored =
        "caches.keys().then((names) => Promise.all(names.map((name) => caches.open(name).then((c) => c.keys()))))
        .then((all) => all.flat().map(({ url }) => new URL(url).pathname).sort().join())";
    let fetched = |path: &str| lea.evaluate(&format!("fetch('{path}').then((r) => r.status, () => 'failed')"));
    assert_eq!(lea.evaluate(stored), "/offline,/page.css");
    assert_eq!(fetched("/api/streaming/status"), 401);
    assert_eq!(fetched("/health"), 200);
    drop(ecoute);
    for path in ["/api/streaming/status", "/health", "/words.js", "/commercial.js"] {
        assert_eq!(fetched(path), "failed", "{path}");
    }
    lea.navigate(link.split('#').next().unwrap());
    lea.wait_for(
        "document.body.innerText.includes('Pas de réseau') && document.body.innerText.includes('No network')",
    );
    lea.resize(390, 844);
    assert_accessible_in(&lea, "offline", &["fr"]);
}

#[test]
fn a_hidden_page_notifies_of_whom_it_waits_for() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    desk.grant(&ecoute.url(), &["notifications"]);
    let paul = desk.open(&ecoute.link("admin", "paul", "Paul D."));
    paul.click("[data-commercial=lea] ecoute-casque >>> button");
    let shown = "navigator.serviceWorker.ready.then((r) => r.getNotifications())
        .then((all) => all.map(({ title }) => title).join())";
    let hide = "Object.defineProperty(document, 'hidden', { value: true })";
    paul.evaluate(hide);
    let once = || {
        start_streaming(&lea);
        paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'on_air'");
        thread::sleep(Duration::from_millis(500));
        let title = paul.evaluate(shown);
        lea.click("ecoute-micro >>> #stop");
        paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'online'");
        title
    };
    assert_eq!(once(), "", "nobody pressed the button");
    paul.click("#notices");
    paul.wait_for("document.querySelector('#notices').getAttribute('aria-pressed') === 'true'");
    assert_eq!(once(), "En direct\u{a0}: \u{2068}Léa Martin\u{2069} (\u{2068}lea\u{2069})");
}

#[test]
fn the_start_page_opens_links_of_its_own_site_only() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("commercial", "lea", "Léa Martin");
    let start = browser.open(&format!("{}/", ecoute.url()));
    start.wait_for("document.querySelector('#gate input')");
    let elsewhere = link.replace("127.0.0.1", "ecoute.example");
    for (pasted, answer) in [("bonjour", "Ce lien est incomplet"), (&elsewhere, "celui d’un autre site")] {
        start.evaluate(&format!("document.querySelector('#gate input').value = '{pasted}'"));
        start.click("#gate button");
        let answer = answer.replace('’', "\\'");
        start.wait_for(&format!("document.querySelector('#gate [role=alert]').innerText.includes('{answer}')"));
    }
    start.evaluate(&format!("document.querySelector('#gate input').value = '  {link} '"));
    start.click("#gate button");
    start.wait_for("location.pathname === '/commercial' && document.body.dataset.state === 'ready'");
}

#[test]
fn who_signs_out_amid_something_is_asked_first() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(360, 640);
    let paul = desk.open(&ecoute.link("admin", "paul", "Paul D."));
    start_streaming(&lea);
    start_listening(&paul, "lea");

    for (page, what) in [(&lea, "Votre direct s'arrêtera."), (&paul, "Vos écoutes s'arrêteront")] {
        assert_eq!(page.evaluate("document.querySelector('#sign-out').innerText"), "Se déconnecter");
        page.click("#sign-out");
        page.wait_for(&format!("document.querySelector('#sign-out-ask[open]')?.innerText.includes(\"{what}\")"));
    }
    assert_accessible(&lea, "phone-sign-out");
    assert_accessible(&paul, "desk-sign-out");
    // Nothing has ended before that is answered, nor by the answer that nothing shall.
    for page in [&lea, &paul] {
        page.click("#sign-out-stay");
        page.wait_for("!document.querySelector('#sign-out-ask').open");
    }
    assert_eq!(lea.evaluate("document.body.dataset.state"), "on_air");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.listening === 'started'");

    paul.click("#sign-out");
    paul.click("#sign-out-leave");
    paul.wait_for("document.querySelector('#gate')?.innerText.includes(\"Ouvrez votre lien d'accès\")");
    // Where nothing would end, nothing is asked.
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("#sign-out");
    lea.wait_for("document.querySelector('#gate')?.innerText.includes(\"Ouvrez votre lien d'accès\")");
}

#[test]
fn who_comes_on_air_cuts_nobody_off_who_is_heard() {
    let ecoute = Ecoute::start();
    let (low, high) = (microphone(440.0), microphone(1000.0));
    let (first, second) = (Browser::start(&low, "fr-FR"), Browser::start(&high, "fr-FR"));
    let desk = Browser::start(&low, "fr-FR");
    let lea = first.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    let zoe = second.open(&ecoute.link("commercial", "zoe", "Zoé P."));
    zoe.wait_for("document.body.dataset.state === 'ready'");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    start_streaming(&lea);
    start_listening(&paul, "lea");
    paul.click("[data-commercial=zoe] ecoute-casque >>> button");
    start_streaming(&zoe);
    let row = "deep('ecoute-panel >>> [data-waiting=zoe]')";
    paul.wait_for(&format!("{row}?.querySelector('.listen').checkVisibility()"));
    assert_eq!(
        paul.evaluate(&format!("{row}.innerText.replace(/\\s+/g, ' ')")),
        "Zoé P. (zoe) En direct. Une autre écoute est en cours. Écouter"
    );
    assert_eq!(
        paul.evaluate("document.querySelector('#announce').innerText.replace(/[\\u2068\\u2069]/g, '')"),
        "En direct\u{a0}: Zoé P. (zoe)"
    );
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.commercial"), "lea");
    assert_tone(&paul, 440.0);
    assert_accessible(&paul, "desk-held-back");

    // The panel stays with whoever was heard while she pauses, and turns to another when that is asked for.
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'pending'");
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.commercial"), "lea");
    lea.click("ecoute-micro >>> #pause");
    assert_tone(&paul, 440.0);
    // A page that comes back hears the same again.
    paul.reload();
    paul.wait_for("deep('ecoute-panel >>> #panel')?.dataset.listening === 'started' || deep('ecoute-panel >>> #resume')?.checkVisibility()");
    if paul.evaluate("deep('ecoute-panel >>> #resume').checkVisibility()") == true {
        paul.click("ecoute-panel >>> #resume");
    }
    paul.wait_for(&format!("{row}?.querySelector('.listen').checkVisibility()"));
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.commercial"), "lea");
    assert_tone(&paul, 440.0);
    paul.click("ecoute-panel >>> [data-waiting=zoe] .listen");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.commercial === 'zoe'");
    assert_tone(&paul, 1000.0);
}
