//! What one address, one user or one proxy may have.

use std::net::SocketAddr;

use ecoute::keys::ConnKey;
use ecoute::words::Role;
use serde_json::json;
use stage::scenario::error_codes;
use stage::stranger::{UPGRADE, address};
use stage::world::{Who, World};

use super::world;

#[test]
fn strangers_of_one_address_are_counted_and_others_come_in() {
    let mut world = world(|_| {});
    let max = world.limits.admission.of_stranger.held_max as u16;
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
    let max = world.limits.admission.of_user.held_max;
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
    assert!(codes[..10].iter().all(|code| *code == "offer_refused") && codes[10..] == ["too_many"; 2], "{codes:?}");
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
fn a_trusted_proxy_says_whose_conn_it_is() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let proxy = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    // Whoever does not register counts fully.
    let ask = |world: &mut World, remote: SocketAddr, lines: &str| {
        let conn = world.knock(remote).expect("there is room");
        (conn, world.send_bytes(conn, format!("{UPGRADE}{lines}\r\n").as_bytes()))
    };
    let max = world.limits.admission.of_stranger.held_max as u16;
    // Only the last hop before the proxies counts: the rest is the client's own words.
    for n in 0..max {
        let lines = format!("X-Forwarded-For: 192.0.2.{n}, 198.51.100.7\r\nX-Forwarded-For: 10.0.0.2\r\n");
        assert!(ask(&mut world, proxy(n), &lines).1.starts_with("HTTP/1.1 101 "));
    }
    let (_, answer) = ask(&mut world, proxy(1000), "Forwarded: for=198.51.100.7;proto=https\r\n");
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(world.server.stats().conns_over_address, 1);
    assert!(world.knock(SocketAddr::from(([198, 51, 100, 7], 1))).is_none(), "the same client without the proxy");
    let shared = world.knock(proxy(1001)).unwrap();
    let mut health = |client: u8| {
        let head = format!("GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.{client}\r\n\r\n");
        world.send_bytes(shared, head.as_bytes())
    };
    let answer = health(8);
    assert!(answer.starts_with("HTTP/1.1 200 "), "another client: {answer}");
    let answer = health(7);
    assert!(answer.starts_with("HTTP/1.1 429 "), "a proxy uses one conn for several clients: {answer}");
    // What no proxy says is worth nothing.
    for n in 0..max {
        let (_, answer) = ask(&mut world, address(9, n), &format!("X-Forwarded-For: 192.0.2.{n}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 101 "));
    }
    assert!(world.knock(address(9, 1000)).is_none());
    world.end();
}

#[test]
fn a_browser_is_asked_to_keep_to_https_where_the_proxy_says_that_it_came_so() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let (proxy, stranger) = (SocketAddr::from(([10, 0, 0, 1], 1)), address(7, 1));
    let cases = [
        ("by the proxy", proxy, "a", "X-Forwarded-Proto: https\r\n", true),
        ("through several", proxy, "a", "X-Forwarded-Proto: HTTPS, https\r\n", true),
        ("plain at first", proxy, "a", "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", false),
        ("by the newer header", proxy, "a", "Forwarded: for=192.0.2.9;proto=https\r\n", true),
        (
            "by the older one",
            proxy,
            "a",
            "Forwarded: for=192.0.2.9;proto=https\r\nX-Forwarded-Proto: http\r\n",
            false,
        ),
        ("plain", proxy, "a", "X-Forwarded-Proto: http\r\n", false),
        ("not said", proxy, "a", "", false),
        ("at the port that goes without saying", proxy, "a:443", "X-Forwarded-Proto: https\r\n", true),
        ("at another port", proxy, "a:8443", "X-Forwarded-Proto: https\r\n", false),
        ("by anybody", stranger, "a", "X-Forwarded-Proto: https\r\n", false),
    ];
    for (name, remote, host, lines, want) in cases {
        let conn = world.knock(remote).unwrap();
        let answer =
            world.send_bytes(conn, format!("GET /admin HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{name}");
        assert_eq!(answer.contains("\r\nStrict-Transport-Security: max-age="), want, "{name}");
        world.hang_up(conn);
    }
    world.end();
}

