//! Checks and narrows an SDP offer (RFC 8866) before the WebRTC library sees it.
//!
//! Of an offer only its one audio section is kept, and Opus alone of its formats; sections of other kinds are answered as
//! rejected (RFC 3264 §6). What no session is made by, as names, times and bandwidths, is written anew, so that the library
//! need not understand it. The client's candidates are dropped: a lite agent learns addresses from checks (RFC 8445 §2.5),
//! and a list of a thousand costs nothing this way. Streams are known by their packets. The direction is set to the one that
//! the session is for.
//!
//! Invariant: what was narrowed is narrow.

use std::collections::HashSet;
use std::ops::Deref;

/// The most lines of an offer; browsers write about 60 for one audio section, and hundreds for video.
pub(crate) const OFFER_LINES_MAX: usize = 1000;

/// The most media sections of an offer.
pub(crate) const OFFER_SECTIONS_MAX: usize = 16;

/// The longest name of a media section that the library keeps whole.
const MID_BYTES_MAX: usize = 16;

/// How much of a line is shown to whoever wrote it.
const QUOTED_CHARS_MAX: usize = 60;

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
    #[error("this is no line of SDP")]
    NotALine,
    #[error("{found} sections of audio, where exactly one is expected")]
    NotOneAudio { found: usize },
    #[error("the profile is none that WebRTC has, as UDP/TLS/RTP/SAVPF")]
    Profile,
    #[error("no Opus among the codecs: an rtpmap with opus/48000/2 for one of this section's formats")]
    NoOpus,
    #[error("the payload type is none of 0 to 63 and 96 to 127, beside which RTCP can be told from RTP")]
    PayloadType,
    #[error("{of} is missing")]
    Missing { of: &'static str },
    #[error("an ICE user fragment has 4 to 256 letters, digits, + and /, and a password 22 to 256")]
    Credentials,
    #[error("this is no fingerprint of a certificate in hexadecimal, by SHA-256 or SHA-1")]
    Fingerprint,
    #[error("no ice-lite: the server is lite, so the other side has to check")]
    Lite,
    #[error("the name (mid) of the audio section is no single word")]
    BadName,
    #[error("the audio section has a name (mid) of more than {MID_BYTES_MAX} bytes")]
    LongName,
    #[error("the audio section has a second name (mid)")]
    SecondName,
    #[error("the direction of the audio is the wrong one")]
    WrongDirection,
}

/// Why an offer is refused, and by which of its lines, counted from one; by none where something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: SdpError,
    pub line: Option<usize>,
}

impl From<SdpError> for Refused {
    fn from(why: SdpError) -> Refused {
        Refused { why, line: None }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => write!(f, "{}", self.why),
        }
    }
}

impl Refused {
    /// Returns the reason with the beginning of the line that it is about, for whoever wrote `offer`.
    pub fn in_words(&self, offer: &str) -> String {
        let text = self.line.and_then(|line| Some((line, offer.lines().nth(line - 1)?.trim())));
        match text {
            // A password is nobody's to repeat.
            Some((line, text)) if !text.starts_with(PWD) => {
                let shown = |char: char| if char.is_ascii_graphic() || char == ' ' { char } else { '?' };
                let quoted: String = text.chars().take(QUOTED_CHARS_MAX).map(shown).collect();
                let more = if text.chars().nth(QUOTED_CHARS_MAX).is_some() { "…" } else { "" };
                format!("line {line} ({quoted}{more}): {}", self.why)
            }
            Some(_) | None => self.to_string(),
        }
    }
}

