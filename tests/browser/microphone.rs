//! Changes the microphone on air: nobody misses a word, none is opened in vain, and one that fails takes nothing away.

use serde_json::{Value, json};

use crate::drive::{Browser, Kind, Page};
use crate::people::{microphone, open_both, start_streaming};
use crate::sound::{longest_silence_ms, measure, record_while};
use crate::support::Ecoute;

const CLIENT: &str = "deep('ecoute-micro').client";

/// Runs before a page: counts how often a microphone is opened and how many are open, and has more of them than a test
/// browser has. `slow` brings no sound for a second, as every new one does in Firefox; `broken` does not open; `ending` is
/// unplugged while it is waited for.
const MICROPHONES: &str = "
    window.opened = 0; window.tracks = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const made = async (hz, after) => {
        const context = new AudioContext(), gain = new GainNode(context, { gain: 0 });
        await context.resume();
        const to = new MediaStreamAudioDestinationNode(context), tone = new OscillatorNode(context, { frequency: hz });
        tone.connect(gain).connect(to);
        tone.start();
        gain.gain.setValueAtTime(0.5, context.currentTime + after);
        return to.stream;
    };
    navigator.mediaDevices.getUserMedia = async (constraints) => {
        const [deviceId] = String(constraints.audio.deviceId).split(' ');
        if (deviceId === 'broken') throw new DOMException('no', 'NotReadableError');
        const stream = await (deviceId === 'slow' ? made(880, 1) : deviceId === 'ending' ? made(880, 60) : ask(constraints));
        window.opened += 1;
        tracks.push(...stream.getTracks());
        if (deviceId === 'ending') setTimeout(() => stream.getTracks()[0].stop(), 100);
        return stream;
    };
    window.open = () => tracks.filter(({ readyState }) => readyState === 'live').length;
";

fn use_microphone(page: &Page<'_>, options: &str) -> Value {
    page.evaluate(&format!("{CLIENT}.useMicrophone({options}).then(() => 'changed', ({{ code }}) => code)"))
}

#[test]
fn a_change_of_the_microphone_on_air_makes_no_hole() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let [phone, desk] = [(); 2].map(|()| Browser::start(&tone, "fr-FR"));
    let (lea, paul) = open_both(&ecoute, [&phone, &desk], [MICROPHONES, ""]);
    // Another one of the browser's own, then one that begins late.
    for (id, hz) in [("another", 440.0), ("slow", 880.0)] {
        let heard = change_unheard(&lea, &paul, id, "changed");
        let after = measure(&heard[heard.len() - 2 * 48_000..]);
        assert!((after.hz / hz - 1.0).abs() < 0.02, "{id}: {after:?}");
        lea.wait_for("open() === 1");
    }
    // What is unplugged or does not open leaves the one that works.
    for (id, answer) in [("broken", "microphone_busy"), ("ending", "microphone_failed")] {
        change_unheard(&lea, &paul, id, answer);
        assert_eq!(lea.evaluate("[open(), document.body.dataset.state]"), json!([1, "on_air"]));
    }
    lea.click("ecoute-micro >>> #stop");
    lea.wait_for("open() === 0");
}

/// Changes the microphone, and returns what is heard meanwhile, without a hole: of three times one must be without those that
/// a busy machine makes.
fn change_unheard(lea: &Page<'_>, paul: &Page<'_>, id: &str, answer: &str) -> Vec<f64> {
    let mut holes_ms = Vec::new();
    for time in 0..3 {
        let heard = record_while(paul, 5000, || {
            assert_eq!(use_microphone(lea, &format!("{{ deviceId: '{id} {time}' }}")), answer);
        });
        holes_ms.push(longest_silence_ms(&heard));
        if holes_ms[time] <= 500 {
            return heard;
        }
    }
    panic!("{holes_ms:?} ms of silence with {id}")
}

/// What is not told is taken for what was asked; Safari says nothing of noise suppression.
#[test]
fn a_microphone_is_opened_once_for_a_change_and_not_at_all_for_none() {
    const UNTOLD: &str = "
        const settings = MediaStreamTrack.prototype.getSettings;
        MediaStreamTrack.prototype.getSettings = function () {
            const { noiseSuppression, ...told } = settings.call(this);
            return told;
        };";
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    // The one of Firefox suppresses no noise, whatever it is asked for.
    let is_able = browser.kind == Kind::Chromium;
    for script in [UNTOLD, ""] {
        let lea = browser
            .open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &format!("{MICROPHONES}{script}"));
        start_streaming(&lea);
        assert_eq!(lea.evaluate("opened"), 1);
        let shown = format!("{CLIENT}.microphone.getAudioTracks()[0].getSettings().noiseSuppression");
        // Each twice: the second time nothing is to be done.
        for (is_wanted, opened_max) in [(false, 2), (true, 3)] {
            for _ in 0..2 {
                let options = format!("{{ noiseSuppression: {is_wanted} }}");
                assert_eq!(use_microphone(&lea, &options), "changed");
                assert!(
                    lea.evaluate("opened").as_u64().unwrap() <= opened_max,
                    "{script} {}",
                    lea.evaluate("opened")
                );
                lea.wait_for("open() === 1");
                let told = lea.evaluate(&shown);
                assert!(script == UNTOLD || !is_able || told == is_wanted, "{script} {told}");
            }
        }
        assert!(!is_able || lea.evaluate("opened") == 3, "{script} {}", lea.evaluate("opened"));
        assert_eq!(lea.evaluate("document.body.dataset.state"), "on_air", "{script}");
        lea.click("ecoute-micro >>> #stop");
        lea.wait_for("document.body.dataset.state === 'ready' && open() === 0");
        lea.close();
    }
}

/// No browser at hand takes its time to change a microphone in place, so that is made in the page.
#[test]
fn the_last_of_two_quick_changes_stays() {
    const SLOW: &str = "
        window.suppression = true;
        MediaStreamTrack.prototype.applyConstraints = async ({ noiseSuppression }) => {
            await new Promise((done) => setTimeout(done, 200));
            window.suppression = noiseSuppression;
        };
        MediaStreamTrack.prototype.getSettings = () => ({ noiseSuppression: suppression });";
    let ecoute = Ecoute::start();
    let browser = Browser::start(&microphone(440.0), "fr-FR");
    let lea =
        browser.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &format!("{MICROPHONES}{SLOW}"));
    start_streaming(&lea);
    let change = |is_wanted: bool| format!("{CLIENT}.useMicrophone({{ noiseSuppression: {is_wanted} }})");
    lea.evaluate(&format!("Promise.all([{}, {}])", change(false), change(true)));
    assert_eq!(lea.evaluate("[suppression, opened, open()]"), json!([true, 1, 1]));
}
