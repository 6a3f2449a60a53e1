//! A journal that can't be written: both pages say so, and why, for as long as it is so. What runs goes on.

use std::fs;

use serde_json::json;

use crate::desk::{assert_accessible_in, say};
use crate::drive::{Browser, Page};
use crate::people::{microphone, open_both, start_listening, start_streaming, wish};
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, open_another};

/// What a page says of the journal, with plain spaces.
const SAID: &str = "document.querySelector('#journal').innerText.replaceAll('\\u00a0', ' ')";
const IS_SAID: &str = "document.querySelector('#journal').checkVisibility()";

fn said(page: &Page<'_>) -> String {
    page.evaluate(SAID).as_str().unwrap().to_owned()
}

#[test]
fn a_journal_that_can_not_be_written_is_told_on_both_pages() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], [SOCKET_KEPT; 2]);
    let tom = open_another(&phone, &ecoute.link("commercial", "tom", "Tom L."), "");
    start_streaming(&tom);
    lea.resize(390, 844);
    assert_eq!(lea.evaluate(IS_SAID), false);
    let pause = "deep('ecoute-micro >>> .pause').getBoundingClientRect().top";
    let before = lea.evaluate(pause);

    let [path, away] = ["journal.db", "away"].map(|name| ecoute.data.path().join(name));
    fs::rename(&path, &away).unwrap();
    wish(&paul, "tom");
    for page in [&paul, &lea, &tom] {
        page.wait_for(IS_SAID);
    }
    assert_eq!(
        said(&paul),
        "Le journal ne peut pas être écrit : aucune nouvelle écoute ne peut commencer. Le journal a été modifié ou \
         remplacé. Les écoutes en cours continuent. Prévenez la personne qui s'occupe du serveur."
    );
    assert_eq!(
        said(&lea),
        "Aucune nouvelle écoute ne peut commencer : le serveur ne peut pas écrire son journal. Le journal a été \
         modifié ou remplacé. Les écoutes en cours continuent."
    );
    let refused =
        "[...document.querySelectorAll('.toast')].map((toast) => toast.innerText.replaceAll('\\u00a0', ' '))";
    assert_eq!(paul.evaluate(refused), json!(["Écoute impossible : le serveur ne peut pas écrire son journal."]));
    assert_eq!(paul.evaluate("deep('ecoute-panel >>> #panel').dataset.listening"), "started", "Léa is heard");
    assert_eq!(paul.evaluate("deep('ecoute-casque').client.wishes.length"), 1);
    paul.wait_for("document.querySelectorAll('.toast').length === 0");
    assert_accessible_in(&paul, "desk-journal", &["fr", "en"]);
    lea.bring_to_front();
    assert_accessible_in(&lea, "phone-journal", &["en", "fr"]);
    paul.evaluate("document.querySelector('#languages [lang=fr]').click()");

    assert_eq!(lea.evaluate(pause), before, "nothing moves under a finger");

    // Whoever reloads meanwhile is told too.
    tom.bring_to_front();
    tom.reload();
    tom.wait_for(IS_SAID);

    fs::rename(&away, &path).unwrap();
    for page in [&paul, &lea, &tom] {
        page.wait_for(&format!("!{IS_SAID}"));
    }
    start_streaming(&tom);
    start_listening(&paul, "tom");

    // Each cause has words, and one of later times has some.
    for (cause, words) in [
        ("disk_full", "Le disque du serveur est plein."),
        ("not_permitted", "Le disque du serveur refuse l'écriture."),
        ("hangs", "Le disque du serveur ne répond pas."),
        ("damaged", "Le journal est endommagé."),
        ("other", "Les messages du serveur disent pourquoi."),
        ("of later times", "Les messages du serveur disent pourquoi."),
    ] {
        for page in [&paul, &lea] {
            say(page, "journal_state", json!({ "ok": false, "cause": cause }));
            assert!(said(page).contains(words), "{cause}: {}", said(page));
        }
    }
}