#[test]
fn a_client_that_claims_to_be_another_is_nobody() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let proxy = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    let ask = |world: &mut World, port: u16, lines: &str| {
        let conn = world.knock(proxy(port)).unwrap();
        let answer = world.send_bytes(conn, format!("{UPGRADE}{lines}\r\n").as_bytes());
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // The proxy writes the older header and passes on what the client wrote in the other.
    for n in 0..70 {
        let lines = "Forwarded: for=192.0.2.77\r\nX-Forwarded-For: 203.0.113.66\r\n";
        assert_eq!(ask(&mut world, n, lines), "400");
    }
    assert!(world.knock("192.0.2.77:1".parse().unwrap()).is_some(), "who was named is not counted for it");
    let same = "Forwarded: for=203.0.113.66\r\nX-Forwarded-For: 1.2.3.4, 203.0.113.66\r\n";
    assert_eq!(ask(&mut world, 100, same), "101");
    // Neighbours of the proxy are clients as any.
    let answers: Vec<String> =
        (0..65).map(|n| ask(&mut world, 200 + n, "X-Forwarded-For: 203.0.113.9\r\n")).collect();
    assert_eq!(answers.iter().filter(|status| *status == "101").count(), 64);
    let conn = world.knock(proxy(300)).unwrap();
    for header in ["X-Forwarded-For: 203.0.113.10\r\n", ""] {
        let answer = world.send_bytes(conn, format!("GET /health HTTP/1.1\r\nHost: a\r\n{header}\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    world.end();
}

/// Proxies keep connections for a minute, and answer 502 where the server closes one on which they just ask.
#[test]
fn an_idle_connection_of_a_proxy_outlives_the_proxy_s_patience() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let ask = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let [proxy, other] = ["10.0.0.1:1", "203.0.113.8:1"].map(|at| world.knock(at.parse().unwrap()).unwrap());
    for conn in [proxy, other] {
        assert!(world.send_bytes(conn, ask).starts_with("HTTP/1.1 200 "));
    }
    world.run_ms(16_000);
    assert!(world.server.should_close(other));
    world.run_ms(50_000);
    assert!(world.send_bytes(proxy, ask).starts_with("HTTP/1.1 200 "), "after more than a minute");
    world.run_ms(76_000);
    assert!(world.server.should_close(proxy));
    world.end();
}

#[test]
fn a_proxy_in_the_network_of_its_clients_says_whose_conn_it_is() {
    let mut world = world(|_| {});
    world.trust_proxies(&["2001:db8::1/128"]);
    let statuses: Vec<String> = (0..65)
        .map(|port| {
            let conn = world.knock(SocketAddr::new("2001:db8::1".parse().unwrap(), port)).unwrap();
            let ask = format!("{UPGRADE}X-Forwarded-For: 2001:db8::2\r\n\r\n");
            world.send_bytes(conn, ask.as_bytes())[9..12].to_owned()
        })
        .collect();
    assert_eq!(statuses, [vec!["101"; 64], vec!["429"]].concat());
    world.end();
}

/// The proxy may be about to ask for somebody else on it, who would be answered 502.
#[test]
fn nobody_cuts_an_idle_connection_of_a_proxy() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8", "2001:db8::1/128"]);
    for (proxy, client) in [("10.0.0.1", "203.0.113.7"), ("2001:db8::1", "2001:db8::2")] {
        let mut ask = |port: u16, head: &str, client: &str| {
            let conn = world.knock(SocketAddr::new(proxy.parse().unwrap(), port)).unwrap();
            let lines = if client.is_empty() { String::new() } else { format!("X-Forwarded-For: {client}\r\n") };
            (conn, world.send_bytes(conn, format!("{head}{lines}\r\n").as_bytes()))
        };
        const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: a\r\n";
        // What the proxy asked for the client last, and for itself.
        let idle = [ask(1, HEALTH, client).0, ask(2, HEALTH, "").0];
        let upgraded: Vec<String> = (3..68).map(|port| ask(port, UPGRADE, client).1).collect();
        assert!(upgraded[..64].iter().all(|answer| answer.starts_with("HTTP/1.1 101 ")), "{proxy}");
        assert!(upgraded[64].starts_with("HTTP/1.1 429 "), "{proxy}: {}", upgraded[64]);
        for conn in idle {
            let lines = format!("{HEALTH}X-Forwarded-For: 198.51.100.7\r\n\r\n");
            let answer = world.send_bytes(conn, lines.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 200 "), "{proxy}: {answer}");
        }
    }
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
    let rows_max = world.limits.admission.of_stranger.rows_max;
    assert_eq!(world.server.table_sizes().quotas, rows_max);
    assert_eq!(world.server.stats().rows_forgotten, 10_000 - rows_max as u64);
    assert!(world.knock(address(1, 1)).is_some());
    world.end();
}
