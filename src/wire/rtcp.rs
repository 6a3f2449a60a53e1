//! Writes what a sender of one stream reports, and reads what its receiver says of it (RFC 3550 §6).
//!
//! Before encryption and after it. What is read has passed its authentication, and is read as if it had not.

use std::time::Duration;

/// The longest round trip that is believed.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(30);

/// Between the epochs of NTP and Unix.
const SECONDS_TO_1970: u64 = 2_208_988_800;

/// The first packet's first eight bytes stay plain when it is encrypted (RFC 3711 §3.4).
pub const HEADER_BYTES: usize = 8;

/// The longest name of a sender that is written, in bytes; the length of one is a byte (RFC 3550 §6.5).
pub const CNAME_BYTES_MAX: usize = 64;

/// The most that [`Sender::write`] writes, in bytes: a report, a description and a goodbye.
pub const REPORT_BYTES_MAX: usize = 28 + (4 + 4 + 2 + CNAME_BYTES_MAX + 4) + 8;

/// Packet types (RFC 3550 §12.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// The item of a description that names its source (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

/// Lengths in bytes of a report before its blocks, and of a block.
const SENDER_INFO_BYTES: usize = 28;
const RECEIVER_INFO_BYTES: usize = 8;
const BLOCK_BYTES: usize = 24;

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender<'a> {
    pub ssrc: u32,
    /// The same for all streams of one server's session, as its description names it.
    pub cname: &'a str,
    /// What it has sent, once it has.
    pub sent: Option<Sent>,
    /// It is leaving.
    pub is_leaving: bool,
}

/// How far a stream is (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Seconds since 1900 and, in the lower half, 2^-32 of them.
    pub ntp: u64,
    /// The same moment, in ticks of the stream.
    pub timestamp: u32,
    pub packets: u32,
    /// Of payloads alone.
    pub bytes: u32,
}

impl Sender<'_> {
    /// Writes a compound packet: a report, a description, and a goodbye where it is leaving. Returns its length in bytes.
    pub fn write(&self, out: &mut [u8; REPORT_BYTES_MAX]) -> usize {
        let mut writer = Writer { out, len: 0 };
        match self.sent {
            Some(Sent { ntp, timestamp, packets, bytes }) => {
                writer.header(0, SENDER_REPORT, SENDER_INFO_BYTES);
                writer.put(&self.ssrc.to_be_bytes());
                writer.put(&ntp.to_be_bytes());
                [timestamp, packets, bytes].iter().for_each(|word| writer.put(&word.to_be_bytes()));
            }
            None => {
                writer.header(0, RECEIVER_REPORT, RECEIVER_INFO_BYTES);
                writer.put(&self.ssrc.to_be_bytes());
            }
        }
        let cname = &self.cname.as_bytes()[..self.cname.len().min(CNAME_BYTES_MAX)];
        // At least one zero ends the list of items.
        let items = (2 + cname.len() + 1).next_multiple_of(4);
        writer.header(1, DESCRIPTION, 8 + items);
        writer.put(&self.ssrc.to_be_bytes());
        writer.put(&[CNAME, cname.len() as u8]);
        writer.put(cname);
        (2 + cname.len()..items).for_each(|_| writer.put(&[0]));
        if self.is_leaving {
            writer.header(1, GOODBYE, 8);
            writer.put(&self.ssrc.to_be_bytes());
        }
        writer.len
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Begins a packet of so many bytes, the header included.
    fn header(&mut self, count: u8, kind: u8, bytes: usize) {
        let words = (bytes / 4 - 1) as u16;
        self.put(&[2 << 6 | count, kind]);
        self.put(&words.to_be_bytes());
    }
}

/// Returns the NTP time of this time since 1970: seconds since 1900 and, in the lower half, 2^-32 of them (RFC 3550 §4).
pub fn ntp(unix: Duration) -> u64 {
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    (unix.as_secs() + SECONDS_TO_1970) << 32 | fraction
}

