//! « Historique » and « Qui m'a écouté »: what was written down is shown to those whom it is about, in words.

use std::thread;
use std::time::Duration;

use ecoute::host::journal::{Reading, Wanted};
use serde_json::json;

use crate::desk::{assert_accessible, say};
use crate::drive::{Browser, Kind, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::screenshots;
use crate::support::{Ecoute, program, run};
use crate::told::SENT;

/// Runs before a page: answers for the history from `answers`, by path, and keeps what was asked and saved.
const ANSWERS: &str = "window.asked = []; window.answers = {}; window.saved = [];
    { const { fetch } = window;
      window.fetch = async (path, options) => {
        if (!String(path).startsWith('/api/')) return fetch(path, options);
        asked.push({ path, ...options.headers });
        const [name, query] = path.slice(5).split('?');
        const answer = answers[name]?.(new URLSearchParams(query));
        if (answer === undefined) throw new TypeError('no network');
        const { status = 200, headers, ...body } = answer;
        return new Response(JSON.stringify(body), { status, headers });
      };
      const { createObjectURL } = URL;
      URL.createObjectURL = (blob) => { saved.push(blob); return createObjectURL(blob); };
    }
    window.hour = (hours) => new Date().setHours(0, 0, 0, 0) + hours * 3600000;";

/// Five people who were on air twice, one of them a device, and one listening to each, of which one never sounded.
const A_DAY: &str = "
    const people = [['lea', 'Léa Martin'], ['karim', 'Karim B.'], ['ines', 'Inès R.'], ['mallory', '<img src=x onerror=alert(1)>'], ['hall', 'Hall']];
    const broadcasts = people.flatMap(([id, name], i) => [0, 1].map((k) => ({ commercial_id: id, commercial_name: name,
        device: id === 'hall', from: hour(0.2 + i / 30 + k / 3), to: hour(0.4 + i / 30 + k / 3),
        ended: ['stopped', 'page_closed', 'connection_lost'][(i + k) % 3], packets: 100, lost: 1, listeners: (i + k) % 4 })));
    const listenings = people.map(([id, name], i) => ({ id: '00' + i, commercial_id: id, commercial_name: name, device: id === 'hall',
        admin_id: 'paul', admin_name: 'Paul D.', reason: ['formation', 'autre: <b>visite</b>', 'qualité', '', 'sécurité'][i],
        asked: hour(0.1), from: i === 4 ? null : hour(0.25 + i / 30), to: hour(0.3 + i / 30), heard_ms: [30000, 720000, 3900000, 60000, 0][i],
        told: ['seen', 'notified'][i % 2], ended: ['left', 'switched', 'server_died', 'conn_closed', 'not_written'][i] }));
    const page = (rows, name) => (query) => query.get('cursor') ? { [name]: [rows[0]], next: null } : { [name]: rows, next: 'c/1' };
    const day = { 'history/broadcasts': () => ({ broadcasts, next: null }), 'history/listenings': page(listenings, 'listenings') };
    answers = day;";

/// What stands in a place, as it is read.
fn text_of(place: &str) -> String {
    format!("document.querySelector('{place}').innerText.replaceAll('\\u00a0', ' ')")
}

const ROWS: &str = "document.querySelectorAll('.day-row').length";

/// Opens Paul's page, and on it the history of today.
fn open_history<'a>(browser: &'a Browser, ecoute: &Ecoute, script: &str) -> Page<'a> {
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), script);
    paul.wait_for("document.body.dataset.connection === 'connected'");
    paul.click("#views [data-view=history]");
    paul
}

fn assert_nothing_is_wider(page: &Page<'_>) {
    for width in [320, 360, 820, 1280] {
        page.resize(width, 740);
        page.wait_for("document.documentElement.scrollWidth <= innerWidth");
    }
}

