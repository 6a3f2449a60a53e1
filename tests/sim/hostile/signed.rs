//! RTP and RTCP that are signed as they must be, by a client that is no page: nobody but itself may feel them.

use std::time::Duration;

use ecoute::words::Role;
use stage::scene::{Scene, is_rtp};
use stage::world::Who;

use super::insider::{self, Insider};

/// Mallory on air, and Eve, who hears her and minds nothing. What Mallory signs is like the packet that she sent last.
struct Plot {
    scene: Scene,
    mallory: Who,
    eve: Who,
    insider: Insider,
    packet: Vec<u8>,
    sequence: u16,
}

impl Plot {
    fn new() -> Plot {
        let (mut scene, _, _) = Scene::with_unharmed_lea();
        let eve = scene.world.listener("eve");
        scene.world.browsers[eve].is_lenient = true;
        let mallory = scene.world.open(Role::Commercial, "mallory");
        let now = scene.world.now;
        let browser = &mut scene.world.browsers[mallory];
        browser.crypto = Some(insider::crypto());
        // What is signed in the first round of the numbers is.
        browser.sequence %= 0x1000;
        browser.start_streaming(now);
        scene.world.settle();
        scene.world.join(eve, "mallory");
        let overheard = scene.overhear(mallory, 10_000);
        let packet = overheard.into_iter().rfind(|bytes| is_rtp(bytes)).unwrap();
        let sequence = u16::from_be_bytes(packet[2..4].try_into().unwrap());
        let insider = Insider::new();
        scene.world.browsers[mallory].packet_interval = Duration::from_secs(10_000);
        scene.world.run_ms(100);
        Plot { scene, mallory, eve, insider, packet, sequence: sequence + 100 }
    }

    /// Returns a packet's header of 12 bytes with another first byte, and of the next number.
    fn header(&mut self, first: u8) -> Vec<u8> {
        self.sequence += 1;
        let number = self.sequence.to_be_bytes();
        [&[first, self.packet[1] & 0x7f], &number[..], &self.packet[4..12]].concat()
    }

    /// Sends a signed packet; tells whether the server took it.
    fn send(&mut self, packet: &[u8], header_len: usize) -> bool {
        let sealed = self.insider.seal_rtp(packet, header_len);
        let received = self.scene.world.server.stats().packets_received;
        self.scene.world.inject(self.mallory, &sealed);
        let is_taken = self.scene.world.server.stats().packets_received > received;
        self.scene.world.run_ms(20);
        is_taken
    }
}

#[test]
fn signed_packets_with_odd_headers_harm_nobody() {
    let mut plot = Plot::new();
    let plain = plot.header(0x80);
    assert!(plot.send(&[&plain[..], &[0xf8; 60]].concat(), 12), "what it signs is good");
    let elements: &[(&str, &[u8])] = &[
        ("an element past the end", &[0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0]),
        ("the reserved id", &[0xbe, 0xde, 0, 1, 0xff, 1, 2, 3]),
        ("an empty section name", &[0xbe, 0xde, 0, 1, 0x40, 0, 0, 0]),
        ("another section", &[0xbe, 0xde, 0, 1, 0x41, b'x', b'y', 0]),
        ("a section name that is no text", &[0xbe, 0xde, 0, 2, 0x43, 0xff, 0xfe, 0xfd, 0xfc, 0, 0, 0]),
        ("the loudest level", &[0xbe, 0xde, 0, 1, 0x10, 0x80, 0, 0]),
        (
            "a level of 16 bytes",
            &[
                0xbe, 0xde, 0, 5, 0x1f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                255, 0, 0, 0,
            ],
        ),
        ("two-byte form", &[0x10, 0, 0, 2, 1, 1, 0x85, 0, 4, 0, 0, 0]),
        ("two-byte form, an empty level", &[0x10, 0, 0, 1, 1, 0, 0, 0]),
        ("two-byte form, past the end", &[0x10, 0, 0, 1, 1, 0xff, 0, 0]),
        ("an unknown form", &[0x12, 0x34, 0, 1, 1, 2, 3, 4]),
        ("no element", &[0xbe, 0xde, 0, 0]),
    ];
    for (name, extension) in elements {
        let header = [&plot.header(0x90)[..], extension].concat();
        let packet = [&header[..], &[0xf8; 60]].concat();
        plot.send(&packet, header.len());
        assert_eq!(plot.scene.world.server.stats().peers_failed, 0, "{name}");
    }
    let sources = [&plot.header(0x8f)[..], &[9; 60]].concat();
    plot.send(&[&sources[..], &[0xf8; 60]].concat(), sources.len());
    for payload in [&[][..], &[0], &[0xff; 1900], &[0xf8, 0], &[0xfb, 0xff, 0xff, 0xff]] {
        let header = plot.header(0x80);
        plot.send(&[&header[..], payload].concat(), 12);
        // The last byte says how much of it is padding.
        let header = plot.header(0xa0);
        plot.send(&[&header[..], payload].concat(), 12);
    }
    for payload_type in [0, 13, 63, 96, 110, 127] {
        let mut header = plot.header(0x80);
        header[1] = payload_type;
        plot.send(&[&header[..], &[0xf8; 60]].concat(), 12);
    }
    assert_eq!(plot.scene.world.server.stats().peers_failed, 0);
    assert!(plot.scene.world.browsers[plot.eve].made > 20, "Eve heard what was sent");
    plot.scene.end();
}

