//! Reads and writes SDP fragments, `application/trickle-ice-sdpfrag` (RFC 8840 §9): what clients without a page send
//! to tell addresses or to restart ICE, and what they are answered (RFC 9725 §4.3).
//!
//! Not offers and answers, which are [`super::sdp`]'s. Of a fragment only the ICE credentials count: a lite agent
//! learns addresses from checks (RFC 8445 §2.5). Invariant: credentials that are returned are well-formed, and are
//! those of the audio section.

use super::sdp;

/// The most lines of a fragment: a client with many networks tells some ten lines for each.
pub const FRAGMENT_LINES_MAX: usize = 400;

/// Why a fragment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    #[error("an empty fragment")]
    Empty,
    #[error("more than {FRAGMENT_LINES_MAX} lines")]
    TooManyLines,
    #[error("line {line} is no line of SDP")]
    NotSdp { line: usize },
    #[error("an ICE user fragment without a password, or a password without a user fragment")]
    HalfCredentials,
    #[error("an ICE user fragment or password of a wrong length or with other characters than ICE's")]
    MalformedCredentials,
    #[error("several sections with different ICE credentials")]
    Disagreeing,
}

/// Reads the user fragment and the password that a fragment with `\r\n` or `\n` line ends says: new ones restart ICE;
/// without any it is about the present ones. Lines of unknown meaning are skipped (RFC 8840 §9.2).
///
/// The audio section's credentials count, then the session's (RFC 8839 §5.4), then what other sections agree on.
///
/// # Errors
/// [`FragmentError`], when it is no text of SDP lines, or says no single pair of credentials where it says any.
pub fn parse(fragment: &str) -> Result<Option<(&str, &str)>, FragmentError> {
    let mut is_empty = true;
    for (index, line) in fragment.lines().enumerate() {
        if index == FRAGMENT_LINES_MAX {
            return Err(FragmentError::TooManyLines);
        }
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        if !sdp::is_line(line) {
            return Err(FragmentError::NotSdp { line: index + 1 });
        }
        is_empty = false;
    }
    if is_empty {
        return Err(FragmentError::Empty);
    }
    let (session, sections) = split(fragment);
    let is_audio = |section: &&str| word(section, 0) == Some("m=audio");
    let audio = agreed(sections.iter().copied().filter(is_audio))?;
    let nearest = if audio.is_some() { audio } else { agreed([session].into_iter())? };
    if nearest.is_some() { Ok(nearest) } else { agreed(sections.into_iter()) }
}

/// Returns what `answer`, ours to a restart of ICE, says of ICE: the fragment for the client (RFC 9725 §4.3.3).
///
/// `a=ice-lite` is part of it as in that section's example; rejected sections (port 0) are not.
pub fn write(answer: &str) -> String {
    let (session, sections) = split(answer);
    let kept = sections.into_iter().filter(|section| !is_rejected(section));
    let mut fragment = String::new();
    for line in std::iter::once(session).chain(kept).flat_map(str::lines).map(str::trim_end) {
        if OF_ICE.iter().any(|prefix| line.starts_with(prefix)) {
            fragment.extend([line, "\r\n"]);
        }
    }
    fragment
}

/// Returns `written`, under the name that the audio section has in the client's `fragment`: the one in our answer may be
/// another, where the library would have changed that.
pub(crate) fn renamed(written: String, fragment: &str) -> String {
    let (_, sections) = split(fragment);
    let audio = sections.into_iter().find(|section| word(section, 0) == Some("m=audio"));
    let name = audio.and_then(|section| section.lines().find_map(|line| line.trim_end().strip_prefix("a=mid:")));
    let Some(name) = name else { return written };
    let mut renamed = String::with_capacity(written.len() + 2 * name.len());
    for line in written.lines() {
        let prefix = ["a=mid:", "a=group:BUNDLE "].into_iter().find(|prefix| line.starts_with(*prefix));
        renamed.extend(prefix.map_or([line, "", "\r\n"], |prefix| [prefix, name, "\r\n"]));
    }
    renamed
}