#[test]
fn a_day_is_a_band_for_each_who_was_on_air_and_a_list_of_who_heard_whom() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let script = format!("{SENT}{ANSWERS}{A_DAY}");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &script);
    paul.wait_for("document.body.dataset.connection === 'connected'");
    let is_loaded = "performance.getEntriesByType('resource').some(({ name }) => name.includes('history'))";
    assert_eq!(paul.evaluate(is_loaded), false, "nothing of it comes before it is asked for");
    paul.click("#views [data-view=history]");
    paul.wait_for(&format!("{ROWS} === 5"));
    assert_eq!(paul.evaluate(is_loaded), true);
    assert_eq!(paul.evaluate("location.pathname + location.search"), "/admin?historique");
    assert_eq!(paul.evaluate("document.querySelector('#team').checkVisibility()"), false);
    assert_eq!(paul.evaluate("document.querySelector('#views [aria-current=page]').innerText"), "Historique");
    let bearer = "asked.every(({ path, Authorization }) => /^Bearer [\\w-]+\\.[\\w-]+\\.[\\w-]+$/.test(Authorization) && !path.includes('eyJ'))";
    assert_eq!(paul.evaluate(bearer), true, "the token is in no address");
    let span = "new URLSearchParams(asked[0].path.split('?')[1])";
    assert_eq!(paul.evaluate(&format!("Date.parse({span}.get('from')) === hour(0)")), true);
    assert_eq!(paul.evaluate(&format!("Date.parse({span}.get('to')) > hour(22)")), true);
    paul.wait_for(&format!("{}.includes('Ne sert pas à décompter le temps de travail.')", text_of("#history")));

    // In words, each by itself; what people wrote is text.
    let cells = |row: usize| {
        paul.evaluate(&format!(
            "[...document.querySelectorAll('.day-heard')[{row}].children].map((e) => e.innerText.replaceAll('\\u00a0', ' '))"
        ))
    };
    let left = ["0 h 15 – 0 h 18", "Léa Martin (lea)", "moins d'une minute", "formation", "affichée à son écran"];
    assert_eq!(cells(0), json!([&left[..], &["arrêt par le responsable"]].concat()));
    assert_eq!(cells(1)[3], "autre : <b>visite</b>");
    assert_eq!(cells(2)[2], "1 h 05");
    assert_eq!(cells(3)[1], "<img src=x onerror=alert(1)> (mallory)");
    assert_eq!(cells(3)[3], "–", "none that people are shown");
    assert_eq!([&cells(4)[0], &cells(4)[2]], ["demandée à 0 h 06", "n'a pas commencé"]);
    assert_eq!(paul.evaluate("document.querySelectorAll('#history :is(img, b, script)').length"), 0);
    let row = "[...document.querySelectorAll('.day-row')].map((e) => e.innerText.replaceAll('\\u00a0', ' ').split('\\n').filter(Boolean))[0]";
    let want = json!([
        "Léa Martin (lea)",
        "En direct : 24 min · Écoutes : 1",
        "0 h 12 – 0 h 24 · arrêté · Écoutes : 0",
        "0 h 32 – 0 h 44 · page fermée · Écoutes : 1"
    ]);
    assert_eq!(paul.evaluate(row), want);
    // The bands are to scale: the hour after midnight.
    let place = |kind: &str| {
        paul.evaluate(&format!(
            "(({{ style }}) => [style.left, style.width])(document.querySelector('.band .{kind}'))"
        ))
    };
    assert_eq!(place("air"), json!(["20%", "20%"]));
    assert_eq!(place("heard"), json!(["25%", "5%"]));

    paul.screenshot(&screenshots().join("history-desk.png"));
    assert_accessible(&paul, "history-desk");
    assert_nothing_is_wider(&paul);
    paul.resize(360, 740);
    assert_accessible(&paul, "history-phone");
    paul.evaluate("document.querySelector('.day-table').scrollIntoView()");
    paul.screenshot(&screenshots().join("history-phone-list.png"));
    paul.resize(1280, 800);

    // What did not fit into one answer.
    paul.click("#history-more");
    paul.wait_for(
        "document.querySelectorAll('.day-heard').length === 6 && document.querySelector('#history-more').hidden",
    );
    assert_eq!(paul.evaluate("asked.at(-1).path.includes('cursor=c%2F1')"), true);
    paul.click("#csv-listenings");
    paul.wait_for("saved.length === 1");
    assert_eq!(
        paul.evaluate("[asked.at(-1).Accept, asked.at(-1).path.includes('limit')]"),
        json!(["text/csv", false])
    );
    // Who may see all sees who listened, and can search for them.
    assert_eq!(paul.evaluate("document.querySelector('#history-find-supervisor').checkVisibility()"), false);
    say(&paul, "user_registered", json!({ "id": "paul", "role": "admin", "name": "Paul D.", "rights": ["audit"] }));
    paul.wait_for("document.querySelector('#history-find-supervisor').checkVisibility()");
    assert_eq!(cells(0)[2], "Paul D. (paul)");
    paul.evaluate("{ const find = document.querySelector('#history-find-supervisor'); find.value = 'ana'; find.dispatchEvent(new Event('input')); }");
    paul.wait_for(&format!("{ROWS} === 0 && {}.includes('Aucun résultat.')", text_of("#history")));
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn the_history_is_reached_by_keyboard_and_by_its_address() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{SENT}{ANSWERS}{A_DAY}"));
    paul.wait_for("document.body.dataset.connection === 'connected'");
    paul.press("h");
    paul.wait_for(&format!("{ROWS} === 5"));
    assert_eq!(paul.evaluate("document.activeElement.dataset.view"), "history");
    paul.press("/");
    assert_eq!(paul.evaluate("document.activeElement.id"), "history-find");
    for letter in ["i", "n", "e", "s"] {
        paul.press(letter);
    }
    paul.wait_for(&format!("{ROWS} === 1 && document.querySelectorAll('.day-heard').length === 1"));
    paul.press("Escape");
    paul.wait_for(&format!("{ROWS} === 5"));
    let focused = "document.activeElement.closest('.day-row')?.dataset.id";
    paul.press("ArrowDown");
    paul.press("Home");
    let first = paul.evaluate(focused);
    assert_eq!(first, "lea");
    paul.press("ArrowDown");
    assert_eq!(paul.evaluate(focused), "karim");
    paul.press("Enter");
    paul.wait_for("document.querySelectorAll('.day-heard').length === 1");
    assert_eq!(
        [paul.evaluate(focused), paul.evaluate("document.activeElement.ariaPressed")],
        [json!("karim"), json!("true")]
    );
    paul.press("Enter");
    paul.wait_for("document.querySelectorAll('.day-heard').length === 5");

    // The day before, which is what the address names from now on.
    paul.press("ArrowLeft");
    paul.wait_for("/^\\?historique=\\d{4}-\\d\\d-\\d\\d$/.test(location.search)");
    let yesterday = paul.evaluate("location.search.slice(12)");
    paul.wait_for(&format!("document.querySelector('#history-day').value === {yesterday}"));
    paul.wait_for("Date.parse(new URLSearchParams(asked.at(-1).path.split('?')[1]).get('from')) < hour(0)");
    paul.reload();
    paul.wait_for(&format!("document.querySelector('#history-day')?.value === {yesterday} && {ROWS} === 5"));
    paul.evaluate("history.back()");
    paul.wait_for("location.search === '' && document.querySelector('#team').checkVisibility()");
    paul.evaluate("history.forward()");
    paul.wait_for(&format!("document.querySelector('#history-day').value === {yesterday} && {ROWS} === 5"));
    paul.press("ArrowRight");
    paul.wait_for("location.search === '?historique'");
    // Each step of the way back has its own day.
    paul.press("h");
    paul.press("h");
    paul.press("ArrowLeft");
    paul.wait_for(&format!("document.querySelector('#history-day').value === {yesterday}"));
    paul.evaluate("history.go(-2)");
    paul.wait_for(&format!(
        "location.search === '?historique' && document.querySelector('#history-day').value !== {yesterday}"
    ));
    paul.press("ArrowRight");
    assert_eq!(paul.evaluate("location.search"), "?historique", "tomorrow has no history");
    paul.press("?");
    paul.wait_for(&format!("{}.includes('H : historique')", text_of("#help-all")));
    paul.press("Escape");
    paul.press("h");
    paul.wait_for("document.querySelector('#team').checkVisibility()");
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn a_history_that_does_not_come_says_why_and_can_be_asked_for_again() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [desk, phone] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let paul = open_history(&desk, &ecoute, ANSWERS);
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), ANSWERS);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.click("#heard-open");
    let cases = [
        ("undefined", "Le serveur ne répond pas. Vérifiez votre connexion."),
        ("({ status: 403 })", "Votre accès ne permet pas de voir cet historique."),
        ("({ status: 401 })", "Votre accès a expiré."),
        ("({ status: 429, headers: { 'Retry-After': '3' } })", "Trop de demandes à la fois. Réessayez dans 3 s."),
        (
            "({ status: 503, headers: { 'Retry-After': '7' } })",
            "Le journal ne peut pas être lu pour l'instant. Réessayez dans 7 s.",
        ),
        ("({ status: 500 })", "Le serveur a refusé (500)."),
    ];
    for (page, place) in [(&paul, "#history"), (&lea, "#heard-all")] {
        let retry = format!("{place} .history-status button");
        for (answer, words) in &cases {
            page.wait_for(&format!("document.querySelector('{retry}').checkVisibility()"));
            page.evaluate(&format!(
                "answers['history/broadcasts'] = answers['history/listenings'] = answers['me/listenings'] = () => {answer}"
            ));
            page.click(&retry);
            page.wait_for(&format!("{}.includes(\"{words}\")", text_of(place)));
        }
        page.screenshot(&screenshots().join(format!("history-refused{}.png", place.replace('#', "-"))));
        page.evaluate(
            "answers['history/broadcasts'] = () => ({ broadcasts: [], next: null });
            answers['history/listenings'] = answers['me/listenings'] = () => ({ listenings: [], next: null })",
        );
        page.click(&retry);
    }
    paul.wait_for(&format!("{}.includes(\"Aucun direct aujourd'hui pour l'instant.\")", text_of("#history")));
    lea.wait_for(&format!("{}.includes(\"Aucune écoute pour l'instant.\")", text_of("#heard-all")));
    assert_eq!((desk.complaints(), phone.complaints()), (vec![], vec![]));
}

