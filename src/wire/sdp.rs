//! Checks and narrows an SDP offer (RFC 8866) before the WebRTC library sees it.
//!
//! An offer holds exactly one audio section. The client's candidates are dropped: a lite agent learns addresses
//! from checks (RFC 8445 §2.5), and a list of a thousand costs nothing this way. Of several sources the first is
//! kept. The direction is set to the one that the session is for.

/// The most lines of an offer; browsers write about 60 for one audio section.
pub const OFFER_LINES_MAX: usize = 400;

/// Which way the media of a session goes, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendOnly,
    RecvOnly,
}

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("more than {OFFER_LINES_MAX} lines")]
    TooManyLines,
    #[error("no SDP: it must begin with v=0")]
    NotSdp,
    #[error("{found} media sections, where exactly one of audio is expected")]
    NotOneSection { found: usize },
    #[error("a media section of another kind than audio")]
    NotAudio,
    #[error("no Opus among the codecs")]
    NoOpus,
    #[error("ICE user fragment, password or DTLS fingerprint missing or malformed")]
    NoTransport,
    #[error("the direction of the audio is the wrong one")]
    WrongDirection,
}

/// Returns `offer` with `\r\n` line ends, without candidates, and with exactly the wanted direction.
///
/// # Errors
/// [`SdpError`], when it offers anything but one section of Opus that can go in `direction`.
pub fn narrow_offer(offer: &str, direction: Direction) -> Result<String, SdpError> {
    let lines = || offer.lines().map(str::trim_end).filter(|line| !line.is_empty());
    if lines().count() > OFFER_LINES_MAX {
        return Err(SdpError::TooManyLines);
    }
    if lines().next() != Some("v=0") {
        return Err(SdpError::NotSdp);
    }
    let found = lines().filter(|line| line.starts_with("m=")).count();
    if found != 1 {
        return Err(SdpError::NotOneSection { found });
    }
    if !lines().any(|line| line.starts_with("m=audio ")) {
        return Err(SdpError::NotAudio);
    }
    let has_codec = |line: &str| {
        let codec = line.strip_prefix("a=rtpmap:").and_then(|rest| rest.split_once(' '));
        codec.is_some_and(|(_, name)| name.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("opus/48000/")))
    };
    if !lines().any(has_codec) {
        return Err(SdpError::NoOpus);
    }
    if credentials(offer).is_none() || fingerprint(offer).is_none() {
        return Err(SdpError::NoTransport);
    }
    let (wanted, refused) = match direction {
        Direction::SendOnly => ("a=sendonly", "a=recvonly"),
        Direction::RecvOnly => ("a=recvonly", "a=sendonly"),
    };
    if lines().any(|line| line == refused || line == "a=inactive") {
        return Err(SdpError::WrongDirection);
    }
    let ssrc_of =
        |line: &str| line.strip_prefix("a=ssrc:").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let first_ssrc = lines().find_map(ssrc_of);
    let mut narrowed = String::with_capacity(offer.len() + 16);
    for line in lines() {
        let dropped = line.starts_with("a=candidate:")
            || line.starts_with("a=end-of-candidates")
            || ["a=ssrc-group:", "a=rid:", "a=simulcast:"].iter().any(|prefix| line.starts_with(prefix))
            || (line.starts_with("a=ssrc:") && ssrc_of(line) != first_ssrc)
            || matches!(line, "a=sendrecv" | "a=sendonly" | "a=recvonly");
        if !dropped {
            narrowed.push_str(line);
            narrowed.push_str("\r\n");
        }
    }
    narrowed.push_str(wanted);
    narrowed.push_str("\r\n");
    // It is kept for long, and most of what it was made from may have been dropped.
    narrowed.shrink_to_fit();
    Ok(narrowed)
}

/// Returns the ICE user fragment and password of a description, the first of each (RFC 8839 §5.4).
pub fn credentials(description: &str) -> Option<(&str, &str)> {
    let is_ice_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/');
    let is_valid = |text: &str, bytes_min| (bytes_min..=256).contains(&text.len()) && text.chars().all(is_ice_char);
    let ufrag = attribute(description, UFRAG).filter(|ufrag| is_valid(ufrag, 4))?;
    let pwd = attribute(description, PWD).filter(|pwd| is_valid(pwd, 22))?;
    Some((ufrag, pwd))
}

/// Returns the synchronization source of a description that names exactly one (RFC 5576 §4.1).
pub fn only_source(description: &str) -> Option<u32> {
    let named = |line: &str| line.strip_prefix("a=ssrc:")?.split(' ').next()?.trim_end().parse().ok();
    let mut sources = description.lines().filter_map(named);
    let first = sources.next()?;
    sources.all(|source: u32| source == first).then_some(first)
}

/// Returns the DTLS fingerprint of a description with its hash function, the first one.
pub fn fingerprint(description: &str) -> Option<&str> {
    attribute(description, "a=fingerprint:")
}

/// Returns `description` with other ICE credentials, those on candidate lines included.
pub fn with_credentials(description: &str, ufrag: &str, pwd: &str) -> String {
    let mut replaced = String::with_capacity(description.len());
    for line in description.lines() {
        if line.starts_with(UFRAG) {
            replaced.extend([UFRAG, ufrag]);
        } else if line.starts_with(PWD) {
            replaced.extend([PWD, pwd]);
        } else if let Some((before, after)) =
            line.split_once(" ufrag ").filter(|_| line.starts_with("a=candidate:"))
        {
            let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
            replaced.extend([before, " ufrag ", ufrag]);
            replaced.extend((!rest.is_empty()).then_some([" ", rest]).into_iter().flatten());
        } else {
            replaced.push_str(line);
        }
        replaced.push_str("\r\n");
    }
    replaced.shrink_to_fit();
    replaced
}

