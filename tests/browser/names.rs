//! Names are whatever somebody wrote: no page reads otherwise for one, and nobody who listens is left out.

use serde_json::{Value, json};

use crate::desk::{assert_accessible_in, say};
use crate::drive::{Browser, Page};
use crate::elements::start_for;
use crate::people::{microphone, start_listening, start_streaming};
use crate::site::Site;
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, screenshots};

/// Lets a page believe that somebody listens.
pub fn announce(page: &Page<'_>, notice_id: usize, admin: Value) {
    let joined = json!({ "notice_id": notice_id, "listening_id": format!("l{notice_id}"), "admin": admin,
        "reason": "accompagnement", "listeners_count": 1 });
    say(page, "listener_joined", joined);
}

/// Returns names that say something else, or move or hide what stands around them.
fn hostile_names() -> Vec<String> {
    [
        "Personne ne",
        "Personne n'écoute",
        "Nobody",
        "Nobody is listening",
        "\u{202e}etuocé'n ennosreP",
        "Paul\u{2069}\u{202e} D.",
        "\u{420}aul D.",
        "Paul\n\n\n\n\n\n\n\n\n\n\n\nD.",
        "a\u{2028}b\u{feff}c",
        "{count} {who}",
    ]
    .map(ToOwned::to_owned)
    .into_iter()
    .chain([format!("Z{}", "\u{335}".repeat(80)), "M".repeat(80), "שלום עולם".to_owned()])
    .collect()
}

/// What a page shows with the texts of people taken out of it.
const WITHOUT_NAMES: &str = "(() => {
    const roots = (root) => [root, ...[...root.querySelectorAll('*')].filter((e) => e.shadowRoot).flatMap((e) => roots(e.shadowRoot))];
    const texts = [];
    for (const root of roots(document)) {
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const { parentElement: place, data } = walker.currentNode;
            if (place && !place.closest('bdi, script, style, option') && place.checkVisibility()) texts.push(data);
        }
        for (const place of root.querySelectorAll('[aria-label], [title]')) {
            texts.push(place.getAttribute('aria-label') ?? '', place.title);
        }
    }
    return [...texts, document.title].map((text) => text.replace(/\\u2068.*?\\u2069/g, '')).join(' | ');
})()";

