//! Finds out whether a packet of a stream that the library does not know is the client's own.
//!
//! Clients name no stream in their offer, or another one, or change it (RFC 3550 §8.2, RFC 8834 §4.8); the library knows
//! streams by their names or by the section that a packet names, before it has authenticated it. Invariant: a packet that
//! somebody else made leaves nothing behind, nor does anything leave for it.

use std::time::Instant;

use str0m::media::{MediaKind, Mid};
use str0m::net::Receive;
use str0m::rtp::RtpPacket;
use str0m::{Event, Input, Output, Rtc};

/// How often the library is asked for what came of one packet: it, the report that a new stream is due, and that it has
/// begun.
const OUTPUTS_MAX: usize = 8;

/// Lets the library authenticate a packet of this synchronization source, for a session that has nothing else to do at
/// this moment, whose section has this name; returns the packet.
pub(super) fn authenticate(
    rtc: &mut Rtc,
    now: Instant,
    (mid, ssrc): (Mid, u32),
    packet: Receive<'_>,
) -> Option<RtpPacket> {
    // In a section of its own: a report on this stream, due at once, would bring forward the one on that which is followed.
    let own = Mid::from(if *mid == *"trial" { "other" } else { "trial" });
    let mut api = rtc.direct_api();
    api.declare_media(own, MediaKind::Audio);
    api.expect_stream_rx(ssrc.into(), None, own, None).suppress_nack(true);
    let _ = rtc.handle_input(Input::Receive(now, packet));
    rtc.direct_api().remove_media(own);
    let mut found = None;
    for _ in 0..OUTPUTS_MAX {
        match rtc.poll_output() {
            Ok(Output::Event(Event::RtpPacket(packet))) => found = Some(packet),
            Ok(Output::Event(_) | Output::Transmit(_)) => {}
            Ok(Output::Timeout(_)) | Err(_) => break,
        }
    }
    found
}

/// A stream that the library is to know from now on, and no other.
pub(super) struct Following {
    pub(super) mid: Mid,
    pub(super) before: Option<u32>,
    pub(super) ssrc: u32,
}

impl Following {
    /// Tells the library.
    pub(super) fn tell(&self, rtc: &mut Rtc) {
        let mut api = rtc.direct_api();
        if let Some(before) = self.before {
            api.remove_stream_rx(before.into());
        }
        api.expect_stream_rx(self.ssrc.into(), None, self.mid, None).suppress_nack(true);
    }
}
