//! What all may have together.

use ecoute::keys::ConnKey;
use ecoute::words::Role;
use serde_json::json;
use stage::scenario::error_codes;
use stage::stranger::UPGRADE;
use stage::stranger::address;
use stage::world::Who;

use super::world;

#[test]
fn offers_of_all_have_a_rate() {
    let mut world = world(|limits| limits.admission.offer_rate.burst = 5);
    let admins: Vec<Who> = (0..7).map(|n| world.open(Role::Admin, &format!("admin{n}"))).collect();
    world.run_ms(100);
    let now = world.now;
    for &who in &admins {
        world.browsers[who].open_audio(now);
    }
    world.run_ms(50);
    let (ready, refused): (Vec<Who>, Vec<Who>) =
        admins.iter().partition(|&&who| world.browsers[who].has("audio_ready"));
    assert_eq!((ready.len(), refused.len(), world.server.stats().offers_over_rate), (5, 2, 2));
    let now = world.now;
    for &who in &refused {
        assert_eq!(error_codes(&world, who), ["too_many"]);
        world.browsers[who].open_audio(now);
    }
    world.run_ms(50);
    assert!(refused.iter().all(|&who| world.browsers[who].has("audio_ready")), "a moment later");
    world.end();
}

#[test]
fn conns_are_counted_in_all() {
    let mut world = world(|limits| limits.admission.conns_max = 10);
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    let conns: Vec<ConnKey> = (0..8).map(|n| world.knock(address(n, 1)).expect("there is room")).collect();
    assert!(world.knock(address(10, 1)).is_none());
    assert_eq!(world.server.stats().conns_refused, 1);
    world.hang_up(conns[0]);
    world.run_ms(10);
    assert!(world.knock(address(10, 1)).is_some());
    world.run_ms(1000);
    assert!(world.knock(address(11, 1)).is_some());
    assert!(world.server.should_close(conns[1]), "the oldest that asked for nothing");
    assert_eq!((world.server.stats().conns_cut_for_newer, world.server.stats().conns_refused), (1, 1));
    let monitor = world.knock(address(12, 1)).unwrap();
    for n in 20..100 {
        world.knock(address(n, 1));
        world.run_ms(200);
        let answer = world.send_bytes(monitor, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 "), "who asks again and again stays: {answer}");
    }
    assert_eq!((world.browsers[lea].closed, world.browsers[paul].closed), (None, None), "users stay");
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 16 * 50 - 10);
    world.end();
}

#[test]
fn sessions_are_counted_in_all() {
    let mut world = world(|limits| limits.media.peers_max = 2);
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    let anne = world.open(Role::Admin, "anne");
    world.run_ms(100);
    world.browsers[anne].say("open_audio", json!({ "sdp": "v=0" }));
    world.run_ms(100);
    assert_eq!(error_codes(&world, anne), ["too_many"]);
    assert_eq!(world.server.stats().peers_refused, 1);
    world.join(paul, "lea");
    world.run_ms(1000);
    assert_eq!(world.browsers[paul].heard_of(lea as u16).count(), world.browsers[paul].heard.len());
    assert!(world.browsers[paul].heard.len() > 30);
    world.end();
}

#[test]
fn what_offers_take_is_bounded_in_all() {
    let mut world = world(|limits| limits.media.offers_bytes_max = 8000);
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    let kept = world.server.table_sizes().offers_bytes;
    assert!((1000..6000).contains(&kept), "{kept}");
    let anne = world.open(Role::Admin, "anne");
    world.run_ms(100);
    let long = "v=0\r\n".repeat((8000 - kept) / 5 + 1);
    world.browsers[anne].say("open_audio", json!({ "sdp": long }));
    world.run_ms(100);
    assert_eq!(error_codes(&world, anne), ["too_many"]);
    world.browsers[anne].say("open_audio", json!({ "sdp": &long[5..] }));
    world.run_ms(100);
    assert_eq!(error_codes(&world, anne), ["too_many", "offer_refused"], "there is room, but it is no offer");
    assert_eq!(world.server.stats().peers_refused, 1);
    world.browsers[paul].restart_ice();
    world.settle();
    world.join(paul, "lea");
    world.run_ms(1000);
    assert!(world.browsers[paul].heard_of(lea as u16).count() > 30);
    world.end();
}

