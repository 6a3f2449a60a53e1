//! What one client is sent: numbered, encrypted and counted in one place, and reported on.
//!
//! Not with the rest of its session, which a packet has nothing to do with: the outlets of all lie side by side. The library
//! has none of their keys, and sends no packet and no report. Reports leave behind packets, every few seconds: of what sends
//! nothing there is nothing to report. Invariant: one outlet, which is its session's for all its life, owns the numbers of
//! what leaves, and lets none leave twice.

use std::time::{Duration, Instant};

use log::trace;
use str0m::media::Mid;

use super::MediaPacket;
use super::egress::Egress;
use super::srtp::{CONTROL_BYTES_MAX, Cipher, ControlCipher, Indexes, Keys};
use super::track::Sending;
use crate::keys::PeerKey;
use crate::wire::rtcp::{self, REPORT_BYTES_MAX, Sender, Sent};
use crate::wire::rtp::Header;

/// The shortest time between two reports, and what is added to it, differently for each client. Those who waited for the
/// same salesperson hear the first packet together, and not the first report (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(4);
const REPORT_SPREAD_MS: u32 = 2000;

/// What leaves to one client.
pub(crate) struct Outlet {
    egress: Egress,
    cipher: Cipher,
    indexes: Indexes,
    ssrc: u32,
    payload_type: u8,
    /// Named in each packet until the client has told that it knows whose they are (RFC 9143 §9.2).
    mid: Option<(u8, Mid)>,
    /// What left, modulo 2^32; bytes are payloads'.
    packets: u32,
    bytes: u32,
    /// When the next report is due, while packets leave.
    reports_at: Option<Instant>,
    reports: Box<Reports>,
}

/// What is needed for reports alone.
struct Reports {
    control: ControlCipher,
    cname: String,
}

impl Outlet {
    /// Returns what nothing has left from; `None` where the cryptography refuses its keys.
    pub(crate) fn new(sending: &Sending, keys: &Keys) -> Option<Outlet> {
        let Sending { kind, ssrc, payload_type, mid, cname, chance } = sending;
        Some(Outlet {
            egress: Egress::new(*kind, *chance),
            cipher: keys.rtp_cipher()?,
            indexes: Indexes::default(),
            ssrc: *ssrc,
            payload_type: *payload_type,
            mid: *mid,
            packets: 0,
            bytes: 0,
            reports_at: None,
            reports: Box::new(Reports { control: keys.control_cipher()?, cname: cname.clone() }),
        })
    }

    /// Makes the next packet begin anew: what was heard until now is over.
    pub(crate) fn cut(&mut self) {
        self.egress.cut();
    }

    /// Gives a publisher's packet its numbers and lets `put` have it encrypted where it leaves from: that is given its length
    /// in bytes, and what writes it there. Tells whether it leaves.
    #[inline]
    pub(crate) fn send(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
        put: impl FnOnce(usize, &dyn Fn(&mut [u8]) -> Option<()>) -> Option<()>,
    ) -> bool {
        let payload = &*packet.payload;
        let Some(numbers) = self.egress.rewrite(now, packet.position, payload) else { return false };
        let index = numbers.sequence;
        if !self.indexes.take(index) {
            return false;
        }
        let header = Header {
            marker: numbers.marker,
            payload_type: self.payload_type,
            sequence: index as u16,
            timestamp: numbers.timestamp,
            ssrc: self.ssrc,
            mid: self.mid.as_ref().map(|(id, mid)| (*id, mid.as_bytes())),
        };
        let length = header.bytes() + payload.len() + self.cipher.tag_bytes();
        let write = |to: &mut [u8]| {
            header.write(to);
            self.cipher.seal((self.ssrc, index), payload, to)
        };
        if put(length, &write).is_none() {
            return false;
        }
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload.len() as u32);
        true
    }

    /// Returns a report on what left, where one is due, and takes it that it leaves too; `unix` is the time since the epoch.
    #[inline]
    pub(crate) fn report_due(&mut self, now: Instant, unix: Duration) -> Option<Vec<u8>> {
        if self.reports_at.is_some_and(|at| now < at) {
            return None;
        }
        let spread = Duration::from_millis(u64::from(self.ssrc % REPORT_SPREAD_MS));
        let is_under_way = self.reports_at.is_some_and(|at| now < at + REPORT_INTERVAL);
        if !is_under_way {
            self.reports_at = Some(now + spread);
            return None;
        }
        self.reports_at = Some(now + REPORT_INTERVAL + spread);
        self.report(now, unix, false)
    }

    /// Returns the last report, which says goodbye.
    pub(crate) fn goodbye(&mut self, now: Instant, unix: Duration) -> Option<Vec<u8>> {
        self.report(now, unix, true)
    }

    fn report(&mut self, now: Instant, unix: Duration, is_leaving: bool) -> Option<Vec<u8>> {
        let (ntp, packets, bytes) = (rtcp::ntp(unix), self.packets, self.bytes);
        let sent = self.egress.timestamp_at(now).map(|timestamp| Sent { ntp, timestamp, packets, bytes });
        let Reports { control, cname } = &mut *self.reports;
        let mut plain = [0; REPORT_BYTES_MAX];
        let length = Sender { ssrc: self.ssrc, cname, sent, is_leaving }.write(&mut plain);
        let mut report = Vec::with_capacity(length + CONTROL_BYTES_MAX);
        report.extend(&plain[..length]);
        control.seal(self.ssrc, &mut report)?;
        Some(report)
    }

    /// Takes what a client reports; `None` where it is not the client's, or was reported before.
    pub(crate) fn hear(&mut self, key: PeerKey, unix: Duration, report: &[u8]) -> Option<()> {
        let mut report = report.to_vec();
        let report = self.reports.control.open(&mut report)?;
        if let Some(reception) = rtcp::receptions(report).find(|reception| reception.ssrc == self.ssrc) {
            self.mid = None;
            let round_trip_ms = reception.round_trip(rtcp::ntp(unix)).map(|round_trip| round_trip.as_millis());
            trace!(
                target: "webrtc",
                "reception peer={key:?} lost={} lost_percent={} jitter_ms={} round_trip_ms={round_trip_ms:?}",
                reception.lost,
                u32::from(reception.fraction_lost) * 100 / 256,
                reception.jitter / (self.egress.kind().clock_hz() / 1000),
            );
        }
        Some(())
    }
}