#[test]
fn a_salesperson_reads_who_has_listened_and_keeps_all_of_it() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let of_days = "
        const past = (days) => (row) => ({ ...row, from: row.from - days * 86400000, to: row.to - days * 86400000 });
        const own = listenings.slice(0, 4).map((row, i) => ({ ...row, commercial_id: 'lea', admin_name: i === 3 ? '<img src=x onerror=alert(1)>' : row.admin_name }));
        own[0].to = own[0].ended = null;
        answers = { 'me/listenings': (query) => query.get('cursor')
            ? { listenings: own.map(past(400)), next: null } : { listenings: [...own, ...own.map(past(1))], next: 'n' } };";
    let script = format!("{SENT}{ANSWERS}{A_DAY}{of_days}");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &script);
    lea.resize(360, 740);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.wait_for("document.querySelector('#heard-open').getBoundingClientRect().bottom < innerHeight");
    lea.screenshot(&screenshots().join("heard-ready.png"));
    lea.click("#heard-open");
    let lines = "[...document.querySelectorAll('#heard-list :is(h3, p)')].map((e) => e.innerText.replaceAll('\\u00a0', ' '))";
    lea.wait_for(&format!("{lines}.length === 18"));
    let shown = lea.evaluate(lines);
    assert_eq!(shown[0], "Aujourd'hui");
    assert_eq!(shown[1], "Paul D. (paul) – moins d'une minute, aujourd'hui à 0 h 15 – formation");
    assert_eq!(shown[2], "Affichée sur cette page. En cours.");
    assert_eq!(shown[3], "Paul D. (paul) – 12 min, aujourd'hui à 0 h 17 – autre : <b>visite</b>");
    assert_eq!(shown[4], "Annoncée par notification. Fin : passage à une autre écoute.");
    assert_eq!([&shown[9], &shown[10]], ["Hier", "Paul D. (paul) – moins d'une minute, hier à 0 h 15 – formation"]);
    assert!(shown[7].as_str().unwrap().starts_with("<img src=x onerror=alert(1)> (paul) – 1 min"), "{shown}");
    assert_eq!(lea.evaluate("document.querySelectorAll('#heard-all :is(img, b)').length"), 0);
    lea.screenshot(&screenshots().join("heard-phone.png"));
    assert_accessible(&lea, "heard-phone");
    assert_nothing_is_wider(&lea);
    lea.resize(360, 740);
    lea.click("#heard-more");
    lea.wait_for(&format!("{lines}.length === 27 && document.querySelector('#heard-more').hidden"));
    let old = lea.evaluate(&format!("{lines}[19]"));
    assert!(old.as_str().unwrap().contains(", le ") && old.as_str().unwrap().contains(" 202"), "{old}");

    // All of it, whatever was shown, with what each field means.
    lea.click("#heard-save");
    lea.wait_for("saved.length === 1 && !document.querySelector('#heard-save').disabled");
    let data = lea.evaluate("saved[0].text().then(JSON.parse)");
    assert_eq!(data["listenings"].as_array().unwrap().len(), 12);
    assert_eq!(data["person"], json!({ "id": "lea", "name": "Léa Martin" }));
    for field in data["listenings"][0].as_object().unwrap().keys() {
        assert!(data["fields"][field].as_str().is_some_and(|words| !words.is_empty()), "{field} is not explained");
    }

    // On air nothing lies over the page, however that began; and the way here is closed.
    lea.evaluate("deep('ecoute-micro').start()");
    lea.wait_for("!document.querySelector('#heard-all').open && document.body.dataset.state === 'on_air'");
    assert_eq!(lea.evaluate("document.querySelector('#heard-open').checkVisibility()"), false);
    lea.click("ecoute-micro >>> #stop");
    lea.click("#heard-open");
    lea.wait_for("document.querySelector('#heard-all').open");
    lea.click("#heard-back");
    lea.wait_for("!document.querySelector('#heard-all').open");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