/// Returns `offer` with `\r\n` line ends, with its audio section alone, without candidates, and with exactly the wanted
/// direction. A section without a name gets one, and so does one whose name the library would change.
///
/// # Errors
/// [`Refused`], when it does not offer one section of Opus that can go in `direction`.
pub fn narrow_offer(offer: &str, direction: Direction) -> Result<String, Refused> {
    let sections = Sections::read(offer)?;
    let audio = sections.only_audio()?;
    let formats = audio.opus()?;
    let name = audio.name()?.filter(|name| is_kept_whole(name));
    let wanted = sections.directed(audio, direction)?;
    let transport = sections.transport_of(audio)?;
    // Some say it of their section.
    if let Some(lite) = sections.session.iter().chain(&audio.lines).find(|line| line.text == "a=ice-lite") {
        return Err(lite.refused(SdpError::Lite));
    }
    let mut narrowed = String::with_capacity(offer.len() + 128);
    narrowed.push_str("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    // One section alone is the same bundled or not (RFC 9143 §7.2); the library wants to hear it.
    push_line(&mut narrowed, &[BUNDLE, " ", name.unwrap_or(NAME)]);
    push_line(&mut narrowed, &["m=audio 9 ", PROFILES[0], " ", &formats.join(" ")]);
    push_line(&mut narrowed, &["c=IN IP4 0.0.0.0"]);
    push_line(&mut narrowed, &[MID, name.unwrap_or(NAME)]);
    // What is said for all sections is said for this one, if it says nothing itself (RFC 8285 §5).
    let has_extensions = audio.lines.iter().any(|line| line.starts_with(EXTENSION));
    let extensions = sections.session.iter().filter(|line| !has_extensions && line.starts_with(EXTENSION));
    let mut mapped: Vec<&str> = Vec::new();
    for line in audio.lines.iter().filter(|line| line.starts_with("a=")).chain(extensions) {
        let names_section = line.starts_with(EXTENSION) && line.contains(OF_MID);
        let is_kept = match line.of_format() {
            // The same may be said twice.
            Some((RTPMAP, format)) => line.maps_opus() && formats.contains(&format) && !mapped.contains(&format),
            Some((_, format)) => formats.contains(&format),
            // Packets name no section that has no name, or another one for the library.
            None => !line.is_written_anew() && (name.is_some() || !names_section),
        };
        if is_kept {
            push_line(&mut narrowed, &[line]);
            mapped.extend(line.of_format().filter(|(of, _)| *of == RTPMAP).map(|(_, format)| format));
        }
    }
    transport.iter().for_each(|line| push_line(&mut narrowed, &[line]));
    push_line(&mut narrowed, &[wanted]);
    // It is kept for long, and most of what it was made from may have been dropped.
    narrowed.shrink_to_fit();
    Ok(narrowed)
}

/// Returns `answer`, which has one section, with those sections of `offer` that were not kept, rejected and in their
/// places (RFC 3264 §6: an answer has as many as its offer), bundled only where that was offered (RFC 9143 §7.3), and with
/// the offer's profile and its name, or none where that has none (RFC 9429 §5.3.1).
pub(crate) fn with_rejected(offer: &str, answer: &str) -> String {
    let (Ok(offer), Ok(answer)) = (Sections::read(offer), Sections::read(answer)) else { return answer.to_owned() };
    let mut whole = String::new();
    let audio = offer.media.iter().find(|section| section.is_audio()).and_then(Section::mid);
    let is_bundled = audio.is_some_and(|mid| bundled(&offer.session).any(|mids| mids.contains(&mid)));
    for line in &answer.session {
        match audio {
            Some(mid) if is_bundled && line.starts_with(BUNDLE) => push_line(&mut whole, &[BUNDLE, " ", mid]),
            Some(_) | None if line.starts_with(BUNDLE) => {}
            Some(_) | None => push_line(&mut whole, &[line]),
        }
    }
    for section in &offer.media {
        if section.is_audio() {
            let answered = answer.media.iter().flat_map(|section| &section.lines);
            for line in answered {
                match line.strip_prefix("m=audio 9 ").and_then(|rest| rest.split_once(' ')) {
                    Some((_, formats)) => push_line(&mut whole, &["m=audio 9 ", section.profile(), " ", formats]),
                    None if line.starts_with(MID) => {
                        push_line(&mut whole, &audio.map_or([""; 2], |mid| [MID, mid]));
                    }
                    None => push_line(&mut whole, &[line]),
                }
            }
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

/// Returns a narrowed offer as one of somebody who neither sends nor receives.
pub(crate) fn without_stream(offer: &str) -> String {
    let direction = |line| if matches!(line, "a=sendonly" | "a=recvonly") { "a=inactive" } else { line };
    lines_with(offer, direction)
}

/// Returns `answer`, which is one to [`without_stream`], as one of somebody who sends this stream (RFC 5576 §4.1, §6.1).
pub(crate) fn with_stream(answer: &str, ssrc: u32, cname: &str) -> String {
    let direction = |line| if line == "a=inactive" { "a=sendonly" } else { line };
    let mut whole = lines_with(answer, direction);
    let source = format!("a=ssrc:{ssrc} ");
    push_line(&mut whole, &[&source, "cname:", cname]);
    if let Some(msid) = attribute(answer, "a=msid:") {
        push_line(&mut whole, &[&source, "msid:", msid]);
    }
    whole
}

fn lines_with<'a>(description: &'a str, replace: impl Fn(&'a str) -> &'a str) -> String {
    let mut replaced = String::with_capacity(description.len());
    description.lines().for_each(|line| push_line(&mut replaced, &[replace(line)]));
    replaced
}

/// Returns the ICE user fragment and password of a description, the first of each (RFC 8839 §5.4).
pub fn credentials(description: &str) -> Option<(&str, &str)> {
    let ufrag = attribute(description, UFRAG).filter(|ufrag| is_credential(ufrag, UFRAG_BYTES_MIN))?;
    let pwd = attribute(description, PWD).filter(|pwd| is_credential(pwd, PWD_BYTES_MIN))?;
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
const SETUP: &str = "a=setup:";
const MID: &str = "a=mid:";
const RTPMAP: &str = "a=rtpmap:";
const EXTENSION: &str = "a=extmap:";
const BUNDLE: &str = "a=group:BUNDLE";

/// The extension of packets that names their section (RFC 9143 §15.2).
const OF_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// How a section is called for the library that has no name, or one that is not kept whole.
const NAME: &str = "0";

/// What must be taken (RFC 9429 §5.1.2): most clients write the first, whatever they mean all is the same.
const PROFILES: [&str; 8] = [
    "UDP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "TCP/DTLS/RTP/SAVPF",
    "TCP/DTLS/RTP/SAVP",
    "RTP/SAVPF",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/AVP",
];

/// The kinds of lines that there are (RFC 8866 §5).
const KINDS: &str = "vosiuepcbtrzkam";

/// A line without its end, and which one it is, counted from one.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Deref for Line<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.text
    }
}

impl<'a> Line<'a> {
    fn refused(&self, why: SdpError) -> Refused {
        Refused { why, line: Some(self.number) }
    }

    /// Tells whether it has the form of its kind.
    fn is_sdp(&self) -> bool {
        let is_time = |text: &str| {
            let mut words = text.split_whitespace();
            let is_number =
                |word: Option<&str>| word.is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            is_number(words.next()) && is_number(words.next()) && words.next().is_none()
        };
        is_line(self) && KINDS.contains(&self[..1]) && self.strip_prefix("t=").is_none_or(is_time)
    }

    /// Returns which attribute says what of which format.
    fn of_format(&self) -> Option<(&'static str, &'a str)> {
        let name = [RTPMAP, "a=fmtp:", "a=rtcp-fb:"].into_iter().find(|name| self.starts_with(*name))?;
        Some((name, self.text[name.len()..].split([' ', '/']).next()?))
    }

    /// Tells whether what it says is written anew, or dropped: streams are known by their packets, and the rest is of several
    /// sections or streams (RFC 5576 §4, 5888 §5, 8851 §4, 8853 §5), or says nothing.
    fn is_written_anew(&self) -> bool {
        let names =
            [MID, UFRAG, PWD, FINGERPRINT, SETUP, "a=candidate:", "a=end-of-candidates", "a=group:", "a=ssrc:"];
        let of_several = ["a=ssrc-group:", "a=rid:", "a=simulcast:", "a=bundle-only"];
        let is_of = |name: &&str| self.starts_with(*name);
        self.text == "a=" || self.is_direction() || names.iter().any(is_of) || of_several.iter().any(is_of)
    }

    /// Tells whether it says of a format that it is Opus (RFC 7587 §7).
    fn maps_opus(&self) -> bool {
        let codec = self.strip_prefix(RTPMAP).and_then(|rest| rest.split_once(' '));
        codec.is_some_and(|(_, codec)| codec.trim().eq_ignore_ascii_case("opus/48000/2"))
    }

    fn is_direction(&self) -> bool {
        matches!(self.text, "a=sendrecv" | "a=sendonly" | "a=recvonly" | "a=inactive")
    }
}

/// A description's lines, without empty ones.
struct Sections<'a> {
    /// Those for all sections.
    session: Vec<Line<'a>>,
    media: Vec<Section<'a>>,
}

struct Section<'a> {
    /// The first one is the `m=` line.
    lines: Vec<Line<'a>>,
}

impl<'a> Sections<'a> {
    fn read(description: &'a str) -> Result<Sections<'a>, Refused> {
        let numbered = description.lines().enumerate();
        let lines = numbered.map(|(index, line)| Line { number: index + 1, text: line.trim_end() });
        let mut lines = lines.filter(|line| !line.is_empty()).peekable();
        match lines.peek() {
            Some(first) if first.text == "v=0" => {}
            Some(first) => return Err(first.refused(SdpError::NotSdp)),
            None => return Err(SdpError::NotSdp.into()),
        }
        let mut sections = Sections { session: Vec::new(), media: Vec::new() };
        for (count, line) in lines.enumerate() {
            match sections.media.last_mut() {
                _ if line.starts_with("m=") => sections.media.push(Section { lines: vec![line] }),
                Some(section) => section.lines.push(line),
                None => sections.session.push(line),
            }
            if count >= OFFER_LINES_MAX || sections.media.len() > OFFER_SECTIONS_MAX {
                return Err(line.refused(SdpError::TooLarge));
            }
            if !line.is_sdp() {
                return Err(line.refused(SdpError::NotALine));
            }
        }
        Ok(sections)
    }

    fn only_audio(&self) -> Result<&Section<'a>, Refused> {
        let mut audios = self.media.iter().filter(|section| section.is_audio());
        let audio = audios.next().ok_or(SdpError::NotOneAudio { found: 0 })?;
        match audios.next() {
            Some(second) => Err(second.lines[0].refused(SdpError::NotOneAudio { found: 2 + audios.count() })),
            None => Ok(audio),
        }
    }

    /// Returns what is written for a direction, if the audio can go there.
    fn directed(&self, audio: &Section<'_>, direction: Direction) -> Result<&'static str, Refused> {
        let (wanted, refused) = match direction {
            Direction::SendOnly => ("a=sendonly", "a=recvonly"),
            Direction::RecvOnly => ("a=recvonly", "a=sendonly"),
        };
        // What a section says counts more than what is said for all (RFC 8866 §6.7).
        let said = audio.lines.iter().chain(&self.session).find(|line| line.is_direction());
        match said.filter(|said| said.text == refused || said.text == "a=inactive") {
            Some(said) => Err(said.refused(SdpError::WrongDirection)),
            None => Ok(wanted),
        }
    }

    /// Returns what is said of the audio's transport: by its section, or by the first of its group, to which a bundled one
    /// may leave it (RFC 9143 §7.1.3), or for all.
    fn transport_of(&self, audio: &Section<'a>) -> Result<Vec<Line<'a>>, Refused> {
        let first = bundled(&self.session).find(|mids| mids.contains(&audio.mid().unwrap_or_default()));
        let first = first.and_then(|mids| self.media.iter().find(|section| section.mid() == mids.first().copied()));
        let said_of = |name: &str| {
            let places = [Some(&audio.lines), first.map(|section| &section.lines), Some(&self.session)];
            let said = places
                .into_iter()
                .flatten()
                .map(|lines| lines.iter().copied().filter(|line| line.starts_with(name)));
            said.map(Iterator::collect::<Vec<Line<'a>>>).find(|lines| !lines.is_empty()).unwrap_or_default()
        };
        let one = |name: &'static str, of: &'static str, bytes_min| {
            let line = *said_of(name).first().ok_or(SdpError::Missing { of })?;
            match is_credential(&line.text[name.len()..], bytes_min) {
                true => Ok(line),
                false => Err(line.refused(SdpError::Credentials)),
            }
        };
        let mut transport =
            vec![one(UFRAG, "a=ice-ufrag", UFRAG_BYTES_MIN)?, one(PWD, "a=ice-pwd", PWD_BYTES_MIN)?];
        let fingerprints = said_of(FINGERPRINT);
        let any = fingerprints.first().ok_or(SdpError::Missing { of: "a=fingerprint" })?;
        let before = transport.len();
        transport.extend(fingerprints.iter().filter(|line| is_fingerprint(&line[FINGERPRINT.len()..])));
        if transport.len() == before {
            return Err(any.refused(SdpError::Fingerprint));
        }
        transport.extend(said_of(SETUP).first());
        Ok(transport)
    }
}

impl<'a> Section<'a> {
    /// Returns a word of its first line: the kind, the port, the profile, and then the formats.
    fn words(&self) -> impl Iterator<Item = &'a str> {
        self.lines[0].text.split_whitespace()
    }

    fn profile(&self) -> &'a str {
        self.words().nth(2).unwrap_or_default()
    }

    /// Tells whether it offers audio; with port 0 that means only that it is bundled (RFC 9143 §6).
    fn is_audio(&self) -> bool {
        let is_bundled = || self.lines.iter().any(|line| line.text == "a=bundle-only");
        let mut words = self.words();
        words.next() == Some("m=audio") && (words.next() != Some("0") || is_bundled())
    }

    fn mid(&self) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.text.strip_prefix(MID))
    }

    /// Returns its name, which it may do without (RFC 9429 §5.3.1).
    fn name(&self) -> Result<Option<&'a str>, Refused> {
        let mut names = self.lines.iter().filter(|line| line.starts_with(MID));
        let Some(line) = names.next() else { return Ok(None) };
        let name = &line.text[MID.len()..];
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(line.refused(SdpError::BadName));
        }
        if name.len() > MID_BYTES_MAX {
            return Err(line.refused(SdpError::LongName));
        }
        match names.next() {
            Some(second) => Err(second.refused(SdpError::SecondName)),
            None => Ok(Some(name)),
        }
    }

    /// Returns its formats that are Opus, as they are written (RFC 7587 §7).
    fn opus(&self) -> Result<Vec<&'a str>, Refused> {
        if !PROFILES.contains(&self.profile()) {
            return Err(self.lines[0].refused(SdpError::Profile));
        }
        let offered: HashSet<&str> = self.words().skip(3).collect();
        let mut formats = Vec::new();
        for line in self.lines.iter().filter(|line| line.maps_opus()) {
            let Some((_, format)) = line.of_format() else { continue };
            if !offered.contains(format) || formats.contains(&format) {
                continue;
            }
            // RFC 5761 §4; as it is written in one way only, there are not many.
            let number = format.parse().ok().filter(|number: &u8| number.to_string() == format);
            if !number.is_some_and(|number| number < 128 && !(64..96).contains(&number)) {
                return Err(line.refused(SdpError::PayloadType));
            }
            formats.push(format);
        }
        if formats.is_empty() { Err(self.lines[0].refused(SdpError::NoOpus)) } else { Ok(formats) }
    }
}