#[test]
fn no_name_says_anything_but_itself() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SOCKET_KEPT);
    lea.resize(390, 844);
    start_streaming(&lea);
    let code = "deep('ecoute-micro >>> #heard-title').innerText";
    for (index, name) in hostile_names().iter().enumerate() {
        announce(&lea, index, json!({ "id": "mallory", "name": name }));
        lea.evaluate("window.titles = [document.title, deep('ecoute-micro >>> #announce').textContent]");
        for language in ["fr", "en"] {
            lea.evaluate(&format!("document.querySelector('#languages [lang={language}]').click()"));
            let label = if language == "fr" { "On vous écoute (1)" } else { "Listening to you (1)" };
            assert!(lea.evaluate(code).as_str().unwrap().starts_with(label), "{name:?}");
            let around = lea.evaluate(WITHOUT_NAMES).as_str().unwrap().to_lowercase();
            for lie in ["personne", "nobody", "ennosrep", "\u{202e}", "\u{2028}"] {
                assert!(!around.contains(lie), "{name:?}: {around}");
            }
        }
        // By itself, with the id behind it, on one screen, over nobody else's line.
        let row = "deep('ecoute-micro >>> #listeners').firstElementChild";
        let parts = lea.evaluate(&format!("[...{row}.querySelectorAll('.person bdi')].map((e) => e.textContent)"));
        assert_eq!(parts[1], "mallory", "{name:?}");
        let shown = parts[0].as_str().unwrap();
        assert!(!shown.is_empty() && !shown.contains(['\u{202e}', '\u{2069}', '\n', '\u{2028}', '\u{feff}']));
        assert!(shown.chars().filter(|&c| c == '\u{335}').count() <= 4, "{name:?}");
        let isolation = lea.evaluate(&format!(
            "[getComputedStyle({row}.querySelector('bdi')).unicodeBidi, {row}.getBoundingClientRect().height < 170,
              document.documentElement.scrollWidth <= innerWidth]"
        ));
        assert_eq!(isolation, json!(["isolate", true, true]), "{name:?}");
        assert_eq!(lea.evaluate("document.title"), "● Somebody is listening to you");
        let aloud = lea.evaluate("titles[1]");
        let aloud = aloud.as_str().unwrap();
        assert!(
            aloud.starts_with("On vous écoute\u{a0}: \u{2068}") || aloud.starts_with("Listening to you: \u{2068}")
        );
        assert_eq!(aloud.matches('\u{2068}').count(), aloud.matches('\u{2069}').count(), "{name:?}");
        say(
            &lea,
            "listener_left",
            json!({ "notice_id": index, "admin": { "id": "mallory" }, "listeners_count": 0 }),
        );
    }
    // Whose name is taken for another's is marked, with whom.
    lea.evaluate("document.querySelector('#languages [lang=fr]').click()");
    let desks = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let paul = desks[0].open(&ecoute.link("admin", "paul", "Paul D."));
    paul.wait_for("document.body.dataset.audio === 'ready'");
    let mallory = desks[1].open(&ecoute.link("admin", "mallory", "\u{420}aul D."));
    start_listening(&mallory, "lea");
    let alike =
        "deep('ecoute-micro >>> .alike').innerText.replaceAll('\\u00a0', ' ').replaceAll('\\n', ' ').trim()";
    assert_eq!(lea.evaluate(alike), "Nom semblable à : Paul D. (paul)");
    assert_accessible_in(&lea, "phone-alike", &["fr"]);
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn a_supervisor_reads_no_sentence_of_a_salespersons() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), SOCKET_KEPT);
    paul.wait_for("document.body.dataset.audio === 'ready'");
    let causes = [
        "asked",
        "offline",
        "off_air",
        "paused",
        "interrupted",
        "ack",
        "ack_late",
        "reconnecting",
        "connection_lost",
        "none",
    ];
    for name in hostile_names() {
        let listeners = json!([{ "id": "mallory", "name": name }]);
        let commercial = json!({ "commercial_id": "lea", "name": name, "state": "on_air", "is_streaming": true,
            "listeners": listeners, "listeners_count": 1, "since": 1, "last_seen": 1 });
        say(&paul, "commercial_updated", commercial);
        paul.evaluate("deep('[data-commercial=lea] ecoute-casque').client.listen('lea')");
        paul.evaluate("deep('[data-commercial=lea] ecoute-casque').client.listen('tom')");
        for cause in causes {
            for id in ["lea", "tom"] {
                say(&paul, "listening_pending", json!({ "commercial_id": id, "cause": cause }));
            }
            assert_no_lie(&paul, &name);
        }
        say(&paul, "listening_started", json!({ "commercial_id": "lea", "listeners_count": 1 }));
        assert_no_lie(&paul, &name);
        for cause in ["not_allowed", "switched"] {
            say(
                &paul,
                "listening_stopped",
                json!({ "commercial_id": "lea", "listeners_count": 0, "cause": cause }),
            );
            assert_no_lie(&paul, &name);
        }
        paul.evaluate("deep('[data-commercial=lea] ecoute-casque').client.stop()");
        assert_no_lie(&paul, &name);
    }
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

fn assert_no_lie(page: &Page<'_>, name: &str) {
    let around = page.evaluate(WITHOUT_NAMES).as_str().unwrap().to_lowercase();
    // Who waits for a list reads « Personne » of nobody's.
    for lie in ["personne n", "nobody", "ennosrep", "\u{202e}", "mmmm"] {
        assert!(!around.contains(lie), "{name:?}: {around}");
    }
}

