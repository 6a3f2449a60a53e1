//! Checks and narrows an SDP offer (RFC 8866) before the WebRTC library sees it.
//!
//! Of an offer only its one audio section is kept; sections of other kinds are answered as rejected (RFC 3264 §6). The
//! client's candidates are dropped: a lite agent learns addresses from checks (RFC 8445 §2.5), and a list of a thousand
//! costs nothing this way. Streams are known by their packets. The direction is set to the one that the session is for.
//!
//! Invariant: what was narrowed is narrow.

/// The most lines of an offer; browsers write about 60 for one audio section, and hundreds for video.
pub(crate) const OFFER_LINES_MAX: usize = 1000;

/// The most media sections of an offer.
pub(crate) const OFFER_SECTIONS_MAX: usize = 16;

/// The longest name of a media section that the library keeps whole.
const MID_BYTES_MAX: usize = 16;

/// Which way the media of a session goes, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendOnly,
    RecvOnly,
}

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("more than {OFFER_LINES_MAX} lines or {OFFER_SECTIONS_MAX} media sections")]
    TooLarge,
    #[error("no SDP: it must begin with v=0")]
    NotSdp,
    #[error("{found} sections of audio, where exactly one is expected")]
    NotOneAudio { found: usize },
    #[error("no Opus among the codecs")]
    NoOpus,
    #[error("ICE user fragment, password or DTLS fingerprint missing or malformed")]
    NoTransport,
    #[error("the audio section has a name (mid) of more than {MID_BYTES_MAX} bytes")]
    LongName,
    #[error("the direction of the audio is the wrong one")]
    WrongDirection,
}

/// Returns `offer` with `\r\n` line ends, with its audio section alone, without candidates, and with exactly the wanted
/// direction.
///
/// # Errors
/// [`SdpError`], when it does not offer one section of Opus that can go in `direction`.
pub fn narrow_offer(offer: &str, direction: Direction) -> Result<String, SdpError> {
    let Sections { session, media } = Sections::read(offer)?;
    let audio = only_audio(&media)?;
    let (wanted, refused) = match direction {
        Direction::SendOnly => ("a=sendonly", "a=recvonly"),
        Direction::RecvOnly => ("a=recvonly", "a=sendonly"),
    };
    let is_direction = |line: &&&str| matches!(**line, "a=sendrecv" | "a=sendonly" | "a=recvonly" | "a=inactive");
    // What a section says counts more than what is said for all (RFC 8866 §6.7).
    let said = audio.lines.iter().find(is_direction).or_else(|| session.iter().find(is_direction));
    if said.is_some_and(|&said| said == refused || said == "a=inactive") {
        return Err(SdpError::WrongDirection);
    }
    // A bundled section may leave its transport to the first of its group (RFC 9143 §7.1.3).
    let first = bundled(&session).find(|mids| mids.contains(&audio.mid().unwrap_or_default()));
    let first = first.and_then(|mids| media.iter().find(|section| section.mid() == mids.first().copied()));
    let said_by = |section: &Section<'_>, name: &str| section.lines.iter().any(|line| line.starts_with(name));
    let inherited = |line: &&&str| TRANSPORT.iter().any(|name| line.starts_with(name) && !said_by(audio, name));
    let inherited: Vec<&str> =
        first.into_iter().flat_map(|section| section.lines.iter().filter(inherited)).copied().collect();
    let is_overridden = |line: &str| {
        let says = |name: &&str| said_by(audio, name) || inherited.iter().any(|line| line.starts_with(*name));
        TRANSPORT.iter().any(|name| line.starts_with(name) && says(name))
    };
    let mut narrowed = String::with_capacity(offer.len() + 16);
    // These are of one section or of several (RFC 8851 §4, 8853 §5, 5576 §4): without a meaning for all of them.
    let is_of_others = |line: &str| {
        ["a=ssrc-group:", "a=rid:", "a=simulcast:", "a=bundle-only"].iter().any(|name| line.starts_with(name))
    };
    for line in session.iter().filter(|line| !is_overridden(line)) {
        let dropped = line.starts_with(GROUP) || is_direction(&line) || is_candidate(line) || is_of_others(line);
        if !dropped && ssrc_of(line).is_none() {
            push_line(&mut narrowed, &[line]);
        }
    }
    // One section alone is the same bundled or not (RFC 9143 §7.2); the library wants to hear it.
    if let Some(mid) = audio.mid() {
        push_line(&mut narrowed, &[BUNDLE, " ", mid]);
    }
    for line in &audio.lines {
        let dropped = is_direction(&line) || is_candidate(line) || is_of_others(line) || ssrc_of(line).is_some();
        if let Some(rest) = line.strip_prefix("m=audio 0 ") {
            push_line(&mut narrowed, &["m=audio 9 ", rest]);
        } else if !dropped {
            push_line(&mut narrowed, &[line]);
        }
    }
    inherited.iter().for_each(|line| push_line(&mut narrowed, &[line]));
    push_line(&mut narrowed, &[wanted]);
    if credentials(&narrowed).is_none() || fingerprint(&narrowed).is_none() {
        return Err(SdpError::NoTransport);
    }
    // It is kept for long, and most of what it was made from may have been dropped.
    narrowed.shrink_to_fit();
    Ok(narrowed)
}

