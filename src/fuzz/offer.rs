//! Offers: what is let through to the library, and what comes back.
//!
//! Invariant: what was narrowed stays so, and an answer takes one section of audio and rejects all others.

use std::sync::OnceLock;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::config::PeerLimits;
use crate::keys::{BroadcastKey, Client, ConnKey, PeerKey};
use crate::peer::{Owner, Peer, PeerRole, Template};
use crate::wire::sdp::{self, Direction};

/// A narrowed offer is one section in one direction without addresses, and an answer to it is ours.
pub fn sdp(now: Instant, bytes: &[u8]) {
    let Ok(offer) = std::str::from_utf8(bytes) else { return };
    for direction in [Direction::SendOnly, Direction::RecvOnly] {
        let Ok(narrowed) = sdp::narrow_offer(offer, direction) else { continue };
        check_narrowed(offer, &narrowed, direction);
        check_answer(now, offer, direction);
    }
}

fn check_narrowed(offer: &str, narrowed: &str, direction: Direction) {
    assert_eq!(sdp::narrow_offer(narrowed, direction).as_deref(), Ok(narrowed), "not narrow yet");
    assert!(narrowed.len() <= 2 * offer.len() + 16, "{} from {}", narrowed.len(), offer.len());
    assert_eq!(narrowed.matches('\n').count(), narrowed.matches("\r\n").count());
    let starting = |prefix: &str| narrowed.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(starting("m="), 1);
    for dropped in ["a=candidate:", "a=end-of-candidates", "a=simulcast:", "a=rid:", "a=ssrc-group:"] {
        assert_eq!(starting(dropped), 0, "{dropped}");
    }
    let directions = ["a=sendonly", "a=recvonly", "a=sendrecv", "a=inactive"];
    let found: Vec<&str> = narrowed.lines().filter(|line| directions.contains(line)).collect();
    assert_eq!(found, [if direction == Direction::SendOnly { "a=sendonly" } else { "a=recvonly" }]);

    let (ufrag, pwd) = sdp::credentials(narrowed).expect("a narrowed offer has credentials");
    assert!(offer.contains(ufrag) && offer.contains(pwd));
    let others = ("ours", "0123456789012345678901");
    let replaced = sdp::with_credentials(narrowed, others.0, others.1);
    assert_eq!(sdp::credentials(&replaced), Some(others));
    assert_eq!(sdp::fingerprint(&replaced), sdp::fingerprint(narrowed));
    assert_eq!(sdp::narrow_offer(&replaced, direction).as_deref(), Ok(replaced.as_str()));
}

fn check_answer(now: Instant, offer: &str, direction: Direction) {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| Template::new(&[([192, 0, 2, 1], 8080).into()]));
    let role = match direction {
        Direction::SendOnly => PeerRole::Publish(BroadcastKey::default()),
        Direction::RecvOnly => PeerRole::Listen,
    };
    let owner = Owner { key: PeerKey::default(), role, client: Client::Page(ConnKey::default()) };
    let mut chance = ChaCha20Rng::from_seed([7; 32]);
    let Ok((peer, answer)) = Peer::accept(template, now, &PeerLimits::default(), owner, offer, &mut chance) else {
        return;
    };
    let starting = |prefix: &str| answer.lines().filter(|line| line.starts_with(prefix)).count();
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections(&answer), sections(offer), "{answer}");
    assert_eq!(
        answer.lines().filter(|line| line.starts_with("m=") && !line.contains(" 0 ")).count(),
        1,
        "{answer}"
    );
    assert_eq!(starting("a=ice-lite"), 1, "{answer}");
    // Over UDP, then over TCP: some clients know the first one only.
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(candidates.len(), 2, "{answer}");
    assert!(candidates[0].contains(" udp ") && candidates[1].contains(" tcptype passive"), "{answer}");
    assert!(starting("a=rtpmap:") >= 1, "{answer}");
    let (ufrag, _) = sdp::credentials(&answer).expect("an answer has credentials");
    assert!(peer.has_ufrag(ufrag));
    let wanted = if direction == Direction::SendOnly { "a=recvonly" } else { "a=sendonly" };
    assert_eq!(starting(wanted), 1, "{answer}");
    assert_eq!(starting("a=inactive"), sections(offer) - 1, "those that are rejected: {answer}");
    if direction == Direction::RecvOnly {
        // One stream, whose name and source stand in one place each.
        let sources: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("a=ssrc:")).collect();
        let [Some((one, name)), Some((other, msid))] = [0, 1].map(|index| sources.get(index)?.split_once(' '))
        else {
            panic!("not two lines of one source: {answer}");
        };
        assert!(one == other && sources.len() == 2 && name.starts_with("cname:"), "{answer}");
        assert_eq!(starting(&format!("a={msid}")), 1, "{answer}");
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read files and start at some real moment")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::peer::OfferError;
    use crate::wire::sdp::{Refused, SdpError};

    /// Offers as clients write them, and what becomes of each.
    #[test]
    fn what_clients_write_is_taken() {
        let template = Template::new(&[([192, 0, 2, 1], 8080).into()]);
        let role = PeerRole::Publish(BroadcastKey::default());
        let owner = Owner { key: PeerKey::default(), role, client: Client::Page(ConnKey::default()) };
        let accept = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sdp").join(name);
            let offer = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            let mut chance = ChaCha20Rng::from_seed([7; 32]);
            Peer::accept(&template, Instant::now(), &PeerLimits::default(), owner, &offer, &mut chance).map(|_| ())
        };
        for name in [
            "chromium-send",
            "firefox",
            "freeswitch",
            "gstreamer",
            "obs",
            "pion",
            "bandwidths",
            "extensions-for-all",
            "formats",
            "latin1",
            "no-name",
            "old-profile",
            "tcp-profile",
            "titles",
        ] {
            assert_eq!(accept(name), Ok(()), "{name}");
        }
        for (name, why, line) in [
            ("lite", SdpError::Lite, 5),
            ("odd-lines", SdpError::NotALine, 17),
            ("other-profile", SdpError::Profile, 5),
            ("two-names", SdpError::SecondName, 14),
            ("pt255", SdpError::PayloadType, 13),
        ] {
            let want = OfferError::Sdp(Refused { why, line: Some(line) });
            assert_eq!(accept(name), Err(want), "{name}");
        }
    }
}
