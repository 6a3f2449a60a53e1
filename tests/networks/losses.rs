//! Networks that lose a part of the packets, and are slow.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::drive::Page;
use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::sound::{self, listen};
use crate::wire::Quality;
use crate::{STATS, open_both};

const BAD: Quality = Quality {
    loss: 0.2,
    delay: Duration::from_millis(60),
    jitter: Duration::from_millis(20),
    udp_held_back: Duration::ZERO,
};

/// The longest wait until a report of the loss reaches the publisher's browser: reports come seconds apart, and are lost too.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// What a browser that was told needs to answer a loss: it believes a report slowly.
const LEARNING: Duration = Duration::from_secs(8);

/// The share of what is played that the browser may have made up for lack of packets, where the publisher's network is
/// bad: its browser is told, and sends each packet's predecessor along (in-band FEC). Without that it is the lost share.
const MENDED_MAX: f64 = 0.12;

/// The same where the listener's network is bad, of which the publisher's browser learns nothing.
const CONCEALED_MAX: f64 = 0.27;

#[test]
fn speech_stays_where_a_fifth_of_the_packets_is_lost() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (field, field_wire) = internet.home_on_wire("field", 1);
        let (office, office_wire) = internet.home_on_wire("office", 2);
        let voice = sound::voice();
        let (phone, desk) = (field.browser(&ecoute, &voice), office.browser(&ecoute, &voice));
        let (lea, paul) = open_both(&ecoute, [&phone, &desk], [STATS, STATS]);
        let cases = [("listener", &office_wire, CONCEALED_MAX), ("publisher", &field_wire, MENDED_MAX)];
        for (who, wire, concealed_max) in cases {
            wire.become_like(BAD);
            if who == "publisher" {
                await_report(&lea);
            }
            thread::sleep(LEARNING);
            let before = played(&paul);
            let heard = listen(&paul, 10_000);
            let after = played(&paul);
            let concealed = (after.0 - before.0) / (after.1 - before.1);
            let reported = lea.evaluate("report('remote-inbound-rtp')");
            eprintln!(
                "20 % loss and 60 ms on the {who}'s side: {:.1} % concealed, {heard:?}; told of {} lost",
                concealed * 100.0,
                reported["fractionLost"]
            );
            assert!(heard.sounding > 0.6, "{who}: {heard:?}");
            assert!(concealed > 0.005, "nothing was lost");
            assert!(concealed < concealed_max, "{who}: {concealed}");
            wire.become_like(Quality::default());
        }
    });
}

/// Waits until the publisher's browser knows of the loss, upon which it sends what makes up for it.
fn await_report(lea: &Page<'_>) {
    let deadline = Instant::now() + TOLD_WITHIN;
    while !lea.evaluate("report('remote-inbound-rtp')")["fractionLost"].as_f64().is_some_and(|lost| lost > 0.05) {
        assert!(Instant::now() < deadline, "no report of the loss came");
        thread::sleep(Duration::from_millis(200));
    }
}

/// How many samples a page made up, of how many that it played.
fn played(page: &Page<'_>) -> (f64, f64) {
    let report: Value = page.evaluate("report('inbound-rtp')");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    (number("concealedSamples") - number("silentConcealedSamples"), number("totalSamplesReceived"))
}
