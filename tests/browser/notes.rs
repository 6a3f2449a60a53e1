//! A journal that is not the one any more that a page kept a note of: the page says so until somebody has read it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ecoute::host::journal::{Reading, VerifyError, Wanted};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::desk::assert_accessible;
use crate::drive::{Browser, Kind, Page};
use crate::people::{microphone, start_streaming};
use crate::screenshots;
use crate::support::{Ecoute, WAIT, program, run};

/// The note that is kept for somebody.
fn kept(id: &str) -> String {
    format!(
        "Object.entries(localStorage).find(([key]) => key.startsWith('ecoute.note.') && key.endsWith('.{id}'))?.[1]"
    )
}

/// Copies the journal, without its key.
fn copy_journal(from: &Path, to: &Path) {
    for file in ["journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(to.join(file));
    }
    fs::copy(from.join("journal.db"), to.join("journal.db")).unwrap();
}

/// Waits until a page has a note of more entries than so many; returns it and of how many it is.
fn wait_for_note(page: &Page<'_>, id: &str, more_than: u64) -> (String, u64) {
    page.wait_for(&format!("Number({}.split('\\n')[1]) > {more_than}", kept(id)));
    let note = page.evaluate(&kept(id)).as_str().unwrap().to_owned();
    let size = note.lines().nth(1).unwrap().parse().unwrap();
    (note, size)
}

const IS_UP: &str = "document.querySelector('#connection').dataset.state === 'up'";
const NOTICE: &str = "document.querySelector('#journal-doubt')";

#[test]
fn a_journal_that_was_rolled_back_is_told_until_somebody_has_read_it() {
    let mut ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let lea = browser.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(390, 844);
    let paul = browser.open(&ecoute.link("admin", "paul", "Paul D."));
    let pages = [(&lea, "lea"), (&paul, "paul")];
    let first = pages.map(|(page, id)| wait_for_note(page, id, 0).1);

    ecoute.end(Signal::SIGTERM);
    let older = TempDir::new().unwrap();
    copy_journal(ecoute.data.path(), older.path());
    // A journal that goes on contains what was kept.
    ecoute.start_again(&[]);
    let (note, size) = wait_for_note(&paul, "paul", first[1]);
    wait_for_note(&lea, "lea", first[0]);
    assert_eq!([&lea, &paul].map(|page| page.evaluate(&format!("{NOTICE} === null"))), [true, true]);

    ecoute.end(Signal::SIGTERM);
    copy_journal(older.path(), ecoute.data.path());
    ecoute.start_again(&[]);
    for (page, _) in pages {
        page.wait_for(&format!("{NOTICE}?.innerText.includes('Le journal du serveur a été modifié')"));
        assert_eq!(page.evaluate(&format!("getComputedStyle({NOTICE}).borderColor")), "rgb(195, 38, 29)");
    }
    lea.screenshot(&screenshots().join("commercial-journal-doubted.png"));
    paul.screenshot(&screenshots().join("admin-journal-doubted.png"));
    lea.wait_for(&format!("{NOTICE}.innerText.includes('Prévenez votre responsable')"));
    lea.click("#languages [lang=en]");
    lea.wait_for(&format!("{NOTICE}.innerText.includes('Tell your supervisor')"));

    // What the page hands out is what it kept, and tells elsewhere, too.
    assert_eq!(paul.evaluate("deep('#journal-doubt a').download"), "ecoute-journal.txt");
    if browser.kind == Kind::Chromium {
        let to = TempDir::new().unwrap();
        let behavior = json!({ "behavior": "allow", "downloadPath": to.path() });
        paul.devtools("Page.setDownloadBehavior", behavior);
        paul.click("#journal-doubt a");
        let file = to.path().join("ecoute-journal.txt");
        let until = Instant::now() + WAIT;
        while fs::read_to_string(&file).ok().as_ref() != Some(&note) {
            assert!(Instant::now() < until, "{:?}", fs::read_to_string(&file));
            thread::sleep(Duration::from_millis(20));
        }
    }
    let journal = Reading::open(ecoute.data.path()).unwrap();
    assert!(matches!(journal.verify(Some(&note)), Err(VerifyError::Fault(_))), "of {size} entries");
    let mut doubts = Vec::new();
    let take = |_, entry: String| {
        doubts.extend(entry.contains("\"history_doubted\"").then_some(entry));
        true
    };
    journal.entries(&Wanted::default(), take).unwrap();
    assert_eq!(doubts.len(), 2, "one of each: {doubts:?}");

    // A reload changes nothing; who has read it is told no more.
    paul.reload();
    paul.wait_for(NOTICE);
    paul.click("#journal-doubt button");
    paul.wait_for(&format!("{NOTICE} === null"));
    assert_ne!(paul.evaluate(&kept("paul")), note);
    paul.reload();
    lea.reload();
    lea.wait_for(NOTICE);
    paul.wait_for(IS_UP);
    wait_for_note(&paul, "paul", first[1]);
    assert_eq!(paul.evaluate(&format!("{NOTICE} === null")), true);
}