/// What a client signs under another name is its stream where it is audio of the section, whatever else is in the header.
#[test]
fn signed_packets_of_other_streams_are_followed_where_they_are_audio() {
    const AUDIO: &[u8] = &[0xf8; 60];
    let mut plot = Plot::new();
    let packet = |plot: &mut Plot, ssrc: u32, first: u8, edit: &dyn Fn(&mut Vec<u8>), payload: &[u8]| {
        let mut header = plot.header(first);
        header[8..12].copy_from_slice(&ssrc.to_be_bytes());
        edit(&mut header);
        let len = header.len();
        (plot.insider.seal_rtp(&[&header[..], payload].concat(), len), len)
    };
    let taken = |plot: &mut Plot, sealed: &[u8]| {
        let received = plot.scene.world.server.stats().packets_received;
        plot.scene.world.inject(plot.mallory, sealed);
        let is_taken = plot.scene.world.server.stats().packets_received > received;
        plot.scene.world.run_ms(20);
        is_taken
    };
    let plain: &dyn Fn(&mut Vec<u8>) = &|_| {};
    let of_type = |payload_type: u8| move |header: &mut Vec<u8>| header[1] = payload_type;
    let with = |extension: &'static [u8]| move |header: &mut Vec<u8>| header.extend(extension);
    let cases: &[(&str, u32, u8, &dyn Fn(&mut Vec<u8>), &[u8], bool)] = &[
        ("another name", 1, 0x80, plain, AUDIO, true),
        ("of other sources", 1, 0x8f, &with(&[9; 60]), AUDIO, true),
        ("padded", 1, 0xa0, plain, &[&AUDIO[1..], &[4]].concat(), true),
        ("of another section", 2, 0x90, &with(&[0xbe, 0xde, 0, 1, 0x41, b'x', b'y', 0]), AUDIO, false),
        ("that one without a section, while the other is there", 2, 0x80, plain, AUDIO, false),
        (
            "of the one that is there, of another section",
            1,
            0x90,
            &with(&[0xbe, 0xde, 0, 1, 0x41, b'x', b'y', 0]),
            AUDIO,
            false,
        ),
        ("and then of it", 1, 0x80, plain, AUDIO, true),
        ("padding alone", 3, 0xa0, plain, &[0, 0, 0, 4], false),
        ("a probe of the network", 0, 0x80, plain, AUDIO, false),
        ("comfort noise", 4, 0x80, &of_type(13), AUDIO, false),
        ("an event", 4, 0x80, &of_type(126), AUDIO, false),
        ("redundant audio", 4, 0x80, &of_type(63), AUDIO, false),
        ("video", 4, 0x80, &of_type(96), AUDIO, false),
        ("with padding and two sources", 4, 0xa2, &with(&[9; 8]), &[&AUDIO[1..], &[4]].concat(), true),
        ("two-byte form", 5, 0x90, &with(&[0x10, 0, 0, 2, 1, 1, 0x85, 0, 9, 0, 0, 0]), AUDIO, true),
        ("unknown elements", 6, 0x90, &with(&[0xbe, 0xde, 0, 1, 0xe0, 7, 0, 0]), AUDIO, true),
        ("no element", 7, 0x90, &with(&[0xbe, 0xde, 0, 0]), AUDIO, true),
        ("the one before", 6, 0x80, plain, AUDIO, false),
    ];
    for (name, ssrc, first, edit, payload, want) in cases {
        let (sealed, _) = packet(&mut plot, *ssrc, *first, edit, payload);
        assert_eq!(taken(&mut plot, &sealed), *want, "{name}");
        assert!(!taken(&mut plot, &sealed), "{name}, again");
    }
    // What was kept of a stream that was left brings it back no more than it repeats what is there.
    let (kept, _) = packet(&mut plot, 8, 0x80, plain, AUDIO);
    assert!(taken(&mut plot, &kept));
    let (other, _) = packet(&mut plot, 9, 0x80, plain, AUDIO);
    assert!(taken(&mut plot, &other));
    plot.scene.world.run_ms(1500);
    assert!(!taken(&mut plot, &kept) && !taken(&mut plot, &other));
    let (next, _) = packet(&mut plot, 8, 0x80, plain, AUDIO);
    assert!(taken(&mut plot, &next), "it is silent");
    assert_eq!(plot.scene.world.server.stats().peers_failed, 0);
    plot.scene.end();
}

