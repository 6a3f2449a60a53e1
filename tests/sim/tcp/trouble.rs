//! Who reads slowly, sends too much at once or frames nonsense harms nobody else.

use std::time::Duration;

use ecoute::config::Limits;
use ecoute::words::Role;
use serde_json::json;
use stage::link::Quality;

use stage::scenario::assert_hears;
use stage::scene::Scene;
use stage::stranger::Stranger;
use stage::world::programs::Kind;
use stage::world::{Who, World};

use super::{framed, heard_over_tcp};

/// How many packets the kernel has of who reads nothing: what it may hold, what is on its way, and one that has begun.
const UNREAD_PACKETS_MAX: usize = 15;

/// A packet of a microphone's, encrypted and framed: one begins where the kernel has room for a byte.
const DATAGRAM_BYTES: usize = 2 + 12 + 80 + 16;

#[test]
fn who_reads_slowly_loses_the_oldest_and_nobody_else_notices() {
    let mut scene = Scene::new();
    let paul = scene.world.listener("paul");
    scene.world.block_udp(paul);
    scene.world.settle();
    scene.world.join(paul, "speaker");
    scene.world.run_ms(2000);
    let (speaker, age_max) = (scene.speaker as u16, scene.world.limits.conn.frame_age_max);
    let buffered = scene.world.server.table_sizes().buffered_bytes;

    // Nothing is read for three seconds: the kernel takes a little, and the rest grows old where it can be dropped.
    scene.world.stop_reading_tunnel(paul);
    scene.world.run_ms(3000);
    let stats = scene.world.server.stats();
    let in_kernel = UNREAD_PACKETS_MAX as u64;
    assert!((125 - in_kernel..125).contains(&stats.frames_late), "{}", stats.frames_late);
    assert_eq!(stats.frames_excess, 0);
    assert!(scene.world.server.table_sizes().buffered_bytes < buffered + 16 * 1024);
    let before = scene.world.browsers[paul].heard.len();
    let made = scene.world.browsers[usize::from(speaker)].made;
    scene.world.read_tunnel(paul, 1_000_000);
    scene.world.run_ms(1000);
    let counters: Vec<u32> = scene.world.browsers[paul].heard[before..].iter().map(|heard| heard.counter).collect();
    // What the kernel had, then what is no older than allowed, then all.
    let kept = (age_max.as_millis() / 20) as u32;
    let old = counters.iter().take_while(|&&counter| counter < made - kept - 2).count();
    assert!((5..=UNREAD_PACKETS_MAX).contains(&old), "{counters:?} {made}");
    assert!(counters[..old].windows(2).all(|pair| pair[1] <= pair[0] + 2), "{counters:?}");
    assert!((made - kept - 2..made - kept + 2).contains(&counters[old]), "{counters:?} {made}");
    assert!(counters[old..].windows(2).all(|pair| pair[1] == pair[0] + 1), "{counters:?}");

    // A third of what comes is read, steadily: what is heard is never older than allowed, but for its way through the
    // kernel.
    scene.world.stop_reading_tunnel(paul);
    let before = scene.world.browsers[paul].heard.len();
    for _ in 0..150 {
        scene.world.run_ms(20);
        scene.world.read_tunnel(paul, 45);
    }
    let in_kernel = scene.world.limits.conn.unsent.bytes_max + DATAGRAM_BYTES;
    let through_kernel = Duration::from_millis(20) * (in_kernel / 45) as u32;
    let speaker = &scene.world.browsers[usize::from(speaker)];
    let heard = &scene.world.browsers[paul].heard[before..];
    assert!((20..100).contains(&heard.len()), "{}", heard.len());
    for heard in heard {
        let made = speaker.made - (scene.world.now - heard.at).as_millis() as u32 / 20;
        let age = Duration::from_millis(20) * (made - heard.counter);
        assert!(age <= age_max + through_kernel + Duration::from_millis(100), "{age:?} old");
    }
    scene.world.read_tunnel(paul, 1_000_000);
    scene.hears(scene.hearer, scene.speaker);
    scene.end();
}

#[test]
fn who_reads_nothing_takes_no_more_than_its_bound() {
    let mut limits = Limits::default();
    limits.conn.frame_age_max = Duration::from_secs(3600);
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let (_, paul) = heard_over_tcp(&mut world);
    world.stop_reading_tunnel(paul);
    world.run_ms(10_000);
    let (frames_max, excess) = (world.limits.conn.frames_waiting_max, world.server.stats().frames_excess);
    assert!((500 - frames_max as u64 - 10..500 - frames_max as u64 + 20).contains(&excess), "{excess}");
    assert!(world.server.table_sizes().buffered_bytes < frames_max * 300);
    world.end();
}

