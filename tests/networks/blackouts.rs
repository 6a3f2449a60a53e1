//! Times in which nothing gets through at all, though every interface stays up.

use std::thread;
use std::time::{Duration, Instant};

use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::people::{microphone, start_streaming};
use crate::{sound, start_listening};

const BLACKOUT: Duration = Duration::from_secs(30);

/// How long after the network's return sound must be back.
const RETURN_MAX: Duration = Duration::from_secs(3);

#[test]
fn after_thirty_seconds_without_a_packet_sound_is_back_in_three() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let [field, office, steady] =
            [("field", 1), ("office", 2), ("steady", 3)].map(|(n, i)| internet.home(n, i));
        let tone = microphone(440.0);
        let [phone, desk, both] = [&field, &office, &steady].map(|home| home.browser(&ecoute, &tone));
        // Paul loses his network and hears Karim, who keeps his; Marie keeps hers and hears Léa, who loses hers.
        let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
        start_streaming(&lea);
        // His page is out of sight behind hers.
        both.grant(&ecoute.url(), &["notifications", "audioCapture"]);
        let karim = both.open(&ecoute.link("commercial", "karim", "Karim B."));
        start_streaming(&karim);
        let marie = both.open_prepared(&ecoute.link("admin", "marie", "Marie L."), sound::TAP);
        start_listening(&marie, "lea");
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
        start_listening(&paul, "karim");
        let pages = [("publisher", &marie), ("listener", &paul)];
        for home in [&field, &office] {
            internet.cut(home);
        }
        thread::sleep(BLACKOUT);
        for (who, page) in pages {
            assert_eq!(page.evaluate("loudness() < 0.001"), true, "the {who}'s network is not cut");
        }
        let sounds = "window.sounds = new Promise((done) => {
            const look = setInterval(() => loudness() > 0.01 && done(performance.now(), clearInterval(look)), 10);
        });";
        let begin = pages.map(|(_, page)| page.evaluate(&format!("{sounds} performance.now()")).as_f64().unwrap());
        let mended = Instant::now();
        internet.mend();
        let late = mended.elapsed();
        for ((who, page), begin) in pages.iter().zip(begin) {
            let took = page.evaluate("sounds").as_f64().unwrap() - begin;
            let took = Duration::from_secs_f64(took / 1000.0);
            eprintln!("a blackout of the {who}: sound is back after {} ms", took.as_millis());
            assert!(took <= RETURN_MAX + late, "{who}: {took:?}");
        }
    });
}
