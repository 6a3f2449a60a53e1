//! What the guide shows of other applications, copied out of it as a newcomer would: it must run as it stands.
//!
//! Invariant: nothing is changed in an example but the server's address and who the user is.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::assert_tone;
use crate::drive::{Browser, Page};
use crate::elements::{COUNTED, LISTENING, go_on_air, start_for};
use crate::npm::{installed, react};
use crate::people::{microphone, start_listening};
use crate::site::Site;
use crate::sound;
use crate::support::{Ecoute, WAIT, run};

/// The user of the backend's example.
const USER: &str = r#"{ id: "paul", name: "Paul D.", role: "admin" }"#;

/// Returns an example whole, by how it begins.
fn example(begin: &str) -> String {
    let guide = include_str!("../../src/docs/embedding.md");
    let (_, rest) = guide.split_once(&format!("\n{begin}")).unwrap_or_else(|| panic!("no example begins {begin}"));
    let (code, _) = rest.split_once("\n```\n").unwrap();
    format!("{begin}{code}\n").replace("https://ecoute.example", "ECOUTE")
}

/// The backend of the guide, running until the test ends.
struct Backend {
    child: Child,
    address: SocketAddr,
}

impl Backend {
    /// Starts one whose session says that somebody is `user`, an object of JavaScript.
    fn start(ecoute: &Ecoute, user: &str) -> Backend {
        let script = example("import { createHmac }");
        assert!(script.contains(USER));
        let file = ecoute.data.path().join("backend.mjs");
        std::fs::write(&file, script.replace(USER, user)).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut node = Command::new("node");
        node.arg(&file).env("PORT", address.port().to_string());
        node.env("ECOUTE_SECRET_FILE", ecoute.data.path().join("secret"));
        let child = node.spawn().expect("node is installed (apt-get install nodejs)");
        let backend = Backend { child, address };
        let until = Instant::now() + WAIT;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "the backend does not start");
            thread::sleep(Duration::from_millis(20));
        }
        backend
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The salesperson's application, on air, and its backend.
fn on_air<'a>(phone: &'a Browser, ecoute: &Ecoute, site: &Site) -> (Page<'a>, Backend) {
    let backend = Backend::start(ecoute, r#"{ id: "lea", name: "Léa Martin", role: "commercial" }"#);
    let page = format!("<!doctype html>\n{}", example("<ecoute-micro></ecoute-micro>"));
    site.serve_before(ecoute, vec![("/", page)], Some(backend.address));
    let lea = phone.open_prepared(&site.url("/"), COUNTED);
    go_on_air(&lea);
    (lea, backend)
}

#[test]
fn the_elements_work_with_the_backend_that_signs_tokens() {
    let sites = [Site::start(), Site::start()];
    let ecoute = start_for(&[&sites[0], &sites[1]]);
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, _backend) = on_air(&phone, &ecoute, &sites[0]);

    let backend = Backend::start(&ecoute, USER);
    let page = format!("<!doctype html>\n{}", example("<ecoute-casque commercial=\"lea\""));
    sites[1].serve_before(&ecoute, vec![("/", page)], Some(backend.address));
    let paul = desk.open_prepared(&sites[1].url("/"), &format!("{}{COUNTED}", sound::TAP));
    paul.wait_for("deep('ecoute-casque[commercial=lea] >>> button').dataset.state === 'on_air'");
    paul.click("ecoute-casque[commercial=lea] >>> button");
    paul.wait_for(&format!("{LISTENING} === 'started'"));
    assert_tone(&paul, 440.0);
    lea.wait_for("/Paul D\\..*formation/s.test(deep('ecoute-micro >>> #listeners').innerText)");
    assert_eq!(paul.evaluate("counts.sockets"), 1, "both headphones share a connection");
    let (phone, desk) = (phone.complaints(), desk.complaints());
    let is_icon = |complaint: &&String| complaint.contains("favicon");
    assert_eq!(phone.iter().chain(&desk).filter(|complaint| !is_icon(complaint)).count(), 0, "{phone:?} {desk:?}");
}

