//! Reads and writes the JSON messages of the WebSocket: `{"event": "…", "data": {…}}`.
//!
//! Knows shapes and lengths, and which role each message is of; whose it is and what follows is the server's. Unknown
//! fields are ignored, unknown events are an error.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::ice_server::IceServer;
use crate::words::{
    Device, InterruptedBy, JournalFault, PendingCause, Place, Presence, Quality, REASON_DEFAULT, Restoration, Sent,
    StopCause, StreamSource, Told,
};

/// The longest `page`, in bytes.
pub(crate) const PAGE_BYTES_MAX: usize = 64;
/// The longest `journal_note`, in bytes.
pub(crate) const JOURNAL_NOTE_BYTES_MAX: usize = 1024;
/// Up to here each whole number is one of 64 bits of floating point, too.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;
/// How much is said of what is wrong with a message, in characters: values of the client's stand in it.
const REASON_SHOWN_CHARS: usize = 200;
/// The deepest `commercial_info`, in arrays and objects inside one another.
const INFO_DEPTH_MAX: usize = 16;

/// What a client says, by who may say it.
#[derive(Debug)]
pub enum ClientMessage<'a> {
    /// Anybody may.
    Register(RegisterUser),
    /// Anybody may, also before registering.
    Ping {
        t: Number,
    },
    OfCommercial(OfCommercial<'a>),
    OfAdmin(OfAdmin),
    OfBoth(OfBoth),
}

/// What only a salesperson's page says.
#[derive(Debug)]
pub enum OfCommercial<'a> {
    StartStreaming(StartStreaming<'a>),
    StopStreaming,
    PauseStreaming,
    ResumeStreaming {
        sent: Sent,
    },
    StreamInterrupted {
        cause: InterruptedBy,
    },
    ListenerAck(Acknowledgement),
    /// The page is hidden, and has no way to tell who is about to listen.
    ListenerHidden {
        notice_id: u64,
    },
    GpsUpdate(Place),
}

/// What only a supervisor's page says.
#[derive(Debug)]
pub enum OfAdmin {
    OpenAudio {
        sdp: String,
    },
    Join {
        commercial_id: String,
        reason: String,
        /// Whether it waits until nobody else is heard, even where the salesperson is on air.
        waits: bool,
    },
    Leave {
        commercial_id: String,
    },
    /// Whether the page can be looked at.
    PageVisible {
        visible: bool,
    },
    /// Somebody knows that the journal was restored at this moment.
    ConfirmRestoration {
        at: u64,
    },
}

/// What any page says of its own connections, once its user is known.
#[derive(Debug)]
pub enum OfBoth {
    RestartIce { sdp: String },
    TestConnection { sdp: String },
}

impl<'a> From<OfCommercial<'a>> for ClientMessage<'a> {
    fn from(message: OfCommercial<'a>) -> ClientMessage<'a> {
        ClientMessage::OfCommercial(message)
    }
}

impl From<OfAdmin> for ClientMessage<'_> {
    fn from(message: OfAdmin) -> Self {
        ClientMessage::OfAdmin(message)
    }
}

impl From<OfBoth> for ClientMessage<'_> {
    fn from(message: OfBoth) -> Self {
        ClientMessage::OfBoth(message)
    }
}

/// Who speaks: the first message of a conn.
#[derive(Debug, Deserialize)]
pub struct RegisterUser {
    pub token: String,
    /// Random per page load: the same page registering again replaces its older conn.
    pub page: String,
    /// Whether another open page of the same salesperson is to be closed.
    #[serde(default)]
    pub takeover: bool,
    /// The newest note of the journal that the page was given before.
    #[serde(default)]
    pub journal_note: Option<String>,
}

/// A salesperson goes on air.
#[derive(Debug, Deserialize)]
pub struct StartStreaming<'a> {
    pub sdp: String,
    /// Any JSON, for display only.
    #[serde(borrow, default)]
    pub commercial_info: Option<&'a RawValue>,
}

