//! WebSocket clients who know what they do. A bystander's pair must hear every packet meanwhile.

use std::iter;

use ecoute::words::Role;
use serde_json::json;
use stage::scene::Scene;
use stage::stranger::{
    CLOSE, ENDS, GOES_ON, PING, PONG, Stranger, TEXT, TEXT_BEGINS, UPGRADE, close_code, contains, frame, register,
};

/// A ping of ours, which everybody may send.
const SAID: &str = r#"{"event":"ping","data":{"t":1}}"#;

#[test]
fn frames_that_break_the_rules_end_the_conn() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let join = |frames: &[Vec<u8>]| frames.concat();
    let of_length = |first: u8, len: u64| [&[first, 0x80 | 127][..], &len.to_be_bytes(), &[0; 4]].concat();
    let fragments = |payload: &[u8], count: usize| {
        join(
            &iter::once(frame(TEXT_BEGINS, payload))
                .chain((1..count).map(|_| frame(GOES_ON, payload)))
                .collect::<Vec<_>>(),
        )
    };
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("unmasked", [&[TEXT, SAID.len() as u8][..], SAID.as_bytes()].concat(), 4400),
        ("binary", frame(0x82, SAID.as_bytes()), 4400),
        ("reserved bit 1", frame(TEXT | 0x40, SAID.as_bytes()), 4400),
        ("reserved bit 2", frame(TEXT | 0x20, SAID.as_bytes()), 4400),
        ("reserved bit 3", frame(TEXT | 0x10, SAID.as_bytes()), 4400),
        ("reserved opcode 3", frame(0x83, SAID.as_bytes()), 4400),
        ("reserved opcode 7", frame(0x87, b""), 4400),
        ("reserved opcode 11", frame(0x8b, b""), 4400),
        ("reserved opcode 15", frame(0x8f, b""), 4400),
        ("a ping in fragments", frame(PING & 0x7f, b""), 4400),
        ("a long ping", frame(PING, &[b'a'; 126]), 4400),
        ("a continuation of nothing", frame(ENDS, b""), 4400),
        ("a message inside another", join(&[frame(TEXT_BEGINS, b"{"), frame(TEXT, SAID.as_bytes())]), 4400),
        ("2^63 bytes", of_length(TEXT, 1 << 63), 4413),
        ("2^64 - 1 bytes", of_length(TEXT, u64::MAX), 4413),
        ("one byte too many", of_length(TEXT, world.limits.conn.message_bytes_max as u64 + 1), 4413),
        ("fragments that are too long together", fragments(&[b' '; 1000], 66), 4413),
        ("empty fragments without end", fragments(b"", 30_000), 4413),
        ("fragments of a byte without end", fragments(b" ", 30_000), 4413),
        ("no UTF-8", frame(TEXT, b"\"\xff\""), 4400),
        ("UTF-8 of two lengths", frame(TEXT, b"\xc0\xaf"), 4400),
        ("half a surrogate pair", frame(TEXT, b"\xed\xa0\x80"), 4400),
        ("above the last character", frame(TEXT, b"\xf4\x90\x80\x80"), 4400),
        ("UTF-8 cut at the end", frame(TEXT, b"\"\xc3"), 4400),
        ("bad UTF-8 over two fragments", join(&[frame(TEXT_BEGINS, b"\"\xc3"), frame(ENDS, b"\"")]), 4400),
        ("UTF-8 cut over two fragments", join(&[frame(TEXT_BEGINS, b"\""), frame(ENDS, b"\xe2\x82")]), 4400),
        ("close with half a code", frame(CLOSE, b"\x03"), 4400),
        ("close with a reason that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 4400),
    ];
    for (n, (name, bytes, code)) in cases.iter().enumerate() {
        let stranger = Stranger::upgraded(world);
        for bytes in bytes.chunks(16 * 1024) {
            world.push(stranger.conn, bytes);
        }
        assert_eq!(close_code(&stranger.read(world)), Some(*code), "{name}");
        assert_eq!(world.server.stats().requests_malformed, n as u64 + 1, "{name}");
        world.run_ms(20);
    }
    // Nobody says goodbye, so the last ones are waited for a little.
    world.run_ms(2000);
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

