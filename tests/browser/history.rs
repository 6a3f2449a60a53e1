//! « Historique » and « Qui m'a écouté »: what was written down is shown to those whom it is about, in words.

use serde_json::json;

use crate::desk::assert_accessible_in;
use crate::drive::Browser;
use crate::people::microphone;
use crate::screenshots;
use crate::support::Ecoute;

/// Runs before a page: answers for the history what a test has put into `answers`, by path, and keeps what was asked.
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
    }";

#[test]
fn look() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let desk = Browser::start(&tone, "fr-FR");
    let script = "const day = new Date(); day.setHours(0,0,0,0); const h = (hours) => day.getTime() + hours * 3600000;
      const people = [['lea','Léa Martin'],['karim','Karim B.'],['ines','Inès R.'],['mallory','<img src=x onerror=alert(1)>'],['hall','Hall']];
      const bs = people.flatMap(([id, name], i) => [0,1].map((k) => ({ commercial_id: id, commercial_name: name, device: id === 'hall',
        from: h(8.2 + i / 3 + 3 * k), to: h(9.7 + i / 2 + 3 * k), ended: ['stopped','page_closed','connection_lost'][(i + k) % 3], packets: 100, lost: 1, listeners: (i + k) % 4 })));
      const ls = people.map(([id, name], i) => ({ id: '00' + i, commercial_id: id, commercial_name: name, device: false, admin_id: 'paul', admin_name: 'Paul D.',
        reason: ['formation','autre: <b>visite</b>','qualité','accompagnement','sécurité'][i], asked: h(8.5), from: i === 4 ? null : h(8.6 + i / 3), to: h(8.9 + i / 3), heard_ms: 720000 * (i + 1) * i, told: ['seen','notified'][i % 2], ended: ['left','switched','server_died','conn_closed','not_written'][i] }));
      answers = { 'history/broadcasts': () => ({ broadcasts: bs, next: null }), 'history/listenings': () => ({ listenings: ls, next: 'x' }),
        'me/listenings': () => ({ listenings: [...ls.filter((l) => l.from), ...ls.filter((l) => l.from).map((l) => ({ ...l, from: l.from - 86400000, to: l.to - 86400000 })), ...ls.filter((l) => l.from).map((l) => ({ ...l, from: l.from - 9 * 86400000, to: l.to - 86400000 * 9 }))], next: 'x' }) };";
    let script = format!("{ANSWERS}{script}");
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &script);
    paul.wait_for("document.body.dataset.connection === 'connected'");
    paul.screenshot(&screenshots().join("history-live.png"));
    paul.click("#views [data-view=history]");
    paul.wait_for("document.querySelectorAll('.day-row').length === 5");
    paul.screenshot(&screenshots().join("history-desk.png"));
    assert_accessible_in(&paul, "history-desk", &["en", "fr"]);
    paul.resize(360, 740);
    paul.screenshot(&screenshots().join("history-phone.png"));
    assert_accessible_in(&paul, "history-phone", &["en", "fr"]);
    paul.evaluate("document.querySelector('.day-table').scrollIntoView()");
    paul.screenshot(&screenshots().join("history-phone-2.png"));
    let phone = Browser::start(&tone, "fr-FR");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &script);
    lea.wait_for("document.body.dataset.state === 'ready'");
    lea.resize(360, 740);
    lea.screenshot(&screenshots().join("heard-ready.png"));
    lea.click("#heard-open");
    lea.wait_for("document.querySelectorAll('#heard-list li').length > 3");
    lea.screenshot(&screenshots().join("heard-phone.png"));
    assert_accessible_in(&lea, "heard-phone", &["en", "fr"]);
    lea.click("#heard-save");
    lea.wait_for("saved.length === 1");
    lea.screenshot(&screenshots().join("heard-phone-saved.png"));
    assert_eq!(json!(desk.complaints()), json!([]));
    assert_eq!(json!(phone.complaints()), json!([]));
}