const RESTORED: &str = "document.querySelector('#restored')";

/// A supervisor's link, with the right to manage.
fn manager(ecoute: &Ecoute) -> String {
    let mut command = program();
    command.args(["link", "--role", "admin", "--id", "eve", "--name", "Eve M.", "--rights", "manage"]);
    let output = run(command.args(["--public-url", &ecoute.url()]).arg("--data").arg(ecoute.data.path()));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_journal_that_was_restored_is_told_once_until_somebody_who_may_confirms_it() {
    let mut ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [browser, other, late] = [(); 3].map(|()| Browser::start(&tone, "fr-FR"));
    let away = TempDir::new().unwrap();
    let file = away.path().join("copy");
    let of = |command: &str, data: &Path| {
        let output = run(program().arg(command).arg(&file).arg("--data").arg(data));
        assert!(output.status.success(), "{output:?}");
    };
    of("backup", ecoute.data.path());
    ecoute.end(Signal::SIGTERM);
    for old in fs::read_dir(ecoute.data.path()).unwrap().flatten() {
        fs::remove_file(old.path()).unwrap();
    }
    of("restore", ecoute.data.path());
    ecoute.start_again(&[]);
    let lea = browser.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    lea.resize(360, 640);
    let paul = browser.open(&ecoute.link("admin", "paul", "Paul D."));
    let said = format!("{RESTORED}?.innerText.replaceAll('\\u00a0', ' ')");
    let words = "Journal restauré depuis la sauvegarde du ";
    for page in [&lea, &paul] {
        page.wait_for(&format!("{said}?.startsWith('{words}') && {said}.includes(' ; la suite manque.')"));
        page.wait_for(&format!("/ du (1er|\\d+) \\S+ \\d{{4}} à \\d+ h \\d\\d ; /.test({said})"));
    }
    paul.screenshot(&screenshots().join("restored-desk.png"));
    assert_accessible(&paul, "restored-desk");
    lea.bring_to_front();
    lea.screenshot(&screenshots().join("restored-phone.png"));
    assert_accessible(&lea, "restored-phone");
    assert_eq!(paul.evaluate("document.querySelector('#restored-confirm') === null"), true, "it takes the right");
    // On air it gives way.
    start_streaming(&lea);
    lea.wait_for(&format!("{RESTORED} === null"));
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for(RESTORED);
    // Who has closed it is told no more on this browser, and others are.
    lea.click("#restored-close");
    lea.wait_for(&format!("{RESTORED} === null"));
    lea.reload();
    lea.wait_for("document.body.dataset.state === 'ready'");
    paul.reload();
    paul.wait_for(RESTORED);
    assert_eq!(lea.evaluate(&format!("{RESTORED} === null")), true);
    let tom = other.open(&ecoute.link("commercial", "tom", "Tom L."));
    tom.wait_for(RESTORED);
    // Until it is confirmed, over a restart.
    ecoute.restart(Signal::SIGTERM);
    let eve = other.open(&manager(&ecoute));
    eve.wait_for("document.querySelector('#restored-confirm')");
    eve.screenshot(&screenshots().join("restored-confirm.png"));
    assert_accessible(&eve, "restored-confirm");
    tom.wait_for(&format!("{IS_UP} && {RESTORED}"));
    eve.click("#restored-confirm");
    for page in [&eve, &tom, &paul] {
        page.wait_for(&format!("{RESTORED} === null"));
    }
    let mut confirmed = Vec::new();
    let take = |_, entry: String| {
        confirmed.extend(entry.contains("\"restoration_confirmed\"").then_some(entry));
        true
    };
    Reading::open(ecoute.data.path()).unwrap().entries(&Wanted::default(), take).unwrap();
    assert!(confirmed.len() == 1 && confirmed[0].contains("\"actor\":\"eve\""), "{confirmed:?}");
    ecoute.restart(Signal::SIGTERM);
    let ana = late.open(&ecoute.link("admin", "ana", "Ana R."));
    ana.wait_for(IS_UP);
    wait_for_note(&ana, "ana", 0);
    assert_eq!(ana.evaluate(&format!("{RESTORED} === null")), true);
}

/// Runs before a page: the server says that the journal has a note, and another chain than that.
const OTHER_CHAIN: &str = "window.WebSocket = class extends WebSocket {
        set onmessage(take) {
            super.onmessage = ({ data }) => take({ data: data.replace(/\"chain\":\"[^\"]*/, '\"chain\":\"AAAA') });
        }
    };";

#[test]
fn a_page_compares_the_chain_itself() {
    let ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), OTHER_CHAIN);
    let (note, _) = wait_for_note(&paul, "paul", 0);
    assert_eq!(paul.evaluate(&format!("{NOTICE} === null")), true, "it brought none");
    paul.reload();
    paul.wait_for(NOTICE);
    assert_eq!(paul.evaluate(&kept("paul")), note);
}

/// Which note is kept: once a page brought `5 a` and the server proved it or not, and another page has kept some other
/// meanwhile.
#[test]
fn a_note_goes_only_for_one_that_follows_from_it() {
    let cases = [
        ("none was brought", "", "", "{ note: n('3 c') }", "3 c", "null"),
        ("another page was told more", "", "4 d", "{ note: n('3 c') }", "4 d", "null"),
        (
            "contained",
            "5 a",
            "5 a",
            "{ note: n('7 b'), proof: { result: 'contained', chain: 'a' } }",
            "7 b",
            "null",
        ),
        (
            "of the same size",
            "5 a",
            "5 a",
            "{ note: n('5 a'), proof: { result: 'contained', chain: 'a' } }",
            "5 a",
            "null",
        ),
        (
            "more elsewhere",
            "5 a",
            "9 e",
            "{ note: n('7 b'), proof: { result: 'contained', chain: 'a' } }",
            "9 e",
            "null",
        ),
        ("no newer one", "5 a", "5 a", "{ proof: { result: 'contained', chain: 'a' } }", "5 a", "null"),
        (
            "another chain",
            "5 a",
            "5 a",
            "{ note: n('7 b'), proof: { result: 'contained', chain: 'x' } }",
            "5 a",
            "different",
        ),
        ("missing", "5 a", "5 a", "{ note: n('7 b'), proof: { result: 'missing' } }", "5 a", "missing"),
        ("different", "5 a", "5 a", "{ note: n('7 b'), proof: { result: 'different' } }", "5 a", "different"),
        ("another key", "5 a", "5 a", "{ note: n('7 b'), proof: { result: 'other_key' } }", "5 a", "other_key"),
        ("unreadable", "5 a", "5 a", "{ note: n('3 c'), proof: { result: 'unreadable' } }", "3 c", "null"),
        ("of a later server", "5 a", "5 a", "{ note: n('7 b'), proof: { result: 'else' } }", "5 a", "null"),
        ("not answered", "5 a", "5 a", "{ note: n('7 b') }", "5 a", "null"),
    ];
    let ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let page = browser.open(&ecoute.link("admin", "paul", "Paul D."));
    page.wait_for(IS_UP);
    let module = ecoute::web::module("/ecoute-journal.js");
    for (name, brought, kept, told, want, doubt) in cases {
        let script = format!(
            "import('{module}').then(({{ JournalNote }}) => {{
                const n = (text) => text && 'ecoute-journal\\n' + text.replace(' ', '\\n') + '\\n\\n';
                const store = (text) => text ? localStorage.setItem(key, n(text)) : localStorage.removeItem(key);
                const key = 'ecoute.note.https://other.example.';
                let changes = 0;
                const note = new JournalNote('https://other.example/', () => changes += 1);
                store('{brought}');
                note.bring('no token');
                store('{kept}');
                note.handleNote({told});
                const [, size, chain] = localStorage.getItem(key).split('\\n');
                const before = [size + ' ' + chain, String(note.detail.doubt), note.detail.note === (note.detail.doubt && n('{brought}'))];
                note.accept();
                const [, after] = localStorage.getItem(key).split('\\n');
                localStorage.removeItem(key);
                return [...before, note.detail.doubt === null, changes, after].join();
            }})"
        );
        let (changes, after) = if doubt == "null" { (0, want) } else { (2, "7 b") };
        let after = after.split(' ').next().unwrap();
        assert_eq!(page.evaluate(&script), format!("{want},{doubt},true,true,{changes},{after}"), "{name}");
    }
}

#[test]
fn a_page_without_storage_keeps_nothing_and_says_nothing() {
    let mut ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let refused = "for (const name of ['getItem', 'setItem', 'removeItem'])
        Storage.prototype[name] = () => { throw new DOMException('full', 'QuotaExceededError'); };";
    let lea = browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), refused);
    lea.wait_for("document.body.dataset.state === 'ready'");
    ecoute.restart(Signal::SIGTERM);
    lea.wait_for("document.body.dataset.state === 'connecting'");
    lea.wait_for("document.body.dataset.state === 'ready'");
    assert_eq!(lea.evaluate("localStorage.length"), 1, "what was there before");
    assert_eq!(lea.evaluate(&format!("{NOTICE} === null")), true);
    // A server that goes is complained of, too.
    assert!(
        !browser.complaints().iter().any(|complaint| complaint.contains("Quota")),
        "{:?}",
        browser.complaints()
    );
}