/// Whoever writes a client reads there what to mend.
#[test]
fn a_frame_that_ends_the_conn_is_told_why() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let unmasked = [&[TEXT, SAID.len() as u8][..], SAID.as_bytes()].concat();
    let cases: &[(Vec<u8>, &str)] = &[
        (frame(0x82, SAID.as_bytes()), "a binary message, where text is spoken"),
        (unmasked, "a frame without a mask"),
        (frame(TEXT | 0x40, SAID.as_bytes()), "reserved bits, where no extension was agreed on"),
        (frame(TEXT, b"\"\xff\""), "text that is not UTF-8"),
        (frame(PING, &[b'a'; 126]), "a ping, pong or close in fragments or of more than 125 bytes"),
        (frame(ENDS, b""), "a fragment that continues nothing, or a message inside another"),
        (frame(0x83, b""), "no WebSocket frame"),
    ];
    for (bytes, words) in cases {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, bytes);
        let answer = stranger.read(world);
        assert!(contains(&answer, &format!("malformed: {words}")), "{words}: {answer:?}");
        assert_eq!(close_code(&answer), Some(4400), "{words}");
    }
    world.run_ms(2000);
    scene.end();
}

#[test]
fn close_codes_that_nobody_may_send_are_not_repeated() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    for (code, answer) in [
        (1000, 1000),
        (4999, 4999),
        (0, 1002),
        (999, 1002),
        (1004, 1002),
        (1005, 1002),
        (1006, 1002),
        (1015, 1002),
        (5000, 1002),
        (65_535, 1002),
    ] {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(CLOSE, &u16::to_be_bytes(code)));
        assert_eq!(close_code(&stranger.read(world)), Some(answer), "{code}");
        assert!(stranger.is_closed(world), "{code}");
    }
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn texts_that_no_client_sends_end_the_conn() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let deep = |around: &str| around.replace('_', &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let cases: &[(&str, String)] = &[
        ("nothing", String::new()),
        ("deep arrays", deep("_")),
        ("deep data", deep(r#"{"event":"ping","data":_}"#)),
        ("a deep event", deep(r#"{"event":_}"#)),
        ("deep arrays that do not end", "[".repeat(60_000)),
        ("deep objects", format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000))),
        ("a number without end", format!(r#"{{"event":"ping","data":{{"t":{}}}}}"#, "9".repeat(60_000))),
        ("more than any number", r#"{"event":"ping","data":{"t":1e400}}"#.into()),
        ("no number", r#"{"event":"ping","data":{"t":NaN}}"#.into()),
        ("2^64", r#"{"event":"listener_ack","data":{"notice_id":18446744073709551616,"told":"seen"}}"#.into()),
        ("the event twice", r#"{"event":"ping","event":"ping","data":{"t":1}}"#.into()),
        ("data twice", r#"{"event":"ping","data":{"t":1},"data":{"t":2}}"#.into()),
        ("a field twice", r#"{"event":"ping","data":{"t":1,"t":2}}"#.into()),
        ("NUL", "{\"event\":\"ping\0\"}".into()),
        ("NUL behind it", format!("{SAID}\0")),
        ("two at once", format!("{SAID}{SAID}")),
        ("an escaped NUL", r#"{"event":"ping\u0000","data":{"t":1}}"#.into()),
        ("half a surrogate pair", r#"{"event":"\ud800"}"#.into()),
        ("a mark before it", format!("\u{feff}{SAID}")),
    ];
    for (n, (name, text)) in cases.iter().enumerate() {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(TEXT, text.as_bytes()));
        let answer = stranger.read(world);
        assert!(contains(&answer, r#""code":"malformed""#), "{name}: {}", String::from_utf8_lossy(&answer));
        assert_eq!(close_code(&answer), Some(4400), "{name}");
        assert_eq!(world.server.stats().requests_malformed, n as u64 + 1, "{name}");
    }
    world.run_ms(2000);
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn messages_come_however_they_are_cut() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let fragments = [
        frame(TEXT_BEGINS, &SAID.as_bytes()[..7]),
        frame(PING, b""),
        frame(GOES_ON, b""),
        frame(ENDS, &SAID.as_bytes()[7..]),
    ];
    let all = [
        format!("{UPGRADE}\r\n").into_bytes(),
        frame(TEXT, SAID.as_bytes()),
        fragments.concat(),
        frame(TEXT, SAID.as_bytes()),
    ]
    .concat();
    for step in [all.len(), 1, 2, 3, 7] {
        let stranger = Stranger::connect(world);
        for bytes in all.chunks(step) {
            world.push(stranger.conn, bytes);
        }
        let answer = String::from_utf8_lossy(&stranger.read(world)).into_owned();
        assert_eq!(answer.matches(r#""event":"pong""#).count(), 3, "{step}: {answer}");
        world.hang_up(stranger.conn);
    }
    scene.end();
}

#[test]
fn who_says_too_much_is_cut() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let cases = [
        ("pings", frame(PING, &[b'a'; 125])),
        ("pongs", frame(PONG, b"")),
        ("texts", frame(TEXT, SAID.as_bytes())),
        ("pings between fragments", [frame(GOES_ON, b""), frame(PING, b"")].concat()),
    ];
    for (n, (name, flood)) in cases.iter().enumerate() {
        let token = world.token(Role::Admin, &format!("admin{n}"), |_| {});
        let stranger = Stranger::registered(world, &token);
        world.push(stranger.conn, &frame(TEXT_BEGINS, b"").repeat(usize::from(n == 3)));
        world.push(stranger.conn, &flood.repeat(1000));
        let answer = stranger.read(world);
        assert!(contains(&answer, r#""retry_after_s":10"#), "{name}");
        assert_eq!(close_code(&answer), Some(4429), "{name}");
        assert_eq!(world.server.stats().conns_over_rate, n as u64 + 1, "{name}");
        world.run_ms(50);
    }
    world.run_ms(2000);
    assert_eq!((world.server.table_sizes().conns, world.server.table_sizes().registrations), (2, 2));
    scene.end();
}

#[test]
fn who_never_reads_is_cut() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let token = world.token(Role::Admin, "sloth", |_| {});
    let stranger = Stranger::registered(world, &token);
    let bound = world.limits.conn.queue_bytes_max + 200;
    while world.server.stats().conns_too_slow == 0 {
        world.push(stranger.conn, &frame(PING, &[b'a'; 125]));
        world.run_ms(50);
        let waits = world.server.pending_write(stranger.conn).len();
        assert!(waits <= bound, "{waits}");
    }
    // The code stands behind what waits, which the client may still read.
    let mut read = Vec::new();
    while !read.ends_with(b"too slow") {
        let more = world.pull(stranger.conn, 100_000);
        assert!(!more.is_empty());
        read.extend(more);
    }
    assert_eq!(close_code(&read[read.len() - 12..]), Some(4408));
    world.run_ms(2000);
    assert!(stranger.is_closed(world));
    assert_eq!(world.server.table_sizes().registrations, 2);
    scene.end();
}

#[test]
fn who_opens_and_says_nothing_is_cut() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let (silent, alive) = (Stranger::upgraded(world), Stranger::upgraded(world));
    for _ in 0..50 {
        world.push(alive.conn, &frame(PING, b""));
        world.run_ms(99);
    }
    assert!(close_code(&silent.read(world)).is_none() && close_code(&alive.read(world)).is_none());
    world.run_ms(100);
    assert_eq!((close_code(&silent.read(world)), close_code(&alive.read(world))), (Some(4401), Some(4401)));
    assert_eq!(world.server.stats().conns_timed_out, 2);
    world.run_ms(2000);
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn a_salesperson_who_describes_themselves_in_riddles_costs_nobody_the_list() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let infos = [
        format!("{}{}", "[".repeat(400), "]".repeat(400)),
        "1e999".into(),
        r#""\ud800""#.into(),
        format!("\"{}\"", "x".repeat(2000)),
    ];
    let offer = json!({ "sdp": "v=0" }).to_string();
    for (n, info) in infos.iter().enumerate() {
        let token = world.token(Role::Commercial, &format!("riddle{n}"), |_| {});
        let stranger = Stranger::registered(world, &token);
        let text = format!(
            r#"{{"event":"start_streaming","data":{},"commercial_info":{info}}}}}"#,
            &offer[..offer.len() - 1]
        );
        world.push(stranger.conn, &frame(TEXT, text.as_bytes()));
        let answer = String::from_utf8_lossy(&stranger.read(world)).into_owned();
        assert!(
            answer.contains(r#""code":"malformed""#) && answer.contains("commercial_info"),
            "{info:.20}: {answer}"
        );
    }
    let ana = world.open(Role::Admin, "ana");
    world.run_ms(500);
    let list = world.browsers[ana].messages_of("available_streams").next().unwrap();
    assert_eq!(list.as_array().unwrap().len(), infos.len() + 1);
    scene.end();
}

#[test]
fn a_token_is_no_way_into_another_session() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let tom = world.token(Role::Commercial, "tom", |_| {});
    let speaker = world.token(Role::Commercial, "speaker", |_| {});
    let stranger = Stranger::registered(world, &tom);
    world.push(stranger.conn, &frame(TEXT, register(&speaker).as_bytes()));
    assert_eq!(close_code(&stranger.read(world)), Some(4403));
    world.run_ms(2000);
    assert_eq!(world.browsers[scene.speaker].closed, None);
    scene.end();
}
