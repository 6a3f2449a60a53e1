//! The oldest browsers that the pages and the library work in, as the README names them, and what older ones are told.
//!
//! They are not at hand, so a parser of their language reads every file, and a browser of today plays without what they lack.

use std::process::Command;

use ecoute::web;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::desk::assert_accessible_in;
use crate::drive::{Browser, Kind, Page};
use crate::npm::installed;
use crate::people::microphone;
use crate::support::{Ecoute, over_tls};
use crate::versions::Between;
use crate::{assert_tone, sound};

/// The language of Chrome 94, Firefox 113 and Safari 16.4, and that of browsers which may be told that they are too old.
const LANGUAGE: u32 = 2022;
const LANGUAGE_OF_OLD: u32 = 5;

/// What is younger than the floor, and the files that ask before they use it.
const YOUNGER: &[(&str, &[&str])] = &[
    (".checkVisibility", &["ecoute-view.js"]),
    ("Popover(", &["ecoute-badge.js"]),
    (":popover-open", &["ecoute-badge.js", "ecoute-view.js", "ecoute-styles.js"]),
    (":modal", &["ecoute-badge.js"]),
    ("navigator.wakeLock", &["ecoute-wake.js"]),
    ("navigator.userActivation.", &[]),
    ("URL.canParse", &[]),
    ("URL.parse", &[]),
    ("structuredClone", &[]),
    (".findLast", &[]),
    (".toSorted", &[]),
    (".toReversed", &[]),
    (".toSpliced", &[]),
    (".with(", &[]),
    ("groupBy(", &[]),
    ("fromAsync", &[]),
    ("withResolvers", &[]),
    ("Promise.try", &[]),
    ("AbortSignal.", &[]),
    (".isWellFormed", &[]),
    (".union(", &[]),
    (".difference(", &[]),
    (".intersection(", &[]),
    ("Iterator.", &[]),
    ("Intl.Segmenter", &[]),
    ("Intl.DurationFormat", &[]),
    ("requestIdleCallback", &[]),
    ("startViewTransition", &[]),
    (".inert", &[]),
    (":has(", &[]),
    ("color-mix(", &[]),
    ("light-dark(", &[]),
    ("@container", &[]),
    ("@layer", &[]),
    ("@scope", &[]),
];

/// What browsers at the floor lack, taken out of one of today.
const LACKING: &str = "
    delete URL.canParse;
    for (const name of ['popover', 'showPopover', 'hidePopover', 'togglePopover']) delete HTMLElement.prototype[name];
    for (const name of ['checkVisibility', 'role', 'ariaLive', 'ariaHidden']) delete Element.prototype[name];
    for (const name of ['wakeLock', 'userActivation']) delete Navigator.prototype[name];
";

#[test]
fn every_file_is_read_by_the_oldest_browsers() {
    let folder = TempDir::new().unwrap();
    let mut files = Vec::new();
    let mut add = |name: &str, text: &str, language: u32, kind: &str| {
        let file = folder.path().join(format!("{}.js", files.len()));
        std::fs::write(&file, text).unwrap();
        files.push(json!([name, file, language, kind]));
    };
    for page in web::all() {
        let text = std::str::from_utf8(&page.plain.content).unwrap();
        if page.path.ends_with(".js") {
            add(&page.path, text, LANGUAGE, "module");
        }
        if let Some((script, _)) = text.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>")) {
            add(&page.path, script, LANGUAGE_OF_OLD, "script");
        }
    }
    // Both must be able to fail.
    add("a later module", "for (const [a] of b) { using c = a; }", LANGUAGE, "module");
    add("a later script", "let a = () => 1;", LANGUAGE_OF_OLD, "script");
    let script = "
        const { parse } = require(process.argv[1]);
        const { readFileSync } = require('fs');
        const isBad = ([, file, ecmaVersion, sourceType]) => {
            try { parse(readFileSync(file, 'utf8'), { ecmaVersion, sourceType }); } catch (error) { return String(error); }
        };
        const bad = JSON.parse(process.argv[2]).map((file) => [file[0], isBad(file)]).filter(([, why]) => why);
        process.stdout.write(JSON.stringify(bad));";
    let mut node = Command::new("node");
    node.args(["-e", script]).arg(installed(&["acorn@8.15.0"]).join("acorn"));
    let output = node.arg(Value::from(files.clone()).to_string()).output().expect("node is installed");
    let bad: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let names: Vec<&str> = bad.as_array().unwrap().iter().map(|bad| bad[0].as_str().unwrap()).collect();
    assert_eq!(names, ["a later module", "a later script"], "{bad}");
    assert!(files.len() > 45);
    let readme = include_str!("../../README.md");
    assert!(readme.contains("Chrome and Edge 94, Firefox 113 or Safari 16.4"), "the floor that is promised");
}