/// Returns the audio section: there is one, it takes Opus, and its name is not too long.
fn only_audio<'a, 'b>(media: &'b [Section<'a>]) -> Result<&'b Section<'a>, SdpError> {
    let mut audios = media.iter().filter(|section| section.is_audio());
    let audio = audios.next().ok_or(SdpError::NotOneAudio { found: 0 })?;
    let found = 1 + audios.count();
    if found != 1 {
        return Err(SdpError::NotOneAudio { found });
    }
    let has_codec = |line: &&str| {
        let codec = line.strip_prefix("a=rtpmap:").and_then(|rest| rest.split_once(' '));
        codec.is_some_and(|(_, name)| name.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("opus/48000/")))
    };
    if !audio.lines.iter().any(has_codec) {
        return Err(SdpError::NoOpus);
    }
    if audio.mid().is_some_and(|mid| mid.len() > MID_BYTES_MAX) {
        return Err(SdpError::LongName);
    }
    Ok(audio)
}

/// Returns `answer`, which has one section, with those sections of `offer` that were not kept, rejected and in their
/// places (RFC 3264 §6: an answer has as many as its offer), and bundled only where that was offered (RFC 9143 §7.3).
pub(crate) fn with_rejected(offer: &str, answer: &str) -> String {
    let (Ok(offer), Ok(answer)) = (Sections::read(offer), Sections::read(answer)) else { return answer.to_owned() };
    let mut whole = String::new();
    let audio = offer.media.iter().find(|section| section.is_audio()).and_then(Section::mid);
    let is_bundled = audio.is_some_and(|mid| bundled(&offer.session).any(|mids| mids.contains(&mid)));
    for line in answer.session.iter().filter(|line| is_bundled || !line.starts_with(BUNDLE)) {
        push_line(&mut whole, &[line]);
    }
    for section in &offer.media {
        if section.is_audio() {
            answer.media.iter().flat_map(|section| &section.lines).for_each(|line| push_line(&mut whole, &[line]));
            continue;
        }
        let mut fields = section.lines[0].splitn(3, ' ');
        let (kind, _, rest) = (fields.next(), fields.next(), fields.next());
        push_line(&mut whole, &[kind.unwrap_or_default(), " 0 ", rest.unwrap_or_default()]);
        push_line(&mut whole, &["c=IN IP4 0.0.0.0"]);
        if let Some(mid) = section.mid() {
            push_line(&mut whole, &[MID, mid]);
        }
        push_line(&mut whole, &["a=inactive"]);
    }
    whole
}

/// Returns the ICE user fragment and password of a description, the first of each (RFC 8839 §5.4).
pub fn credentials(description: &str) -> Option<(&str, &str)> {
    let is_ice_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/');
    let is_valid = |text: &str, bytes_min| (bytes_min..=256).contains(&text.len()) && text.chars().all(is_ice_char);
    let ufrag = attribute(description, UFRAG).filter(|ufrag| is_valid(ufrag, 4))?;
    let pwd = attribute(description, PWD).filter(|pwd| is_valid(pwd, 22))?;
    Some((ufrag, pwd))
}

/// Returns the synchronization source of an offer's audio, where it names exactly one (RFC 5576 §4.1).
pub(crate) fn only_source(offer: &str) -> Option<u32> {
    let sections = Sections::read(offer).ok()?;
    let audio = sections.media.iter().find(|section| section.is_audio())?;
    let mut sources = audio.lines.iter().filter_map(|line| ssrc_of(line)?.parse().ok());
    let first = sources.next()?;
    sources.all(|source: u32| source == first).then_some(first)
}

