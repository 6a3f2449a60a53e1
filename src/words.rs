//! The words of the domain that all parts share, each with its meaning and how it is written to clients.
//!
//! No rules: who may do what, and when, is decided elsewhere. Invariant: imports nothing of ours.

pub mod text;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use text::is_presentable;

/// The longest `reason`, in characters.
pub const REASON_CHARS_MAX: usize = 80;
/// What is shown where a supervisor gave no reason.
pub const REASON_DEFAULT: &str = "accompagnement";
/// No place is known worse than this.
const EARTH_CIRCUMFERENCE_M: f64 = 40_075_017.0;

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Listens.
    Admin,
    /// Streams.
    Commercial,
    /// Reads status and metrics, nothing else.
    Monitor,
}

impl Role {
    /// Returns the role as tokens name it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Commercial => "commercial",
            Role::Monitor => "monitor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A role that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role: choose admin, commercial or monitor")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        let roles = [Role::Admin, Role::Commercial, Role::Monitor];
        roles.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// What a salesperson is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    Offline,
    Online,
    OnAir,
    /// On air, but nothing is transmitted.
    Paused,
    /// On air, but nothing comes.
    Interrupted,
}

/// What keeps the microphone of somebody on air from being heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterruptedBy {
    /// A phone call took the microphone, where a page knows that.
    Call,
    /// The system silences the microphone: a key, the sound settings, a call; browsers do not say which.
    Muted,
    /// The phone is locked or its page hidden.
    Locked,
    /// Nothing arrives, or the page is not connected.
    Network,
}

/// What streams, where it is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamSource {
    /// An encoder of the salesperson.
    Encoder,
    /// Nobody's microphone.
    Device,
}

/// Why a listening has not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingCause {
    Offline,
    OffAir,
    Paused,
    Interrupted,
    /// The salesperson's page was told and has not acknowledged yet.
    Ack,
    /// It still has not after a while.
    AckLate,
    /// The page is hidden, and can't show the name in any other way.
    Hidden,
    /// The supervisor hears somebody else, and asks for this one to hear them instead.
    HearingAnother,
}

/// How a salesperson was told who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The name was on the page, which was visible.
    Seen,
    /// The page was hidden, and a notification of the system named them.
    Notified,
}

impl Told {
    /// Returns the word that clients and the journal have for it.
    pub fn name(self) -> &'static str {
        match self {
            Told::Seen => "seen",
            Told::Notified => "notified",
        }
    }
}

/// How much a page has sent of its stream, by its own count: whatever comes after that was spoken later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Of which stream; absent where the page sends none, or has not begun.
    pub ssrc: Option<u32>,
    /// RTP packets since the stream began (`packetsSent` of W3C's `outbound-rtp` statistics).
    pub packets_sent: u64,
}

/// Why a listening ended that was not left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Another salesperson is heard instead.
    Switched,
    /// The supervisor's audio connection was lost.
    ConnectionLost,
    /// The supervisor's new token does not allow it.
    NotAllowed,
}

/// Why the journal can't be written, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalFault {
    /// Its disk has no room.
    DiskFull,
    /// The disk is read-only, or its files may not be written.
    NotPermitted,
    /// The disk does not answer.
    Hangs,
    /// What is in it can't be read.
    Damaged,
    /// It was changed, removed or replaced while it was open.
    Replaced,
    /// Something else, which the log says.
    Other,
}

impl JournalFault {
    /// Returns what is wrong, for programs and whoever looks after the server.
    pub fn words(self) -> &'static str {
        match self {
            JournalFault::DiskFull => "its disk is full",
            JournalFault::NotPermitted => "its disk is read-only, or its files may not be written",
            JournalFault::Hangs => "its disk does not answer",
            JournalFault::Damaged => "it is damaged",
            JournalFault::Replaced => "it was changed or replaced while it was open",
            JournalFault::Other => "the server's log says why",
        }
    }
}

/// That the journal was made of a copy, and that nobody who manages people has confirmed yet that they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Restoration {
    /// When the copy was made, in Unix milliseconds: what happened since is missing.
    pub made: u64,
    /// When it was restored, which tells it from others.
    pub at: u64,
}

/// How well a salesperson's audio arrives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// The part of the packets that did not arrive, 0 to 1.
    pub loss: f64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// From the server to the page and back over its WebSocket, where it was measured.
    pub rtt_ms: Option<u64>,
    /// Of the audio payload.
    pub bitrate_bps: u64,
}

/// Where a salesperson is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Degrees north, −90 to 90.
    pub lat: f64,
    /// Degrees east, −180 to 180.
    pub lon: f64,
    /// Radius in metres within which the place is true for 95 of 100.
    pub accuracy_m: f64,
    /// When it was measured, in Unix milliseconds of the phone's clock.
    pub at: u64,
}

impl Place {
    /// Tells whether there is such a place.
    pub fn is_on_earth(&self) -> bool {
        (-90.0..=90.0).contains(&self.lat)
            && (-180.0..=180.0).contains(&self.lon)
            && (0.0..=EARTH_CIRCUMFERENCE_M).contains(&self.accuracy_m)
    }
}

/// Tells whether a supervisor may give this reason. Applications write them too, so a wrong one is a mistake and no
/// attack.
pub fn is_reason(reason: &str) -> bool {
    let known = matches!(reason, REASON_DEFAULT | "qualité" | "formation" | "sécurité");
    let is_short = reason.chars().count() <= REASON_CHARS_MAX;
    known || (is_short && reason.strip_prefix("autre: ").is_some_and(is_presentable))
}

/// What streams and is nobody's microphone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The `commercial_id` under which it streams.
    pub id: String,
    /// Where it stands, in words for those who work there.
    pub place: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_few_or_said_in_words() {
        let longest = format!("autre: {}", "é".repeat(REASON_CHARS_MAX - 7));
        let too_long = format!("{longest}é");
        let cases = [
            ("accompagnement", true),
            ("qualité", true),
            ("autre: visite", true),
            (longest.as_str(), true),
            (too_long.as_str(), false),
            ("autre: ", false),
            ("autre: a\nb", false),
            ("autre: a\u{202e}b", false),
            ("autre: \u{200b}", false),
            ("autre: <b>a</b>", true),
            ("curiosité", false),
            ("", false),
        ];
        for (reason, want) in cases {
            assert_eq!(is_reason(reason), want, "{reason:?}");
        }
    }
}