const UFRAG: &str = "a=ice-ufrag:";
const PWD: &str = "a=ice-pwd:";

fn attribute<'a>(description: &'a str, prefix: &str) -> Option<&'a str> {
    description.lines().find_map(|line| line.trim_end().strip_prefix(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 AA\r\na=sendrecv\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
        a=end-of-candidates\r\na=rtpmap:111 opus/48000/2\r\n";

    #[test]
    fn drops_candidates_and_sets_the_direction() {
        for (direction, wanted) in [(Direction::SendOnly, "a=sendonly"), (Direction::RecvOnly, "a=recvonly")] {
            let narrowed = narrow_offer(&OFFER.replace("\r\n", "\n"), direction).unwrap();
            assert!(narrowed.ends_with(&format!("{wanted}\r\n")), "{narrowed}");
            assert!(!narrowed.contains("candidate") && !narrowed.contains("sendrecv"), "{narrowed}");
            assert_eq!(narrowed.matches('\n').count(), narrowed.matches("\r\n").count());
            assert!(narrow_offer(&narrowed, direction).is_ok(), "what was narrowed is an offer again");
        }
    }

    #[test]
    fn what_was_dropped_takes_no_room() {
        let dropped = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(200);
        let narrowed = narrow_offer(&format!("{OFFER}{dropped}"), Direction::SendOnly).unwrap();
        assert!(narrowed.capacity() < narrowed.len() + 64, "{} for {}", narrowed.capacity(), narrowed.len());
        let (ufrag, pwd) = ("u".repeat(256), "p".repeat(256));
        let restarted = with_credentials(&narrowed, &ufrag, &pwd);
        assert!(restarted.capacity() < restarted.len() + 64, "{} for {}", restarted.capacity(), restarted.len());
    }

    #[test]
    fn keeps_one_source() {
        let sources: String = (1..100).map(|n| format!("a=ssrc:{n} cname:x\r\na=ssrc:{n} msid:a b\r\n")).collect();
        let offer = format!("{OFFER}a=ssrc-group:FID 1 2\r\n{sources}a=rid:1 send\r\na=simulcast:send 1\r\n");
        let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
        assert_eq!(narrowed.matches("a=ssrc:1 ").count(), 2);
        assert_eq!(narrowed.matches("ssrc").count(), 2);
        assert!(!narrowed.contains("a=rid") && !narrowed.contains("simulcast"));
    }

    #[test]
    fn one_source_is_the_source_and_several_are_none() {
        for (name, lines, want) in [
            ("none", "", None),
            ("one", "a=ssrc:4294967295 cname:x\r\na=ssrc:4294967295 msid:a b\r\n", Some(u32::MAX)),
            ("bare", "a=ssrc:7\r\n", Some(7)),
            ("two", "a=ssrc:7 cname:x\r\na=ssrc:8 cname:x\r\n", None),
            ("no number", "a=ssrc:4294967296 cname:x\r\n", None),
        ] {
            assert_eq!(only_source(&format!("{OFFER}{lines}")), want, "{name}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_audio_section() {
        let second = format!("{OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n");
        let lines = format!("{OFFER}{}", "a=x\r\n".repeat(OFFER_LINES_MAX));
        let cases: &[(&str, String, SdpError)] = &[
            ("too many lines", lines, SdpError::TooManyLines),
            ("empty", String::new(), SdpError::NotSdp),
            ("binary", "\u{0}\u{1}".into(), SdpError::NotSdp),
            ("no section", "v=0\r\n".into(), SdpError::NotOneSection { found: 0 }),
            ("two sections", second, SdpError::NotOneSection { found: 2 }),
            ("video", OFFER.replace("m=audio", "m=video"), SdpError::NotAudio),
            ("application", OFFER.replace("m=audio", "m=application"), SdpError::NotAudio),
            ("no opus", OFFER.replace("opus", "PCMU"), SdpError::NoOpus),
            ("codec name cut", OFFER.replace("opus/48000/2", "opus"), SdpError::NoOpus),
            ("no password", OFFER.replace("ice-pwd", "ice-no"), SdpError::NoTransport),
            ("short password", OFFER.replace("345678901\r", "\r"), SdpError::NoTransport),
            ("fragment with a space", OFFER.replace("abcd", "ab cd"), SdpError::NoTransport),
            ("no fingerprint", OFFER.replace("fingerprint", "finger"), SdpError::NoTransport),
            ("listens only", OFFER.replace("sendrecv", "recvonly"), SdpError::WrongDirection),
            ("inactive", OFFER.replace("sendrecv", "inactive"), SdpError::WrongDirection),
        ];
        for (name, offer, want) in cases {
            assert_eq!(narrow_offer(offer, Direction::SendOnly), Err(*want), "{name}");
        }
    }

    #[test]
    fn credentials_are_replaced_wherever_they_stand() {
        let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd network-id 1\r\n";
        let description = OFFER.replace("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", candidate);
        let replaced = with_credentials(&description, "wxyz", "9876543210987654321098");
        assert_eq!(credentials(&replaced), Some(("wxyz", "9876543210987654321098")));
        assert_eq!(fingerprint(&replaced), Some("sha-256 AA"));
        assert!(!replaced.contains("abcd"), "{replaced}");
        assert_eq!(with_credentials(&replaced, "abcd", "0123456789012345678901"), description);
    }
}
