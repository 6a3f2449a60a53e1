//! What leaves for one listener: decrypted by a library that has no part in encrypting it, and reported on.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use stage::link::Quality;
use stage::scenario::{assert_hears, heard, scenario};
use stage::scene::is_rtp;
use stage::world::{Who, World};

/// How many numbers a microphone leaves out before each of its packets: as many as are loss and no restart.
const LEFT_OUT: u64 = 99;
/// A number that has 16 bits begins again after so many.
const ROLLOVER: u64 = 1 << 16;

/// Lets a microphone run through its numbers for so long.
fn race(world: &mut World, publisher: Who, ms: u64) {
    for _ in 0..ms / 20 {
        world.browsers[publisher].sequence += LEFT_OUT;
        world.run_ms(20);
    }
}

/// Law 7 over a rollover: the listener's library guesses the upper half of each number, and decrypts by it.
#[test]
fn numbers_that_begin_again_are_heard_on() {
    for is_page in [true, false] {
        let mut world = World::new(1, Quality::PERFECT);
        let (lea, paul) = match is_page {
            true => heard(&mut world),
            false => {
                let door = world.device("door");
                let paul = world.player("paul", "door");
                world.settle();
                world.run_ms(2000);
                (door, paul)
            }
        };
        let first = world.browsers[paul].heard[0].sequence;
        assert!(first < ROLLOVER / 2);
        let (before, made) = (world.browsers[paul].heard.len(), world.browsers[lea].made);
        race(&mut world, lea, 30_000);
        let heard = &world.browsers[paul].heard[before..];
        assert_eq!(heard.len() as u32, world.browsers[lea].made - made, "page: {is_page}");
        let last = heard.last().unwrap().sequence;
        assert!((2 * ROLLOVER..4 * ROLLOVER).contains(&last), "page: {is_page}: {last}");
        for pair in heard.windows(2) {
            assert_eq!(pair[1].sequence - pair[0].sequence, LEFT_OUT + 1, "page: {is_page}");
        }
        world.end();
    }
}

/// Neither a switch nor a restart of ICE begins a stream anew: one number never stands for two packets.
#[test]
fn numbers_go_on_over_rollovers_switches_and_restarts() {
    scenario(|world| {
        let [door, hall] = ["door", "hall"].map(|id| world.device(id));
        let paul = world.listener("paul");
        world.settle();
        for (device, id) in [(door, "door"), (hall, "hall"), (door, "door"), (hall, "hall")] {
            world.join(paul, id);
            world.run_ms(2000);
            race(world, device, 5000);
            world.browsers[paul].restart_ice();
            world.run_ms(2000);
            race(world, device, 5000);
            world.run_ms(1000);
            assert_hears(world, paul, device, 1000, 75);
        }
        let heard = &world.browsers[paul].heard;
        let streams: BTreeSet<u32> = heard.iter().map(|heard| heard.ssrc).collect();
        assert_eq!(streams.len(), 1, "one stream");
        assert!(heard.iter().map(|heard| heard.sequence).max() > Some(2 * ROLLOVER));
    });
}

#[test]
fn a_listener_is_told_how_far_its_stream_is() {
    let mut world = World::new(1, Quality::PERFECT);
    let (_, paul) = heard(&mut world);
    world.run_ms(10_000);
    let browser = &world.browsers[paul];
    let (reported, heard) = (browser.reported.expect("there was a report"), &browser.heard);
    // A report leaves behind a packet, the first of which is its occasion.
    let count = reported.sender_packet_count as usize;
    assert!((200..heard.len()).contains(&count), "{count} of {}", heard.len());
    assert_eq!(reported.sender_octet_count as usize, 80 * count);
    assert_eq!(reported.rtp_time.numer() as u32, heard[count - 1].timestamp);
    let since = reported.ntp_time.duration_since(UNIX_EPOCH).unwrap();
    let left = Duration::from_secs(world.unix_s()) - (world.now - heard[count - 1].at);
    assert!(since.abs_diff(left) < Duration::from_millis(1100), "{since:?}, {left:?}");
    world.end();
}

/// Who reports on a stream knows which section it is of: its packets do not name it any more (RFC 9143 §9.2).
#[test]
fn a_packet_names_its_section_until_the_listener_knows_it() {
    let mut world = World::new(1, Quality::PERFECT);
    heard(&mut world);
    let [deaf, ana] = ["deaf", "ana"].map(|id| world.listener(id));
    world.settle();
    world.deafen(deaf);
    for who in [deaf, ana] {
        world.join(who, "lea");
    }
    world.run_ms(10_000);
    world.deafen(ana);
    world.run_ms(1000);
    for (who, extension_bytes) in [(deaf, 8), (ana, 0)] {
        let sent = world.take_sent_to(who);
        let packets: Vec<&Vec<u8>> = sent.iter().filter(|sent| is_rtp(sent)).collect();
        assert!(packets.len() > 40);
        for packet in packets {
            assert_eq!(packet[0] >> 4 & 1 == 1, extension_bytes > 0);
            assert_eq!(packet.len(), 12 + extension_bytes + 80 + 16, "a header, a payload and a tag");
        }
    }
    world.end();
}

/// Those who heard together after a pause, or from the beginning, do not report together: somebody else's packet would wait.
#[test]
fn listeners_of_one_salesperson_are_told_at_different_times() {
    let mut world = World::new(1, Quality::PERFECT);
    let lea = world.publisher("lea");
    let all: Vec<Who> = (0..40).map(|n| world.listener(&format!("admin{n}"))).collect();
    world.settle();
    for &who in &all {
        world.deafen(who);
        world.join(who, "lea");
    }
    world.run_ms(3000);
    let reports_at_once = |world: &mut World| {
        all.iter().for_each(|&who| drop(world.take_sent_to(who)));
        let mut most = 0;
        for _ in 0..150 {
            world.run_ms(20);
            let sent = all.iter().flat_map(|&who| world.take_sent_to(who)).collect::<Vec<_>>();
            most = most.max(sent.iter().filter(|sent| sent[..2] == [0x80, 200]).count());
        }
        most
    };
    let most = reports_at_once(&mut world);
    assert!((1..10).contains(&most), "{most} of 40 in 20 ms");
    world.browsers[lea].say("pause_streaming", serde_json::json!({}));
    world.run_ms(12_000);
    world.browsers[lea].say("resume_streaming", serde_json::json!({}));
    let most = reports_at_once(&mut world);
    assert!((1..10).contains(&most), "{most} of 40 in 20 ms after a pause");
}

#[test]
fn only_the_listeners_own_reports_count() {
    let mut world = World::new(1, Quality::PERFECT);
    let (lea, paul) = heard(&mut world);
    let forged = [&[0x81, 201, 0, 7, 0, 0, 0, 1][..], &[7; 24 + 20]].concat();
    for _ in 0..3 {
        world.inject(paul, &forged);
    }
    assert_eq!(world.server.stats().reports_unsigned, 3);
    world.run_ms(2000);
    assert_eq!(world.server.stats().reports_unsigned, 3, "the client's own are good");
    assert_hears(&world, paul, lea, 1000, 95);
    world.end();
}
