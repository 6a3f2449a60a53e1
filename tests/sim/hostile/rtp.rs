//! RTP and RTCP that nobody's session made: from elsewhere, forged, kept and sent again, or at the edge of its numbers.

use std::time::Duration;

use ecoute::words::Role;
use serde_json::json;
use stage::scene::{Scene, is_rtcp, is_rtp, stranger};
use stage::world::{Who, World};
use str0m::media::Direction;

use super::FLOOD_PER_S;

/// Returns the synchronization source of an RTP packet, and its number.
fn source_of(packet: &[u8]) -> ([u8; 4], u16) {
    (packet[8..12].try_into().unwrap(), u16::from_be_bytes(packet[2..4].try_into().unwrap()))
}

/// Returns a packet that looks like the next ones of the same stream, but was made by somebody without its keys.
fn forged(packet: &[u8], ahead: u64) -> Vec<u8> {
    let (_, number) = source_of(packet);
    let mut forged = packet.to_vec();
    forged[2..4].copy_from_slice(&number.wrapping_add(ahead as u16).to_be_bytes());
    *forged.last_mut().unwrap() ^= 0xff;
    forged
}

#[test]
fn packets_from_elsewhere_reach_nobody() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let overheard = scene.overhear(lea, 5000);
    let media: Vec<&Vec<u8>> = overheard.iter().filter(|bytes| is_rtp(bytes) || is_rtcp(bytes)).collect();
    assert!(media.iter().any(|bytes| is_rtcp(bytes)) && media.len() > 200);
    let received = scene.world.server.stats().packets_received;
    for (n, bytes) in media.iter().enumerate() {
        scene.world.inject_from(stranger(n), bytes);
    }
    let stats = scene.world.server.stats();
    assert_eq!((stats.datagrams_unknown_address, stats.packets_received), (media.len() as u64, received));
    assert_eq!(scene.world.sent_to_nobody, 0);
    scene.end();
}

#[test]
fn a_flood_of_bad_tags_under_the_address_of_who_speaks_uses_nothing_of_theirs_up() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let overheard = scene.overhear(lea, 100);
    let packet = overheard.iter().rfind(|bytes| is_rtp(bytes)).unwrap().clone();
    let count = 3 * FLOOD_PER_S;
    // All numbers come by, those of packets that are yet to be made among them.
    scene.flood(3000, count, |world, n| world.inject(lea, &forged(&packet, n)));
    let stats = scene.world.server.stats();
    assert_eq!((stats.packets_unsigned, stats.packets_over_rate, stats.packets_foreign), (count, 0, 0));
    scene.end();
}

#[test]
fn a_flood_of_bad_reports_ends_no_session() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    for who in [lea, paul] {
        let overheard = scene.overhear(who, 10_000);
        let mut report = overheard.iter().rfind(|bytes| is_rtcp(bytes)).expect("clients report").clone();
        *report.last_mut().unwrap() ^= 0xff;
        scene.flood(1000, FLOOD_PER_S, |world, _| world.inject(who, &report));
    }
    let stats = scene.world.server.stats();
    assert_eq!(stats.peers_failed, 0);
    assert!((2 * (FLOOD_PER_S - 200)..2 * FLOOD_PER_S).contains(&stats.control_over_rate), "{stats:?}");
    scene.end();
}

#[test]
fn packets_that_were_kept_are_heard_once() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let overheard = scene.overhear(lea, 2000);
    let kept: Vec<&Vec<u8>> = overheard.iter().filter(|bytes| is_rtp(bytes)).collect();
    for _ in 0..20 {
        for packet in &kept {
            scene.world.inject(lea, packet);
        }
        scene.world.run_ms(1);
    }
    assert_eq!(scene.world.server.stats().packets_unsigned, 20 * kept.len() as u64);
    scene.end();
}

/// Reports are encrypted; a goodbye that is not, or that somebody else encrypted, ends nothing.
#[test]
fn a_forged_goodbye_ends_nothing() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let overheard = scene.overhear(lea, 1000);
    let (ssrc, _) = source_of(overheard.iter().find(|bytes| is_rtp(bytes)).unwrap());
    for who in [lea, paul] {
        let plain = [&[0x81, 203, 0, 1], &ssrc[..]].concat();
        let with_report = [&[0x80, 201, 0, 1], &ssrc[..], &plain].concat();
        // The flag for encryption is set and the index is high; the tag is anything.
        let tagged = [&plain[..], &[7; 16], &[0xff; 4]].concat();
        let unencrypted = [&plain[..], &[7; 16], &[0x7f; 4]].concat();
        for goodbye in [plain, with_report, tagged, unencrypted] {
            for _ in 0..100 {
                scene.world.inject(who, &goodbye);
            }
            scene.world.run_ms(100);
        }
    }
    assert_eq!(scene.world.server.stats().peers_failed, 0);
    assert_eq!(scene.world.server.table_sizes().peers, 5);
    scene.end();
}