/// A page told its person who listens.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    pub notice_id: u64,
    pub told: Told,
    /// How much the page had sent by then.
    pub sent: Sent,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Whoever says it does not speak this protocol.
    #[error("not a JSON object with a text \"event\"")]
    NotMessage,
    #[error("no such event")]
    UnknownEvent,
    /// Which field, and what is wrong with it.
    #[error("\"data\": {0}")]
    BadData(String),
    #[error("\"page\" is empty or longer than {PAGE_BYTES_MAX} bytes")]
    BadPage,
    #[error("\"journal_note\" is longer than {JOURNAL_NOTE_BYTES_MAX} bytes")]
    BadNote,
    #[error("\"lat\", \"lon\" and \"accuracy_m\" are no place on earth")]
    BadPlace,
}

/// Reads one message.
///
/// # Errors
/// [`MessageError`].
pub fn parse(text: &str) -> Result<ClientMessage<'_>, MessageError> {
    let envelope: Envelope<'_> = Some(text)
        .filter(|text| is_object(text))
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or(MessageError::NotMessage)?;
    let data = envelope.data.map_or("{}", RawValue::get);
    Ok(match envelope.event.as_str() {
        "register_user" => {
            let register: RegisterUser = read(data)?;
            if register.page.is_empty() || register.page.len() > PAGE_BYTES_MAX {
                return Err(MessageError::BadPage);
            }
            if register.journal_note.as_ref().is_some_and(|note| note.len() > JOURNAL_NOTE_BYTES_MAX) {
                return Err(MessageError::BadNote);
            }
            ClientMessage::Register(register)
        }
        "ping" => read(data).map(|Ping { t }| ClientMessage::Ping { t })?,
        "start_streaming" => OfCommercial::StartStreaming(read(data)?).into(),
        "stop_streaming" => OfCommercial::StopStreaming.into(),
        "pause_streaming" => OfCommercial::PauseStreaming.into(),
        "resume_streaming" => {
            OfCommercial::ResumeStreaming { sent: read(data).and_then(|count: Count| count.to_sent())? }.into()
        }
        "stream_interrupted" => {
            read(data).map(|Interrupted { cause }| OfCommercial::StreamInterrupted { cause })?.into()
        }
        "listener_ack" => {
            let Ack { notice_id: Whole(notice_id), told, ssrc, packets_sent } = read(data)?;
            let sent = Count { ssrc, packets_sent }.to_sent()?;
            OfCommercial::ListenerAck(Acknowledgement { notice_id, told, sent }).into()
        }
        "listener_hidden" => {
            let Notice { notice_id: Whole(notice_id) } = read(data)?;
            OfCommercial::ListenerHidden { notice_id }.into()
        }
        "gps_update" => {
            OfCommercial::GpsUpdate(read(data).and_then(|position: Position| position.to_place())?).into()
        }
        "open_audio" => read(data).map(|Open { sdp }| OfAdmin::OpenAudio { sdp })?.into(),
        "join_commercial_stream" => {
            let Join { commercial_id, reason, waits } = read(data)?;
            let reason = reason.unwrap_or_else(|| REASON_DEFAULT.to_owned());
            OfAdmin::Join { commercial_id, reason, waits }.into()
        }
        "leave_commercial_stream" => {
            read(data).map(|Join { commercial_id, .. }| OfAdmin::Leave { commercial_id })?.into()
        }
        "page_visible" => read(data).map(|Visible { visible }| OfAdmin::PageVisible { visible })?.into(),
        "confirm_restoration" => {
            read(data).map(|Restored { at: Whole(at) }| OfAdmin::ConfirmRestoration { at })?.into()
        }
        "restart_ice" => read(data).map(|Open { sdp }| OfBoth::RestartIce { sdp })?.into(),
        "test_connection" => read(data).map(|Open { sdp }| OfBoth::TestConnection { sdp })?.into(),
        _ => return Err(MessageError::UnknownEvent),
    })
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ack {
    notice_id: Whole,
    told: Told,
    #[serde(default)]
    ssrc: Option<Whole>,
    #[serde(default)]
    packets_sent: Option<Whole>,
}

#[derive(Deserialize)]
struct Notice {
    notice_id: Whole,
}

/// How much a page has sent.
#[derive(Deserialize)]
struct Count {
    #[serde(default)]
    ssrc: Option<Whole>,
    #[serde(default)]
    packets_sent: Option<Whole>,
}

