//! A server that is replaced by one of another version, and browsers that keep files of the one before: no page is blank.
//!
//! The older version is made on the way to the browser: its files have other addresses, and what one module calls another
//! has another name in all of them, so that modules of both versions never fit together.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ecoute::web;
use serde_json::json;

use crate::drive::Browser;
use crate::people::microphone;
use crate::site::Site;
use crate::support::{Ecoute, over_tls};

/// What the older version has in its addresses.
const OLDER: &str = "0123456789abcdef";

/// What is called otherwise in the older version: in the pages, and in the library.
const RENAMED: [&str; 3] = ["setText", "sourceOf", "showConnection"];

/// What has the present version in its addresses.
fn newer() -> String {
    web::module("").trim_start_matches('/').to_owned()
}

/// A way to the server that changes what goes over it.
pub struct Between {
    pub address: SocketAddr,
}

/// What is asked of the server instead of a path, and what stands in its answer instead of what.
pub type Change = (String, Vec<(String, String)>);

impl Between {
    pub fn before(ecoute: &Ecoute, rule: impl Fn(&str) -> Change + Send + Sync + 'static) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, server) = (listener.local_addr().unwrap(), ecoute.address);
        let rule = Arc::new(rule);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let rule = Arc::clone(&rule);
                thread::spawn(move || pass(&stream, server, &*rule));
            }
        });
        Between { address }
    }

    /// A link that leads over it.
    pub fn link(&self, ecoute: &Ecoute, role: &str, id: &str, name: &str) -> String {
        ecoute.link(role, id, name).replace(&ecoute.address.to_string(), &self.address.to_string())
    }
}

/// Passes one request on, and what follows an upgrade.
fn pass(browser: &TcpStream, server: SocketAddr, rule: &dyn Fn(&str) -> Change) {
    let mut reader = BufReader::new(browser);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut server = TcpStream::connect(server).unwrap();
    let mut to_browser = browser;
    if head.contains("pgrade: websocket") {
        server.write_all(head.as_bytes()).unwrap();
        let mut to_server = server.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || copy(&mut reader, &mut to_server));
            let _ = copy(&mut server, &mut to_browser);
            let _ = browser.shutdown(Shutdown::Both);
        });
        return;
    }
    let (asked, changes) = rule(&path);
    // Whole and readable, to be changed; tags are those of what is not changed.
    let dropped = ["accept-encoding:", "if-none-match:", "connection:"];
    let is_kept = |line: &&str| !dropped.iter().any(|name| line.to_lowercase().starts_with(name));
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").filter(is_kept).collect();
    let first = lines[0].replacen(&path, &asked, 1);
    lines[0] = &first;
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = changes.iter().fold(body.to_owned(), |body, (from, to)| body.replace(from, to));
    let is_kept =
        |line: &&str| !["etag:", "content-length:"].iter().any(|name| line.to_lowercase().starts_with(name));
    let head: Vec<&str> = head.split("\r\n").filter(is_kept).collect();
    let length = body.len();
    // The browser may have left.
    let _ = write!(to_browser, "{}\r\nContent-Length: {length}\r\n\r\n{body}", head.join("\r\n"));
}

/// What a server does, of the older version or not.
fn as_of(is_older: bool, path: &str) -> Change {
    if !is_older {
        return (path.to_owned(), Vec::new());
    }
    let newer = newer();
    // It has nothing of a later one.
    let asked = if path.contains(&newer) { "/nothing".into() } else { path.replace(OLDER, &newer) };
    let renamed = RENAMED.iter().map(|name| ((*name).to_owned(), format!("{name}OfOld")));
    (asked, [(newer, OLDER.to_owned())].into_iter().chain(renamed).collect())
}

/// Which versions the modules are of that the page has loaded.
const VERSIONS: &str =
    "[...new Set(performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
    .filter((path) => /\\/[^/]+\\/.*\\.js$/.test(path)).map((path) => path.split('/')[1]))]";