/// Returns the names of the sections in each bundle (RFC 9143 §7).
fn bundled<'a>(session: &[Line<'a>]) -> impl Iterator<Item = Vec<&'a str>> {
    session
        .iter()
        .filter_map(|line| Some(line.text.strip_prefix(BUNDLE)?.split(' ').filter(|mid| !mid.is_empty()).collect()))
}

/// Tells whether the library repeats a section's name as it is: of what a token may have (RFC 8866 §9) it changes the rest.
fn is_kept_whole(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn ssrc_of<'a>(line: &Line<'a>) -> Option<&'a str> {
    line.text.strip_prefix("a=ssrc:")?.split(' ').next()
}

/// The fewest characters of a user fragment and of a password (RFC 8839 §5.4).
const UFRAG_BYTES_MIN: usize = 4;
const PWD_BYTES_MIN: usize = 22;

fn is_credential(text: &str, bytes_min: usize) -> bool {
    let is_ice_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/');
    (bytes_min..=256).contains(&text.len()) && text.chars().all(is_ice_char)
}

/// Tells whether the library can compare a fingerprint with a certificate (RFC 8122 §5).
fn is_fingerprint(text: &str) -> bool {
    let Some((hash, digest)) = text.split_once(' ') else { return false };
    let bytes = match () {
        () if hash.eq_ignore_ascii_case("sha-256") => 32,
        () if hash.eq_ignore_ascii_case("sha-1") => 20,
        () => return false,
    };
    let is_byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    digest.split(':').count() == bytes && digest.split(':').all(is_byte)
}

