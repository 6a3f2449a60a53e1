//! Addresses that change under a running broadcast.

use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::people::microphone;
use crate::{open_both, silence_ms};

/// How long nothing may be heard after a router forgot, in ms.
const REBINDING_MAX_MS: usize = 2000;

/// How long nothing may be heard after somebody came into another network, in ms: Chromium itself says after one second
/// that there is a network, and uses it for audio within two.
const MOVE_MAX_MS: usize = 4000;

#[test]
fn a_router_that_forgets_is_silence_for_two_seconds_at_the_most() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (field, office) = (internet.home("field", 1), internet.home("office", 2));
        let tone = microphone(440.0);
        let (phone, desk) = (field.browser(&ecoute, &tone), office.browser(&ecoute, &tone));
        let (_lea, paul) = open_both(&ecoute, [&phone, &desk], ["", ""]);
        for (who, home) in [("listener", &office), ("publisher", &field)] {
            for _ in 0..2 {
                let silence = silence_ms(&paul, 7, || home.rebind());
                eprintln!("the router of the {who} forgot: {silence} ms without sound");
                assert!(silence > 40, "the router forgot nothing");
                assert!(silence <= REBINDING_MAX_MS, "{who}: {silence} ms");
            }
        }
    });
}

#[test]
fn a_phone_that_changes_networks_is_heard_again() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (field, office) = (internet.home("field", 1), internet.home("office", 2));
        let tone = microphone(440.0);
        let (phone, desk) = (field.browser(&ecoute, &tone), office.browser(&ecoute, &tone));
        let (_lea, paul) = open_both(&ecoute, [&phone, &desk], ["", ""]);
        let mut routers = Vec::new();
        for (who, home, number) in [("publisher", &field, 3), ("listener", &office, 4)] {
            routers.push(internet.router(&format!("other{number}"), number));
            let other = &routers[routers.len() - 1];
            let silence = silence_ms(&paul, 7, || home.move_to(other));
            eprintln!("the {who} moved to another network: {silence} ms without sound");
            assert!(silence > 40, "nothing changed");
            assert!(silence <= MOVE_MAX_MS, "{who}: {silence} ms");
        }
    });
}
