//! Requests whose answer is made elsewhere: a certificate authority's, at the door of plain HTTP.

use ecoute::config::Limits;
use ecoute::path::Door;
use stage::link::Quality;
use stage::scene::{Scene, stranger};
use stage::stranger::Stranger;
use stage::world::World;

const ASK: &str = "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: ecoute\r\n\r\n";

/// A client of the door that has asked for something.
fn asking(world: &mut World, request: &str) -> Stranger {
    world.strangers += 1;
    let conn = world.knock_at(Door::Redirect, stranger(world.strangers)).expect("there is room");
    world.push(conn, request.as_bytes());
    world.run_ms(1);
    Stranger { conn }
}

fn answer(client: &Stranger, world: &mut World) -> String {
    String::from_utf8(client.read(world)).unwrap()
}

fn world_with_reads(reads_max: usize) -> World {
    let mut limits = Limits::default();
    limits.jobs.reads_max = reads_max;
    World::with_limits(7, Quality::PERFECT, limits)
}

#[test]
fn an_answer_that_comes_late_is_waited_for() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let head_timeout_ms = world.limits.conn.head_timeout.as_millis() as u64;
    let cases = [
        ("GET", Some("token.thumb"), "200", "\r\n\r\ntoken.thumb"),
        ("HEAD", Some("token.thumb"), "200", "\r\n\r\n"),
        ("GET", None, "404", "there is nothing here\"}}"),
    ];
    for (method, contents, status, end) in cases {
        let client = asking(world, &ASK.replace("GET", method));
        assert_eq!(world.reads.len(), 1);
        assert_eq!(world.reads[0].1, "token");
        world.run_ms(head_timeout_ms + 1000);
        assert_eq!(answer(&client, world), "");
        assert!(!client.is_closed(world) && world.server.is_answering(client.conn));
        world.answer_read(contents.map(str::as_bytes));
        let text = answer(&client, world);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with(end), "{method}: {text}");
        assert!(text.contains("\r\nConnection: close\r\n") && client.is_closed(world), "{text}");
        assert_eq!(text.contains("\r\nContent-Length: 11\r\n"), contents.is_some(), "{text}");
    }
    assert_eq!(world.server.stats().conns_timed_out, 0);
    scene.end();
}

#[test]
fn an_answer_that_never_comes_is_told_and_changes_nothing_afterwards() {
    let mut world = world_with_reads(1);
    let client = asking(&mut world, ASK);
    world.run_ms(world.limits.conn.answer_timeout.as_millis() as u64);
    let text = answer(&client, &mut world);
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"), "{text}");
    assert!(client.is_closed(&world));
    world.run_ms(10);

    // It is still out.
    let refused = asking(&mut world, ASK);
    assert!(answer(&refused, &mut world).starts_with("HTTP/1.1 503 "));
    assert_eq!((world.reads.len(), world.server.stats().reads_refused), (1, 1));
    world.answer_read(Some(b"late"));
    assert_eq!(answer(&client, &mut world), "");
    let served = asking(&mut world, ASK);
    world.answer_read(Some(b"in time"));
    assert!(answer(&served, &mut world).ends_with("in time"));
    world.end();
}

#[test]
fn who_hung_up_misses_an_answer_that_is_nobody_elses() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let gone = asking(world, ASK);
    world.hang_up(gone.conn);
    assert_eq!(world.server.table_sizes().jobs, 1);
    // It takes the place in the table that was left.
    let next = asking(world, ASK);
    world.answer_read(Some(b"of another"));
    assert_eq!(answer(&next, world), "");
    world.answer_read(Some(b"of this one"));
    assert!(answer(&next, world).ends_with("\r\n\r\nof this one"));
    assert_eq!(world.server.table_sizes().jobs, 0);
    scene.end();
}