/// More listenings than come at once, of which the first answer has none of Zoé's; and what is sought, as the server does.
const A_LONG_DAY: &str = "
    const many = Array.from({ length: 120 }, (_, i) => { const id = i < 60 ? 'lea' : i % 2 ? 'zoe' : 'karim';
      return { id: 'id' + i, commercial_id: id, commercial_name: { lea: 'Léa Martin', zoe: 'Zoé P.', karim: 'Karim B.' }[id], device: false,
        admin_id: i === 119 ? 'marc' : 'paul', admin_name: i === 119 ? 'Marc T.' : 'Paul D.', reason: 'formation',
        asked: hour(20 - i / 10), from: hour(20 - i / 10), to: hour(20.05 - i / 10), heard_ms: 120000, told: 'seen', ended: 'left' }; });
    const folded = (text) => text.normalize('NFD').replace(/\\p{M}/gu, '').toLowerCase();
    const has = (query, name, ...texts) => !query.get(name) || folded(texts.join(' ')).includes(folded(query.get(name)));
    answers = { 'history/broadcasts': () => ({ broadcasts: [], next: null }),
      'history/listenings': (query) => {
        const rows = many.filter((row) => has(query, 'commercial', row.commercial_name, row.commercial_id)
          && has(query, 'admin', row.admin_name, row.admin_id)
          && [null, row.commercial_id].includes(query.get('commercial_id')));
        const from = Number(query.get('cursor') ?? 0);
        return { listenings: rows.slice(from, from + 20), next: from + 20 < rows.length ? String(from + 20) : null };
      } };";

const HEARD: &str = "[...document.querySelectorAll('.day-heard')].map((row) => row.children[1].innerText)";

