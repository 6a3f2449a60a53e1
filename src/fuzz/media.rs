//! Datagrams: which protocol, whose check, which stream.
//!
//! Invariant: what routes a datagram says the same of it as the library that is handed it.

use str0m::ice::StunMessage;

use crate::wire::classify::{self, DATAGRAM_BYTES_MAX, DatagramError, Kind, Meaning};
use crate::wire::opus::{self, OpusError};
use crate::wire::rtp::{self, Media};
use crate::wire::stun::{self, BindingRequest};

/// The kind follows from the first byte and the length (RFC 7983 §7), and a check that can be read is of kind STUN.
pub fn classify(datagram: &[u8]) {
    let Some(&first_byte) = datagram.first() else {
        assert_eq!(classify::classify(datagram), Err(DatagramError::Empty));
        return;
    };
    // The two highest bits are STUN's zeros (RFC 8489 §5) and RTP's version (RFC 3550 §5.1); DTLS has no such mark.
    let by_first_byte = match (first_byte >> 6, first_byte) {
        (0, ..4) => Ok(Kind::Stun),
        (0, 20..) => Ok(Kind::Dtls),
        (2, _) => Ok(Kind::Media),
        _ => Err(DatagramError::UnknownKind { first_byte }),
    };
    let is_too_long = datagram.len() > DATAGRAM_BYTES_MAX;
    let want = if is_too_long { Err(DatagramError::TooLong { len: datagram.len() }) } else { by_first_byte };
    assert_eq!(classify::classify(datagram), want);
    let request = stun::parse_binding_request(datagram);
    if request.is_ok() {
        assert_eq!(by_first_byte, Ok(Kind::Stun));
    }
    let read = classify::read(datagram).map(|read| (read.meaning, read.ufrag));
    let want = want.and_then(|kind| match kind {
        Kind::Stun if datagram.starts_with(&[1, 1]) && stun::parse_binding_answer(datagram).is_some() => {
            let transaction_id = stun::parse_binding_answer(datagram).expect("it was read just now");
            Ok((Meaning::Answer { transaction_id }, None))
        }
        Kind::Stun => {
            let BindingRequest { transaction_id, ufrag, use_candidate } = request?;
            Ok((Meaning::Check { transaction_id, use_candidate }, Some(ufrag)))
        }
        Kind::Dtls => Ok((Meaning::Dtls, None)),
        Kind::Media => Ok((Meaning::Media, None)),
    });
    assert_eq!(read, want);
}

/// A check that was read is whole, can be written again, and says to the library what it says to us. An answer that was
/// read is whole, and what signs it is the library's signature too.
pub fn stun(message: &[u8]) {
    if let Some(transaction_id) = stun::parse_binding_answer(message) {
        assert_eq!(message[..2], [1, 1]);
        assert_eq!(message[8..20], transaction_id);
        assert!(stun::is_success_response(message, &transaction_id));
        assert!(stun::parse_binding_request(message).is_err());
        assert!((0..message.len()).all(|cut| stun::parse_binding_answer(&message[..cut]).is_none()));
    }
    assert!(!stun::is_signed(message, "a password that signed nothing"));
    let Ok(request) = stun::parse_binding_request(message) else { return };
    assert_eq!(message[..2], [0, 1]);
    assert_eq!(message[8..20], request.transaction_id);
    assert!(message.windows(request.ufrag.len() + 1).any(|part| part == [request.ufrag, ":"].concat().as_bytes()));
    for cut in 0..message.len() {
        assert!(stun::parse_binding_request(&message[..cut]).is_err(), "cut to {cut} bytes");
    }
    let rewritten = write_check(&request);
    assert_eq!(stun::parse_binding_request(&rewritten), Ok(request));

    let mut response = vec![1, 1, 0, 0];
    response.extend(&message[4..20]);
    assert!(stun::is_success_response(&response, &request.transaction_id));
    response[19] ^= 1;
    assert!(!stun::is_success_response(&response, &request.transaction_id));

    if let Ok(read) = StunMessage::parse(message) {
        assert!(read.is_binding_request());
        assert_eq!(read.use_candidate(), request.use_candidate);
        // The library takes the last of several, and refuses what is not for its session.
        if usernames(message) == 1 {
            assert_eq!(read.split_username().map(|(ours, _)| ours), Some(request.ufrag));
        }
    }
}

/// Writes what was read as the plainest check that says it.
fn write_check(request: &BindingRequest<'_>) -> Vec<u8> {
    let username = format!("{}:", request.ufrag);
    let mut attributes = vec![0, 6];
    attributes.extend((username.len() as u16).to_be_bytes());
    attributes.extend(username.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    if request.use_candidate {
        attributes.extend([0, 0x25, 0, 0]);
    }
    let mut message = vec![0, 1];
    message.extend((attributes.len() as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend(request.transaction_id);
    message.extend(attributes);
    message
}

/// Counts USERNAME attributes in front of the integrity of a message that can be read.
fn usernames(message: &[u8]) -> usize {
    let mut attributes = &message[20..];
    let mut count = 0;
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        match [*t0, *t1] {
            [0, 6] => count += 1,
            [0, 8] => break,
            _ => {}
        }
        let len = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        attributes = &rest[len..];
    }
    count
}

/// The stream of a packet follows from its header alone, and how long Opus sounds from its first two bytes.
pub fn rtp(datagram: &[u8]) {
    let header = &datagram[..datagram.len().min(12)];
    match rtp::parse_media(datagram) {
        Ok(Media::Rtp { ssrc, payload_type }) => {
            assert_eq!(datagram[8..12], ssrc.to_be_bytes());
            assert_eq!(rtp::parse_media(header), Ok(Media::Rtp { ssrc, payload_type }));
            assert_eq!(payload_type, datagram[1] & 0x7f);
            // Marker and payload type share a byte; the types 64 to 95 are RTCP's (RFC 5761 §4).
            assert!(!(64..96).contains(&(datagram[1] & 0x7f)));
            assert!(rtp::parse_media(&datagram[..11]).is_err());
        }
        Ok(Media::Rtcp) => assert!((192..224).contains(&(datagram[1] | 0x80))),
        Err(_) => assert!(datagram.len() < 12),
    }
    let payload = datagram.get(12..).unwrap_or_default();
    let duration = opus::duration_samples(payload);
    assert_eq!(opus::duration_samples(&payload[..payload.len().min(2)]), duration);
    match duration {
        // The shortest frame is 2.5 ms.
        Ok(samples) => assert!(samples <= 5760 && samples % 120 == 0),
        Err(OpusError::TooLong { samples }) => assert!(samples > 5760 && samples <= 63 * 2880),
        Err(OpusError::Empty) => assert!(payload.len() < 2),
    }
}