impl Count {
    fn to_sent(&self) -> Result<Sent, MessageError> {
        let ssrc = self.ssrc.as_ref().map(|ssrc| u32::try_from(ssrc.0)).transpose();
        let ssrc = ssrc.map_err(|_| MessageError::BadData("`ssrc` has more than 32 bits".to_owned()))?;
        Ok(Sent { ssrc, packets_sent: self.packets_sent.as_ref().map_or(0, |packets| packets.0) })
    }
}

#[derive(Deserialize)]
struct Position {
    lat: f64,
    lon: f64,
    accuracy_m: f64,
    /// Some clocks tell more than milliseconds.
    at: f64,
}

impl Position {
    fn to_place(&self) -> Result<Place, MessageError> {
        let &Position { lat, lon, accuracy_m, at } = self;
        let place = Place { lat, lon, accuracy_m, at: at as u64 };
        if at >= 0.0 && place.is_on_earth() { Ok(place) } else { Err(MessageError::BadPlace) }
    }
}

/// A whole number, which some languages write as `7.0`.
#[derive(Deserialize)]
#[serde(try_from = "Number")]
struct Whole(u64);

impl TryFrom<Number> for Whole {
    type Error = String;

    fn try_from(number: Number) -> Result<Whole, String> {
        let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(number);
        let as_float = || number.as_f64().filter(is_whole).map(|number| number as u64);
        let whole = number.as_u64().or_else(as_float);
        whole.map(Whole).ok_or_else(|| format!("{number} is no whole number from 0 on"))
    }
}

#[derive(Deserialize)]
struct Interrupted {
    cause: InterruptedBy,
}

#[derive(Deserialize)]
struct Open {
    sdp: String,
}

#[derive(Deserialize)]
struct Join {
    commercial_id: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    waits: bool,
}

#[derive(Deserialize)]
struct Visible {
    visible: bool,
}

#[derive(Deserialize)]
struct Restored {
    at: Whole,
}

#[derive(Deserialize)]
struct Ping {
    t: Number,
}

/// Tells whether a JSON text is an object: an array of values would pass for one whose fields have no names.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, MessageError> {
    if !is_object(data) {
        return Err(MessageError::BadData("no object".to_owned()));
    }
    let in_short = |error: serde_json::Error| error.to_string().chars().take(REASON_SHOWN_CHARS).collect();
    serde_json::from_str(data).map_err(|error| MessageError::BadData(in_short(error)))
}

/// Tells whether any client can read a `commercial_info`. It is passed on as it came, inside lists of everybody: what
/// only some parsers take, as deep nesting, endless numbers or half a surrogate pair, would cost others the whole list.
pub(crate) fn is_readable(info: &RawValue) -> bool {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }
    serde_json::from_str(info.get()).is_ok_and(|value| depth(&value) <= INFO_DEPTH_MAX)
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    UserRegistered {
        id: &'a str,
        role: &'static str,
        name: &'a str,
        server_version: &'static str,
        ice_servers: &'a [IceServer],
        devices: &'a [Device],
        /// What the user may beside what the role is for.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        rights: &'a [&'static str],
        /// The server's time in Unix milliseconds, by which clients count: their own clocks may be wrong.
        now: u64,
    },
    JournalNote {
        /// The newest; absent where the journal has no good one.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
        /// Of the note that the page brought; absent where it brought none.
        #[serde(skip_serializing_if = "Option::is_none")]
        proof: Option<NoteProof>,
    },
    AvailableStreams(Vec<Commercial<'a>>),
    CommercialUpdated(Commercial<'a>),
    StreamingStarted {
        commercial_id: &'a str,
        sdp: &'a str,
    },
    StreamingStopped {
        commercial_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<PageCause>,
    },
    StreamingPaused {
        commercial_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<PageCause>,
    },
    StreamingResumed {
        commercial_id: &'a str,
    },
    ListenerJoined {
        notice_id: u64,
        /// The same over all notices of one wish.
        listening_id: String,
        admin: Person<'a>,
        reason: &'a str,
        listeners_count: usize,
    },
    ListenerLeft {
        notice_id: u64,
        /// The same over all notices of one wish.
        listening_id: String,
        admin: Person<'a>,
        reason: &'a str,
        listeners_count: usize,
    },
    AudioReady {
        sdp: &'a str,
    },
    ListeningPending {
        commercial_id: &'a str,
        cause: PendingCause,
    },
    ListeningStarted {
        commercial_id: &'a str,
        listeners_count: usize,
        /// How the salesperson was told; absent where nobody's microphone is heard.
        #[serde(skip_serializing_if = "Option::is_none")]
        told: Option<Told>,
    },
    ListeningStopped {
        commercial_id: &'a str,
        listeners_count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<StopCause>,
    },
    IceRestarted {
        sdp: &'a str,
    },
    ConnectionTest {
        sdp: &'a str,
    },
    CommercialPosition {
        commercial_id: &'a str,
        #[serde(flatten)]
        place: Place,
    },
    StreamQuality {
        commercial_id: &'a str,
        #[serde(flatten)]
        quality: Quality,
    },
    Pong {
        t: Number,
        /// As in [`ServerMessage::UserRegistered`].
        now: u64,
        /// How many packets came so far of what this client sends or hears; absent where it does neither.
        #[serde(skip_serializing_if = "Option::is_none")]
        media_packets: Option<u64>,
    },
    /// Another page took over: this one sees what goes on, and may pause and stop it.
    TakenOver {
        /// As in [`ServerMessage::UserRegistered`].
        now: u64,
    },
    TokenExpiring {
        in_s: u64,
    },
    /// Whether the journal can be written: while it can't, nobody begins to hear anybody; and whether it is all that was
    /// written.
    JournalState {
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<JournalFault>,
        /// The restoration that nobody has confirmed yet that they know of.
        #[serde(skip_serializing_if = "Option::is_none")]
        restored: Option<Restoration>,
    },
    ServerDraining {
        reconnect_in_ms: u64,
    },
    Error(Complaint<'a>),
}

impl ServerMessage<'_> {
    /// Returns the message's JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("our own messages are JSON")
    }
}