#[test]
fn nothing_younger_than_the_floor_is_used_unasked() {
    for page in web::all() {
        let text = std::str::from_utf8(&page.plain.content).unwrap();
        for (younger, asking) in YOUNGER {
            let asks = asking.iter().any(|file| page.path.ends_with(&format!("/{file}")));
            assert!(asks || !text.contains(younger), "{} uses {younger}", page.path);
        }
    }
}

/// What a page says outside its scripts.
fn assert_told(page: &Page<'_>, what: &str) {
    page.wait_for("document.querySelector('#old')?.innerText.includes('Navigateur trop ancien')");
    assert_eq!(
        page.evaluate("document.querySelector('#old [lang=en]').innerText.includes('too old')"),
        true,
        "{what}"
    );
    page.wait_for("location.href.indexOf('#') < 0");
}

#[test]
fn a_browser_that_is_too_old_says_so_and_shows_no_token() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    // One that can't read a module, or not run it, and one that knows no modules at all.
    let cases = [
        ("/words.js", "export const", "export const ??= "),
        ("/words.js", "export const", "undefined.missing(); export const"),
        ("", "type=\"module\"", "type=\"later\""),
    ];
    for (file, from, to) in cases {
        let between = Between::before(&ecoute, move |path| {
            let is_changed = if file.is_empty() { !path.contains('.') } else { path.ends_with(file) };
            (path.to_owned(), is_changed.then(|| (from.to_owned(), to.to_owned())).into_iter().collect())
        });
        for role in ["commercial", "admin"] {
            let page = browser.open(&between.link(&ecoute, role, role, "Léa Martin"));
            assert_told(&page, to);
            if browser.kind == Kind::Chromium {
                assert_accessible_in(&page, "too-old", &["fr"]);
            }
            page.close();
        }
        let home = browser.open(&format!("http://{}/#t=a.b.c", between.address));
        assert_told(&home, to);
        home.close();
    }
    // Others are never told so, not even while they load.
    let seen = "new MutationObserver(() => {
        const old = document.querySelector('#old');
        if (old && getComputedStyle(old).display !== 'none' && document.styleSheets.length > 0) window.wasTold = true;
    }).observe(document, { childList: true, subtree: true });";
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), seen);
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("[window.wasTold ?? false, document.querySelector('#old')]"), json!([false, null]));
}

#[test]
fn a_day_at_the_floor_is_as_any_other() {
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let ecoute = Ecoute::start();
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), LACKING);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{LACKING}{}", sound::TAP));
    // The finger of the tests asks what these browsers don't know.
    lea.wait_for("document.body.dataset.state === 'ready' && !('checkVisibility' in document.body)");
    lea.evaluate("deep('ecoute-micro >>> #start').focus()");
    lea.press("Enter");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    paul.wait_for("document.querySelector('[data-commercial=lea]')?.dataset.state === 'on_air'");
    paul.evaluate("deep('[data-commercial=lea] ecoute-casque >>> button').focus()");
    paul.press("Enter");
    lea.wait_for("deep('ecoute-micro >>> #listeners').innerText.includes('Paul D.')");
    assert_tone(&paul, 440.0);
    // What is read aloud is said to be so, and what is hidden is no place to acknowledge.
    let roles = "['announce', 'help', 'meter'].map((id) => deep(`ecoute-micro >>> #${id}`)).map((place) =>
        ['aria-live', 'role', 'aria-hidden'].map((name) => place.getAttribute(name)).join(' ').trim())";
    assert_eq!(lea.evaluate(roles), json!(["assertive", "alert", "true"]));
    // Out of view, the badge names whom it is.
    lea.evaluate("deep('ecoute-micro').style.visibility = 'hidden'");
    lea.wait_for("deep('ecoute-badge >>> .badge')?.innerText.includes('Paul D.')");
    assert_eq!(lea.evaluate("getComputedStyle(deep('ecoute-badge >>> .badge')).display"), "flex");
    paul.evaluate("document.querySelector('#search').focus(); document.querySelector('[data-filter=air]').click()");
    paul.wait_for("document.querySelector('[data-commercial=lea]').getClientRects().length > 0");
    for browser in [&phone, &desk] {
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    }
}
