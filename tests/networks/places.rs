//! Servers that are reached by one family alone, or behind a NAT of their own.

use tempfile::TempDir;

use crate::drive::Browser;
use crate::internet::Internet;
use crate::namespace::{Namespace, cable, with_networks};
use crate::people::{microphone, start_streaming};
use crate::support::Ecoute;
use crate::{STATS, sound, start_listening};

/// Asserts that somebody hears somebody who is beside them, at an address of the server's; returns where their audio
/// comes from.
fn assert_heard(host: &Namespace, ecoute: &Ecoute, server: &str) -> String {
    let tone = microphone(440.0);
    let base = format!("http://{server}:{}", ecoute.address.port());
    host.settle();
    let browser = host.enter(|| Browser::trusting(&base, &tone, "fr-FR"));
    let link = |role, id| {
        let link = ecoute.link(role, id, id);
        link.replace(&format!("http://{}", ecoute.address), &base)
    };
    // Of two tabs one is out of sight.
    browser.grant(&base, &["notifications", "audioCapture"]);
    let lea = browser.open(&link("commercial", "lea"));
    start_streaming(&lea);
    let paul = browser.open_prepared(&link("admin", "paul"), &format!("{STATS}{}", sound::TAP));
    paul.bring_to_front();
    start_listening(&paul, "lea");
    let heard = sound::listen(&paul, 2000);
    assert!((heard.hz / 440.0 - 1.0).abs() < 0.02 && heard.sounding > 0.9, "{server}: {heard:?}");
    let source = paul.evaluate("server()").as_str().unwrap().to_owned();
    eprintln!("pages from {server}, audio from {source}");
    lea.evaluate("deep('ecoute-micro').client.close()");
    paul.evaluate("window.close()");
    source
}

#[test]
fn one_family_is_enough() {
    with_networks(|| {
        let cases = [("192.168.7.1", "192.168.7.2"), ("fd00:7::1", "fd00:7::2")];
        for (server, client) in cases {
            let prefix = if server.contains(':') { 64 } else { 24 };
            let (here, there) = (Namespace::new(), Namespace::new());
            let ends = [server, client].map(|address| format!("{address}/{prefix}"));
            cable((&here, "eth0", &[&ends[0]]), (&there, "eth0", &[&ends[1]]));
            let ecoute = here.enter(|| Ecoute::start_with(TempDir::new().unwrap(), &[]));
            let shown = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
            assert_eq!(assert_heard(&there, &ecoute, &shown), server);
        }
    });
}

#[test]
fn a_server_behind_nat_is_heard_from_both_sides() {
    with_networks(|| {
        let internet = Internet::new();
        let outside = internet.home("office", 2);
        // The company's router hands what comes to its public address on to the server, on one port.
        let company = internet.router("company", 5);
        let (server, colleague) = (Namespace::new(), Namespace::new());
        company.connect_many(&[(&server, "192.168.5.2"), (&colleague, "192.168.5.3")]);
        let ecoute =
            server.enter(|| Ecoute::start_with(TempDir::new().unwrap(), &["--public-address", "198.51.5.2"]));
        company.hand_on(ecoute.address.port(), "192.168.5.2");
        assert_eq!(assert_heard(&outside.host, &ecoute, "198.51.5.2"), "198.51.5.2");
        assert_eq!(assert_heard(&colleague, &ecoute, "192.168.5.2"), "192.168.5.2");
    });
}