#[test]
fn malformed_headers_are_no_packets() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let overheard = scene.overhear(lea, 100);
    let packet = overheard.iter().rfind(|bytes| is_rtp(bytes)).unwrap().clone();
    let (ssrc, number) = source_of(&packet);
    let number = number.wrapping_add(1).to_be_bytes();
    let header =
        |first: u8, rest: &[u8]| [&[first, packet[1]], &number[..], &packet[4..8], &ssrc[..], rest].concat();
    let one_byte = |extension: &[u8]| {
        let words = (extension.len() as u16 / 4).to_be_bytes();
        header(0x90, &[&[0xbe, 0xde], &words[..], extension, &[7; 40]].concat())
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing behind the header", header(0x80, &[])),
        ("a tag too short", header(0x80, &[7; 15])),
        ("sources that are missing", header(0x8f, &[7; 20])),
        ("sources and nothing else", header(0x8f, &[7; 60])),
        ("an extension that is missing", header(0x90, &[])),
        ("an extension cut in its head", header(0x90, &[0xbe, 0xde])),
        ("an extension longer than the packet", header(0x90, &[0xbe, 0xde, 0xff, 0xff, 1, 2, 3, 4])),
        ("an extension of no known form", header(0x90, &[&[0x12, 0x34, 0, 1], &[7; 44][..]].concat())),
        ("two-byte form, cut", header(0x90, &[&[0x10, 0, 0, 1, 0, 0, 0, 9], &[7; 40][..]].concat())),
        ("two-byte form, too long", header(0x90, &[&[0x10, 0, 0, 1, 9, 0xff, 0, 0], &[7; 40][..]].concat())),
        ("an element past the end", one_byte(&[0x1f, 0, 0, 0])),
        ("an element of the reserved id", one_byte(&[0xff, 1, 2, 3])),
        ("an empty section name", one_byte(&[0x10, 0, 0, 0])),
        ("a section name that is no text", one_byte(&[0x13, 0xff, 0xfe, 0xfd, 0xfc, 0, 0, 0])),
        ("a level of no bytes", one_byte(&[0x20, 0, 0, 0])),
        ("nothing but padding elements", one_byte(&[0; 64])),
        ("padding longer than the packet", [&header(0xa0, &[])[..], &[0xff; 40]].concat()),
        ("version 3", header(0xc0, &[7; 40])),
    ];
    for (name, bytes) in &cases {
        for n in 0..50 {
            scene.world.inject(lea, bytes);
            scene.world.inject_from(stranger(n), bytes);
        }
        scene.world.run_ms(20);
        assert_eq!(scene.world.server.stats().peers_failed, 0, "{name}");
    }
    let stats = scene.world.server.stats();
    let refused = stats.packets_unsigned + stats.packets_foreign + stats.datagrams_malformed;
    // What is no version of RTP is malformed wherever it comes from.
    assert_eq!(refused + stats.datagrams_unknown_address, 100 * cases.len() as u64);
    assert_eq!(stats.datagrams_unknown_address, 50 * (cases.len() as u64 - 1));
    scene.end();
}

/// Only what its client has made begins a stream, so nobody gets in between, not even while the microphone is silent; nor
/// does a report leave for each that is tried.
#[test]
fn another_stream_does_not_take_the_place_of_a_silent_one() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    for _ in 0..3 {
        let interval = std::mem::replace(&mut scene.world.browsers[lea].packet_interval, Duration::from_secs(5));
        scene.world.run_ms(1500);
        let forged = scene.world.browsers[lea].forge_packet(7);
        let reports = scene.world.media_sent_to(lea);
        scene.flood(2000, 2 * FLOOD_PER_S, |world, n| {
            let mut forged = forged.clone();
            forged[8..12].copy_from_slice(&(n as u32).to_be_bytes());
            world.inject(lea, &forged);
        });
        assert!(scene.world.media_sent_to(lea) <= reports + 2, "{}", scene.world.media_sent_to(lea) - reports);
        scene.world.browsers[lea].packet_interval = interval;
        scene.world.run_ms(3000);
    }
    let stats = scene.world.server.stats();
    // Zero is no stream's name.
    assert_eq!((stats.packets_foreign, stats.packets_unsigned), (3, 3 * (2 * FLOOD_PER_S - 1)));
    assert_eq!(stats.streams_changed, 0);
    scene.end();
}

