//! Messages of the WebSocket: what one client says, and what others are told of it.
//!
//! Invariant: what is passed on can be read by every reader of JSON, and says what was said.

use serde_json::Value;

use crate::wire::signaling::{
    self, ClientMessage, Commercial, OfAdmin, OfCommercial, PAGE_BYTES_MAX, Person, ServerMessage,
};
use crate::words::{Presence, REASON_CHARS_MAX, is_reason};

/// Whatever a message makes the server tell others is JSON of the documented shape, with the same in it.
pub fn signaling(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(message) = signaling::parse(text) else { return };
    match message {
        ClientMessage::Register(register) => assert!((1..=PAGE_BYTES_MAX).contains(&register.page.len())),
        ClientMessage::Ping { t } => {
            let data = relay(&ServerMessage::Pong { t: t.clone(), now: 0, media_packets: None }, "pong");
            let (told, said) = (data["t"].as_f64().unwrap(), t.as_f64().unwrap());
            assert!((told - said).abs() <= said.abs() * 1e-12, "{told} {said}");
        }
        ClientMessage::OfCommercial(message) => of_commercial(&message),
        ClientMessage::OfAdmin(OfAdmin::Join { commercial_id, reason, waits: _ }) => {
            of_join(&commercial_id, &reason);
        }
        ClientMessage::OfAdmin(
            OfAdmin::OpenAudio { .. }
            | OfAdmin::Leave { .. }
            | OfAdmin::PageVisible { .. }
            | OfAdmin::ConfirmRestoration { .. },
        )
        | ClientMessage::OfBoth(_) => {}
    }
}

/// What a salesperson's page shows of itself is told to supervisors.
fn of_commercial(message: &OfCommercial<'_>) {
    match message {
        OfCommercial::StartStreaming(start) => {
            if start.commercial_info.is_some_and(|info| !signaling::is_readable(info)) {
                return;
            }
            let commercial = Commercial {
                commercial_id: "lea",
                name: "Léa",
                commercial_info: start.commercial_info,
                state: Presence::OnAir,
                interrupted_by: None,
                is_streaming: true,
                speaking: true,
                source: None,
                listeners_count: 0,
                listeners: vec![],
                since: None,
                last_seen: None,
            };
            let data = relay(&ServerMessage::CommercialUpdated(commercial), "commercial_updated");
            assert_eq!((&data["commercial_id"], &data["listeners_count"]), (&"lea".into(), &0.into()));
            let said = start.commercial_info.map(|info| serde_json::from_str(info.get()).expect("it is JSON"));
            assert_eq!(data["commercial_info"], said.unwrap_or(Value::Null));
        }
        &OfCommercial::GpsUpdate(place) => {
            let message = ServerMessage::CommercialPosition { commercial_id: "lea", place };
            let data = relay(&message, "commercial_position");
            for (name, said) in [("lat", place.lat), ("lon", place.lon), ("accuracy_m", place.accuracy_m)] {
                let told = data[name].as_f64().expect("a place is made of numbers");
                assert!((told - said).abs() <= said.abs() * 1e-12, "{name}: {told} {said}");
            }
            assert_eq!(data["at"], place.at);
            assert!(place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0 && place.accuracy_m >= 0.0);
        }
        OfCommercial::StopStreaming
        | OfCommercial::PauseStreaming
        | OfCommercial::ResumeStreaming { .. }
        | OfCommercial::StreamInterrupted { .. }
        | OfCommercial::ListenerAck(_)
        | OfCommercial::ListenerHidden { .. } => {}
    }
}

/// A wish is told to whom it is for.
fn of_join(commercial_id: &str, reason: &str) {
    if is_reason(reason) {
        assert!(reason.chars().count() <= REASON_CHARS_MAX && !reason.contains(char::is_control));
    }
    let admin = Person { id: "paul", name: commercial_id, looks_like: None };
    let listening_id = "0000000000000007".to_owned();
    let message = ServerMessage::ListenerJoined { notice_id: 1, listening_id, admin, reason, listeners_count: 1 };
    let data = relay(&message, "listener_joined");
    assert_eq!((&data["reason"], &data["admin"]["name"]), (&reason.into(), &commercial_id.into()));
}

/// Returns the data of a message as a client reads it.
fn relay(message: &ServerMessage<'_>, event: &str) -> Value {
    let mut read: Value = serde_json::from_str(&message.to_json()).expect("what is passed on is JSON");
    assert_eq!(read["event"], event);
    read["data"].take()
}