/// Returns the DTLS fingerprint of a description with its hash function, the first one.
pub(crate) fn fingerprint(description: &str) -> Option<&str> {
    attribute(description, FINGERPRINT)
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
const FINGERPRINT: &str = "a=fingerprint:";
const MID: &str = "a=mid:";
/// Names sections that belong together (RFC 5888 §5): one alone belongs to nothing.
const GROUP: &str = "a=group:";

const BUNDLE: &str = "a=group:BUNDLE";

/// What a section says of its transport.
const TRANSPORT: [&str; 4] = [UFRAG, PWD, FINGERPRINT, "a=setup:"];

/// A description's lines, without their ends and without empty ones.
struct Sections<'a> {
    /// Those for all sections.
    session: Vec<&'a str>,
    media: Vec<Section<'a>>,
}

struct Section<'a> {
    /// The first one is the `m=` line.
    lines: Vec<&'a str>,
}

impl<'a> Sections<'a> {
    fn read(description: &'a str) -> Result<Sections<'a>, SdpError> {
        let mut lines = description.lines().map(str::trim_end).filter(|line| !line.is_empty()).peekable();
        if lines.peek() != Some(&"v=0") {
            return Err(SdpError::NotSdp);
        }
        let mut sections = Sections { session: Vec::new(), media: Vec::new() };
        for (number, line) in lines.enumerate() {
            match sections.media.last_mut() {
                _ if line.starts_with("m=") => sections.media.push(Section { lines: vec![line] }),
                Some(section) => section.lines.push(line),
                None => sections.session.push(line),
            }
            if number >= OFFER_LINES_MAX || sections.media.len() > OFFER_SECTIONS_MAX {
                return Err(SdpError::TooLarge);
            }
        }
        Ok(sections)
    }
}

impl<'a> Section<'a> {
    /// Tells whether it offers audio; with port 0 that means only that it is bundled (RFC 9143 §6).
    fn is_audio(&self) -> bool {
        let is_off = self.lines[0].starts_with("m=audio 0 ") && !self.lines.contains(&"a=bundle-only");
        self.lines[0].starts_with("m=audio ") && !is_off
    }

    fn mid(&self) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.strip_prefix(MID))
    }
}

/// Returns the names of the sections in each bundle (RFC 9143 §7).
fn bundled<'a>(session: &[&'a str]) -> impl Iterator<Item = Vec<&'a str>> {
    session
        .iter()
        .filter_map(|line| Some(line.strip_prefix(BUNDLE)?.split(' ').filter(|mid| !mid.is_empty()).collect()))
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates")
}

fn ssrc_of(line: &str) -> Option<&str> {
    line.strip_prefix("a=ssrc:")?.split(' ').next()
}