/// An encoder may not say which stream it sends. Then the first one that proves to be its own is heard.
#[test]
fn a_stream_that_was_not_announced_is_found_among_forged_ones() {
    let mut scene = Scene::new();
    let paul = scene.world.listener("paul");
    let lea = scene.world.open(Role::Commercial, "lea");
    scene.world.run_ms(500);
    let now = scene.world.now;
    let offer = scene.world.browsers[lea].make_offer(now, Direction::SendOnly);
    assert!(offer.contains("a=ssrc:"));
    let lines = offer.lines().filter(|line| !line.starts_with("a=ssrc"));
    let unannounced: String = lines.map(|line| format!("{line}\r\n")).collect();
    scene.world.browsers[lea].say("start_streaming", json!({ "sdp": unannounced }));
    scene.world.join(paul, "lea");
    while !scene.world.browsers[lea].connected {
        scene.world.run_ms(1);
    }
    // Not a packet of hers arrives in the first half second.
    scene.world.unplug(lea);
    let forged = scene.world.browsers[lea].forge_packet(7);
    scene.flood(500, 5000, |world, n| {
        let mut forged = forged.clone();
        forged[8..12].copy_from_slice(&(n as u32).to_be_bytes());
        world.inject(lea, &forged);
    });
    assert_eq!(scene.world.server.stats().packets_unsigned, 4999, "and one of no stream");
    scene.world.plug(lea);
    scene.world.run_ms(2000);
    scene.hears(paul, lea);
    scene.world.run_ms(2000);
    scene.end();
}

/// The 16 bits of a number are used up after 22 minutes at the latest, those of a timestamp after a day.
#[test]
fn audio_goes_on_where_the_publishers_numbers_wrap() {
    let mut scene = Scene::new();
    let lea = scene.world.publisher("lea");
    let paul = scene.world.listener("paul");
    let ahead = 600;
    scene.world.browsers[lea].sequence = 0x1_0000 - ahead;
    scene.world.browsers[lea].timestamp = 0u32.wrapping_sub(960 * ahead as u32);
    scene.world.settle();
    scene.world.join(paul, "lea");
    scene.world.run_ms(1000);
    scene.hears(paul, lea);
    assert!(scene.world.browsers[lea].sequence < 0x1_0000, "not yet");
    scene.world.run_ms(10_000);
    assert!(scene.world.browsers[lea].sequence > 0x1_0000 + 50, "long since");
    assert_steps(&scene.world, paul, &[960]);
    // Who comes afterwards hears too.
    let ana = scene.world.listener("ana");
    scene.world.settle();
    scene.world.join(ana, "lea");
    scene.world.run_ms(1000);
    scene.hears(ana, lea);
    scene.world.run_ms(1000);
    scene.end();
}

/// Numbers to a listener start low, and each loss of the publisher's network is a step in them.
#[test]
fn audio_goes_on_where_the_numbers_to_a_listener_wrap() {
    const LEAP: u32 = 1 << 28;
    let (mut scene, lea, listeners) = Scene::with_unharmed_lea();
    let last = |world: &World, who: Who| world.browsers[who].heard.last().unwrap().sequence;
    for who in listeners {
        assert!(last(&scene.world, who) < 0x8000);
    }
    while listeners.iter().any(|&who| last(&scene.world, who) < 0x1_0000 - 200) {
        scene.world.browsers[lea].sequence += 80;
        scene.world.run_ms(20);
    }
    for _ in 0..40 {
        let timestamp = &mut scene.world.browsers[lea].timestamp;
        *timestamp = timestamp.wrapping_add(LEAP);
        scene.world.run_ms(20);
    }
    scene.world.run_ms(10_000);
    for who in listeners {
        assert!(last(&scene.world, who) > 0x1_0000 + 50, "{}", last(&scene.world, who));
        assert_steps(&scene.world, who, &[960, 960 + LEAP]);
    }
    scene.end();
}

/// Timestamps are 32 bits, but what a leap with each packet adds up to has no end.
#[test]
fn timestamps_that_leap_with_each_packet_end_nobody() {
    let (mut scene, _, _) = Scene::with_unharmed_lea();
    for eve in ["eve", "mia"] {
        let leap = if eve == "eve" { i32::MAX } else { i32::MIN + 1 };
        let who = scene.world.publisher(eve);
        scene.world.settle();
        for _ in 0..4500 {
            let timestamp = &mut scene.world.browsers[who].timestamp;
            *timestamp = timestamp.wrapping_add_signed(leap);
            scene.world.run_ms(20);
        }
    }
    scene.end();
}

/// Asserts that the timestamps to a listener step by nothing else.
fn assert_steps(world: &World, who: Who, steps: &[u32]) {
    for pair in world.browsers[who].heard.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(steps.contains(&step), "{step}");
    }
}
