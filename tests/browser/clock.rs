//! A phone or a desk whose clock is wrong shows what is so by the server's: how long, since when, and at what time.

use serde_json::json;

use crate::SOCKET_KEPT;
use crate::drive::{Browser, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;

/// Runs before a page: its clock is wrong by so many ms, and `was()` is what the right one says.
fn wrong_by(ms: i64) -> String {
    format!(
        "{SOCKET_KEPT} {{
            const Right = Date;
            window.was = () => Right.now();
            window.Date = class extends Right {{
                constructor(...all) {{ super(...(all.length ? all : [Right.now() + {ms}])); }}
                static now() {{ return Right.now() + {ms}; }}
            }};
        }}"
    )
}

/// `00:00:06` in seconds.
const SECONDS: &str = "((text) => text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0))";

fn seconds(page: &Page<'_>, place: &str) -> f64 {
    page.wait_for(&format!("/^[0-9:]+$/.test(deep('{place}').textContent)"));
    page.evaluate(&format!("{SECONDS}(deep('{place}').textContent)")).as_f64().unwrap()
}

#[test]
fn a_clock_that_is_wrong_changes_nothing_that_is_shown() {
    for ms in [600_000, -86_400_000] {
        let ecoute = Ecoute::start();
        let tone = microphone(440.0);
        let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
        let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &wrong_by(ms));
        start_streaming(&lea);
        let began = lea.evaluate("was()").as_f64().unwrap();
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &wrong_by(ms));
        start_listening(&paul, "lea");
        lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
        for (page, place) in [
            (&lea, "ecoute-micro >>> #elapsed"),
            (&paul, "[data-commercial=lea] .elapsed"),
            (&paul, "ecoute-panel >>> #panel-elapsed"),
        ] {
            let shown = seconds(page, place);
            let passed = (page.evaluate("was()").as_f64().unwrap() - began) / 1000.0;
            assert!((-0.1..=passed + 2.0).contains(&shown), "{place} {shown} s after {passed} s, {ms} ms wrong");
        }
        let row = "deep('ecoute-micro >>> #listeners').innerText";
        assert_eq!(lea.evaluate(&format!("/ [0-9]{{1,2}} s/.test({row}.replaceAll('\\u00a0', ' '))")), true);
        for (page, client) in [(&lea, "deep('ecoute-micro').client"), (&paul, "deep('ecoute-casque').client")] {
            let off = page.evaluate(&format!("Math.abs({client}.now - was())")).as_f64().unwrap();
            assert!(off < 1000.0, "{off} ms, {ms} ms wrong");
        }
        assert_says_when(&lea, &paul);

        // Another page of hers says since when this one is on air, before it is let in.
        let other = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &wrong_by(ms));
        let words = "deep('ecoute-micro >>> #elsewhere').innerText.replaceAll('\\u00a0', ' ')";
        other.wait_for(&format!("/direct là-bas depuis (1 min )?[0-9]+( s)?[.]/.test({words})"));
    }
}

/// Whether an access is over is the server's to say, also where only the page knows of a token.
#[test]
fn a_clock_that_is_ahead_ends_no_access() {
    let ahead = wrong_by(400 * 86_400_000);
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let damaged = format!("{}x", ecoute.link("admin", "paul", "Paul D."));
    let paul = browser.open_prepared(&damaged, &ahead);
    paul.wait_for("document.querySelector('#gate').innerText.includes('Lien refusé')");
    // Who is logged in stays so until the person here says that they are somebody else.
    let karim = browser.open_prepared(&ecoute.link("commercial", "karim", "Karim B."), &ahead);
    karim.wait_for("document.body.dataset.state === 'ready'");
    let zoe = browser.open_prepared(&ecoute.link("commercial", "zoe", "Zoé P."), &ahead);
    zoe.wait_for("document.querySelector('#gate').innerText.includes('Changer de personne')");
}

/// Times of day are the server's instants, as a clock on the wall here shows them.
fn assert_says_when(lea: &Page<'_>, paul: &Page<'_>) {
    // An age is that of the position, though the phone's clock said when it was.
    lea.evaluate(
        "deep('ecoute-micro').client.sendPosition({ lat: 48.85, lon: 2.29, accuracy_m: 8, at: Date.now() - 5000 })",
    );
    paul.wait_for("document.querySelector('[data-commercial=lea] .place').checkVisibility()");
    paul.wait_for("/^[0-9]{1,2} s$/.test(document.querySelector('[data-commercial=lea] .place').innerText.trim().replace('\\u00a0', ' '))");
    let seen = paul.evaluate("was()");
    let hugo = json!({ "commercial_id": "hugo", "name": "Hugo S.", "state": "offline", "is_streaming": false, "listeners": [],
        "listeners_count": 0, "since": null, "last_seen": seen });
    crate::desk::say(paul, "commercial_updated", hugo);
    let time =
        |at: &str| format!("new Date({at}).toLocaleTimeString('fr', {{ hour: '2-digit', minute: '2-digit' }})");
    let shown = "document.querySelector('[data-commercial=hugo] .elapsed').innerText.replaceAll('\\u00a0', ' ')";
    paul.wait_for(&format!("{shown} === 'vu à ' + {}", time(&seen.to_string())));
    // Of another day it is that day, and no minute of it.
    let date = |at: &str| format!("new Date({at}).toLocaleDateString('fr', {{ day: 'numeric', month: 'long' }})");
    let ago = |days: u32| paul.evaluate(&format!("was() - {days} * 86400000"));
    for (seen, words) in
        [(ago(1), "'vu hier'".to_owned()), (ago(40), format!("'vu le ' + {}", date(&ago(40).to_string())))]
    {
        let hugo = json!({ "commercial_id": "hugo", "name": "Hugo S.", "state": "offline", "is_streaming": false,
            "listeners": [], "listeners_count": 0, "since": null, "last_seen": seen });
        crate::desk::say(paul, "commercial_updated", hugo);
        paul.wait_for(&format!("{shown} === {words}"));
    }
    // What has ended says from when to when it was.
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("document.querySelector('#past').checkVisibility()");
    let past = "document.querySelector('#past-list').innerText.replaceAll('\\u00a0', ' ')";
    let until = format!("{}.replace(/^0?([0-9]+):/, '$1 h ')", time("was()"));
    lea.wait_for(&format!(
        "{past}.includes('à ' + {until}) || {past}.includes('à ' + {})",
        until.replace("was()", "was() - 60000")
    ));
    assert_eq!(lea.evaluate(&format!("/, de [0-9]/.test({past})")), true, "it was today");
}