#[test]
fn what_all_have_buffered_is_bounded_and_who_waits_longest_is_cut() {
    let mut world = world(|limits| limits.admission.buffered_bytes_max = 100_000);
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    world.run_ms(1000);
    let half = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'x'; 15_000]].concat();
    let mut hoarders = Vec::new();
    for n in 0..10 {
        hoarders.push(world.knock(address(n, 1)).unwrap());
        world.send_bytes(hoarders[usize::from(n)], &half);
        world.run_ms(10);
    }
    assert_eq!(world.server.stats().conns_cut_for_room, 4);
    let cut: Vec<bool> = hoarders.iter().map(|&conn| world.server.should_close(conn)).collect();
    assert_eq!(cut, [[true; 4].as_slice(), &[false; 6]].concat());
    world.run_ms(1000);
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 90, "others notice nothing");
    assert!(world.browsers[paul].closed.is_none() && world.browsers[lea].closed.is_none());
    for conn in hoarders {
        world.hang_up(conn);
    }
    assert!(world.server.table_sizes().buffered_bytes < 1000);
    world.end();
}

#[test]
fn half_a_message_counts_as_buffered() {
    let mut world = world(|limits| limits.admission.buffered_bytes_max = 100_000);
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A text of 60,000 bytes, of which the last does not come.
    let half = [&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0], [b'x'; 59_999].as_slice()].concat();
    let conns: Vec<ConnKey> = (0..3).map(|n| world.knock(address(n, 1)).unwrap()).collect();
    for &conn in &conns {
        assert!(world.send_bytes(conn, upgrade).starts_with("HTTP/1.1 101 "));
        world.send_bytes(conn, &half);
        world.run_ms(1);
    }
    assert_eq!(world.server.stats().conns_cut_for_room, 2);
    assert!(!world.server.should_close(conns[2]));
    for conn in conns {
        world.hang_up(conn);
    }
    world.end();
}

#[test]
fn wishes_are_counted_in_all() {
    let mut world = world(|limits| limits.listening.wishes_max = 3);
    let (paul, anne) = (world.listener("paul"), world.listener("anne"));
    let lea = world.publisher("lea");
    world.settle();
    for id in ["lea", "tom", "zoe"] {
        world.join(paul, id);
    }
    world.join(paul, "lea");
    world.join(anne, "lea");
    world.run_ms(1000);
    assert!(error_codes(&world, paul).is_empty(), "a wish again is no other wish");
    assert_eq!(error_codes(&world, anne), ["too_many"]);
    assert_eq!((world.server.stats().tables_full, world.server.table_sizes().wishes), (1, 3));
    assert!(world.browsers[paul].heard_of(lea as u16).count() > 30);
    world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "zoe" }));
    world.run_ms(10);
    world.join(anne, "lea");
    world.run_ms(1000);
    assert!(world.browsers[anne].heard_of(lea as u16).count() > 30);
    world.end();
}

#[test]
fn a_handshake_has_10_s_and_then_its_place_is_free() {
    let mut world = world(|limits| limits.media.peers_max = 2);
    let lea = world.publisher("lea");
    world.settle();
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(100);
    // The offer comes over TCP, nothing ever over UDP.
    let now = world.now;
    world.browsers[paul].open_audio(now);
    world.run_ms(1);
    world.browsers[paul].vanish();
    world.run_ms(9900);
    assert_eq!(world.server.table_sizes().peers, 2);
    assert_eq!(world.browsers[lea].closed, None);
    world.run_ms(200);
    assert_eq!((world.server.table_sizes().peers, world.server.stats().peers_unfinished), (1, 1));
    let anne = world.listener("anne");
    world.settle();
    world.join(anne, "lea");
    world.run_ms(1000);
    assert!(world.browsers[anne].heard_of(lea as u16).count() > 30);
    world.end();
}

#[test]
fn datagrams_of_unconnected_sessions_wait_in_one_bounded_queue() {
    let mut world = world(|limits| limits.media.unconnected_queue_max = 40);
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    let strangers: Vec<Who> = (0..4).map(|n| world.listener(&format!("admin{n}"))).collect();
    world.run_ms(3);
    let checks: Vec<Vec<u8>> = strangers.iter().map(|&who| world.browsers[who].last_check.clone()).collect();
    assert!(checks.iter().all(|check| !check.is_empty()), "they have not connected yet");
    for (&who, check) in strangers.iter().zip(&checks) {
        for _ in 0..16 {
            world.inject(who, check);
        }
    }
    assert_eq!(world.server.table_sizes().unconnected, 40);
    assert_eq!(world.server.stats().unconnected_queue_full, 4 * 16 - 40);
    world.run_ms(3000);
    assert_eq!(world.server.table_sizes().unconnected, 0);
    assert!(strangers.iter().all(|&who| world.browsers[who].connected), "what was dropped comes again");
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 135, "nobody who is connected waits");
    world.end();
}