#[test]
fn what_is_sought_is_asked_of_the_server_and_so_is_what_follows() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let paul = open_history(&desk, &ecoute, &format!("{SENT}{ANSWERS}{A_LONG_DAY}"));
    paul.wait_for(&format!("{HEARD}.length === 20 && {ROWS} === 1"));
    paul.click("#history-find");
    // Before the server has looked, nobody is not found.
    paul.evaluate(&format!(
        "window.said = []; new MutationObserver(() => said.push({})).observe(document.querySelector('#history'), {{ subtree: true, childList: true, attributes: true }})",
        text_of("#history")
    ));
    for letter in ["z", "o", "e"] {
        paul.press(letter);
    }
    paul.wait_for(&format!("{HEARD}.length === 20 && {HEARD}.every((name) => name === 'Zoé P. (zoe)')"));
    assert_eq!(paul.evaluate("said.some((text) => text.includes('Aucun résultat'))"), false);
    let last = "new URLSearchParams(asked.at(-1).path.split('?')[1])";
    assert_eq!(paul.evaluate(&format!("[{last}.get('commercial'), {last}.get('cursor')]")), json!(["zoe", null]));
    paul.click("#history-more");
    paul.wait_for(&format!("{HEARD}.length === 30 && {HEARD}.every((name) => name === 'Zoé P. (zoe)')"));
    assert_eq!(paul.evaluate(&format!("[{last}.get('commercial'), {last}.get('cursor')]")), json!(["zoe", "20"]));
    assert_eq!(paul.evaluate("document.querySelector('#history-more').hidden"), true);
    // What is saved is what is sought.
    paul.click("#csv-listenings");
    paul.wait_for("saved.length === 1");
    assert_eq!(paul.evaluate(&format!("{last}.get('commercial')")), "zoe");
    paul.click("#history-find");
    paul.press("x");
    paul.wait_for(&format!("{}.includes('Aucun résultat.')", text_of("#history")));
    paul.press("Escape");
    paul.wait_for(&format!("{HEARD}.length === 20 && {HEARD}[0] === 'Léa Martin (lea)'"));

    // One person alone, of whom not all was there.
    paul.evaluate("document.querySelector('#history-more').click()");
    paul.wait_for(&format!("{HEARD}.length === 40"));
    paul.evaluate("document.querySelector('.only').click()");
    paul.wait_for(&format!("{last}.get('commercial_id') === 'lea' && {HEARD}.length === 20"));
    for count in [40, 60] {
        paul.evaluate("document.querySelector('#history-more').click()");
        paul.wait_for(&format!("{HEARD}.length === {count}"));
    }
    assert_eq!(paul.evaluate("document.querySelector('#history-more').hidden"), true);
    paul.evaluate("document.querySelector('.only').click()");
    paul.wait_for(&format!("{HEARD}.length === 40 && !document.querySelector('#history-more').hidden"));

    // A supervisor, for whoever may see whom others heard.
    say(&paul, "user_registered", json!({ "id": "paul", "role": "admin", "name": "Paul D.", "rights": ["audit"] }));
    paul.wait_for("document.querySelector('#history-find-supervisor').checkVisibility()");
    paul.evaluate("{ const find = document.querySelector('#history-find-supervisor'); find.value = 'Marc T'; find.dispatchEvent(new Event('input')); }");
    paul.wait_for(&format!("{HEARD}.length === 1 && {HEARD}[0] === 'Zoé P. (zoe)'"));
    assert_eq!(paul.evaluate("asked.at(-1).path.includes('admin=Marc%20T')"), true);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn what_goes_over_midnight_is_of_both_days_and_its_band_is_cut() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let night = "
        const at = (hours) => hour(hours - 24 * days);
        const night = { commercial_id: 'lea', commercial_name: 'Léa Martin', device: false };
        const days = 1;
        answers = { 'history/broadcasts': () => ({ broadcasts: [{ ...night, from: at(-0.5), to: at(0.5), ended: 'stopped', packets: 1, lost: 0, listeners: 1 }], next: null }),
            'history/listenings': () => ({ listenings: [{ ...night, id: '0', admin_id: 'paul', admin_name: 'Paul D.', reason: '', asked: at(-0.25),
                from: at(-0.25), to: at(0.25), heard_ms: 1800000, told: 'seen', ended: 'left' }], next: null }) };";
    let paul = open_history(&desk, &ecoute, &format!("{SENT}{ANSWERS}{night}"));
    let band = |kind: &str| {
        format!("(({{ style }}) => [style.left, style.width])(document.querySelector('.band .{kind}'))")
    };
    let times = "document.querySelector('.day-times').innerText.replaceAll('\\u00a0', ' ')";
    let total = "document.querySelector('.day-total').innerText.replaceAll('\\u00a0', ' ')";
    paul.wait_for(&format!("{ROWS} === 1"));
    assert_eq!(paul.evaluate("asked.every(({ path }) => path.includes('touching=true'))"), true);
    let until = |shift: i64| {
        let name = format!(
            "new Date(hour(12 + 24 * {shift})).toLocaleDateString('fr', {{ day: 'numeric', month: 'long' }})"
        );
        paul.evaluate(&name).as_str().unwrap().replace("1 ", if shift == 99 { "" } else { "1 " })
    };
    let date = |shift: i64| {
        let date = until(shift);
        if date.starts_with("1 ") { date.replacen("1 ", "1er ", 1) } else { date }
    };
    // Of yesterday, in whose last half hour before it began.
    paul.press("ArrowLeft");
    paul.wait_for(&format!("{times}.startsWith('{} à 23 h 30 – 0 h 30')", date(-2)));
    assert_eq!(paul.evaluate(&band("air")), json!(["0%", "50%"]));
    assert_eq!(paul.evaluate(&band("heard")), json!(["0%", "25%"]));
    assert_eq!(paul.evaluate(total), "En direct : 30 min · Écoutes : 1");
    let when = "document.querySelector('.day-heard').children[0].innerText.replaceAll('\\u00a0', ' ')";
    assert_eq!(paul.evaluate(when), format!("{} à 23 h 45 – 0 h 15", date(-2)));
    paul.screenshot(&screenshots().join("history-midnight.png"));
    paul.press("ArrowLeft");
    paul.wait_for(&format!("{times}.startsWith('23 h 30 – {} à 0 h 30')", date(-1)));
    assert_eq!(paul.evaluate(&band("air")), json!(["50%", "50%"]));
    assert_eq!(paul.evaluate(&band("heard")), json!(["75%", "25%"]));
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn rows_hold_still_when_a_token_is_renewed_and_when_more_may_be_seen() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let paul = open_history(&desk, &ecoute, &format!("{SENT}{ANSWERS}{A_DAY}"));
    paul.wait_for(&format!("{ROWS} === 5"));
    // Each frame.
    paul.evaluate(
        "window.moved = []; window.gone = 0;
        window.place = () => { const { top, height } = document.querySelector('#history-rows').getBoundingClientRect(); return [top, height].join(); };
        window.frames_ = 0; window.first = place();
        const look = () => { frames_ += 1; if (place() !== first) moved.push(place()); requestAnimationFrame(look); };
        look();
        new MutationObserver((all) => { gone += all.reduce((sum, { removedNodes }) => sum + removedNodes.length, 0); })
            .observe(document.querySelector('#history-rows'), { childList: true });",
    );
    let me = |rights: &[&str], renewed: bool| json!({ "id": "paul", "role": "admin", "name": "Paul D.", "rights": rights, "renewed": renewed });
    let settle = |page: &Page<'_>| {
        page.evaluate("window.frames_ = 0");
        page.wait_for("frames_ > 20");
    };
    say(&paul, "user_registered", me(&[], true));
    settle(&paul);
    paul.click("#history-of-day form > button");
    settle(&paul);
    assert_eq!(paul.evaluate("[moved, gone]"), json!([[], 0]));
    // Another field stands above them then, and the list has another column; the bands are what they were.
    let count = paul.evaluate("asked.length").as_u64().unwrap();
    say(&paul, "user_registered", me(&["audit"], true));
    paul.wait_for(&format!(
        "asked.length === {} && document.querySelectorAll('[data-columns=\"7\"]').length === 1",
        count + 2
    ));
    settle(&paul);
    assert_eq!(paul.evaluate("gone"), 0);
    assert_eq!(paul.evaluate("moved.every((place) => place.split(',')[1] === first.split(',')[1])"), true);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

