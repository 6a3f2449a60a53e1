//! Pages of which a part does not load: they say so, and are whole a moment later.

use std::io::{BufRead, BufReader, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::drive::Browser;
use crate::people::microphone;
use crate::support::{Ecoute, over_tls};

/// What a server answers that has no room.
const NO_ROOM: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A way to the server on which so many requests for these files fail; returns its address.
fn failing(ecoute: &Ecoute, files: &'static [&'static str], times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap(), ecoute.address);
    let left = Arc::new(AtomicUsize::new(times));
    let counted = Arc::clone(&left);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let left = Arc::clone(&counted);
            thread::spawn(move || pass(&stream, server, files, &left));
        }
    });
    (address, left)
}

/// Passes one request on, and what follows an upgrade.
fn pass(browser: &TcpStream, server: SocketAddr, files: &[&str], left: &AtomicUsize) {
    let mut reader = BufReader::new(browser);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let mut to_browser = browser;
    let fails = |left: usize| left.checked_sub(1);
    // Where modules stand names the version.
    let path = head.split(' ').nth(1).unwrap_or_default();
    if files.iter().any(|file| path.ends_with(file))
        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok()
    {
        // The browser may have left.
        let _ = to_browser.write_all(NO_ROOM.as_bytes());
        return;
    }
    let mut server = TcpStream::connect(server).unwrap();
    server.write_all(head.replace("Connection: keep-alive", "Connection: close").as_bytes()).unwrap();
    let mut to_server = server.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || copy(&mut reader, &mut to_server));
        let _ = copy(&mut server, &mut to_browser);
        let _ = browser.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_page_without_one_of_its_modules_says_so_and_loads_again() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    // Where the style fails too it does so first.
    let cases: [(&str, &[&str]); 3] =
        [("commercial", &["/ecoute-peer.js"]), ("admin", &["/admin.js"]), ("admin", &["/page.css", "/admin.js"])];
    for (role, files) in cases {
        let ecoute = Ecoute::start();
        let (address, left) = failing(&ecoute, files, 2);
        let browser = Browser::start(&tone, "fr-FR");
        let link =
            ecoute.link(role, "lea", "Léa Martin").replace(&ecoute.address.to_string(), &address.to_string());
        let page = browser.open(&link);
        page.wait_for("document.querySelector('main[role=alert]')?.innerText.includes('Page incomplète')");
        page.wait_for("document.querySelector('section[lang=en]').innerText.includes('The page is incomplete')");
        page.wait_for("document.querySelector('section[lang=fr] button').innerText === 'Recharger'");
        assert_eq!(page.evaluate("location.hash.startsWith('#t=')"), true, "the link is not lost");
        // By itself, and then once more.
        page.wait_for("document.querySelector('#connection')?.dataset.state === 'up'");
        assert_eq!(left.load(Ordering::SeqCst), 0);
        assert_eq!(page.evaluate("document.querySelector('main[role=alert]')"), serde_json::Value::Null);
        assert_eq!(page.evaluate("sessionStorage['ecoute.loads'] ?? ''"), "", "the next time is a first one");
        let complaints = browser.complaints();
        // Firefox says of a module what it is instead of one.
        let is_of_missing =
            |complaint: &String| complaint.contains("503") || complaint.contains("Loading module from");
        assert!(complaints.iter().all(is_of_missing), "{complaints:?}");
    }
}

#[test]
fn a_click_loads_an_incomplete_page_at_once_and_a_style_comes_by_itself() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let ecoute = Ecoute::start();
    let (address, _) = failing(&ecoute, &["/words.js"], 1);
    let browser = Browser::start(&tone, "fr-FR");
    let at = |link: String, address: SocketAddr| link.replace(&ecoute.address.to_string(), &address.to_string());
    // It would wait for a minute by itself.
    let page = browser.open_prepared(
        &at(ecoute.link("commercial", "lea", "Léa Martin"), address),
        "sessionStorage['ecoute.loads'] ??= 6; Math.random = () => 0.9;",
    );
    page.click("section[lang=fr] button");
    page.wait_for("document.body.dataset.state === 'ready'");

    let (address, left) = failing(&ecoute, &["/page.css"], 1);
    let page = browser.open(&at(ecoute.link("admin", "paul", "Paul D."), address));
    page.wait_for("document.querySelector('#connection')?.dataset.state === 'up'");
    page.wait_for("document.styleSheets.length === 2");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!(page.evaluate("document.querySelector('main[role=alert]')"), serde_json::Value::Null);
}

/// The server is away as soon as the page is there, and the browser allows no storage: the page asks less and less often.
#[test]
fn an_incomplete_page_asks_less_often_without_storage_too() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let ecoute = Ecoute::start();
    let (address, _) = failing(&ecoute, &["/admin.js"], 1);
    let browser = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("admin", "paul", "Paul D.").replace(&ecoute.address.to_string(), &address.to_string());
    let page = browser.open_prepared(
        &link,
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('none'); } });
         window.XMLHttpRequest = class { open() {} send() { queueMicrotask(() => this.onloadend()); } status = 503; };
         window.pauses = []; const later = setTimeout;
         window.setTimeout = (what, ms) => { pauses.push(ms); return later(what, 10); };
         Math.random = () => 0.5;",
    );
    page.wait_for("window.pauses.length > 6");
    assert_eq!(page.evaluate("pauses.slice(0, 7).join()"), "2000,4000,8000,16000,32000,64000,64000");
}