#[test]
fn what_a_frame_declares_and_what_a_message_took_counts_as_buffered() {
    let mut world = world(|_| {});
    let declared = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut ping = r#"{"event":"ping","data":{"t":1}}"#.to_owned().into_bytes();
    ping.resize(60_000, b' ');
    let large = [&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0], ping.as_slice()].concat();
    let cases: [(&str, Vec<u8>, std::ops::Range<usize>); 4] = [
        ("half a frame of 64 KiB", declared.to_vec(), 65_000..70_000),
        ("a message that ended", large.clone(), 0..100),
        ("a message that ended, and a byte of the next", [&large[..], &large[..1]].concat(), 60_000..61_000),
        ("half a message in many frames", [0x01, 0x81, 0, 0, 0, 0, b' '].to_vec(), 1..100),
    ];
    for (n, (name, bytes, held)) in cases.into_iter().enumerate() {
        let conn = world.knock(address(n as u8, 1)).unwrap();
        world.send_bytes(conn, format!("{UPGRADE}\r\n").as_bytes());
        world.send_bytes(conn, &bytes);
        let buffered = world.server.table_sizes().buffered_bytes;
        assert!(held.contains(&buffered), "{name}: {buffered}");
        world.hang_up(conn);
        assert_eq!(world.server.table_sizes().buffered_bytes, 0, "{name}");
    }
    let conn = world.knock(address(9, 1)).unwrap();
    world.send_bytes(conn, format!("{UPGRADE}\r\n").as_bytes());
    // A ping of 64 KiB: nothing of it is waited for.
    let answer = world.send_bytes(conn, &[0x89, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert!(answer.contains("malformed"), "{answer:?}");
    world.end();
}

#[test]
fn a_body_that_was_read_leaves_no_room_behind() {
    let mut world = world(|_| {});
    let conn = world.knock(address(1, 1)).unwrap();
    let most = world.limits.conn.body_bytes_max;
    let head = format!("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: {most}\r\n\r\n");
    world.send_bytes(conn, head.as_bytes());
    world.send_bytes(conn, &vec![b'x'; most - 1]);
    assert!(world.server.table_sizes().buffered_bytes >= most - 1);
    assert!(world.send_bytes(conn, b"x").starts_with("HTTP/1.1 405 "));
    assert_eq!(world.server.table_sizes().buffered_bytes, 0);
    world.end();
}

#[test]
fn strangers_make_room_before_users() {
    let mut world = world(|limits| limits.admission.buffered_bytes_max = 100_000);
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(100);
    world.unplug(paul);
    // More than passes through waits for a phone that is away for a moment.
    for n in 0..40 {
        world.open(Role::Commercial, &format!("commercial{n}"));
    }
    world.run_ms(1000);
    let half = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'x'; 15_000]].concat();
    for n in 0..20 {
        let conn = world.knock(address(n, 1)).unwrap();
        world.send_bytes(conn, &half);
        world.run_ms(10);
    }
    assert!(world.server.stats().conns_cut_for_room >= 14);
    assert_eq!(world.server.table_sizes().registrations, 41, "every user is still there");
    world.end();
}

#[test]
fn nobody_is_cut_for_who_may_not_come_in() {
    let mut world = world(|limits| limits.admission.conns_max = 70);
    let others: Vec<ConnKey> = (0..6).map(|n| world.knock(address(8, n)).unwrap()).collect();
    world.run_ms(2000);
    for n in 0..64 {
        world.knock(address(7, n)).unwrap();
    }
    assert!(world.knock(address(7, 100)).is_none());
    assert!(others.iter().all(|&conn| !world.server.should_close(conn)));
    assert_eq!((world.server.stats().conns_cut_for_newer, world.server.stats().conns_over_address), (0, 1));
    world.run_ms(1000);
    assert!(world.knock(address(7, 101)).is_some(), "one of its own had time to ask for something");
    assert!(others.iter().all(|&conn| !world.server.should_close(conn)));
    assert_eq!((world.server.stats().conns_cut_for_newer, world.server.stats().conns_cut_for_own), (0, 1));
    world.end();
}