/// The day and its times are those of who reads, wherever the server is.
#[test]
fn times_are_of_the_clock_of_who_reads() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start_kind(Kind::Chromium, &tone, "fr-FR");
    let rows = "answers = { 'history/broadcasts': () => ({ broadcasts: [{ commercial_id: 'lea', commercial_name: 'Léa', device: false,
            from: Date.UTC(2026, 2, 3, 20, 30), to: Date.UTC(2026, 2, 3, 21), ended: 'stopped', packets: 1, lost: 0, listeners: 0 }], next: null }),
        'history/listenings': () => ({ listenings: [], next: null }) };";
    for (zone, from, words) in [
        ("Asia/Tokyo", "2026-03-03T15:00:00.000Z", "5 h 30 – 6 h 00"),
        ("America/New_York", "2026-03-04T05:00:00.000Z", "3 mars à 15 h 30 – 3 mars à 16 h 00"),
        ("Asia/Kolkata", "2026-03-03T18:30:00.000Z", "2 h 00 – 2 h 30"),
    ] {
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{SENT}{ANSWERS}{rows}"));
        paul.devtools("Emulation.setTimezoneOverride", json!({ "timezoneId": zone }));
        paul.wait_for("document.body.dataset.connection === 'connected'");
        paul.navigate(&format!("{}/admin?historique=2026-03-04", ecoute.url()));
        paul.wait_for(&format!("{ROWS} === 1"));
        let asked = "new URLSearchParams(asked[0].path.split('?')[1]).get('from')";
        assert_eq!(paul.evaluate(asked), from, "{zone}");
        let shown = paul.evaluate("document.querySelector('.day-times').innerText.replaceAll('\\u00a0', ' ')");
        assert!(shown.as_str().unwrap().starts_with(words), "{zone}: {shown}");
        paul.close();
    }
}

#[test]
fn auditors_read_the_report_and_save_it() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        report_is_read(kind);
    }
}

