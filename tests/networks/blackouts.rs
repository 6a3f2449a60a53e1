//! Times in which nothing gets through at all, though every interface stays up, or in which there is no server.
//!
//! Browsers differ in how they come back, so each of them does it. Where many take part they do it one after the other: all
//! at once would be slow for the machine's sake.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::drive::{Kind, Page};
use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::people::{microphone, start_streaming};
use crate::{sound, start_listening};

const BLACKOUT: Duration = Duration::from_secs(30);

/// Long enough for browsers to hold back new WebSockets, had each try been one that failed.
const WITHOUT_SERVER: Duration = Duration::from_secs(75);

const KINDS: [Kind; 2] = [Kind::Chromium, Kind::Firefox];

/// How long after the return of the network or the server sound must be back.
const RETURN_MAX: Duration = Duration::from_secs(3);

/// Asserts that those who lost the sound, as `(who, page that hears it)`, have it back in time after `mend`.
fn assert_back(kind: Kind, pages: &[(&str, &Page<'_>)], mend: impl FnOnce()) {
    let sounds = "window.sounds = new Promise((done) => {
        const look = setInterval(() => loudness() > 0.01 && done(performance.now(), clearInterval(look)), 10);
    });";
    for (who, page) in pages {
        assert_eq!(page.evaluate("loudness() < 0.001"), true, "{kind:?}: the {who} lost nothing");
    }
    let begin =
        |(_, page): &(&str, &Page<'_>)| page.evaluate(&format!("{sounds} performance.now()")).as_f64().unwrap();
    let begun: Vec<f64> = pages.iter().map(begin).collect();
    let mended = Instant::now();
    mend();
    let late = mended.elapsed();
    for ((who, page), begin) in pages.iter().zip(begun) {
        let took = page.evaluate("sounds").as_f64().unwrap() - begin;
        let took = Duration::from_secs_f64(took / 1000.0);
        eprintln!(
            "{kind:?}, of the {who}: sound is back after {} ms, {} of them to mend",
            took.as_millis(),
            late.as_millis()
        );
        assert!(took <= RETURN_MAX + late, "{kind:?}, {who}: {took:?}");
    }
}

/// Puts a page on air.
fn on_air(page: Page<'_>) -> Page<'_> {
    start_streaming(&page);
    page
}

#[test]
fn after_thirty_seconds_without_a_packet_sound_is_back_in_three() {
    with_networks(|| {
        for kind in KINDS {
            let internet = Internet::new();
            let ecoute = internet.start(&[]);
            let [field, office, steady] =
                [("field", 1), ("office", 2), ("steady", 3)].map(|(n, i)| internet.home(n, i));
            let tone = microphone(440.0);
            let [phone, desk] = [&field, &office].map(|home| home.browser_kind(kind, &ecoute, &tone));
            let both = steady.browser_kind(Kind::Chromium, &ecoute, &tone);
            // Paul loses his network and hears Karim, who keeps his; Marie keeps hers and hears Léa, who loses hers.
            let _lea = on_air(phone.open(&ecoute.link("commercial", "lea", "Léa Martin")));
            // His page is out of sight behind hers.
            both.grant(&ecoute.url(), &["notifications", "audioCapture"]);
            let _karim = on_air(both.open(&ecoute.link("commercial", "karim", "Karim B.")));
            let marie = both.open_prepared(&ecoute.link("admin", "marie", "Marie L."), sound::TAP);
            start_listening(&marie, "lea");
            let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
            start_listening(&paul, "karim");
            for home in [&field, &office] {
                internet.cut(home);
            }
            thread::sleep(BLACKOUT);
            assert_back(kind, &[("publisher", &marie), ("listener", &paul)], || internet.mend());
        }
    });
}

#[test]
fn after_seventy_five_seconds_without_a_server_sound_is_back_in_three() {
    let test = |kind| {
        let internet = Internet::new();
        let mut ecoute = internet.start(&[]);
        let [field, office] = [("field", 1), ("office", 2)].map(|(n, i)| internet.home(n, i));
        let tone = microphone(440.0);
        let [phone, desk] = [&field, &office].map(|home| home.browser_kind(kind, &ecoute, &tone));
        let _lea = on_air(phone.open(&ecoute.link("commercial", "lea", "Léa Martin")));
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
        start_listening(&paul, "lea");
        ecoute.end(Signal::SIGKILL);
        thread::sleep(WITHOUT_SERVER);
        // Both of them lost it: of him it is heard when she is there, too.
        assert_back(kind, &[("two", &paul)], || internet.server.enter(|| ecoute.start_again(&[])));
    };
    with_networks(|| {
        thread::scope(|scope| {
            for kind in KINDS {
                scope.spawn(move || test(kind));
            }
        });
    });
}