/// What a receiver says of one stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    pub ssrc: u32,
    /// Of what was sent since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Since the beginning; negative where packets came twice.
    pub lost: i32,
    /// In ticks of the stream.
    pub jitter: u32,
    /// The middle of the NTP time in the last sender report that it got, and how long that was before this report, in
    /// 2^-16 s; zero and zero where it got none.
    pub last_report: u32,
    pub delay: u32,
}

impl Reception {
    /// Returns how long the way there and back takes, where the report came at this NTP time; `None` where that can't be
    /// known, or can't be true.
    pub fn round_trip(&self, ntp: u64) -> Option<Duration> {
        let passed = ((ntp >> 16) as u32).wrapping_sub(self.last_report);
        let units = passed.checked_sub(self.delay)?;
        let round_trip = Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16);
        // Longer than that no way is: the clock was set, or the report is made up.
        (self.last_report != 0 && round_trip < ROUND_TRIP_MAX).then_some(round_trip)
    }
}

/// Yields what all reports in a compound packet say of streams, up to its end or to what can't be read.
pub fn receptions(mut compound: &[u8]) -> impl Iterator<Item = Reception> + '_ {
    std::iter::from_fn(move || {
        let (packet, rest) = split_packet(compound)?;
        compound = rest;
        Some(packet)
    })
    .flat_map(blocks)
    .filter_map(read_block)
}

/// Splits the first packet off, with its header, if it is whole.
fn split_packet(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[first, _, high, low, ..] = compound else { return None };
    let bytes = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
    if first >> 6 == 2 { compound.split_at_checked(bytes) } else { None }
}

/// Yields the blocks of a report; none of anything else.
fn blocks(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let before = match packet[1] {
        SENDER_REPORT => SENDER_INFO_BYTES,
        RECEIVER_REPORT => RECEIVER_INFO_BYTES,
        _ => packet.len(),
    };
    let count = usize::from(packet[0] & 0x1f);
    packet.get(before..).unwrap_or_default().chunks_exact(BLOCK_BYTES).take(count)
}

