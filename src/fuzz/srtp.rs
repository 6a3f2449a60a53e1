//! What one client is sent and reports, in any order of packets, switches, waits and reports.
//!
//! Invariant: it decrypts to the payloads and the numbers of a model, no index is used twice, and of what reports to us only
//! the client's own counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::KeyData;
use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};

use super::bytes::Choices;
use crate::keys::PeerKey;
use crate::peer::egress::{Egress, Position, Rewritten, Source};
use crate::peer::srtp::{Cipher, ControlCipher, Keys};
use crate::peer::track::Sending;
use crate::peer::{MediaPacket, Outlet};
use crate::wire::media::MediaKind;
use crate::wire::rtcp::{self, REPORT_BYTES_MAX, Reception, Sender};
use crate::wire::rtp::{self, Media};

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AES128_CM_SHA1_80];

const SSRC: u32 = 0x0a0b_0c0d;
/// Packets that are later than so many may be taken for ones that left already.
const LATE_MAX: u64 = 128;
/// A day in this century.
const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// What an outlet sends is what a model says, over a list of operations.
pub fn srtp(start: Instant, bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut client = Client::new(start, &mut choices);
    let mut newest = [0_u64; 2];
    while !choices.is_empty() {
        let operation = choices.u8();
        let of = operation >> 7;
        match operation & 7 {
            0 => client.cut(),
            1 => client.now += Duration::from_millis(u64::from(choices.u16())),
            2 => client.report(&mut choices),
            3 => client.hear_anything(choices.slice(usize::from(operation >> 3))),
            _ => {
                let newest = &mut newest[usize::from(of)];
                let sequence = match operation & 3 {
                    0 | 1 => *newest + 1,
                    // As fast through the numbers as goes without a restart.
                    2 => *newest + u64::from(choices.u8() % 101),
                    _ => newest.saturating_sub(u64::from(choices.u8())),
                };
                *newest = sequence.max(*newest);
                client.send((u32::from(of), sequence), choices.slice(usize::from(operation >> 3 & 15)));
            }
        }
    }
}

/// A client, and the outlet that sends to it.
struct Client {
    outlet: Outlet,
    cipher: Cipher,
    control: ControlCipher,
    now: Instant,
    start: Instant,
    model: Egress,
    sent: BTreeSet<u64>,
    payload_bytes: u32,
    mid: Option<&'static str>,
    /// Whose reports it has made, the last one last.
    reports: Vec<Vec<u8>>,
}

impl Client {
    fn new(now: Instant, choices: &mut Choices<'_>) -> Client {
        let profile = PROFILES[usize::from(choices.u8()) % 3];
        let mut state = choices.u64() | 1;
        let material: Vec<u8> = (0..profile.keying_material_len())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let material = KeyingMaterial::new(&material);
        let [ours, clients] = [true, false].map(|is_client| {
            Keys::new(&material, profile, is_client).expect("the material is as long as its profile needs")
        });
        let (kind, chance) = (MediaKind::Audio, choices.u64());
        let mid = [None, Some("0"), Some("audio")][usize::from(choices.u8()) % 3];
        let sending = Sending {
            kind,
            ssrc: SSRC,
            payload_type: 111,
            mid: mid.map(|mid| (1, mid.into())),
            cname: "a name".to_owned(),
            chance,
        };
        Client {
            outlet: Outlet::new(&sending, &ours).expect("its keys are good"),
            cipher: ours.rtp_cipher().expect("its keys are good"),
            control: clients.control_cipher().expect("its keys are good"),
            now,
            start: now,
            model: Egress::new(kind, chance),
            sent: BTreeSet::new(),
            payload_bytes: 0,
            mid,
            reports: Vec::new(),
        }
    }

    fn cut(&mut self) {
        self.outlet.cut();
        self.model.cut();
    }

    fn unix(&self) -> Duration {
        UNIX + (self.now - self.start)
    }

    fn send(&mut self, (source, sequence): (u32, u64), payload: &[u8]) {
        let source: Source = (PeerKey::from(KeyData::from_ffi(1 << 32 | 1)), source);
        let timestamp = (sequence as u32).wrapping_mul(960);
        let position = Position { source, sequence, timestamp, marker: payload.len() == 1 };
        let packet = MediaPacket { kind: MediaKind::Audio, position, level: None, payload: Arc::from(payload) };
        let mut datagram = None;
        let has_left = self.outlet.send(self.now, &packet, |length, write| {
            let mut bytes = vec![0; length];
            write(&mut bytes)?;
            datagram = Some(bytes);
            Some(())
        });
        let newest = self.sent.last().copied().unwrap_or_default();
        let numbers = self.model.rewrite(self.now, position, payload);
        let numbers = numbers.filter(|numbers| newest < numbers.sequence + LATE_MAX);
        // The library, whose packets these are, lets none through twice.
        let numbers = numbers.filter(|numbers| !self.sent.contains(&numbers.sequence));
        assert_eq!(has_left, numbers.is_some(), "{position:?}");
        let Some((mut datagram, numbers)) = datagram.zip(numbers) else { return };
        self.check(&mut datagram, numbers, payload);
        assert!(self.sent.insert(numbers.sequence));
        self.payload_bytes = self.payload_bytes.wrapping_add(payload.len() as u32);
        if let Some(mut report) = self.outlet.report_due(self.now, self.unix()) {
            self.check_report(&mut report);
        }
    }