#[test]
fn a_server_that_is_replaced_while_a_page_loads_leaves_no_blank_page() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    for (role, files) in [("commercial", 0), ("commercial", 7), ("admin", 1), ("admin", 15)] {
        let loaded = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&loaded);
        let between = Between::before(&ecoute, move |path| {
            // The page, and so many of its modules, come from the older version.
            let is_module = path.contains(OLDER);
            as_of(
                counted.fetch_add(usize::from(is_module), Ordering::SeqCst) + usize::from(is_module) <= files
                    && counted.load(Ordering::SeqCst) <= files,
                path,
            )
        });
        let page = browser.open(&between.link(&ecoute, role, role, "Léa Martin"));
        page.wait_for("document.querySelector('#connection')?.dataset.state === 'up'");
        assert!(loaded.load(Ordering::SeqCst) > files, "it was replaced on the way");
        assert_eq!(page.evaluate(VERSIONS), json!([newer()]), "{role} {files}");
        page.close();
    }
    let complaints = browser.complaints();
    // Firefox says of a module what it is instead of one.
    let is_of_missing = |complaint: &String| complaint.contains("404") || complaint.contains("Loading module from");
    assert!(complaints.iter().all(is_of_missing), "{complaints:?}");
}

#[test]
fn what_a_browser_kept_of_another_version_is_not_mixed_with_this_one() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let ecoute = Ecoute::start();
    let version_asked = Arc::new(AtomicUsize::new(1));
    let is_older = Arc::clone(&version_asked);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let between = Between::before(&ecoute, move |path| {
        counted.fetch_add(usize::from(path.contains("/words.js")), Ordering::SeqCst);
        as_of(is_older.load(Ordering::SeqCst) == 1, path)
    });
    let is_up = "document.querySelector('#connection')?.dataset.state === 'up'";
    let page = browser.open(&between.link(&ecoute, "admin", "paul", "Paul D."));
    // What is still on its way when a page is loaded anew is kept by nobody.
    page.wait_for(is_up);
    // To the newer version, back to the older one, and to the newer one again: each is kept beside the other.
    for (is_older, version, times) in
        [(1, OLDER.to_owned(), 1), (0, newer(), 2), (1, OLDER.into(), 2), (0, newer(), 2)]
    {
        version_asked.store(is_older, Ordering::SeqCst);
        page.reload();
        page.wait_for(is_up);
        assert_eq!(page.evaluate(VERSIONS), json!([version]));
        assert_eq!(asked.load(Ordering::SeqCst), times, "what a browser has kept it does not ask for again");
    }
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn an_application_of_others_gets_the_library_in_one_version() {
    if over_tls() {
        return;
    }
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let site = Site::start();
    let ecoute = Ecoute::start_with(tempfile::TempDir::new().unwrap(), &["--allow-origin", &site.origin]);
    let version_asked = Arc::new(AtomicUsize::new(1));
    let is_older = Arc::clone(&version_asked);
    let between = Between::before(&ecoute, move |path| as_of(is_older.load(Ordering::SeqCst) == 1, path));
    let token = ecoute.token("commercial", "lea", "Léa Martin");
    let app = format!(
        "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><ecoute-micro></ecoute-micro>
         <script type=module>
           import 'http://{0}/ecoute.js';
           import {{ createUseEcoute }} from 'http://{0}/useEcoute.js';
           document.querySelector('ecoute-micro').getToken = async () => '{token}';
           window.hook = createUseEcoute;
         </script>",
        between.address
    );
    site.serve(&ecoute, vec![("/crm", app)]);
    let page = browser.open(&site.url("/crm"));
    for (is_older, version) in [(1, OLDER.to_owned()), (0, newer()), (1, OLDER.into())] {
        version_asked.store(is_older, Ordering::SeqCst);
        page.reload();
        page.wait_for("document.querySelector('ecoute-micro').state === 'ready' && window.hook");
        assert_eq!(page.evaluate(VERSIONS), json!([version]));
    }
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}
