//! STUN and TURN servers of others: both pages give them to the browser, which asks them.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::drive::{Browser, Page};
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
    // Nobody listens on port 9.
    let turn_url = "turn:127.0.0.1:9?transport=tcp";
    let servers = format!("{stun_url},{turn_url}");
    let ecoute =
        Ecoute::start_with(data, &["--ice-server", &servers, "--ice-credentials", credentials.to_str().unwrap()]);
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), KEPT);
    start_streaming(&lea);
    let want = json!([[stun_url], [turn_url, "paul", "secret"]]);
    assert_eq!(given(&lea), want);

    let deadline = Instant::now() + Duration::from_secs(10);
    let mut datagram = [0; 1500];
    loop {
        match stun.recv(&mut datagram) {
            Ok(len) if is_binding_request(&datagram[..len]) => break,
            Ok(_) | Err(_) => assert!(Instant::now() < deadline, "the phone never asked the STUN server"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }

    // Servers that do not answer keep nobody from hearing.
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{}{KEPT}", sound::TAP));
    start_listening(&paul, "lea");
    assert_eq!(given(&paul), want);
    assert_tone(&paul, 440.0);
}