/// Compiles the JSX of an example with TypeScript, and nothing else of it.
fn compiled(jsx: &str) -> String {
    let folder = TempDir::new().unwrap();
    let (source, script) = (folder.path().join("team.jsx"), folder.path().join("compile.cjs"));
    std::fs::write(&source, jsx).unwrap();
    let compile = "const [, , typescript, file] = process.argv, ts = require(typescript);
        const compilerOptions = { jsx: ts.JsxEmit.React, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022 };
        console.log(ts.transpileModule(require('fs').readFileSync(file, 'utf8'), { fileName: file, compilerOptions }).outputText);";
    std::fs::write(&script, compile).unwrap();
    let typescript = installed(&["typescript@5.9.3"]).join("typescript");
    let output = run(Command::new("node").arg(script).arg(typescript).arg(source));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_hook_lists_and_listens_and_mounts_twice_on_one_connection() {
    let sites = [Site::start(), Site::start()];
    let ecoute = start_for(&[&sites[0], &sites[1]]);
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (lea, _backend) = on_air(&phone, &ecoute, &sites[0]);

    let backend = Backend::start(&ecoute, USER);
    let page = "<!doctype html><link rel=icon href=data:,>
        <script type=importmap>{ \"imports\": { \"react\": \"/react.js\" } }</script><div id=root></div>
        <script type=module>
          import { createElement, createRoot, StrictMode } from 'react';
          import { Team } from '/team.js';
          const root = createRoot(document.querySelector('#root'));
          window.show = (isShown) => root.render(createElement(StrictMode, null, isShown && createElement(Team)));
          show(true);
        </script>";
    let files = vec![
        ("/", page.to_owned()),
        ("/react", react("19.2.0")),
        ("/team", compiled(&example("import * as React"))),
    ];
    sites[1].serve_before(&ecoute, files, Some(backend.address));
    let paul = desk.open_prepared(&sites[1].url("/"), &format!("{}{COUNTED}", sound::TAP));
    paul.wait_for("document.querySelector('li')?.innerText.startsWith('Léa Martin (on_air)')");
    paul.wait_for("counts.sent.open_audio === 1");
    let button = "document.querySelector('li button').innerText";
    assert_eq!(paul.evaluate(button), "Listen");
    paul.click("li button");
    paul.wait_for(&format!("{button} === 'Stop'"));
    assert_tone(&paul, 440.0);

    // Routes come and go; the sound goes on.
    for is_shown in [false, true].repeat(5) {
        paul.evaluate(&format!("show({is_shown})"));
        paul.wait_for(&format!("Boolean(document.querySelector('li')) === {is_shown}"));
    }
    assert_tone(&paul, 440.0);
    assert_eq!(paul.evaluate("[counts.sockets, counts.peers].join()"), "1,1");
    paul.click("li button");
    paul.wait_for(&format!("{button} === 'Listen' && loudness() < 0.001"));
    lea.wait_for("deep('ecoute-micro').client.listeners.length === 0");
    assert_eq!(desk.complaints(), [] as [&str; 0]);
}

/// A page that draws everything itself, as the guide has it: who listens is heard once their row is seen.
#[test]
fn a_page_of_its_own_names_listeners_and_acknowledges_them() {
    let site = Site::start();
    let ecoute = start_for(&[&site]);
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let backend = Backend::start(&ecoute, r#"{ id: "lea", name: "Léa Martin", role: "commercial" }"#);
    let script = example("import { EcouteClient }");
    let page = format!("<!doctype html><link rel=icon href=data:,><body><script type=module>{script}</script>");
    site.serve_before(&ecoute, vec![("/", page)], Some(backend.address));
    let lea = phone.open_prepared(&site.url("/"), COUNTED);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    paul.wait_for("document.querySelector('[data-commercial=lea]')?.dataset.state === 'online'");
    lea.click("button");
    start_listening(&paul, "lea");
    assert_tone(&paul, 440.0);
    assert_eq!(lea.evaluate("document.querySelector('li').innerText"), "Listening: Paul D. (paul)");
    paul.click("ecoute-panel >>> #panel-stop");
    lea.wait_for("document.querySelector('li') === null");
    start_listening(&paul, "lea");
    lea.evaluate("lastSocket.close()");
    lea.wait_for("counts.sent.listener_ack >= 3 && document.querySelectorAll('li').length === 1");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}

#[test]
fn the_token_that_the_backend_signs_opens_the_page() {
    let ecoute = Ecoute::start();
    let backend = Backend::start(&ecoute, USER);
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let page = browser.open(&format!("http://{}/ecoute-token", backend.address));
    page.wait_for("document.readyState === 'complete' && document.body.innerText.length > 0");
    let token = page.evaluate("document.body.innerText");
    let admin = browser.open(&format!("{}/admin#t={}", ecoute.url(), token.as_str().unwrap()));
    admin.wait_for("document.body.dataset.connection === 'connected'");
    assert_eq!(admin.evaluate("document.querySelector('#name').textContent"), "Paul D.");
}