fn report_is_read(kind: Kind) {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start_kind(kind, &tone, "fr-FR");
    let kept = "window.saved = [];
        { const { createObjectURL } = URL; URL.createObjectURL = (blob) => { saved.push(blob); return createObjectURL(blob); }; }";
    let ana = desk.open_prepared(&link_with(&ecoute, None), "");
    ana.wait_for("document.body.dataset.connection === 'connected'");
    ana.click("#views [data-view=history]");
    ana.wait_for("document.querySelector('#history-day')?.checkVisibility()");
    assert_eq!(ana.evaluate("document.querySelector('#report-open').checkVisibility()"), false);
    ana.close();
    let ana = desk.open_prepared(&link_with(&ecoute, Some("audit")), &format!("{SENT}{kept}"));
    ana.wait_for("document.body.dataset.connection === 'connected'");
    ana.click("#views [data-view=history]");
    ana.wait_for("document.querySelector('#report-open')?.checkVisibility()");
    ana.click("#report-open");
    ana.wait_for("document.querySelectorAll('#report-table > *').length > 8");
    assert_eq!(ana.evaluate("document.querySelector('#history-of-day').checkVisibility()"), false);
    assert_eq!(ana.evaluate("location.search"), "?historique=rapport");
    let text = text_of("#report");
    for words in [
        "Rapport d\\'usage (CSE)",
        "Aucun commercial n\\'est nommé",
        "Écoutes hors des heures de travail (8 h – 19 h",
        "Durée médiane",
    ] {
        ana.wait_for(&format!("{text}.includes('{words}')"));
    }
    let row = "document.querySelector('#report-table > *').innerText.split('\\n').join(' ').trim()";
    assert_eq!(ana.evaluate(row), "Écoutes 0");
    assert_eq!(
        ana.evaluate("document.querySelector('#report-to').value === document.querySelector('#report-to').max"),
        true
    );
    ana.screenshot(&screenshots().join(format!("report-desk-{kind:?}.png")));
    assert_accessible(&ana, "report-desk");
    assert_nothing_is_wider(&ana);
    ana.resize(360, 640);
    assert_accessible(&ana, "report-phone");
    ana.resize(1280, 800);
    for (count, (button, begin)) in
        [("html", "<!doctype html>"), ("csv", "\"Écoutes\",\"0\"")].into_iter().enumerate()
    {
        ana.click(&format!("#report-{button}"));
        ana.wait_for(&format!("saved.length === {}", count + 1));
        let saved = ana.evaluate(&format!("saved[{count}].text()"));
        assert!(saved.as_str().unwrap().starts_with(begin), "{saved}");
    }
    // Read again, in another language.
    ana.click("#languages [lang=en]");
    ana.wait_for(&format!("{row} === 'Listenings 0' && {text}.includes('No salesperson is named')"));
    let mut read = Vec::new();
    let take = |_, entry: String| {
        read.extend(entry.contains("\"report_read\"").then_some(entry));
        true
    };
    Reading::open(ecoute.data.path()).unwrap().entries(&Wanted::default(), take).unwrap();
    let count = |form: &str| read.iter().filter(|entry| entry.contains(form)).count();
    assert_eq!([count(" html\""), count(" csv\"")], [1, 1], "each time: {read:?}");
    assert!(read.len() >= 4, "and each that is shown: {read:?}");
    assert!(read.iter().all(|entry| entry.contains("\"actor\":\"ana\"")), "{read:?}");

    ana.reload();
    ana.wait_for("document.querySelectorAll('#report-table > *').length > 8");
    ana.click("#report-back");
    ana.wait_for(
        "document.querySelector('#history-of-day').checkVisibility() && location.search === '?historique'",
    );
    assert_eq!(ana.evaluate("document.querySelector('#report').checkVisibility()"), false);
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

#[test]
fn a_report_that_does_not_come_says_why() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let empty = "answers = { 'history/broadcasts': () => ({ broadcasts: [], next: null }), 'history/listenings': () => ({ listenings: [], next: null }) };";
    let ana = desk.open_prepared(&link_with(&ecoute, Some("audit")), &format!("{SENT}{ANSWERS}{empty}"));
    ana.wait_for("document.body.dataset.connection === 'connected'");
    ana.click("#views [data-view=history]");
    ana.wait_for("document.querySelector('#report-open')?.checkVisibility()");
    ana.click("#report-open");
    let cases = [
        ("undefined", "Le serveur ne répond pas."),
        ("({ status: 400, error: { code: 'too_much' } })", "Choisissez-en une plus courte"),
        ("({ status: 403 })", "Votre accès ne permet pas"),
        ("({ status: 503, error: { code: 'journal_unavailable' } })", "Le journal ne peut pas être écrit"),
    ];
    for (answer, words) in cases {
        ana.wait_for("document.querySelector('#report .history-status button')?.checkVisibility()");
        ana.evaluate(&format!("answers.report = () => {answer}"));
        ana.click("#report .history-status button");
        ana.wait_for(&format!("{}.includes(\"{words}\")", text_of("#report")));
        assert_eq!(ana.evaluate("document.querySelector('.report-result').checkVisibility()"), false);
    }
    ana.evaluate("answers.report = () => ({ lines: [['<b>a</b>', '< 5', '']] })");
    ana.evaluate("document.querySelector('#report-from').value = '2026-03-03'; document.querySelector('#report-to').value = '2026-03-01'");
    ana.click("#report .primary");
    ana.wait_for(&format!("{}.includes('<b>a</b>')", text_of("#report-table")));
    let span = "(({ from, to }) => [new Date(from).getDate(), new Date(to).getDate()])(Object.fromEntries(new URLSearchParams(asked.at(-1).path.split('?')[1])))";
    assert_eq!(ana.evaluate(span), json!([1, 4]), "whichever is first");
    ana.wait_for(&format!("{}.includes('Du 1er mars 2026 au 3 mars 2026')", text_of("#report")));
}