#[test]
fn nonsense_in_frames_ends_its_connection_alone() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let check = scene.overhear(lea, 5000).into_iter().find(|bytes| bytes.starts_with(&[0, 1])).unwrap();
    let mut unknown = check.clone();
    unknown[24] ^= 1;
    let mut unsigned = check.clone();
    unsigned[19] ^= 1;
    let at_once: &[(&str, Vec<u8>)] = &[
        ("an empty frame", vec![0, 0]),
        ("a frame that is too long", vec![8, 1]),
        ("no STUN", framed(&[22, 254, 253, 0])),
        ("media", framed(&[0x80; 60])),
        ("a check of no session", framed(&unknown)),
        ("a check, then an empty frame", [framed(&check), vec![0, 0]].concat()),
        ("a check, then the longest length", [framed(&check), vec![255, 255]].concat()),
    ];
    for (name, bytes) in at_once {
        let stranger = Stranger::asking(&mut scene.world, bytes);
        scene.world.run_ms(20);
        assert!(stranger.is_closed(&scene.world), "{name}");
        scene.world.hang_up(stranger.conn);
    }
    assert_eq!(scene.world.server.stats().frames_malformed, at_once.len() as u64);

    let in_time: &[(&str, Vec<u8>)] = &[
        ("half a length", vec![0]),
        ("a length", vec![0, 100]),
        ("half a check", framed(&check)[..50].to_vec()),
        ("a check with another's signature", framed(&unsigned)),
        ("the longest length is no frame, but a request", vec![255, 255]),
    ];
    for (name, bytes) in in_time {
        let stranger = Stranger::asking(&mut scene.world, bytes);
        let is_request = bytes[0] == 255;
        scene.world.run_ms(4900);
        assert!(!stranger.is_closed(&scene.world) || is_request, "{name} is cut at once");
        scene.world.run_ms(200);
        stranger.read(&mut scene.world);
        scene.world.run_ms(100);
        assert!(stranger.is_closed(&scene.world), "{name}");
        scene.world.hang_up(stranger.conn);
    }
    let silent = Stranger::connect(&mut scene.world);
    scene.world.run_ms(5100);
    assert!(silent.is_closed(&scene.world), "nothing at all");
    scene.world.hang_up(silent.conn);
    scene.end();
}

/// A check is good for its session wherever it comes from; a connection on which no other follows ends.
#[test]
fn one_byte_at_a_time_is_read_too() {
    let (mut scene, _, [paul, _]) = Scene::with_lea();
    let withheld = scene.withhold(paul, 4000);
    let check = withheld.into_iter().find(|bytes| bytes.starts_with(&[0, 1])).expect("a client checks every 3 s");
    let stranger = Stranger::connect(&mut scene.world);
    for byte in framed(&check) {
        scene.world.push(stranger.conn, &[byte]);
        scene.world.run_ms(1);
    }
    let answer = stranger.read(&mut scene.world);
    assert_eq!(answer[2..4], [1, 1], "a success response: {answer:?}");
    scene.world.run_ms(29_000);
    assert!(!stranger.is_closed(&scene.world));
    scene.world.run_ms(2000);
    assert!(stranger.is_closed(&scene.world));
    scene.world.hang_up(stranger.conn);
    scene.hears(scene.hearer, scene.speaker);
    scene.end();
}

/// What a network held back comes at once, in one read.
#[test]
fn a_burst_of_a_publisher_is_spread_over_turns_and_heard() {
    let mut world = World::new(1, Quality::PERFECT);
    world.block_udp(0);
    let lea = world.publisher("lea");
    world.settle();
    let listeners: Vec<Who> = (0..64).map(|n| world.listener(&format!("paul-{n}"))).collect();
    world.settle();
    for &who in &listeners {
        world.join(who, "lea");
    }
    world.run_ms(2000);
    world.record(lea);
    world.unplug(lea);
    world.run_ms(1500);
    world.plug(lea);
    let burst: Vec<u8> = world.take_record(lea).iter().flat_map(|datagram| framed(datagram)).collect();
    let before: Vec<usize> = listeners.iter().map(|&who| world.browsers[who].heard.len()).collect();
    let most = world.push_to_tunnel(lea, &burst);
    assert!((64..=4 * 64).contains(&most), "{most} things to do in one turn");
    world.run_ms(500);
    for (&who, before) in listeners.iter().zip(before) {
        let heard = world.browsers[who].heard.len() - before;
        assert!(heard >= 75 + 24, "{heard}");
    }
    world.end();
}

