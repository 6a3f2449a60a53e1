//! HTTP clients who know what they do. A bystander's pair must hear every packet meanwhile.

use std::time::Duration;

use ecoute::stats::Stats;
use ecoute::web;
use stage::scene::Scene;
use stage::stranger::{Stranger, UPGRADE, contains};

/// The head of a good request, of any length.
fn request_of(bytes: usize) -> String {
    let (before, after) = ("GET /health HTTP/1.1\r\nHost: ecoute\r\nX: ", "\r\n\r\n");
    format!("{before}{}{after}", "x".repeat(bytes - before.len() - after.len()))
}

#[test]
fn requests_that_can_not_be_read_are_refused_and_cut() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let get = |lines: &str| format!("GET /health HTTP/1.1\r\nHost: ecoute\r\n{lines}\r\n");
    let head_bytes_max = world.limits.conn.head_bytes_max;
    let cases: &[(&str, String, &str)] = &[
        ("bare line feeds", get("").replace('\r', ""), "400"),
        ("one bare line feed", get("A: b\n"), "400"),
        ("a bare carriage return", get("A: b\rc\r\n"), "400"),
        ("a folded line", get("A: b\r\n c\r\n"), "400"),
        ("a space before the colon", get("Host : evil\r\n"), "400"),
        ("NUL", get("A: \0\r\n"), "400"),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".into(), "400"),
        ("two hosts", get("Host: evil\r\n"), "400"),
        ("two origins", get("Origin: http://ecoute\r\nOrigin: https://evil.example\r\n"), "400"),
        ("an absolute target to an evil host", "GET http://a@evil/ HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "400"),
        ("an asterisk", "GET * HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "400"),
        ("a tunnel", "CONNECT evil:443 HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "400"),
        ("a length and chunks", get("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), "400"),
        ("chunks and a length", get("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), "400"),
        ("chunks", get("Transfer-Encoding: chunked\r\n"), "411"),
        ("chunks said in another way", get("Transfer-Encoding: identity, \tCHUNKED\r\n"), "411"),
        ("two lengths", get("Content-Length: 4\r\nContent-Length: 5\r\n"), "400"),
        ("two equal lengths", get("Content-Length: 4\r\nContent-Length: 4\r\n"), "400"),
        ("a list of lengths", get("Content-Length: 4, 4\r\n"), "400"),
        ("a negative length", get("Content-Length: -1\r\n"), "400"),
        ("a length with a sign", get("Content-Length: +4\r\n"), "400"),
        ("a length in hexadecimal", get("Content-Length: 0x4\r\n"), "400"),
        ("a length in other digits", get("Content-Length: ٤\r\n"), "400"),
        ("a length behind a wide space", get("Content-Length: \u{a0}4\r\n"), "400"),
        ("a length of 2^64", get("Content-Length: 18446744073709551616\r\n"), "400"),
        ("a body that is too large", get("Content-Length: 65537\r\n"), "413"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "400"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".into(), "400"),
        ("one byte more than the longest head", request_of(head_bytes_max + 1), "431"),
        ("a head without end", format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(head_bytes_max)), "431"),
        ("too many lines", get(&"A: b\r\n".repeat(64)), "431"),
    ];
    for (n, (name, request, status)) in cases.iter().enumerate() {
        // What comes behind is not another request.
        let stranger =
            Stranger::asking(world, format!("{request}GET /health HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = String::from_utf8(stranger.read(world)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(
            answer.contains("Connection: close\r\n") && answer.matches("HTTP/1.1").count() == 1,
            "{name}: {answer}"
        );
        assert!(stranger.is_closed(world), "{name}");
        assert_eq!(world.server.stats().requests_malformed, n as u64 + 1, "{name}");
        world.run_ms(20);
    }
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn what_is_strange_but_right_is_served() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let cases = [
        ("the longest head", request_of(world.limits.conn.head_bytes_max), "200"),
        ("an absolute target", "GET http://ecoute/health HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "200"),
        ("one in capitals", "GET HTTPS://Ecoute:443/health?a HTTP/1.1\r\nHost: b\r\n\r\n".into(), "200"),
        ("one without a path", "OPTIONS http://ecoute?a=b HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "204"),
        ("a query with anything", "GET /health?a=http://b/%ff&&? HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "200"),
        ("two slashes", "GET //health HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "404"),
        ("a range", "GET /health HTTP/1.1\r\nHost: ecoute\r\nRange: bytes=0-3\r\n\r\n".into(), "200"),
        (
            "what only others read",
            "GET /health HTTP/1.1\r\nHost: ecoute\r\nTE: trailers\r\nDNT: 1\r\nPriority: u=1, i\r\nVia: 1.1 a\r\n\
             Sec-Fetch-Mode: cors\r\nCF-Connecting-IP: 1.2.3.4\r\nX-Amzn-Trace-Id: Root=1-2\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"
                .into(),
            "200",
        ),
        (
            "an offer of HTTP/2",
            "GET /health HTTP/1.1\r\nHost: ecoute\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
                .into(),
            "200",
        ),
        ("no space behind a colon", "GET /health HTTP/1.1\r\nHost:ecoute\r\nA:\tb \t\r\nC:\r\n\r\n".into(), "200"),
        ("an unknown expectation", "GET /health HTTP/1.1\r\nHost: ecoute\r\nExpect: miracle\r\n\r\n".into(), "200"),
        ("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "204"),
        ("an empty line before", "\r\nGET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "200"),
        ("a path with HTML", "GET /<script>alert(1)</script> HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "404"),
        ("a path upwards", "GET /../../etc/passwd HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "404"),
        ("another method", "BREW /health HTTP/1.1\r\nHost: ecoute\r\n\r\n".into(), "405"),
    ];
    for (name, request, status) in cases {
        for step in [request.len(), 1] {
            let stranger = Stranger::connect(world);
            for bytes in request.as_bytes().chunks(step) {
                world.push(stranger.conn, bytes);
            }
            let answer = String::from_utf8(stranger.read(world)).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
            assert!(!answer.contains("<script>") && !stranger.is_closed(world), "{name}: {answer}");
            world.hang_up(stranger.conn);
        }
        world.run_ms(20);
    }
    assert_eq!(world.server.stats().requests_malformed, 0);
    scene.end();
}

#[test]
fn a_slow_head_is_told_and_silence_is_not() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let (slow, silent) = (Stranger::connect(world), Stranger::connect(world));
    let request = b"GET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n";
    for (index, byte) in request.iter().enumerate().take(24) {
        assert!(slow.read(world).is_empty() && !slow.is_closed(world), "{index}");
        world.push(slow.conn, &[*byte]);
        world.run_ms(200);
    }
    world.run_ms(5000 - 24 * 200);
    assert!(slow.read(world).starts_with(b"HTTP/1.1 408 "));
    assert!(slow.is_closed(world) && silent.is_closed(world));
    assert_eq!(world.server.stats().conns_timed_out, 2);
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn a_slow_body_is_told_and_one_in_time_is_none_of_the_next_request() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let head = "POST /health HTTP/1.1\r\nHost: ecoute\r\nContent-Length: 65536\r\n\r\n";
    let (slow, mute) = (Stranger::asking(world, head.as_bytes()), Stranger::asking(world, head.as_bytes()));
    for second in 0..10 {
        assert!(slow.read(world).is_empty() && !slow.is_closed(world), "{second}");
        world.push(slow.conn, b"GET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n");
        world.run_ms(999);
    }
    world.run_ms(10);
    for stranger in [slow, mute] {
        assert!(stranger.read(world).starts_with(b"HTTP/1.1 408 "));
        assert!(stranger.is_closed(world));
    }
    assert_eq!(world.server.stats().conns_timed_out, 2);

    let body = "GET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n".repeat(2000);
    let stranger = Stranger::asking(world, head.as_bytes());
    for bytes in body.as_bytes()[..65_536].chunks(1000) {
        world.push(stranger.conn, bytes);
    }
    world.push(stranger.conn, b"GET /nothing HTTP/1.1\r\nHost: ecoute\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(stranger.read(world)).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("HTTP/1.1 404 "), "{answer}");
    assert!(stranger.is_closed(world));
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn a_client_that_asks_and_never_reads_costs_little_and_not_for_long() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let limits = world.limits.clone();
    let stranger = Stranger::connect(world);
    let page = format!("GET {} HTTP/1.1\r\nHost: ecoute\r\n\r\n", web::module("/ecoute-client.js"));
    world.push(stranger.conn, page.as_bytes());
    let one = world.server.pending_write(stranger.conn).len();
    for _ in 0..200 {
        world.push(stranger.conn, page.repeat(20).as_bytes());
        world.run_ms(1);
        let waits = world.server.pending_write(stranger.conn).len();
        assert!(waits <= limits.conn.queue_bytes_max / 2 + one, "{waits}");
    }
    world
        .run_ms((limits.conn.head_timeout + limits.conn.closing_timeout + Duration::from_millis(100)).as_millis()
            as u64);
    assert!(stranger.is_closed(world));
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn nothing_is_read_behind_the_last_request() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let last = "GET /health HTTP/1.1\r\nHost: ecoute\r\nConnection: close\r\n\r\n";
    let stranger = Stranger::connect(world);
    world.push(stranger.conn, format!("{last}{last}").repeat(10).as_bytes());
    world.push(stranger.conn, last.as_bytes());
    assert_eq!(String::from_utf8(stranger.read(world)).unwrap().matches("HTTP/1.1 200").count(), 1);
    assert!(stranger.is_closed(world));
    world.push(stranger.conn, last.as_bytes());
    assert_eq!(world.server.table_sizes().conns, 2);
    scene.end();
}

#[test]
fn ten_thousand_half_open_conns_fill_the_table_for_five_seconds() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let conns_max = world.limits.admission.conns_max;
    let before = world.server.stats().clone();
    let strangers: Vec<Stranger> = (0..10_000)
        .filter_map(|n| {
            // A few send half a request.
            let stranger = Stranger::try_connect(world);
            if let Some(stranger) = stranger.as_ref().filter(|_| n % 10 == 0) {
                world.push(stranger.conn, b"GET / HT");
            }
            stranger
        })
        .collect();
    assert_eq!(strangers.len(), 10_000);
    assert_eq!(world.server.table_sizes().conns, conns_max, "law 6");
    let cut = world.server.stats().conns_cut_for_newer - before.conns_cut_for_newer;
    assert_eq!(cut as usize, 10_000 + 2 - conns_max, "they make room for one another");
    world.run_ms(7000);
    assert_eq!(world.server.table_sizes().conns, 2);
    assert!(world.server.stats().conns_timed_out - before.conns_timed_out >= conns_max as u64 - 2);
    let late = Stranger::asking(world, b"GET /health HTTP/1.1\r\nHost: ecoute\r\n\r\n");
    assert!(late.read(world).starts_with(b"HTTP/1.1 200 "));
    scene.end();
}

#[test]
fn websockets_open_for_whom_they_may() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let cases = [
        ("a program", "", "101"),
        ("the own page", "Origin: http://ecoute\r\n", "101"),
        ("a foreign page", "Origin: https://evil.example\r\n", "403"),
        ("a page without origin", "Origin: null\r\n", "403"),
        ("an empty origin", "Origin:\r\n", "403"),
        ("no scheme", "Origin: ecoute\r\n", "403"),
        ("another port", "Origin: http://ecoute:81\r\n", "403"),
        ("a longer name", "Origin: http://ecoute.evil.example\r\n", "403"),
        ("a user before", "Origin: http://ecoute@evil.example\r\n", "403"),
        ("escapes", "Origin: http://\u{1b}[31m\r\n", "400"),
        ("its host, said twice", "Origin: https://evil.example\r\nHost: evil.example\r\n", "400"),
    ];
    for (name, lines, status) in cases {
        let stranger = Stranger::asking(world, format!("{UPGRADE}{lines}\r\n").as_bytes());
        let answer = stranger.read(world);
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{name}");
        assert!(!contains(&answer, "Access-Control-Allow-Origin"), "{name}");
        world.hang_up(stranger.conn);
    }
    assert_eq!(world.server.stats(), &Stats { requests_malformed: 2, ..world.server.stats().clone() });
    assert_eq!(world.server.table_sizes().registrations, 2);
    scene.end();
}
