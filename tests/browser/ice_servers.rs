//! STUN and TURN servers of others: both pages give them to the browser, which asks them.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::drive::{Browser, Kind, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;
use crate::{assert_tone, sound};

/// Runs before a page: keeps its audio connections.
const KEPT: &str = "
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...all) { super(...all); window.peers.push(this); }
    };
";

/// A Binding request of STUN (RFC 8489 §5): its type, and the cookie.
fn is_binding_request(datagram: &[u8]) -> bool {
    datagram.get(..2) == Some(&[0, 1]) && datagram.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42])
}

/// Waits until somebody asks a STUN server for their address.
fn wait_for_request(stun: &UdpSocket) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut datagram = [0; 1500];
    loop {
        match stun.recv(&mut datagram) {
            Ok(len) if is_binding_request(&datagram[..len]) => return,
            Ok(_) | Err(_) => assert!(Instant::now() < deadline, "the phone never asked the STUN server"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the page's last connection was given.
fn given(page: &Page<'_>) -> Value {
    page.evaluate(
        "peers.at(-1).getConfiguration().iceServers.map(({ urls, username, credential }) =>
            [urls, username, credential].flat().filter(Boolean))",
    )
}

#[test]
fn both_pages_use_them() {
    let stun = UdpSocket::bind("127.0.0.1:0").unwrap();
    stun.set_nonblocking(true).unwrap();
    let data = TempDir::new().unwrap();
    let credentials = data.path().join("turn");
    std::fs::write(&credentials, "paul\nsecret\n").unwrap();
    let stun_url = format!("stun:{}", stun.local_addr().unwrap());
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let turn_url = format!("turn:127.0.0.1:{port}?transport=tcp");
    let servers = format!("{stun_url},{turn_url}");
    let ecoute =
        Ecoute::start_with(data, &["--ice-server", &servers, "--ice-credentials", credentials.to_str().unwrap()]);
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), KEPT);
    start_streaming(&lea);
    let want = json!([[stun_url], [turn_url, "paul", "secret"]]);
    assert_eq!(given(&lea), want);

    // Firefox asks nobody at an address of its own machine.
    if phone.kind == Kind::Chromium {
        wait_for_request(&stun);
    }

    // Servers that do not answer keep nobody from hearing.
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{}{KEPT}", sound::TAP));
    start_listening(&paul, "lea");
    assert_eq!(given(&paul), want);
    assert_tone(&paul, 440.0);
}

/// Runs before a page of Chromium, which takes more than Firefox: the port is one that browsers block. It refuses all of a
/// configuration, as Firefox does by itself.
const REFUSING: &str = "
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) {
            for (const { urls } of configuration.iceServers) {
                if ([urls].flat().some((url) => url.includes(':9?'))) throw new DOMException('bad port', 'SyntaxError');
            }
            super(configuration);
        }
    };
";

/// Runs before a page: keeps what it warns of.
const WARNED: &str = "window.warned = []; console.warn = (text) => warned.push(text);";

#[test]
fn one_that_the_browser_refuses_takes_nothing_from_the_others() {
    let data = TempDir::new().unwrap();
    let credentials = data.path().join("turn");
    std::fs::write(&credentials, "paul\nsecret\n").unwrap();
    let [bad, good] = ["turn:127.0.0.1:9?transport=tcp", "turn:127.0.0.1:3478?transport=tcp"];
    let servers = format!("{bad},{good}");
    let ecoute =
        Ecoute::start_with(data, &["--ice-server", &servers, "--ice-credentials", credentials.to_str().unwrap()]);
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let refusing = if phone.kind == Kind::Chromium { REFUSING } else { "" };
    let before = format!("{refusing}{KEPT}{WARNED}{}", sound::TAP);
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &before);
    start_streaming(&lea);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &before);
    start_listening(&paul, "lea");
    for page in [&lea, &paul] {
        assert_eq!(given(page), json!([[good, "paul", "secret"]]));
        let told = format!("warned.filter((text) => text.startsWith('écoute: ') && text.includes('{bad}')).length");
        assert_eq!(page.evaluate(&told), 1);
        assert_eq!(page.evaluate(&format!("warned.some((text) => text.includes('{good}'))")), false);
    }
    assert_tone(&paul, 440.0);
}
