//! Whether one person speaks, found in the levels that their client declares (RFC 6464).
//!
//! Knows levels, never audio. Invariant: two turns are at least [`SpeechLimits::interval`] apart, and who speaks is looked at
//! again by a deadline: in silence packets come rarely or not at all (DTX).

use std::time::Instant;

use crate::config::SpeechLimits;

/// Louder than this is speech that begins, in dBov.
const BEGINS_ABOVE: i8 = -45;
/// Speech that is under way goes on above this, in dBov: voices fall at the end of a sentence.
const LASTS_ABOVE: i8 = -50;

/// Whether the person of one stream speaks.
#[derive(Debug)]
pub struct Speech {
    state: State,
}

#[derive(Debug)]
enum State {
    /// May begin to speak at that moment; where it is absent, an interval after the next packet.
    Silent { until: Option<Instant> },
    /// Speaks since then, and was last loud enough then.
    Speaking { since: Instant, heard: Instant },
}

impl Speech {
    /// Returns somebody who was never heard.
    pub fn silent() -> Speech {
        Speech { state: State::Silent { until: None } }
    }

    /// Tells whether the person speaks.
    pub fn is_speaking(&self) -> bool {
        match self.state {
            State::Silent { .. } => false,
            State::Speaking { .. } => true,
        }
    }

    /// A packet came, so loud in dBov; tells whether the person begins to speak with it.
    pub fn hear(&mut self, now: Instant, level: i8, limits: &SpeechLimits) -> bool {
        match &mut self.state {
            State::Silent { until } => {
                let until = *until.get_or_insert(now + limits.interval);
                let begins = level > BEGINS_ABOVE && until <= now;
                if begins {
                    self.state = State::Speaking { since: now, heard: now };
                }
                begins
            }
            State::Speaking { heard, .. } => {
                if level > LASTS_ABOVE {
                    *heard = now;
                }
                false
            }
        }
    }

    /// Nothing can be heard any more, or again, which is told by itself: what comes next is a beginning.
    pub fn cut(&mut self) {
        *self = Speech::silent();
    }

    /// Returns when the person stops to speak, unless more is heard by then; `None` while they are silent.
    pub fn next_deadline(&self, limits: &SpeechLimits) -> Option<Instant> {
        match self.state {
            State::Silent { .. } => None,
            State::Speaking { since, heard } => Some((heard + limits.hangover).max(since + limits.interval)),
        }
    }

    /// Lets time pass; tells whether the person stops to speak.
    pub fn handle_timeout(&mut self, now: Instant, limits: &SpeechLimits) -> bool {
        let stops = self.next_deadline(limits).is_some_and(|at| at <= now);
        if stops {
            self.state = State::Silent { until: Some(now + limits.interval) };
        }
        stops
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: SpeechLimits =
        SpeechLimits { interval: Duration::from_millis(1000), hangover: Duration::from_millis(1500) };

    /// What was heard by a moment, in ms, and time that passed by then.
    struct Scene {
        speech: Speech,
        start: Instant,
    }

    impl Scene {
        /// Somebody whose first packet, a silent one, came at 0.
        fn new() -> Scene {
            let mut scene = Scene { speech: Speech::silent(), start: Instant::now() };
            assert!(!scene.hear(0, -127));
            scene
        }

        /// Speaks since 1000.
        fn speaking() -> Scene {
            let mut scene = Scene::new();
            assert!(scene.hear(1000, -30));
            scene
        }

        fn hear(&mut self, ms: u64, level: i8) -> bool {
            self.speech.hear(self.start + Duration::from_millis(ms), level, &LIMITS)
        }

        fn wait(&mut self, ms: u64) -> bool {
            self.speech.handle_timeout(self.start + Duration::from_millis(ms), &LIMITS)
        }

        fn deadline_ms(&self) -> Option<u128> {
            self.speech.next_deadline(&LIMITS).map(|at| (at - self.start).as_millis())
        }
    }

    #[test]
    fn begins_above_one_threshold_and_lasts_above_a_lower_one() {
        for (level, begins, lasts) in [
            (-127, false, false),
            (-50, false, false),
            (-49, false, true),
            (-45, false, true),
            (-44, true, true),
            (0, true, true),
        ] {
            let mut scene = Scene::new();
            assert_eq!(scene.hear(2000, level), begins, "{level}");
            assert_eq!(scene.speech.is_speaking(), begins, "{level}");
            let mut scene = Scene::speaking();
            assert!(!scene.hear(2400, level), "{level}: no turn");
            assert_eq!(scene.wait(2500), !lasts, "{level}");
        }
    }

    #[test]
    fn silence_is_noticed_without_a_packet_after_the_pause_between_words() {
        let mut scene = Scene::new();
        assert_eq!(scene.deadline_ms(), None, "nothing to look at while they are silent");
        scene.hear(1000, -30);
        assert_eq!(scene.deadline_ms(), Some(2500));
        assert!(!scene.wait(2499));
        scene.hear(2499, -30);
        assert_eq!(scene.deadline_ms(), Some(3999));
        scene.hear(3000, -90);
        assert!(!scene.wait(3998), "between two words");
        assert!(scene.wait(3999));
        assert!(!scene.speech.is_speaking());
        assert_eq!(scene.deadline_ms(), None);
        assert!(!scene.wait(9999), "once");
    }

    #[test]
    fn two_turns_are_an_interval_apart_whatever_comes() {
        let mut scene = Scene::speaking();
        assert!(scene.wait(2500));
        assert!(!scene.hear(3499, 0));
        assert!(scene.hear(3500, 0));
        let short = SpeechLimits { hangover: Duration::from_millis(100), ..LIMITS };
        let at = scene.speech.next_deadline(&short).unwrap();
        assert_eq!(at, scene.start + Duration::from_millis(4500), "a short hangover does not hasten it");
        // Loud and silent by turns, a packet every 20 ms for a minute.
        let mut turns = vec![3500];
        for ms in (3520..63_500).step_by(20) {
            let is_loud = ms / 1700 % 2 == 0;
            if scene.wait(ms) | scene.hear(ms, if is_loud { -10 } else { -100 }) {
                turns.push(ms);
            }
        }
        assert!(turns.len() > 20, "{turns:?}");
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] >= 1000), "{turns:?}");
    }

    #[test]
    fn a_cut_is_silence_at_once_and_no_turn_follows_soon() {
        let mut scene = Scene::speaking();
        scene.speech.cut();
        assert!(!scene.speech.is_speaking());
        assert_eq!(scene.deadline_ms(), None);
        assert!(!scene.hear(5000, -10));
        assert!(!scene.hear(5999, -10));
        assert!(scene.hear(6000, -10));
    }
}