#[test]
fn who_sends_more_than_can_be_served_is_cut() {
    let (mut scene, lea, _) = Scene::with_lea();
    let check = scene.overhear(lea, 5000).into_iter().find(|bytes| bytes.starts_with(&[0, 1])).unwrap();
    let max = scene.world.limits.media.frames_unread_bytes_max;
    let stranger = Stranger::asking(&mut scene.world, &framed(&check));
    scene.world.push(stranger.conn, &vec![1; max - check.len() - 2]);
    assert!(!stranger.is_closed(&scene.world));
    scene.world.push(stranger.conn, &[1]);
    assert!(stranger.is_closed(&scene.world));
    assert_eq!(scene.world.server.stats().frames_unread, 1);
    scene.world.hang_up(stranger.conn);
    scene.hears(scene.hearer, scene.speaker);
    scene.end();
}

/// Laws 2 and 3: what waited for a slow reader is not sent any more once it may not be heard, and what the kernel has then
/// is little, or is taken back where it is the listener who may not.
#[test]
fn who_reads_slowly_hears_nothing_after_the_end() {
    let ends: [(&str, usize, fn(&mut World, Who, Who)); 5] = [
        ("a pause", UNREAD_PACKETS_MAX, |world, lea, _| world.browsers[lea].say("pause_streaming", json!({}))),
        ("the stop", UNREAD_PACKETS_MAX, |world, lea, _| world.browsers[lea].say("stop_streaming", json!({}))),
        ("leaving", UNREAD_PACKETS_MAX, |world, _, paul| {
            world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        }),
        ("a revocation", 0, |world, _, _| revoke(world, "paul")),
        ("an expiry", 0, |world, _, _| world.jump_clock_s(3600)),
    ];
    for (name, most, end) in ends {
        let mut world = World::new(1, Quality::PERFECT);
        let (lea, paul) = heard_over_tcp(&mut world);
        let heard = heard_late(&mut world, lea, paul, end);
        assert!(heard <= most, "{heard} packets after {name}");
        assert!(world.server.stats().frames_withdrawn >= 15, "{name}: {}", world.server.stats().frames_withdrawn);
        world.end();
    }
}

#[test]
fn a_player_that_reads_slowly_hears_nothing_after_its_right_ended() {
    let ends: [(&str, fn(&mut World)); 2] =
        [("a revocation", |world| revoke(world, "paul")), ("an expiry", |world| world.run_ms(3000))];
    for (name, end) in ends {
        let mut world = World::new(1, Quality::PERFECT);
        let lea = world.publisher("lea");
        let token = world.token(Role::Admin, "paul", |claims| claims.exp = claims.iat + 13);
        let paul = world.program(Kind::Whep, "paul", &token);
        world.block_udp(paul);
        world.settle();
        assert_eq!(world.post(paul, "lea").status, 201);
        world.settle();
        world.run_ms(1000);
        assert_hears(&world, paul, lea, 1000, 80);
        let heard = heard_late(&mut world, lea, paul, |world, _, paul| {
            assert!(world.has_tunnel(paul), "it ended before");
            end(world);
        });
        assert_eq!(heard, 0, "{name}");
        world.end();
    }
}

fn revoke(world: &mut World, id: &str) {
    let list = format!("{id} {}\n", world.unix_s() + 1);
    world.take_revoked(list.as_bytes());
}

/// Returns how many packets somebody hears who reads nothing for a while before an end and all again after it.
fn heard_late(world: &mut World, lea: Who, paul: Who, end: impl FnOnce(&mut World, Who, Who)) -> usize {
    world.stop_reading_tunnel(paul);
    // Half a packet is on its way.
    world.read_tunnel(paul, 150);
    world.run_ms(1500);
    end(world, lea, paul);
    world.run_ms(100);
    let before = world.browsers[paul].heard.len();
    world.read_tunnel(paul, 1_000_000);
    world.run_ms(1000);
    world.browsers[paul].heard.len() - before
}

#[test]
fn a_stranger_in_frames_holds_no_drain_up() {
    let mut world = World::new(1, Quality::PERFECT);
    let stranger = Stranger::asking(&mut world, &[0]);
    world.drain();
    world.run_ms(10);
    assert!(stranger.is_closed(&world));
}
