//! Somebody on the way holds back what a salesperson says, and not what her page says.

use std::f64::consts::TAU;
use std::thread;
use std::time::Duration;

use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::people::{microphone, start_streaming, wish};
use crate::sound;
use crate::wire::Quality;

const HELD_BACK: Duration = Duration::from_millis(1500);

/// What she says before her page has told her of a listener, and after.
const TONES_HZ: [f64; 2] = [440.0, 880.0];

/// Runs before her page: her microphone is a tone, which is another one from the moment of the first acknowledgement on.
const TELLING: &str = "
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 440 });
    const microphone = new MediaStreamAudioDestinationNode(context);
    tone.connect(new GainNode(context, { gain: 0.3 })).connect(microphone);
    tone.start();
    navigator.mediaDevices.getUserMedia = async () => {
        await context.resume();
        return microphone.stream.clone();
    };
    window.WebSocket = class extends WebSocket {
        send(text) {
            if (JSON.parse(text).event === 'listener_ack') tone.frequency.value = 880;
            super.send(text);
        }
    };";

#[test]
fn what_she_said_untold_is_not_heard_though_it_comes_later() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (field, field_wire) = internet.home_on_wire("field", 1);
        let (office, _office_wire) = internet.home_on_wire("office", 2);
        let unused = microphone(440.0);
        let (phone, desk) = (field.browser(&ecoute, &unused), office.browser(&ecoute, &unused));
        let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), TELLING);
        start_streaming(&lea);
        let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
        field_wire.become_like(Quality { udp_held_back: HELD_BACK, ..Quality::default() });
        thread::sleep(2 * HELD_BACK);
        wish(&paul, "lea");
        paul.wait_for("window.tap !== undefined");
        let heard = sound::record_while(&paul, 7000, || {});
        let frames: Vec<[f64; 2]> =
            heard.chunks_exact(4800).map(|frame| TONES_HZ.map(|hz| strength(frame, hz))).collect();
        let told = frames.iter().filter(|[before, after]| *after > 0.02 && after > before).count();
        let untold = frames.iter().filter(|[before, after]| *before > 0.02 && before > after).count();
        assert!(told >= 20, "in {told} of {} tenths of a second: {frames:?}", frames.len());
        assert_eq!(untold, 0, "{frames:?}");
    });
}

/// Returns the amplitude of a tone in samples, of full scale.
fn strength(samples: &[f64], hz: f64) -> f64 {
    let turn = |index: usize| index as f64 / 48_000.0 * hz * TAU;
    let part = |wave: fn(f64) -> f64| {
        samples.iter().enumerate().map(|(index, sample)| sample * wave(turn(index))).sum::<f64>()
    };
    part(f64::sin).hypot(part(f64::cos)) * 2.0 / samples.len() as f64
}