#[test]
fn everybody_who_listens_can_be_reached_on_a_small_phone() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), SOCKET_KEPT);
    lea.resize(320, 568);
    start_streaming(&lea);
    let list = "deep('ecoute-micro >>> #listeners')";
    for index in 0..14 {
        announce(&lea, index, json!({ "id": format!("a{index}"), "name": format!("Responsable numéro {index}") }));
        let newest = format!(
            "(() => {{ const row = {list}.firstElementChild, {{ x, y, width, height }} = row.getBoundingClientRect();
                return [row.dataset.admin, row.contains(row.getRootNode().elementFromPoint(x + width / 2, y + height / 2))]; }})()"
        );
        assert_eq!(lea.evaluate(&newest), json!([format!("a{index}"), true]), "newest first, and seen");
        // Who reads further down is brought back to whoever comes.
        lea.evaluate(&format!("{list}.scrollTop = 1e6"));
    }
    let reachable = format!(
        "[...{list}.children].filter((row) => {{ row.scrollIntoView({{ block: 'nearest' }});
            const {{ x, y, width, height }} = row.getBoundingClientRect();
            return row.contains(row.getRootNode().elementFromPoint(x + width / 2, y + height / 2)); }}).length"
    );
    assert_eq!(lea.evaluate(&reachable), 14);
    assert_eq!(
        lea.evaluate("['stop', 'pause'].every((part) => deep(`ecoute-micro >>> #${part}`).checkVisibility())"),
        true
    );
    assert_accessible_in(&lea, "phone-fourteen", &["fr"]);
    assert_eq!(lea.evaluate("deep('ecoute-badge')"), Value::Null, "who reads further down needs no badge");

    // Whatever else is so, the rows stay, and nothing says that nobody hears.
    let words = "deep('ecoute-micro >>> .micro').innerText";
    let says_nobody = format!("/personne|nobody/i.test({words})");
    for (state, change) in [
        ("interrupted", "client.microphone.getAudioTracks()[0].dispatchEvent(new Event('mute'))"),
        ("on_air", "client.microphone.getAudioTracks()[0].dispatchEvent(new Event('unmute'))"),
        ("interrupted", "dispatchEvent(new Event('online'))"),
        ("on_air", "0"),
        ("paused", "client.pauseStreaming()"),
    ] {
        lea.evaluate(&format!("{{ const {{ client }} = deep('ecoute-micro'); {change}; }}"));
        lea.wait_for(&format!("document.body.dataset.state === '{state}'"));
        assert_eq!(lea.evaluate(&format!("{list}.children.length")), 14, "{state}");
        assert_eq!(lea.evaluate(&format!("{list}.checkVisibility()")), true, "{state}");
        assert_eq!(lea.evaluate(&says_nobody), false, "{state}: {}", lea.evaluate(words));
    }
    let title = lea.evaluate("deep('ecoute-micro >>> #heard-title').innerText");
    assert_eq!(title, "À la reprise (14)\u{a0}:");
    assert_accessible_in(&lea, "phone-fourteen-paused", &["fr"]);
}

#[test]
fn the_badge_of_fourteen_names_stays_on_the_screen() {
    let site = Site::start();
    let ecoute = start_for(&[&site]);
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    let script = format!(
        "import {{ EcouteClient, showListeners }} from 'ECOUTE/ecoute.js';
         window.client = new EcouteClient({{ server: 'ECOUTE', getToken: async () => '{token}' }});
         showListeners(client);
         client.addEventListener('registered', () => client.startStreaming());
         client.connect();"
    );
    site.serve(&ecoute, vec![("/lea", script)]);
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let lea = browser.open_prepared(&site.url("/lea"), SOCKET_KEPT);
    lea.resize(320, 568);
    lea.wait_for("client.streamingState === 'live'");
    for index in 0..14 {
        announce(&lea, index, json!({ "id": format!("a{index}"), "name": format!("Responsable numéro {index}") }));
    }
    let rows = "[...deep('ecoute-badge >>> .listeners').children]";
    let is_inside =
        "(() => { const { left, top, right, bottom } = deep('ecoute-badge >>> .badge').getBoundingClientRect();
        return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight; })()";
    assert_eq!(lea.evaluate(is_inside), true);
    let reached = format!(
        "{rows}.filter((row) => {{ row.scrollIntoView({{ block: 'nearest' }});
            const {{ x, y, height }} = row.getBoundingClientRect();
            return row.contains(row.getRootNode().elementFromPoint(x + 20, y + height / 2)); }}).map((row) => row.dataset.admin).join()"
    );
    assert_eq!(lea.evaluate(&reached), "a13,a12,a11,a10,a9,a8,a7,a6,a5,a4,a3,a2,a1,a0");
    lea.screenshot(&screenshots().join("badge-fourteen.png"));
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}
