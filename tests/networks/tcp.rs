//! Networks that block UDP.

use std::thread;
use std::time::{Duration, Instant};

use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::people::{microphone, start_streaming};
use crate::{STATS, sound, start_listening};

/// How long nothing may be heard on the way back to UDP, in ms.
const GAP_MAX_MS: usize = 1000;

/// How long nothing may be heard after UDP was blocked in the middle of it, in ms.
const BLOCKED_MAX_MS: usize = 5000;

/// How long UDP is blocked.
const BLOCKED: Duration = Duration::from_secs(20);

/// How long the way back may take.
const BACK_MAX: Duration = Duration::from_secs(30);

/// Measures from now on the longest time without sound, in ms.
const QUIET: &str = "window.quiet = 0;
    let heardAt = performance.now();
    setInterval(() => {
        if (loudness() > 0.003) heardAt = performance.now();
        quiet = Math.max(quiet, performance.now() - heardAt);
    }, 10);";

#[test]
fn who_has_no_udp_hears_over_tcp_and_goes_back_when_it_works() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (field, office) = (internet.home("field", 1), internet.home("office", 2));
        let tone = microphone(440.0);
        let (phone, desk) = (field.browser(&ecoute, &tone), office.browser(&ecoute, &tone));
        let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), STATS);
        start_streaming(&lea);
        internet.block_udp(&office);
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{STATS}{}", sound::TAP));
        start_listening(&paul, "lea");
        assert_eq!(paul.evaluate("protocol()"), "tcp");
        let heard = sound::listen(&paul, 3000);
        assert!((heard.hz / 440.0 - 1.0).abs() < 0.02 && heard.sounding > 0.95, "{heard:?}");

        // So long that Chromium has given up what it knew of UDP.
        thread::sleep(BLOCKED);
        assert_eq!(paul.evaluate("protocol()"), "tcp");
        paul.evaluate(QUIET);
        let mended = Instant::now();
        internet.mend();
        while paul.evaluate("protocol()") != "udp" {
            assert!(mended.elapsed() < BACK_MAX, "still over TCP");
            thread::sleep(Duration::from_millis(100));
        }
        let took = mended.elapsed();
        thread::sleep(Duration::from_millis(GAP_MAX_MS as u64));
        let gap = paul.evaluate("quiet").as_f64().unwrap() as usize;
        eprintln!("back from TCP to UDP after {took:?}, {gap} ms without sound");
        assert!(gap <= GAP_MAX_MS, "{gap} ms");

        for (who, home, page) in [("publisher", &field, &lea), ("listener", &office, &paul)] {
            let gap = crate::silence_ms(&paul, 9, || internet.block_udp(home));
            eprintln!("UDP of the {who} blocked in the middle: {gap} ms without sound");
            assert!(gap <= BLOCKED_MAX_MS, "{gap} ms");
            assert_eq!(page.evaluate("protocol()"), "tcp");
            internet.mend();
        }
    });
}