    fn check(&self, datagram: &mut [u8], numbers: Rewritten, payload: &[u8]) {
        assert_eq!(rtp::parse_media(datagram), Ok(Media::Rtp { ssrc: SSRC, payload_type: 111 }));
        let Rewritten { sequence, timestamp, marker } = numbers;
        assert_eq!(datagram[1] >> 7 == 1, marker);
        assert_eq!(datagram[2..4], (sequence as u16).to_be_bytes());
        assert_eq!(datagram[4..8], timestamp.to_be_bytes());
        let extension = datagram[0] >> 4 & 1 == 1;
        assert_eq!(extension, self.mid.is_some());
        let mut header_bytes = rtp::HEADER_BYTES;
        if let Some(mid) = self.mid {
            let words = usize::from(u16::from_be_bytes([datagram[14], datagram[15]]));
            assert_eq!(datagram[16..17 + mid.len()], [&[0x10 | (mid.len() as u8 - 1)], mid.as_bytes()].concat());
            header_bytes += 4 + 4 * words;
        }
        assert_eq!(self.cipher.open((SSRC, sequence), header_bytes, datagram), Some(payload));
    }

    fn check_report(&mut self, report: &mut [u8]) {
        let plain = self.control.open(report).expect("it is for this client");
        assert_eq!((plain[1], plain[4..8].to_vec()), (200, SSRC.to_be_bytes().to_vec()));
        let word = |index: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| plain[4 * index + byte]));
        assert_eq!(u64::from(word(2)) << 32 | u64::from(word(3)), rtcp::ntp(UNIX + (self.now - self.start)));
        assert_eq!(Some(word(4)), self.model.timestamp_at(self.now));
        assert_eq!((word(5), word(6)), (self.sent.len() as u32, self.payload_bytes));
    }

    /// The client reports, on this stream or on another one; what somebody else makes of that counts for nothing.
    fn report(&mut self, choices: &mut Choices<'_>) {
        let (about, at, bit) = (SSRC ^ u32::from(choices.u8() & 1), choices.u8(), choices.u8() % 8);
        let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        report.extend(about.to_be_bytes());
        report.extend([0; 20]);
        let of_stream = Reception { ssrc: about, fraction_lost: 0, lost: 0, jitter: 0, last_report: 0, delay: 0 };
        assert_eq!(rtcp::receptions(&report).collect::<Vec<_>>(), [of_stream]);
        self.control.seal(1, &mut report).expect("there were few");
        let mut broken = report.clone();
        let at = usize::from(at) % broken.len();
        broken[at] ^= 1 << bit;
        self.hear_nothing(&broken);
        self.hear_nothing(&report[..at]);
        let key = PeerKey::default();
        assert_eq!(self.outlet.hear(key, self.unix(), &report), Some(()));
        self.reports.push(report);
        if about == SSRC {
            self.mid = None;
        }
        for report in self.reports.clone() {
            self.hear_nothing(&report);
        }
        let kept = self.reports.len().saturating_sub(2);
        self.reports.drain(..kept);
    }

    fn hear_nothing(&mut self, report: &[u8]) {
        assert_eq!(self.outlet.hear(PeerKey::default(), self.unix(), report), None);
    }

    /// Bytes of anybody are no report, and are read as one all the same.
    fn hear_anything(&mut self, bytes: &[u8]) {
        self.hear_nothing(bytes);
        rtcp(bytes);
    }
}

/// Reports in a compound packet are bounded by its length, and what is cut off takes away none of those before it.
pub fn rtcp(compound: &[u8]) {
    let all: Vec<Reception> = rtcp::receptions(compound).collect();
    assert!(24 * all.len() <= compound.len());
    for cut in 0..compound.len() {
        let before: Vec<Reception> = rtcp::receptions(&compound[..cut]).collect();
        assert!(all.starts_with(&before), "cut to {cut}");
    }
    for reception in all {
        let round_trip = reception.round_trip(u64::from(reception.delay) << 16);
        assert!(round_trip.is_none_or(|round_trip| round_trip < Duration::from_secs(30)));
    }
    // What we write is read as what it is: nothing about anybody else.
    let name = String::from_utf8_lossy(compound);
    let sender = Sender { ssrc: compound.len() as u32, cname: &name, sent: None, is_leaving: true };
    let mut out = [0; REPORT_BYTES_MAX];
    let length = sender.write(&mut out);
    assert_eq!(rtcp::receptions(&out[..length]).count(), 0);
}