#[test]
fn what_is_asked_for_behind_it_waits_and_is_bounded() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let client = asking(world, &format!("{ASK}GET / HTTP/1.1\r\nHost: ecoute\r\n\r\n"));
    world.push(client.conn, ASK.as_bytes());
    world.run_ms(10);
    assert_eq!(world.reads.len(), 1, "one at a time");
    world.answer_read(Some(b"one"));
    let text = answer(&client, world);
    assert!(text.matches("HTTP/1.1 ").count() == 1 && text.ends_with("one"), "the last of this conn: {text}");

    let flooding = asking(world, ASK);
    let many = "x".repeat(4 * world.limits.conn.head_bytes_max);
    world.push(flooding.conn, many.as_bytes());
    assert!(!flooding.is_closed(world));
    world.push(flooding.conn, b"x");
    assert!(flooding.is_closed(world));
    assert_eq!(world.server.stats().conns_too_slow, 1);
    world.answer_read(Some(b"two"));
    assert_eq!(answer(&flooding, world), "");
    scene.end();
}

#[test]
fn so_many_are_read_at_one_time() {
    let mut world = world_with_reads(2);
    let clients: Vec<Stranger> = (0..5).map(|_| asking(&mut world, ASK)).collect();
    assert_eq!((world.reads.len(), world.server.stats().reads_refused), (2, 3));
    for client in &clients[2..] {
        let text = answer(client, &mut world);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: "), "{text}");
        assert!(client.is_closed(&world));
    }
    for client in &clients[..2] {
        world.answer_read(Some(b"read"));
        assert!(answer(client, &mut world).ends_with("read"));
    }
    world.end();
}

#[test]
fn nothing_but_plain_http_is_served_at_that_door() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: ecoute\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let long =
        format!("POST /long HTTP/1.1\r\nHost: ecoute\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1000));
    let cases: &[(&str, &str, &str)] = &[
        ("a page", "GET /admin?x=1 HTTP/1.1\r\nHost: ecoute:80\r\n\r\n", "308 https://ecoute/admin?x=1"),
        ("health", "GET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n", "308 https://ecoute/health"),
        ("a WebSocket", upgrade, "308 https://ecoute/ws"),
        ("a preflight", "OPTIONS /whip/lea HTTP/1.1\r\nHost: ecoute\r\n\r\n", "308 https://ecoute/whip/lea"),
        ("a long body", &long, "308 https://ecoute/long"),
        ("no path", "OPTIONS * HTTP/1.1\r\nHost: ecoute\r\n\r\n", "400"),
        ("no host", "GET / HTTP/1.0\r\n\r\n", "400"),
        ("no name", "GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: ecoute\r\n\r\n", "404"),
        ("up", "GET /.well-known/acme-challenge/../secret HTTP/1.1\r\nHost: ecoute\r\n\r\n", "404"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", "400"),
        ("ICE-TCP", "\0\u{14}\0\u{1}\0\0\u{21}\u{12}\r\n\r\n", "400"),
    ];
    for (name, request, want) in cases {
        let client = asking(world, request);
        let text = answer(&client, world);
        let (status, location) = want.split_once(' ').unwrap_or((want, ""));
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {text}");
        assert_eq!(text.contains(&format!("\r\nLocation: {location}\r\n")), !location.is_empty(), "{name}: {text}");
        assert!(text.contains("\r\nConnection: close\r\n") && client.is_closed(world), "{name}: {text}");
        world.run_ms(20);
    }
    assert_eq!(world.reads.len(), 0);
    let silent = asking(world, "");
    world.run_ms(world.limits.conn.head_timeout.as_millis() as u64);
    assert!(silent.is_closed(world));
    scene.end();
}

/// What is read for somebody who will be gone holds no end up.
#[test]
fn a_drain_waits_for_no_file() {
    let mut world = world_with_reads(1);
    let client = asking(&mut world, ASK);
    world.drain();
    world.run_ms(3000);
    assert!(client.is_closed(&world));
    assert!(world.server.is_drained(), "{:?}", world.server.table_sizes());
    assert_eq!(world.reads.len(), 1);
}
