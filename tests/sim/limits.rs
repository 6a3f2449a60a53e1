//! Bounds, each filled: one more is refused and counted, everybody else notices nothing.

use std::net::SocketAddr;

use ecoute::config::Limits;
use ecoute::keys::ConnKey;
use ecoute::words::Role;
use serde_json::json;

use crate::link::Quality;
use crate::stranger::UPGRADE;
use crate::world::{Who, World};

fn world(edit: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    edit(&mut limits);
    World::with_limits(1, Quality::PERFECT, limits)
}

/// A client of the network with this number.
fn address(network: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, network], port))
}

fn error_codes(world: &World, who: Who) -> Vec<String> {
    world.browsers[who].messages_of("error").map(|error| error["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn strangers_of_one_address_are_counted_and_others_come_in() {
    let mut world = world(|_| {});
    let max = world.limits.of_stranger.held_max as u16;
    let conns: Vec<ConnKey> = (0..max).map(|n| world.knock(address(7, n)).expect("there is room")).collect();
    assert!(world.knock(address(7, 1000)).is_none());
    assert_eq!(world.server.stats().conns_over_address, 1);
    assert!(world.knock(address(8, 1)).is_some(), "another address");
    for n in 0..2 * max {
        assert!(world.knock(SocketAddr::from(([127, 0, 0, 1], n))).is_some(), "this machine");
    }
    let of_network = |host: u64, n: u16| {
        let ip = (0x2001_0db8_0000_0001_u128 << 64) | u128::from(host);
        SocketAddr::new(std::net::Ipv6Addr::from_bits(ip).into(), n)
    };
    let in_one_network = (0..2 * max).filter(|&n| world.knock(of_network(u64::from(n), n)).is_some()).count();
    assert_eq!(in_one_network, usize::from(max), "a whole /64 is one subscriber");
    world.hang_up(conns[0]);
    assert!(world.knock(address(7, 1001)).is_some(), "one has gone");
    world.end();
}

#[test]
fn who_registers_is_a_stranger_no_more() {
    let mut world = world(|_| {});
    world.office = Some(address(9, 1));
    let office: Vec<Who> = (0..100)
        .map(|n| {
            let who = world.open(Role::Admin, &format!("admin{n}"));
            world.run_ms(10);
            who
        })
        .collect();
    assert!(office.iter().all(|&who| world.browsers[who].has("user_registered")));
    world.end();
}

#[test]
fn one_user_has_so_many_conns() {
    let mut world = world(|_| {});
    let max = world.limits.of_user.held_max;
    let pages: Vec<Who> = (0..=max).map(|_| world.open(Role::Commercial, "lea")).collect();
    world.run_ms(100);
    let (&last, waiting) = pages[1..].split_last().unwrap();
    assert!(waiting.iter().all(|&who| world.browsers[who].closed.is_none()), "they may take over");
    assert_eq!(world.browsers[last].closed, Some(4429));
    assert_eq!(error_codes(&world, last), ["too_many"]);
    assert_eq!(world.server.stats().conns_over_user, 1);
    let other = world.open(Role::Commercial, "karim");
    world.run_ms(100);
    assert!(world.browsers[other].has("user_registered"));
    world.end();
}

#[test]
fn refused_tokens_have_a_rate_and_good_ones_pass() {
    let mut world = world(|_| {});
    let (conn, good) = (world.knock(address(7, 1)).unwrap(), world.token(Role::Monitor, "m", |_| {}));
    let ask = |world: &mut World, conn: ConnKey, token: &str| {
        let head =
            format!("GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        world.send_bytes(conn, head.as_bytes())
    };
    for _ in 0..10 {
        assert!(ask(&mut world, conn, "x").starts_with("HTTP/1.1 401 "));
    }
    let refused = ask(&mut world, conn, "x");
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 10\r\n"), "{refused}");
    assert_eq!((world.server.stats().tokens_refused, world.server.stats().tokens_over_rate), (11, 1));
    assert!(ask(&mut world, conn, &good).starts_with("HTTP/1.1 200 "), "a colleague's, behind the same address");
    let other = world.knock(address(8, 1)).unwrap();
    assert!(ask(&mut world, other, "x").starts_with("HTTP/1.1 401 "), "another address");
    world.run_ms(6000);
    let again = world.knock(address(7, 2)).unwrap();
    assert!(ask(&mut world, again, "x").starts_with("HTTP/1.1 401 "), "10 a minute");
    world.end();
}

#[test]
fn tokens_refused_over_websockets_have_the_same_rate() {
    let mut world = world(|_| {});
    world.office = Some(address(9, 1));
    let pages: Vec<Who> = (0..11).map(|_| world.open_with("lea", "x")).collect();
    let karim = world.open(Role::Commercial, "karim");
    world.run_ms(10);
    let closed: Vec<u16> = pages.iter().map(|&who| world.browsers[who].closed.unwrap()).collect();
    assert_eq!(closed, [[4401; 10].as_slice(), &[4429]].concat());
    assert_eq!(error_codes(&world, pages[10]), ["too_many"]);
    assert!(world.browsers[karim].has("user_registered"), "from the same address");
    world.end();
}

#[test]
fn offers_of_one_user_have_a_rate_and_others_are_answered() {
    let mut world = world(|_| {});
    let (paul, anne) = (world.open(Role::Admin, "paul"), world.open(Role::Admin, "anne"));
    world.run_ms(100);
    for _ in 0..12 {
        world.browsers[paul].say("open_audio", json!({ "sdp": "v=0" }));
    }
    let now = world.now;
    world.browsers[anne].open_audio(now);
    world.run_ms(50);
    let codes = error_codes(&world, paul);
    assert!(codes[..10].iter().all(|code| code == "offer_refused") && codes[10..] == ["too_many"; 2], "{codes:?}");
    assert_eq!(world.browsers[paul].messages_of("error").last().unwrap()["retry_after_s"], 1);
    assert_eq!(world.server.stats().offers_over_rate, 2);
    assert!(world.browsers[anne].has("audio_ready"));
    world.run_ms(50);
    let now = world.now;
    world.browsers[paul].open_audio(now);
    world.run_ms(50);
    assert!(world.browsers[paul].has("audio_ready"), "a moment later");
    world.end();
}

#[test]
fn offers_of_all_have_a_rate() {
    let mut world = world(|limits| limits.offer_rate.burst = 5);
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
    let mut world = world(|limits| limits.conns_max = 10);
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
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 16 * 50);
    world.end();
}

#[test]
fn sessions_are_counted_in_all() {
    let mut world = world(|limits| limits.peers_max = 2);
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
    assert!(world.browsers[paul].heard.len() > 40);
    world.end();
}

#[test]
fn what_offers_take_is_bounded_in_all() {
    let mut world = world(|limits| limits.offers_bytes_max = 8000);
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
    assert!(world.browsers[paul].heard_of(lea as u16).count() > 40);
    world.end();
}

#[test]
fn what_all_have_buffered_is_bounded_and_who_waits_longest_is_cut() {
    let mut world = world(|limits| limits.buffered_bytes_max = 100_000);
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
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 100, "others notice nothing");
    assert!(world.browsers[paul].closed.is_none() && world.browsers[lea].closed.is_none());
    for conn in hoarders {
        world.hang_up(conn);
    }
    assert!(world.server.table_sizes().buffered_bytes < 1000);
    world.end();
}

#[test]
fn half_a_message_counts_as_buffered() {
    let mut world = world(|limits| limits.buffered_bytes_max = 100_000);
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
fn a_trusted_proxy_says_whose_conn_it_is() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let proxy = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    let ask = |world: &mut World, remote: SocketAddr, lines: &str| {
        let conn = world.knock(remote).expect("there is room");
        (conn, world.send_bytes(conn, format!("GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()))
    };
    let max = world.limits.of_stranger.held_max as u16;
    // Only the last hop before the proxies counts: the rest is the client's own words.
    for n in 0..max {
        let lines = format!("X-Forwarded-For: 192.0.2.{n}, 198.51.100.7\r\nX-Forwarded-For: 10.0.0.2\r\n");
        assert!(ask(&mut world, proxy(n), &lines).1.starts_with("HTTP/1.1 200 "));
    }
    let (_, answer) = ask(&mut world, proxy(1000), "Forwarded: for=198.51.100.7;proto=https\r\n");
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(world.server.stats().conns_over_address, 1);
    assert!(world.knock(SocketAddr::from(([198, 51, 100, 7], 1))).is_none(), "the same client without the proxy");
    let (shared, answer) = ask(&mut world, proxy(1001), "X-Forwarded-For: 198.51.100.8\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "another client: {answer}");
    let again = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    let answer = world.send_bytes(shared, again);
    assert!(answer.starts_with("HTTP/1.1 429 "), "a proxy uses one conn for several clients: {answer}");
    // What no proxy says is worth nothing.
    for n in 0..max {
        let (_, answer) = ask(&mut world, address(9, n), &format!("X-Forwarded-For: 192.0.2.{n}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "));
    }
    assert!(world.knock(address(9, 1000)).is_none());
    world.end();
}

#[test]
fn wishes_are_counted_in_all() {
    let mut world = world(|limits| limits.wishes_max = 3);
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
    assert!(world.browsers[paul].heard_of(lea as u16).count() > 40);
    world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "zoe" }));
    world.run_ms(10);
    world.join(anne, "lea");
    world.run_ms(1000);
    assert!(world.browsers[anne].heard_of(lea as u16).count() > 40);
    world.end();
}

#[test]
fn a_handshake_has_10_s_and_then_its_place_is_free() {
    let mut world = world(|limits| limits.peers_max = 2);
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
    assert!(world.browsers[anne].heard_of(lea as u16).count() > 40);
    world.end();
}

#[test]
fn datagrams_of_unconnected_sessions_wait_in_one_bounded_queue() {
    let mut world = world(|limits| limits.unconnected_queue_max = 40);
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
    assert!(world.browsers[paul].heard_of(lea as u16).count() >= 145, "nobody who is connected waits");
    world.end();
}

#[test]
fn a_client_that_claims_to_be_another_is_nobody() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let proxy = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    let ask = |world: &mut World, port: u16, lines: &str| {
        let conn = world.knock(proxy(port)).unwrap();
        let answer = world.send_bytes(conn, format!("GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // The proxy writes the older header and passes on what the client wrote in the other.
    for n in 0..70 {
        let lines = "Forwarded: for=192.0.2.77\r\nX-Forwarded-For: 203.0.113.66\r\n";
        assert_eq!(ask(&mut world, n, lines), "400");
    }
    assert!(world.knock("192.0.2.77:1".parse().unwrap()).is_some(), "who was named is not counted for it");
    let same = "Forwarded: for=203.0.113.66\r\nX-Forwarded-For: 1.2.3.4, 203.0.113.66\r\n";
    assert_eq!(ask(&mut world, 100, same), "200");
    // Neighbours of the proxy are clients as any.
    let answers: Vec<String> =
        (0..65).map(|n| ask(&mut world, 200 + n, "X-Forwarded-For: 203.0.113.9\r\n")).collect();
    assert_eq!(answers.iter().filter(|status| *status == "200").count(), 64);
    let conn = world.knock(proxy(300)).unwrap();
    for header in ["X-Forwarded-For: 203.0.113.10\r\n", ""] {
        let answer = world.send_bytes(conn, format!("GET /health HTTP/1.1\r\nHost: a\r\n{header}\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    world.end();
}

#[test]
fn a_proxy_in_the_network_of_its_clients_says_whose_conn_it_is() {
    let mut world = world(|_| {});
    world.trust_proxies(&["2001:db8::1/128"]);
    let statuses: Vec<String> = (0..65)
        .map(|port| {
            let conn = world.knock(SocketAddr::new("2001:db8::1".parse().unwrap(), port)).unwrap();
            let ask = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::2\r\n\r\n";
            world.send_bytes(conn, ask)[9..12].to_owned()
        })
        .collect();
    assert_eq!(statuses, [vec!["200"; 64], vec!["429"]].concat());
    world.end();
}

#[test]
fn networks_without_end_shut_nobody_out() {
    let mut world = world(|_| {});
    let network = |n: u128| {
        let ip = (0x2001_0db8_u128 << 96) | (n << 64);
        SocketAddr::new(std::net::Ipv6Addr::from_bits(ip).into(), 1)
    };
    for n in 0..10_000 {
        let conn = world.knock(network(n)).unwrap();
        world.hang_up(conn);
    }
    assert_eq!(world.server.table_sizes().quotas, 0, "who did nothing leaves nothing");
    let ask = b"GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n";
    for n in 0..10_000 {
        let conn = world.knock(network(n)).unwrap();
        world.send_bytes(conn, ask);
        world.hang_up(conn);
    }
    let rows_max = world.limits.of_stranger.rows_max;
    assert_eq!(world.server.table_sizes().quotas, rows_max);
    assert_eq!(world.server.stats().rows_forgotten, 10_000 - rows_max as u64);
    assert!(world.knock(address(1, 1)).is_some());
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
    let most = world.limits.body_bytes_max;
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
    let mut world = world(|limits| limits.buffered_bytes_max = 100_000);
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
    assert_eq!(world.server.table_sizes().sessions, 41, "every user is still there");
    world.end();
}

#[test]
fn nobody_is_cut_for_who_may_not_come_in() {
    let mut world = world(|limits| limits.conns_max = 70);
    for n in 0..64 {
        world.knock(address(7, n)).unwrap();
    }
    let others: Vec<ConnKey> = (0..6).map(|n| world.knock(address(8, n)).unwrap()).collect();
    world.run_ms(2000);
    assert!(world.knock(address(7, 100)).is_none());
    assert!(others.iter().all(|&conn| !world.server.should_close(conn)));
    assert_eq!((world.server.stats().conns_cut_for_newer, world.server.stats().conns_over_address), (0, 1));
    world.end();
}