#[test]
fn nothing_moves_when_it_is_known_who_the_salesperson_is() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    // The answer to the registration waits; microphones, which come when they come, are another matter.
    let late = "navigator.mediaDevices.enumerateDevices = async () => []; window.kept = []; window.WebSocket = class extends WebSocket {
        set onmessage(take) { window.release = () => kept.splice(0).forEach(take); super.onmessage = (event) => kept.push(event); }
    };";
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), late);
    for (width, height) in [(360, 640), (390, 844), (1280, 800)] {
        lea.resize(width, height);
        lea.reload();
        lea.wait_for("document.querySelector('#options')?.checkVisibility() && window.kept.some(({ data }) => data.includes('user_registered'))");
        // From where the microphone's part ends, whose own words change.
        let boxes = "(({ bottom }) => ['#heard-open', '#options', '#hearing', 'footer'].map((part) => { const { x, y, width, height }
            = document.querySelector(part).getBoundingClientRect(); return [x, y - bottom, width, height].map(Math.round).join(); }))(
            document.querySelector('ecoute-micro').getBoundingClientRect())";
        let is_there = "document.querySelector('#heard-open').checkVisibility({ visibilityProperty: true })";
        assert_eq!(lea.evaluate(is_there), false, "nobody knows whose");
        let before = lea.evaluate(boxes);
        lea.evaluate("release()");
        lea.wait_for(is_there);
        assert_eq!(lea.evaluate(boxes), before, "{width} × {height}");
    }
}

/// The server's own answers, in both browsers.
#[test]
fn what_was_heard_stands_in_the_history_of_both() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        heard_and_written(kind);
    }
}

fn heard_and_written(kind: Kind) {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [phone, desk, other] = [(); 3].map(|()| Browser::start_kind(kind, &tone, "fr-FR"));
    let kept = "window.saved = [];
        { const { createObjectURL } = URL; URL.createObjectURL = (blob) => { saved.push(blob); return createObjectURL(blob); }; }";
    let hostile = "<img src=x onerror=alert(1)>";
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", hostile), kept);
    lea.resize(360, 740);
    start_streaming(&lea);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), kept);
    start_listening(&paul, "lea");
    thread::sleep(Duration::from_millis(1500));
    paul.click("#views [data-view=history]");
    paul.wait_for(&format!("{ROWS} === 1 && document.querySelectorAll('.day-heard').length === 1"));
    let text = text_of("#history");
    for words in [hostile, "(lea)", "en cours", "accompagnement", "affichée à son écran", "Écoutes : 1"] {
        paul.wait_for(&format!("{text}.includes('{words}')"));
    }
    assert_eq!(paul.evaluate("document.querySelectorAll('#history img').length"), 0);
    // Who listens goes on to, and ends it from here.
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.listening"), "started");
    paul.screenshot(&screenshots().join(format!("history-real-{kind:?}.png")));
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("deep('ecoute-micro').client.listeners.length === 0");
    lea.click("ecoute-micro >>> #stop");
    paul.click("#history form > button");
    for words in ["arrêt par le responsable", "moins d\\'une minute", "· arrêté ·"] {
        paul.wait_for(&format!("{text}.includes('{words}')"));
    }
    paul.click("#csv-listenings");
    paul.wait_for("saved.length === 1");
    let table = paul.evaluate("saved[0].text()");
    let table = table.as_str().unwrap();
    assert!(table.lines().count() == 2 && table.contains(hostile) && table.contains("Paul D."), "{table}");

    lea.click("#heard-open");
    let lines = "[...document.querySelectorAll('#heard-list :is(h3, p)')].map((e) => e.innerText.replaceAll('\\u00a0', ' '))";
    lea.wait_for(&format!("{lines}.length === 3"));
    let shown = lea.evaluate(lines);
    let row = shown[1].as_str().unwrap();
    assert!(row.starts_with("Paul D. (paul) – moins d'une minute, aujourd'hui à "), "{row}");
    assert!(row.ends_with(" – accompagnement"), "{row}");
    assert_eq!(shown[2], "Affichée sur cette page. Fin : arrêt par le responsable.");
    lea.screenshot(&screenshots().join(format!("heard-real-{kind:?}.png")));
    lea.click("#heard-save");
    lea.wait_for("saved.length === 1");
    let data = lea.evaluate("saved[0].text().then(JSON.parse)");
    assert_eq!(data["listenings"][0]["admin_id"], "paul");
    for field in data["listenings"][0].as_object().unwrap().keys() {
        assert!(data["fields"][field].is_string(), "{field} is not explained");
    }

    // Another supervisor sees that there was one, and only with the right to it who.
    for (rights, count) in [(None, 0), (Some("audit"), 1)] {
        let ana = other.open(&link_with(&ecoute, rights));
        ana.wait_for("document.body.dataset.connection === 'connected'");
        ana.click("#views [data-view=history]");
        ana.wait_for(&format!("{ROWS} === 1 && {text}.includes('Écoutes : 1')"));
        assert_eq!(ana.evaluate("document.querySelectorAll('.day-heard').length"), count, "{rights:?}");
        assert_eq!(ana.evaluate(&format!("{text}.includes('Paul D.')")), rights.is_some());
        ana.close();
    }
    assert_eq!((phone.complaints(), desk.complaints(), other.complaints()), (vec![], vec![], vec![]));
}

/// Ana's link, with a right.
fn link_with(ecoute: &Ecoute, rights: Option<&str>) -> String {
    let mut command = program();
    command.args(["link", "--role", "admin", "--id", "ana", "--name", "Ana R.", "--public-url", &ecoute.url()]);
    command.args(rights.into_iter().flat_map(|right| ["--rights", right]));
    let output = run(command.arg("--data").arg(ecoute.data.path()));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