fn push_line(text: &mut String, parts: &[&str]) {
    if !parts.iter().all(|part| part.is_empty()) {
        text.extend(parts.iter().copied());
        text.push_str("\r\n");
    }
}

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
    fn what_is_of_one_section_is_dropped_where_it_is_said_for_all() {
        let misplaced =
            ["a=simulcast:send 1", "a=rid:1 send", "a=ssrc-group:FID 1 2", "a=ssrc:1 cname:x", "a=bundle-only"];
        let before = |line: &str| OFFER.replace("m=audio", &format!("{line}\r\nm=audio"));
        let narrowed = narrow_offer(OFFER, Direction::SendOnly).unwrap();
        for line in misplaced {
            assert_eq!(narrow_offer(&before(line), Direction::SendOnly).as_ref(), Ok(&narrowed), "{line}");
        }
    }

    #[test]
    fn sections_of_other_kinds_are_cut_out_and_rejected_in_their_places() {
        let (session, audio) = OFFER.split_at(OFFER.find("m=").unwrap());
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=ssrc:9 cname:x\r\na=recvonly\r\na=ice-ufrag:other\r\n";
        let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
        let group = "a=group:BUNDLE v 0\r\na=fingerprint:sha-256 BB\r\n";
        let bundled = audio.replace("m=audio 9", "m=audio 0").replace("a=mid", "a=bundle-only\r\na=mid");
        let offer = format!("{session}{group}{video}{bundled}a=ssrc:7 cname:x\r\n{data}");
        let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
        assert!(narrowed.contains("a=group:BUNDLE 0\r\n") && narrowed.contains("m=audio 9 "), "{narrowed}");
        assert_eq!(narrowed.matches("m=").count(), 1, "{narrowed}");
        for gone in ["video", "bundle-only", "a=ssrc:9", "other", "BB", "recvonly"] {
            assert!(!narrowed.contains(gone), "{gone}: {narrowed}");
        }
        assert_eq!(only_source(&offer), Some(7), "the video's source is not the audio's");
        assert_eq!(narrow_offer(&narrowed, Direction::SendOnly).as_ref(), Ok(&narrowed));
        let answer = format!("{session}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1\r\n");
        let want = format!(
            "{session}m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=inactive\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1\r\n\
             m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n"
        );
        assert_eq!(with_rejected(&offer, &answer), want);
        assert_eq!(with_rejected(OFFER, &answer), answer, "nothing to reject");
    }

    #[test]
    fn a_bundled_section_may_leave_its_transport_to_the_first() {
        let (session, audio) = OFFER.split_at(OFFER.find("m=").unwrap());
        let is_transport = |line: &&str| TRANSPORT.iter().any(|name| line.starts_with(name));
        let transport: String = audio.lines().filter(is_transport).map(|line| format!("{line}\r\n")).collect();
        let bare: String =
            audio.lines().filter(|line| !is_transport(line)).map(|line| format!("{line}\r\n")).collect();
        let video = format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n{transport}");
        let bundled = format!("{session}a=group:BUNDLE v 0\r\n{video}{bare}a=bundle-only\r\n");
        let narrowed = narrow_offer(&bundled, Direction::SendOnly).unwrap();
        assert_eq!(credentials(&narrowed), credentials(OFFER));
        assert_eq!(narrow_offer(&narrowed, Direction::SendOnly).as_ref(), Ok(&narrowed));
        let apart = format!("{session}a=group:BUNDLE v\r\n{video}{bare}");
        assert_eq!(narrow_offer(&apart, Direction::SendOnly), Err(SdpError::NoTransport), "another bundle's");
        let answered = with_rejected(&apart, "v=0\r\na=group:BUNDLE 0\r\nm=audio 9 x 111\r\na=mid:0\r\n");
        assert!(!answered.contains(BUNDLE), "{answered}");
    }

    #[test]
    fn a_section_alone_is_bundled_for_the_library_only() {
        for (name, group) in [
            ("bundled", "a=group:BUNDLE 0\r\n"),
            ("not bundled", ""),
            ("also in time with what is cut out", "a=group:BUNDLE 0 1\r\na=group:LS 0 1\r\n"),
        ] {
            let offer = OFFER.replace("m=audio", &format!("{group}m=audio"));
            let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
            assert!(narrowed.contains("a=group:BUNDLE 0\r\nm=audio "), "{name}: {narrowed}");
            assert_eq!(narrowed.matches("a=group:").count(), 1, "{name}: {narrowed}");
            assert_eq!(narrow_offer(&narrowed, Direction::SendOnly).as_ref(), Ok(&narrowed), "{name}");
            let answered = with_rejected(&offer, "v=0\r\na=group:BUNDLE 0\r\nm=audio 9 x 111\r\na=mid:0\r\n");
            assert_eq!(answered.contains(BUNDLE), !group.is_empty(), "{name}: {answered}");
        }
    }

    #[test]
    fn a_direction_for_all_counts_where_the_section_says_none() {
        let (session, audio) = OFFER.split_at(OFFER.find("m=").unwrap());
        let silent = audio.replace("a=sendrecv\r\n", "");
        for (name, offer, want) in [
            ("none", format!("{session}{silent}"), true),
            ("for all", format!("{session}a=recvonly\r\n{silent}"), false),
            ("overridden", format!("{session}a=recvonly\r\n{audio}"), true),
        ] {
            assert_eq!(narrow_offer(&offer, Direction::SendOnly).is_ok(), want, "{name}");
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
    fn keeps_no_source() {
        let sources: String = (1..100).map(|n| format!("a=ssrc:{n} cname:x\r\na=ssrc:{n} msid:a b\r\n")).collect();
        let offer = format!("{OFFER}a=ssrc-group:FID 1 2\r\n{sources}a=rid:1 send\r\na=simulcast:send 1\r\n");
        let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
        assert_eq!(narrow_offer(OFFER, Direction::SendOnly), Ok(narrowed));
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
            ("too many lines", lines, SdpError::TooLarge),
            ("too many sections", format!("{OFFER}{}", "m=video 9 x 1\r\n".repeat(17)), SdpError::TooLarge),
            ("empty", String::new(), SdpError::NotSdp),
            ("binary", "\u{0}\u{1}".into(), SdpError::NotSdp),
            ("no section", "v=0\r\n".into(), SdpError::NotOneAudio { found: 0 }),
            ("two tracks", second, SdpError::NotOneAudio { found: 2 }),
            ("video", OFFER.replace("m=audio", "m=video"), SdpError::NotOneAudio { found: 0 }),
            ("switched off", OFFER.replace("m=audio 9", "m=audio 0"), SdpError::NotOneAudio { found: 0 }),
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