fn read_block(block: &[u8]) -> Option<Reception> {
    let word = |index: usize| Some(u32::from_be_bytes(block.get(4 * index..4 * index + 4)?.try_into().ok()?));
    let losses = word(1)?;
    Some(Reception {
        ssrc: word(0)?,
        fraction_lost: (losses >> 24) as u8,
        // Of 24 bits, with a sign.
        lost: (losses << 8).cast_signed() >> 8,
        jitter: word(3)?,
        last_report: word(4)?,
        delay: word(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender<'_> = Sender {
        ssrc: 0x0102_0304,
        cname: "abc",
        sent: Some(Sent { ntp: 0x1112_1314_2122_2324, timestamp: 5, packets: 6, bytes: 7 }),
        is_leaving: false,
    };

    fn written(sender: Sender<'_>) -> Vec<u8> {
        let mut out = [0; REPORT_BYTES_MAX];
        let len = sender.write(&mut out);
        out[..len].to_vec()
    }

    #[test]
    fn writes_a_report_a_description_and_a_goodbye() {
        let report = [
            &[0x80, 200, 0, 6, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24][..],
            &[0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7],
        ]
        .concat();
        let description = [0x81, 202, 0, 3, 1, 2, 3, 4, 1, 3, b'a', b'b', b'c', 0, 0, 0];
        let goodbye = [0x81, 203, 0, 1, 1, 2, 3, 4];
        for (name, sender, want) in [
            ("a report", SENDER, [&report[..], &description].concat()),
            ("nothing was sent", Sender { sent: None, ..SENDER }, {
                [&[0x80, 201, 0, 1, 1, 2, 3, 4][..], &description].concat()
            }),
            ("the end", Sender { is_leaving: true, ..SENDER }, [&report[..], &description, &goodbye].concat()),
        ] {
            assert_eq!(written(sender), want, "{name}");
        }
        let (long, cname) = ("é".repeat(100), "n".repeat(CNAME_BYTES_MAX - 3));
        for cname in ["", "a", "ab", "abcd", &cname, &long] {
            let whole = written(Sender { cname, is_leaving: true, ..SENDER });
            assert!(whole.len().is_multiple_of(4) && whole.len() <= REPORT_BYTES_MAX, "{cname}");
            let mut rest = &whole[..];
            let kinds: Vec<u8> = std::iter::from_fn(|| {
                let (packet, after) = split_packet(rest)?;
                rest = after;
                Some(packet[1])
            })
            .collect();
            assert_eq!((kinds, rest), (vec![200, 202, 203], &[][..]), "{cname}");
        }
    }

    #[test]
    fn ntp_counts_from_1900() {
        // RFC 868.
        assert_eq!(ntp(Duration::ZERO), 2_208_988_800 << 32);
        assert_eq!(ntp(Duration::from_millis(1500)), 2_208_988_801 << 32 | 1 << 31);
    }

    #[test]
    fn reads_what_receivers_say() {
        let block = |ssrc: u8, losses: [u8; 4]| {
            [&[0, 0, 0, ssrc][..], &losses, &[0, 0, 0, 9, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0x80, 0]].concat()
        };
        let (one, two) = (block(7, [64, 0, 0, 5]), block(8, [0, 0xff, 0xff, 0xfe]));
        let receiver = [&[0x81, 201, 0, 7, 0, 0, 0, 1][..], &one].concat();
        let sender = [&[0x82, 200, 0, 18][..], &[0; 24], &one, &two].concat();
        let (of_one, of_two) = (
            Reception { ssrc: 7, fraction_lost: 64, lost: 5, jitter: 3, last_report: 0x1_0000, delay: 0x8000 },
            Reception { ssrc: 8, fraction_lost: 0, lost: -2, jitter: 3, last_report: 0x1_0000, delay: 0x8000 },
        );
        let cases: &[(&str, Vec<u8>, &[Reception])] = &[
            ("nothing", vec![], &[]),
            ("of one", receiver.clone(), &[of_one]),
            ("of two, by who sends too", sender.clone(), &[of_one, of_two]),
            (
                "one behind the other",
                [&sender[..], &written(SENDER), &receiver].concat(),
                &[of_one, of_two, of_one],
            ),
            ("of another version", [&[0x41], &receiver[1..]].concat(), &[]),
            ("cut", receiver[..31].to_vec(), &[]),
            ("more blocks are named than there are", [&[0x9f], &receiver[1..]].concat(), &[of_one]),
            ("none is named", [&[0x80], &receiver[1..]].concat(), &[]),
            ("shorter than a report", vec![0x81, 201, 0, 0], &[]),
            ("what follows is cut", [&receiver[..], &sender[..50]].concat(), &[of_one]),
        ];
        for (name, compound, want) in cases {
            assert_eq!(receptions(compound).collect::<Vec<_>>(), *want, "{name}");
        }
    }

    #[test]
    fn a_round_trip_is_what_passed_without_the_delay() {
        let reception =
            |last_report, delay| Reception { ssrc: 1, fraction_lost: 0, lost: 0, jitter: 0, last_report, delay };
        // RFC 3550 §6.4.1, figure 2.
        for (name, last_report, delay, ntp, want) in [
            ("of the RFC", 0xb705_2000, 0x0005_4000, 0xb710_8000_u64 << 16, Some(Duration::from_millis(6125))),
            ("no report was got", 0, 0, 0xb710_8000 << 16, None),
            ("longer than it is", 0xb705_2000, 0x000c_0000, 0xb710_8000 << 16, None),
            ("far too long", 0xb605_2000, 0, 0xb710_8000 << 16, None),
        ] {
            assert_eq!(reception(last_report, delay).round_trip(ntp), want, "{name}");
        }
    }
}