/// Numbers and times that leap about wildly: listeners elsewhere hear nothing of it, and Eve's numbers stay in order.
#[test]
fn signed_packets_that_leap_harm_nobody() {
    let mut plot = Plot::new();
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        plot.sequence = plot.sequence.wrapping_add(chance.u16(..2000)) % 0x7000;
        let mut header = plot.header(0x80);
        header[4..8].copy_from_slice(&chance.u32(..).to_be_bytes());
        header[1] |= 0x80 * chance.u8(..2);
        plot.send(&[&header[..], &[0xf8; 60]].concat(), 12);
    }
    assert_eq!(plot.scene.world.server.stats().peers_failed, 0);
    plot.scene.end();
}

/// Returns reports of a client with this source, about another one.
fn reports(ssrc: &[u8], about: &[u8]) -> Vec<Vec<u8>> {
    let report = |kind: u8, count: u8, body: &[u8]| {
        let words = (1 + body.len() / 4) as u16;
        [&[0x80 | count, kind], &words.to_be_bytes()[..], ssrc, body].concat()
    };
    let lying = |words: u16, kind: u8| [&[0x81, kind], &words.to_be_bytes()[..], ssrc, &[0xff; 24]].concat();
    let missed = [about, &[0xff; 1700]].concat();
    let mut reports = vec![
        report(205, 1, &missed),
        report(206, 1, about),
        report(200, 0, &[0; 20]),
        report(200, 0, &[0xff; 20]),
        report(200, 31, &[0xff; 20]),
        report(200, 31, &[0xff; 20 + 31 * 24]),
        report(201, 0, &[]),
        report(201, 31, &[0; 31 * 24]),
        report(202, 1, &[1, 255, 0, 0]),
        report(202, 31, &[0; 8]),
        report(203, 0, &[]),
        report(203, 1, &[255, b'x', b'x', b'x']),
        report(203, 31, &[7; 30 * 4]),
        report(204, 5, b"nameabcd"),
        report(205, 1, &[0xff; 1800]),
        report(205, 15, &[0xff; 800]),
        report(205, 15, &[0; 16]),
        report(206, 1, &[0; 4]),
        report(206, 4, &[0xff; 400]),
        report(206, 15, b"xxxxREMB\xff\xff\xff\xff"),
        report(207, 0, &[4, 0, 0, 2].repeat(400)),
        report(207, 0, &[5, 0, 0xff, 0xff, 1, 2, 3, 4]),
        report(223, 31, &[0xff; 40]),
        report(192, 0, &[]),
    ];
    reports.extend(
        [0, 2, 100, u16::MAX]
            .into_iter()
            .flat_map(|words| (200..208).map(move |kind| (words, kind)))
            .map(|(words, kind)| lying(words, kind)),
    );
    let compound: Vec<u8> = reports.iter().filter(|report| report.len() < 60).flatten().copied().collect();
    reports.push(compound[..compound.len().min(1900)].to_vec());
    reports
}

#[test]
fn signed_reports_of_a_publisher_harm_nobody() {
    let mut plot = Plot::new();
    let ssrc = plot.packet[8..12].to_vec();
    for (index, report) in reports(&ssrc, &ssrc).iter().enumerate() {
        let sealed = plot.insider.seal_rtcp(report, 10_000 + index as u32);
        plot.scene.world.inject(plot.mallory, &sealed);
        plot.scene.world.run_ms(20);
        assert_eq!(plot.scene.world.server.stats().peers_failed, 0, "{report:02x?}");
    }
    assert_eq!(plot.scene.world.server.stats().control_over_rate, 0, "all were read");
    plot.scene.end();
}

/// Somebody who listens asks for everything again, all the time.
#[test]
fn signed_reports_of_a_listener_harm_nobody_and_bring_nothing_twice() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let eve = scene.world.open(Role::Admin, "eve");
    let now = scene.world.now;
    scene.world.browsers[eve].crypto = Some(insider::crypto());
    scene.world.browsers[eve].open_audio(now);
    scene.world.settle();
    scene.world.join(eve, "lea");
    scene.world.run_ms(11_000);
    let insider = Insider::new();
    let answer = scene.world.browsers[eve].messages_of("audio_ready").last().unwrap()["sdp"].to_string();
    let (_, source) = answer.split_once("a=ssrc:").unwrap();
    let source: u32 = source.split(' ').next().unwrap().parse().unwrap();
    let (made, sent) = (scene.world.browsers[lea].made, scene.world.media_sent_to(eve));
    for (index, report) in reports(&7u32.to_be_bytes(), &source.to_be_bytes()).iter().enumerate() {
        let sealed = insider.seal_rtcp(report, 10_000 + index as u32);
        scene.world.inject(eve, &sealed);
        scene.world.run_ms(20);
        assert_eq!(scene.world.server.stats().peers_failed, 0, "{report:02x?}");
    }
    let (made, sent) = (scene.world.browsers[lea].made - made, scene.world.media_sent_to(eve) - sent);
    assert!(sent.abs_diff(made as usize) <= 1, "{sent} sent of {made}");
    scene.end();
}