/// What the journal says of the note that a page kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum NoteProof {
    Contained {
        /// Where the chain is after so many rows as the note says, in base64: the page compares.
        chain: String,
    },
    /// There are fewer rows.
    Missing,
    /// The chain is elsewhere.
    Different,
    OtherKey,
    Unreadable,
}

/// Why a page's stream changes that did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PageCause {
    /// The page that it took over from asked for it, in the name of the same person.
    OtherPage,
}

/// What went wrong, and what to do about it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Complaint<'a> {
    pub code: ErrorCode,
    pub message: &'a str,
    /// Whom a refused wish to listen was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commercial_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// What the page that is open already does, and since when in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Presence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// What streams meanwhile, where it is no page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<StreamSource>,
    /// Why a token was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The server's time in Unix milliseconds, where what went wrong is a matter of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
}

impl<'a> Complaint<'a> {
    /// Returns a complaint without details.
    pub(crate) fn new(code: ErrorCode, message: &'a str) -> Complaint<'a> {
        Complaint {
            code,
            message,
            commercial_id: None,
            retry_after_s: None,
            state: None,
            since: None,
            source: None,
            reason: None,
            now: None,
        }
    }

    /// Adds why a token was refused, for programs.
    pub(crate) fn reason(self, reason: &'static str) -> Complaint<'a> {
        Complaint { reason: Some(reason), ..self }
    }

    /// Adds the server's time, in Unix milliseconds.
    pub(crate) fn at(self, unix_ms: u64) -> Complaint<'a> {
        Complaint { now: Some(unix_ms), ..self }
    }

    /// Adds whom a refused wish to listen was for.
    pub(crate) fn about(self, commercial_id: &'a str) -> Complaint<'a> {
        Complaint { commercial_id: Some(commercial_id), ..self }
    }

    /// Adds how long to wait before another try, in seconds.
    pub(crate) fn retry_after_s(self, seconds: u32) -> Complaint<'a> {
        Complaint { retry_after_s: Some(seconds), ..self }
    }
}

/// A person as others see them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Person<'a> {
    pub id: &'a str,
    pub name: &'a str,
    /// Whom they would be taken for by their name (Unicode UTS #39).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<Named<'a>>,
}

/// Somebody by id and name.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Named<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