/// The lines that are written.
const OF_ICE: [&str; 9] = [
    "a=ice-lite",
    "a=ice-options:",
    "a=group:",
    "m=",
    "a=mid:",
    "a=ice-ufrag:",
    "a=ice-pwd:",
    "a=candidate:",
    "a=end-of-candidates",
];

/// Splits SDP into what stands before the first media section, and the sections.
fn split(description: &str) -> (&str, Vec<&str>) {
    let starts = |text: &str| if text.starts_with("m=") { Some(0) } else { text.find("\nm=").map(|at| at + 1) };
    let Some(first) = starts(description) else { return (description, Vec::new()) };
    let (session, mut rest) = description.split_at(first);
    let mut sections = Vec::new();
    // The line end before the next section belongs to this one, so each step takes something.
    while let Some(len) = rest.find("\nm=").map(|at| at + 1) {
        let (section, after) = rest.split_at(len);
        sections.push(section);
        rest = after;
    }
    sections.push(rest);
    (session, sections)
}

fn is_rejected(section: &str) -> bool {
    word(section, 1) == Some("0")
}

/// Returns one word of a section's first line: its kind, its port.
fn word(section: &str, index: usize) -> Option<&str> {
    section.lines().next()?.split_whitespace().nth(index)
}

/// Returns the credentials of those parts that have some.
fn agreed<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Option<(&'a str, &'a str)>, FragmentError> {
    let mut found = None;
    for part in parts {
        let has = |prefix: &str| part.lines().any(|line| line.starts_with(prefix));
        let credentials = match (has("a=ice-ufrag:"), has("a=ice-pwd:")) {
            (false, false) => continue,
            (true, true) => sdp::credentials(part).ok_or(FragmentError::MalformedCredentials)?,
            (true, false) | (false, true) => return Err(FragmentError::HalfCredentials),
        };
        if *found.get_or_insert(credentials) != credentials {
            return Err(FragmentError::Disagreeing);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PWD: &str = "vw5LmwG4y/e6dPP/zAP9Gp5k";

    /// The client's fragment of RFC 9725 §4.3.3.
    const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
        a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:2154773085 1 tcp 1518214911 198.51.100.2 9 typ host tcptype active generation 0\r\n";

    /// An answer as ours are, with a rejected section.
    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1\r\na=msid-semantic:WMS *\r\n\
        a=fingerprint:sha-256 AA\r\na=ice-lite\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
        a=ice-ufrag:0011\r\na=ice-pwd:0123456789012345678901\r\na=setup:passive\r\na=recvonly\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host ufrag 0011\r\na=end-of-candidates\r\n";

    #[test]
    fn the_audio_section_says_the_credentials() {
        let ufrag = |ufrag: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{PWD}\r\n");
        let (audio, video) =
            ("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n");
        let cases = [
            ("the RFC's example", RESTART.to_owned(), Some("ysXw")),
            ("before any section", ufrag("abcd"), Some("abcd")),
            ("with single line feeds", ufrag("abcd").replace("\r\n", "\n"), Some("abcd")),
            ("without a last line end", ufrag("abcd").trim_end().to_owned(), Some("abcd")),
            ("in both, the section's", format!("{}{audio}{}", ufrag("abcd"), ufrag("wxyz")), Some("wxyz")),
            ("in two that agree", format!("{audio}{}{audio}{}", ufrag("abcd"), ufrag("abcd")), Some("abcd")),
            ("audio after video", format!("{video}{}{audio}{}", ufrag("abcd"), ufrag("wxyz")), Some("wxyz")),
            ("in the video section alone", format!("{video}{}{audio}", ufrag("abcd")), Some("abcd")),
            ("addresses alone", format!("{audio}a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"), None),
            ("the end alone", "a=end-of-candidates\r\n".to_owned(), None),
            ("what nobody knows", "a=quux\r\nx=y\r\nz=\r\n".to_owned(), None),
            ("shortest fragment", ufrag("abcd"), Some("abcd")),
        ];
        for (name, fragment, want) in cases {
            assert_eq!(parse(&fragment), Ok(want.map(|ufrag| (ufrag, PWD))), "{name}");
        }
    }

    #[test]
    fn refuses_what_says_no_single_pair() {
        let pair = |ufrag: &str, pwd: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
        let two = format!("{audio}{}{audio}{}", pair("abcd", PWD), pair("wxyz", PWD));
        let cases: &[(&str, String, FragmentError)] = &[
            ("nothing", String::new(), FragmentError::Empty),
            ("blank lines", "\r\n \r\n".into(), FragmentError::Empty),
            ("binary", "\u{0}\u{1}\u{ff}".into(), FragmentError::NotSdp { line: 1 }),
            ("a control character", "a=mid:0\r\na=mid:\u{7}\r\n".into(), FragmentError::NotSdp { line: 2 }),
            ("JSON", "{\"candidate\":\"a=ice-ufrag:abcd\"}".into(), FragmentError::NotSdp { line: 1 }),
            ("too many lines", "a=x\n".repeat(FRAGMENT_LINES_MAX + 1), FragmentError::TooManyLines),
            ("no password", "a=ice-ufrag:abcd\r\n".into(), FragmentError::HalfCredentials),
            ("no user fragment", format!("a=ice-pwd:{PWD}\r\n"), FragmentError::HalfCredentials),
            (
                "in two halves",
                format!("a=ice-ufrag:abcd\r\n{audio}a=ice-pwd:{PWD}\r\n"),
                FragmentError::HalfCredentials,
            ),
            ("short user fragment", pair("abc", PWD), FragmentError::MalformedCredentials),
            ("long user fragment", pair(&"a".repeat(257), PWD), FragmentError::MalformedCredentials),
            ("short password", pair("abcd", &"a".repeat(21)), FragmentError::MalformedCredentials),
            ("long password", pair("abcd", &"a".repeat(257)), FragmentError::MalformedCredentials),
            ("no ICE characters", pair("ab:d", PWD), FragmentError::MalformedCredentials),
            ("sections that differ", two, FragmentError::Disagreeing),
        ];
        for (name, fragment, want) in cases {
            assert_eq!(parse(fragment), Err(*want), "{name}");
        }
        for (name, fragment) in [
            ("longest", pair(&"a".repeat(256), &"b".repeat(256))),
            ("shortest", pair("abcd", &"b".repeat(22))),
            ("all lines", "a=x\n".repeat(FRAGMENT_LINES_MAX)),
        ] {
            assert!(parse(&fragment).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_answer_is_cut_down_to_what_it_says_of_ice() {
        let want = "a=group:BUNDLE 1\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=ice-ufrag:0011\r\n\
            a=ice-pwd:0123456789012345678901\r\na=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host ufrag 0011\r\n\
            a=end-of-candidates\r\n";
        assert_eq!(write(ANSWER), want);
        assert_eq!(write(want), want);
        assert_eq!(parse(want), Ok(sdp::credentials(ANSWER)));
    }

    #[test]
    fn a_restart_is_answered_under_the_name_that_the_client_says() {
        let answer = "a=ice-lite\r\na=group:BUNDLE 0\r\nm=audio 9 x 111\r\na=mid:0\r\na=ice-ufrag:0011\r\n";
        let of = |fragment: &str| renamed(answer.to_owned(), fragment);
        assert_eq!(of(RESTART), answer);
        assert_eq!(of("a=ice-ufrag:ysXw\r\n"), answer, "it says none");
        assert_eq!(
            of("m=video 9 x 96\r\na=mid:v\r\nm=audio 9 x 111\r\na=mid:audio-1\r\n"),
            answer.replace("BUNDLE 0", "BUNDLE audio-1").replace("mid:0", "mid:audio-1")
        );
    }
}