/// Tells whether a line is of the form `x=…` without control characters (RFC 8866 §5).
pub(super) fn is_line(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(|kind| kind.is_ascii_lowercase())
        && chars.next() == Some('=')
        && !chars.any(|char| char.is_control() && char != '\t')
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
        a=fingerprint:sha-256 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99\r\n\
        a=sendrecv\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
        a=end-of-candidates\r\na=rtpmap:111 opus/48000/2\r\n";

    #[test]
    fn a_stream_is_taken_away_and_said_again() {
        let offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n";
        assert_eq!(without_stream(offer), offer.replace("recvonly", "inactive"));
        let answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=inactive\r\na=msid:s t\r\n";
        let want = answer.replace("inactive", "sendonly") + "a=ssrc:7 cname:x\r\na=ssrc:7 msid:s t\r\n";
        assert_eq!(with_stream(answer, 7, "x"), want);
    }

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
        let group = "a=group:BUNDLE v 0\r\na=fingerprint:sha-256 B0\r\n";
        let bundled = audio.replace("m=audio 9", "m=audio 0").replace("a=mid", "a=bundle-only\r\na=mid");
        let offer = format!("{session}{group}{video}{bundled}a=ssrc:7 cname:x\r\n{data}");
        let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
        assert!(narrowed.contains("a=group:BUNDLE 0\r\n") && narrowed.contains("m=audio 9 "), "{narrowed}");
        assert_eq!(narrowed.matches("m=").count(), 1, "{narrowed}");
        for gone in ["video", "bundle-only", "a=ssrc:9", "other", "B0", "recvonly"] {
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
        let is_transport = |line: &&str| [UFRAG, PWD, FINGERPRINT, SETUP].iter().any(|name| line.starts_with(name));
        let transport: String = audio.lines().filter(is_transport).map(|line| format!("{line}\r\n")).collect();
        let bare: String =
            audio.lines().filter(|line| !is_transport(line)).map(|line| format!("{line}\r\n")).collect();
        let video = format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n{transport}");
        let bundled = format!("{session}a=group:BUNDLE v 0\r\n{video}{bare}a=bundle-only\r\n");
        let narrowed = narrow_offer(&bundled, Direction::SendOnly).unwrap();
        assert_eq!(credentials(&narrowed), credentials(OFFER));
        assert_eq!(narrow_offer(&narrowed, Direction::SendOnly).as_ref(), Ok(&narrowed));
        let apart = format!("{session}a=group:BUNDLE v\r\n{video}{bare}");
        assert_eq!(
            narrow_offer(&apart, Direction::SendOnly),
            Err(SdpError::Missing { of: "a=ice-ufrag" }.into()),
            "another bundle's"
        );
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
    fn refuses_what_is_not_one_audio_section_and_says_by_which_line() {
        let with = |old: &str, new: &str| OFFER.replace(old, new);
        let missing = |of| SdpError::Missing { of };
        let cases: &[(&str, String, SdpError, Option<usize>)] = &[
            (
                "too many lines",
                format!("{OFFER}{}", "a=x\r\n".repeat(OFFER_LINES_MAX)),
                SdpError::TooLarge,
                Some(1001),
            ),
            (
                "too many sections",
                format!("{OFFER}{}", "m=video 9 x 1\r\n".repeat(17)),
                SdpError::TooLarge,
                Some(30),
            ),
            ("empty", String::new(), SdpError::NotSdp, None),
            ("binary", "\u{0}\u{1}".into(), SdpError::NotSdp, Some(1)),
            ("behind a blank line", format!("\r\n{}", with("v=0", "v=1")), SdpError::NotSdp, Some(2)),
            ("no line", with("s=-", "s: -"), SdpError::NotALine, Some(3)),
            ("a line of an unknown kind", with("s=-", "y=-"), SdpError::NotALine, Some(3)),
            ("a line of a control character", with("s=-", "s=\u{7}"), SdpError::NotALine, Some(3)),
            ("half a time", with("t=0 0", "t=0"), SdpError::NotALine, Some(4)),
            ("no section", "v=0\r\n".into(), SdpError::NotOneAudio { found: 0 }, None),
            (
                "two tracks",
                format!("{OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"),
                SdpError::NotOneAudio { found: 2 },
                Some(15),
            ),
            ("video", with("m=audio", "m=video"), SdpError::NotOneAudio { found: 0 }, None),
            ("switched off", with("m=audio 9", "m=audio 0"), SdpError::NotOneAudio { found: 0 }, None),
            ("a profile of nobody", with("SAVPF", "SAVPX"), SdpError::Profile, Some(5)),
            ("no profile", with(" UDP/TLS/RTP/SAVPF 111", ""), SdpError::Profile, Some(5)),
            ("no opus", with("opus", "PCMU"), SdpError::NoOpus, Some(5)),
            ("codec name cut", with("opus/48000/2", "opus"), SdpError::NoOpus, Some(5)),
            ("opus of one channel", with("48000/2", "48000/1"), SdpError::NoOpus, Some(5)),
            ("opus that is no format of it", with("SAVPF 111", "SAVPF 0 8"), SdpError::NoOpus, Some(5)),
            ("no format", with("SAVPF 111", "SAVPF"), SdpError::NoOpus, Some(5)),
            ("a type that is RTCP's", with("111", "72"), SdpError::PayloadType, Some(14)),
            ("a type that is none", with("111", "128"), SdpError::PayloadType, Some(14)),
            ("a type with a sign", with("111", "+111"), SdpError::PayloadType, Some(14)),
            ("a type with a zero before", with("111", "0111"), SdpError::PayloadType, Some(14)),
            ("no user fragment", with("ice-ufrag", "ice-no"), missing("a=ice-ufrag"), None),
            ("no password", with("ice-pwd", "ice-no"), missing("a=ice-pwd"), None),
            ("no fingerprint", with("fingerprint", "finger"), missing("a=fingerprint"), None),
            ("short password", with("345678901\r", "\r"), SdpError::Credentials, Some(9)),
            ("fragment with a space", with("abcd", "ab cd"), SdpError::Credentials, Some(8)),
            ("fingerprint cut", with(":99\r", "\r"), SdpError::Fingerprint, Some(10)),
            ("fingerprint of another hash", with("sha-256", "sha-512"), SdpError::Fingerprint, Some(10)),
            ("lite", with("t=0 0", "t=0 0\r\na=ice-lite"), SdpError::Lite, Some(5)),
            ("a section that is lite", format!("{OFFER}a=ice-lite\r\n"), SdpError::Lite, Some(15)),
            ("an empty name", with("a=mid:0", "a=mid:"), SdpError::BadName, Some(7)),
            ("a name of two words", with("a=mid:0", "a=mid:0 1"), SdpError::BadName, Some(7)),
            ("a long name", with("a=mid:0", "a=mid:abcdefghijklmnopq"), SdpError::LongName, Some(7)),
            ("a second name", format!("{OFFER}a=mid:1\r\n"), SdpError::SecondName, Some(15)),
            ("listens only", with("sendrecv", "recvonly"), SdpError::WrongDirection, Some(11)),
            ("inactive", with("sendrecv", "inactive"), SdpError::WrongDirection, Some(11)),
        ];
        for (name, offer, why, line) in cases {
            let want = Refused { why: *why, line: *line };
            assert_eq!(narrow_offer(offer, Direction::SendOnly), Err(want), "{name}");
        }
    }

    /// Whoever may send an offer may fill it with whatever costs most.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "it is about real time")]
    fn many_maps_of_many_formats_cost_no_more_than_they_are_long() {
        let took = |mapped: &str| {
            let maps = format!("a=rtpmap:{mapped} opus/48000/2\r\n").repeat(950);
            let offer =
                format!("{}{maps}", OFFER.replace("SAVPF 111", &format!("SAVPF {}111", "7 ".repeat(16_000))));
            let once = |_| {
                let began = std::time::Instant::now();
                assert!(narrow_offer(&offer, Direction::SendOnly).is_ok());
                began.elapsed()
            };
            (0..3).map(once).min().unwrap()
        };
        let (first, none) = (took("7"), took("9"));
        assert!(none < first * 20, "{none:?} for {first:?}");
    }

    #[test]
    fn a_refusal_shows_the_line_shortened_and_safe() {
        let of = |offer: &str| narrow_offer(offer, Direction::SendOnly).unwrap_err().in_words(offer);
        let shown = of(&OFFER.replace("SAVPF 111", &format!("SAVPX 111 \u{202e}<é>\u{1b}{}", "9".repeat(100))));
        assert!(shown.starts_with("line 5 (m=audio 9 UDP/TLS/RTP/SAVPX 111 ?<?>?999"), "{shown}");
        assert!(shown.contains("9…): ") && shown.len() < 160, "{shown}");
        let shown = of(&OFFER.replace("345678901\r", "\r"));
        assert!(shown.starts_with("line 9: ") && !shown.contains("0123"), "{shown}");
        assert_eq!(of("v=0\r\n"), "0 sections of audio, where exactly one is expected");
    }

    /// What RFC 8866 and RFC 9429 call valid, and what many write, is the same offer.
    #[test]
    fn what_makes_no_session_may_be_written_as_it_likes() {
        let want = narrow_offer(OFFER, Direction::SendOnly).unwrap();
        let with = |old: &str, new: &str| OFFER.replace(old, new);
        let connection = "c=IN IP4 0.0.0.0\r\n";
        let cases = [
            ("several bandwidths", with(connection, &format!("{connection}b=AS:64\r\nb=TIAS:64000\r\nb=RS:0\r\n"))),
            ("bandwidths for all", with("t=0 0", "b=AS:128\r\nb=X-YZ:128\r\nt=0 0")),
            ("a name that is a space", with("s=-", "s= ")),
            ("no name", with("s=-\r\n", "")),
            ("a name in another charset", with("s=-", "s=r\u{fffd}union")),
            ("a time with its end", with("t=0 0", "t=3034423619 3042462419")),
            ("two times", with("t=0 0", "t=0 0\r\nr=7d 1h 0 25h\r\nt=0 0\r\nz=2882844526 -1h 2898848070 0")),
            ("what nobody reads", with("t=0 0", "i=x\r\nu=http://x\r\ne=x@x\r\np=+1\r\nc=IN IP6 ::\r\nt=0 0\r\nk=clear:x")),
            ("a title and a key of the section", with(connection, &format!("i=micro\r\n{connection}k=prompt\r\n"))),
            ("several connections", with(connection, &format!("{connection}c=IN IP6 ::1\r\n"))),
            ("no connection", with(connection, "")),
            ("an origin with a long number", with("o=- 1 1", "o=alice 123456789012345678901234567890 1")),
            ("no origin", with("o=- 1 1 IN IP4 0.0.0.0\r\n", "")),
            ("an empty attribute", with(connection, &format!("{connection}a=\r\n"))),
            ("a real port", with("m=audio 9", "m=audio 54321")),
            ("two ports", with("m=audio 9", "m=audio 49170/2")),
            ("other formats", with("SAVPF 111", "SAVPF 111 63 9 0 13 126").replace("a=rtpmap:111", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:126 telephone-event/8000\r\na=rtpmap:111")),
            ("a format that is mapped nowhere", with("SAVPF 111", "SAVPF 96 111")),
            ("a format that is mapped to something else too", with("a=rtpmap:111", "a=rtpmap:111 PCMU/8000\r\na=rtpmap:111")),
            ("the same map twice", format!("{OFFER}a=rtpmap:111 opus/48000/2\r\n")),
            ("tabs and spaces at the end", with("\r\n", " \t\r\n")),
        ];
        for (name, offer) in cases {
            assert_eq!(narrow_offer(&offer, Direction::SendOnly).as_ref(), Ok(&want), "{name}");
        }
    }

    #[test]
    fn an_answer_repeats_the_profile() {
        let answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n";
        for profile in PROFILES {
            let offer = OFFER.replace("UDP/TLS/RTP/SAVPF", profile);
            assert_eq!(narrow_offer(&offer, Direction::SendOnly), narrow_offer(OFFER, Direction::SendOnly));
            assert_eq!(with_rejected(&offer, answer), answer.replace("UDP/TLS/RTP/SAVPF", profile));
        }
    }

    #[test]
    fn a_section_without_a_name_gets_one_and_its_answer_none() {
        let of_mid = format!("a=extmap:4 {OF_MID}\r\n");
        let of_level = "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n";
        let offer = format!("{}{of_mid}{of_level}", OFFER.replace("a=mid:0\r\n", ""));
        let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
        assert!(narrowed.contains("a=group:BUNDLE 0\r\n") && narrowed.contains("a=mid:0\r\n"), "{narrowed}");
        assert!(narrowed.contains(of_level) && !narrowed.contains(OF_MID), "{narrowed}");
        assert_eq!(narrow_offer(&narrowed, Direction::SendOnly).as_ref(), Ok(&narrowed));
        let answer = "v=0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n";
        let want = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n";
        assert_eq!(with_rejected(&offer, answer), want);
    }

    #[test]
    fn a_section_with_any_name_is_answered_under_it() {
        let of_mid = format!("a=extmap:4 {OF_MID}\r\n");
        let answer = "v=0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n";
        for name in ["audio-1", "a.b", "~]probe", "é"] {
            let offer = OFFER.replace("a=mid:0", &format!("a=mid:{name}"));
            let offer =
                format!("{}{of_mid}", offer.replace("m=audio", &format!("a=group:BUNDLE {name}\r\nm=audio")));
            let narrowed = narrow_offer(&offer, Direction::SendOnly).unwrap();
            assert_eq!(narrow_offer(OFFER, Direction::SendOnly).as_ref(), Ok(&narrowed), "{name}");
            let want =
                answer.replace("BUNDLE 0", &format!("BUNDLE {name}")).replace("mid:0", &format!("mid:{name}"));
            assert_eq!(with_rejected(&offer, answer), want);
        }
    }

    #[test]
    fn extensions_for_all_are_the_sections() {
        let line = format!("a=extmap:4 {OF_MID}\r\n");
        let for_all = narrow_offer(&OFFER.replace("m=audio", &format!("{line}m=audio")), Direction::SendOnly);
        assert_eq!(for_all, narrow_offer(&format!("{OFFER}{line}"), Direction::SendOnly));
    }

    #[test]
    fn credentials_are_replaced_wherever_they_stand() {
        let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd network-id 1\r\n";
        let description = OFFER.replace("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", candidate);
        let replaced = with_credentials(&description, "wxyz", "9876543210987654321098");
        assert_eq!(credentials(&replaced), Some(("wxyz", "9876543210987654321098")));
        assert_eq!(fingerprint(&replaced), fingerprint(OFFER));
        assert!(!replaced.contains("abcd"), "{replaced}");
        assert_eq!(with_credentials(&replaced, "abcd", "0123456789012345678901"), description);
    }
}