/// A salesperson as supervisors see them: the one object that every list and update holds.
#[derive(Debug, Serialize)]
pub struct Commercial<'a> {
    pub commercial_id: &'a str,
    pub name: &'a str,
    pub commercial_info: Option<&'a RawValue>,
    pub state: Presence,
    /// By what, while `state` is [`Presence::Interrupted`].
    pub interrupted_by: Option<InterruptedBy>,
    pub is_streaming: bool,
    /// Whether the salesperson speaks, as far as their client declares levels; only ever while on air.
    pub speaking: bool,
    /// What streams, where it is no page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<StreamSource>,
    pub listeners_count: usize,
    pub listeners: Vec<Person<'a>>,
    /// When the state began, in Unix milliseconds.
    pub since: Option<u64>,
    /// When the salesperson was last connected, in Unix milliseconds.
    pub last_seen: Option<u64>,
}

impl<'a> Commercial<'a> {
    /// Returns what is shown of somebody who is away.
    pub fn away(commercial_id: &'a str, name: &'a str, last_seen: u64) -> Commercial<'a> {
        Commercial {
            commercial_id,
            name,
            commercial_info: None,
            state: Presence::Offline,
            interrupted_by: None,
            is_streaming: false,
            speaking: false,
            source: None,
            listeners_count: 0,
            listeners: Vec::new(),
            since: None,
            last_seen: Some(last_seen),
        }
    }
}

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    Malformed,
    NotRegistered,
    TokenRefused,
    NotAllowed,
    AlreadyOpen,
    OfferRefused,
    NoAudio,
    NotOnAir,
    /// No reason that people are shown.
    BadReason,
    /// The session to restart is gone, or the one that brought the audio broke: build a new one.
    NoSuchPeer,
    TooMany,
    /// The wish to listen can't be written down, and what is not written down is not heard.
    JournalUnavailable,
    Draining,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_event_as_of_who_may_say_it() {
        let cases = [
            ("any", r#"{"event":"register_user","data":{"token":"t","page":"p"}}"#),
            ("any", r#"{"event":"ping","data":{"t":1.5}}"#),
            (
                "commercial",
                r#"{"event":"start_streaming","data":{"sdp":"v=0","commercial_info":{"a":1},"later":true}}"#,
            ),
            ("commercial", r#"{"event":"stop_streaming"}"#),
            ("commercial", r#"{"event":"stop_streaming","data":{}}"#),
            ("commercial", r#"{"event":"pause_streaming"}"#),
            ("commercial", r#"{"event":"resume_streaming"}"#),
            ("commercial", r#"{"event":"stream_interrupted","data":{"cause":"call"}}"#),
            ("commercial", r#"{"event":"stream_interrupted","data":{"cause":"muted"}}"#),
            ("commercial", r#"{"event":"resume_streaming","data":{"ssrc":4294967295,"packets_sent":1}}"#),
            ("commercial", r#"{"event":"listener_ack","data":{"notice_id":7,"told":"seen"}}"#),
            (
                "commercial",
                r#"{"event":"listener_ack","data":{"notice_id":7,"told":"notified","ssrc":1,"packets_sent":9}}"#,
            ),
            ("commercial", r#"{"event":"listener_hidden","data":{"notice_id":7}}"#),
            (
                "commercial",
                r#"{"event":"gps_update","data":{"lat":48.8566,"lon":-2.3522,"accuracy_m":12,"at":1800000000000}}"#,
            ),
            ("commercial", r#"{"event":"gps_update","data":{"lat":90,"lon":-180.0,"accuracy_m":0,"at":0}}"#),
            ("admin", r#"{"event":"open_audio","data":{"sdp":"v=0"}}"#),
            ("admin", r#"{"event":"join_commercial_stream","data":{"commercial_id":"lea"}}"#),
            ("admin", r#"{"event":"leave_commercial_stream","data":{"commercial_id":"lea"}}"#),
            ("admin", r#"{"event":"page_visible","data":{"visible":false}}"#),
            ("both", r#"{"event":"restart_ice","data":{"sdp":"v=0"}}"#),
            ("both", r#"{"event":"test_connection","data":{"sdp":"v=0"}}"#),
        ];
        for (who, text) in cases {
            let of = match parse(text) {
                Ok(ClientMessage::Register(_) | ClientMessage::Ping { .. }) => "any",
                Ok(ClientMessage::OfCommercial(_)) => "commercial",
                Ok(ClientMessage::OfAdmin(_)) => "admin",
                Ok(ClientMessage::OfBoth(_)) => "both",
                Err(error) => panic!("{text}: {error}"),
            };
            assert_eq!(of, who, "{text}");
        }
    }

    #[test]
    fn numbers_are_taken_as_languages_write_them() {
        let cases = [
            (
                r#"{"event":"listener_ack","data":{"notice_id":7.0,"told":"seen","ssrc":4e9,"packets_sent":12.0}}"#,
                12,
            ),
            (
                r#"{"event":"listener_ack","data":{"notice_id":7,"told":"seen","ssrc":4000000000,"packets_sent":12}}"#,
                12,
            ),
            (r#"{"event":"listener_ack","data":{"notice_id":7,"told":"seen","ssrc":4e9,"packets_sent":null}}"#, 0),
        ];
        for (text, packets_sent) in cases {
            let Ok(ClientMessage::OfCommercial(OfCommercial::ListenerAck(ack))) = parse(text) else {
                panic!("{text}")
            };
            let sent = Sent { ssrc: Some(4_000_000_000), packets_sent };
            assert_eq!((ack.notice_id, ack.sent), (7, sent), "{text}");
        }
        let text = r#"{"event":"gps_update","data":{"lat":1,"lon":2.5,"accuracy_m":1e3,"at":1800000000000.75}}"#;
        let Ok(ClientMessage::OfCommercial(OfCommercial::GpsUpdate(place))) = parse(text) else { panic!("{text}") };
        assert_eq!((place.lat, place.at), (1.0, 1_800_000_000_000));
    }

    #[test]
    fn what_is_refused_is_named() {
        let long_page =
            format!(r#"{{"event":"register_user","data":{{"token":"t","page":"{}"}}}}"#, "p".repeat(65));
        let deep = format!(r#"{{"event":"ping","data":{{"t":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
        let ack = |members: &str| format!(r#"{{"event":"listener_ack","data":{{{members}}}}}"#);
        let place = |members: &str| format!(r#"{{"event":"gps_update","data":{{{members}}}}}"#);
        let with_note = |note: &str| {
            format!(r#"{{"event":"register_user","data":{{"token":"t","page":"p","journal_note":{note}}}}}"#)
        };
        assert!(parse(&with_note(&format!("\"{}\"", "é".repeat(512)))).is_ok());
        let cases = [
            ("nothing", String::new(), "not a JSON object with a text \"event\""),
            ("array", "[]".to_owned(), "not a JSON object with a text \"event\""),
            ("array of its fields", r#"["ping",{"t":1}]"#.to_owned(), "not a JSON object with a text \"event\""),
            ("data without names", r#"{"event":"ping","data":[1]}"#.to_owned(), "\"data\": no object"),
            ("event is no text", r#"{"event":1}"#.to_owned(), "not a JSON object with a text \"event\""),
            ("unknown", r#"{"event":"shout"}"#.to_owned(), "no such event"),
            ("deep", deep, "\"data\": "),
            ("no data", r#"{"event":"open_audio"}"#.to_owned(), "\"data\": missing field `sdp`"),
            ("negative id", ack(r#""notice_id":-1,"told":"seen""#), "\"data\": -1 is no whole number from 0 on"),
            (
                "2^53 + 2",
                ack(r#""notice_id":9007199254740994.0,"told":"seen""#),
                "\"data\": 9007199254740994.0 is no",
            ),
            ("not told", ack(r#""notice_id":7"#), "\"data\": missing field `told`"),
            ("told oddly", ack(r#""notice_id":7,"told":"heard""#), "\"data\": unknown variant `heard`, expected"),
            (
                "half a packet",
                ack(r#""notice_id":7,"told":"seen","packets_sent":0.5"#),
                "\"data\": 0.5 is no whole",
            ),
            ("33 bits", ack(r#""notice_id":7,"told":"seen","ssrc":4294967296"#), "\"data\": `ssrc` has more than"),
            (
                "unknown cause",
                r#"{"event":"stream_interrupted","data":{"cause":"war"}}"#.to_owned(),
                "\"data\": unknown variant `war`",
            ),
            ("past the pole", place(r#""lat":90.1,"lon":0,"accuracy_m":1,"at":1"#), "\"lat\", \"lon\" and"),
            ("no radius", place(r#""lat":0,"lon":0,"accuracy_m":-1,"at":1"#), "\"lat\", \"lon\" and"),
            ("before time", place(r#""lat":0,"lon":0,"accuracy_m":1,"at":-1"#), "\"lat\", \"lon\" and"),
            ("no number", place(r#""lat":"0","lon":0,"accuracy_m":1,"at":1"#), "\"data\": invalid type: string"),
            (
                "NaN",
                place(r#""lat":null,"lon":0,"accuracy_m":1,"at":1"#),
                "\"data\": invalid type: null, expected f64",
            ),
            (
                "empty page",
                r#"{"event":"register_user","data":{"token":"t","page":""}}"#.to_owned(),
                "\"page\" is empty or longer",
            ),
            ("long page", long_page, "\"page\" is empty or longer"),
            (
                "long note",
                with_note(&format!("\"{}\"", "é".repeat(513))),
                "\"journal_note\" is longer than 1024 bytes",
            ),
            ("a note that is no text", with_note("7"), "\"data\": invalid type: integer `7`"),
        ];
        for (name, text, want) in cases {
            let error = parse(&text).map(drop).unwrap_err().to_string();
            assert!(error.starts_with(want), "{name}: {error}");
        }
        let long = format!(r#"{{"event":"stream_interrupted","data":{{"cause":"{}"}}}}"#, "é".repeat(30_000));
        assert!(parse(&long).map(drop).unwrap_err().to_string().chars().count() <= REASON_SHOWN_CHARS + 8);
    }

    #[test]
    fn infos_that_all_clients_can_read() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let cases = [
            (r#"{"vehicle":{"plate":"AB-123"},"tags":["a",1.5e3,null,true]}"#.to_owned(), true),
            (r#""<script>alert(1)</script>""#.to_owned(), true),
            (nested(INFO_DEPTH_MAX), true),
            (nested(INFO_DEPTH_MAX + 1), false),
            (format!("{}1{}", r#"{"a":"#.repeat(INFO_DEPTH_MAX + 1), "}".repeat(INFO_DEPTH_MAX + 1)), false),
            (nested(500), false),
            ("1e999".to_owned(), false),
            ("9".repeat(400), false),
            (r#""\ud800""#.to_owned(), false),
        ];
        for (text, want) in cases {
            let message = format!(r#"{{"event":"start_streaming","data":{{"sdp":"","commercial_info":{text}}}}}"#);
            let parsed = parse(&message);
            let Ok(ClientMessage::OfCommercial(OfCommercial::StartStreaming(start))) = parsed else {
                panic!("{text}")
            };
            assert_eq!(is_readable(start.commercial_info.unwrap()), want, "{text}");
        }
    }

    #[test]
    fn messages_have_the_documented_shape() {
        let pending = ServerMessage::ListeningPending { commercial_id: "lea", cause: PendingCause::AckLate };
        let want = r#"{"event":"listening_pending","data":{"commercial_id":"lea","cause":"ack_late"}}"#;
        assert_eq!(pending.to_json(), want);
        let stopped = ServerMessage::ListeningStopped { commercial_id: "lea", listeners_count: 0, cause: None };
        let want = r#"{"event":"listening_stopped","data":{"commercial_id":"lea","listeners_count":0}}"#;
        assert_eq!(stopped.to_json(), want);
        let quality = Quality { loss: 0.25, jitter_ms: 1.5, rtt_ms: None, bitrate_bps: 32_000 };
        let want = concat!(
            r#"{"event":"stream_quality","data":{"commercial_id":"lea","loss":0.25,"jitter_ms":1.5,"rtt_ms":null,"#,
            r#""bitrate_bps":32000}}"#
        );
        assert_eq!(ServerMessage::StreamQuality { commercial_id: "lea", quality }.to_json(), want);
        assert_eq!(ServerMessage::AvailableStreams(vec![]).to_json(), r#"{"event":"available_streams","data":[]}"#);
        let proof = NoteProof::Contained { chain: "AA==".to_owned() };
        let want = r#"{"event":"journal_note","data":{"note":"n","proof":{"result":"contained","chain":"AA=="}}}"#;
        assert_eq!(ServerMessage::JournalNote { note: Some("n"), proof: Some(proof) }.to_json(), want);
        let want = r#"{"event":"journal_note","data":{"proof":{"result":"other_key"}}}"#;
        assert_eq!(ServerMessage::JournalNote { note: None, proof: Some(NoteProof::OtherKey) }.to_json(), want);
    }
}
