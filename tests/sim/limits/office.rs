//! Many people behind one address: their browsers keep connections, and all of them come in.

use std::net::{Ipv6Addr, SocketAddr};

use ecoute::keys::ConnKey;
use ecoute::web;
use ecoute::words::Role;
use stage::scenario::{assert_hears, heard};
use stage::stranger::{UPGRADE, address};
use stage::world::{Who, World};

use super::world;

/// So many connections a browser has to one server.
const OF_BROWSER: usize = 6;

/// Between two requests on one connection: a round trip.
const ROUND_TRIP_MS: u64 = 40;

type Address = fn(u16) -> SocketAddr;

/// A browser that loads both pages, and then lets its connections be.
struct Browser {
    at: SocketAddr,
    conns: Vec<ConnKey>,
    todo: Vec<&'static str>,
    failed: usize,
}

impl Browser {
    fn new(at: SocketAddr) -> Browser {
        let todo = web::all().iter().map(|page| page.path.as_str()).chain(["/commercial", "/admin"]).collect();
        Browser { at, conns: Vec::new(), todo, failed: 0 }
    }

    /// Connects and asks for what is still to load, once on each connection, as long as those live.
    fn go_on(&mut self, world: &mut World, lines: &str) {
        self.conns.retain(|&conn| !world.server.should_close(conn));
        // The first one brings the page; what it names comes over more.
        let wanted = if self.todo.len() == web::all().len() + 2 { 1 } else { OF_BROWSER };
        while self.conns.len() < wanted && !self.todo.is_empty() {
            match world.knock(self.at) {
                Some(conn) => self.conns.push(conn),
                None => {
                    self.failed += 1;
                    return;
                }
            }
        }
        for &conn in &self.conns {
            let Some(path) = self.todo.pop() else { return };
            let head = format!("GET {path} HTTP/1.1\r\nHost: ecoute\r\nAccept-Encoding: gzip\r\n{lines}\r\n");
            let answer = world.send_bytes(conn, head.as_bytes());
            self.failed += usize::from(!answer.starts_with("HTTP/1.1 200 "));
        }
    }
}

/// Lets people open both pages, one after the other within this time; returns what failed, and who is in.
fn opened(world: &mut World, people: u16, within_ms: u64, at: Address, lines: &str) -> (usize, usize) {
    let mut browsers: Vec<Browser> = Vec::new();
    let mut pages: Vec<Who> = Vec::new();
    let mut came = 0;
    for now_ms in (0..within_ms + 10_000).step_by(ROUND_TRIP_MS as usize) {
        while came < people && u64::from(came) * within_ms <= now_ms * u64::from(people) {
            browsers.push(Browser::new(at(came)));
            came += 1;
        }
        for (n, browser) in browsers.iter_mut().enumerate() {
            let was_loading = !browser.todo.is_empty();
            browser.go_on(world, lines);
            if was_loading && browser.todo.is_empty() && lines.is_empty() {
                world.office = Some(browser.at);
                pages.push(world.open(Role::Commercial, &format!("c{n}")));
                pages.push(world.open(Role::Admin, &format!("a{n}")));
            }
        }
        world.run_ms(ROUND_TRIP_MS);
    }
    assert!(browsers.iter().all(|browser| browser.todo.is_empty()));
    let failed = browsers.iter().map(|browser| browser.failed).sum();
    (failed, pages.iter().filter(|&&who| world.browsers[who].has("user_registered")).count())
}

#[test]
fn two_hundred_people_of_one_address_come_in_within_a_minute() {
    let of_a_64: Address = |n| {
        let ip = (0x2001_0db8_0000_0001_u128 << 64) | u128::from(n);
        SocketAddr::new(Ipv6Addr::from_bits(ip).into(), n)
    };
    let cases: [(&str, Address, u64); 2] =
        [("one address", |n| address(7, n), 60_000), ("one /64, in a hurry", of_a_64, 10_000)];
    for (name, at, within_ms) in cases {
        let mut world = world(|_| {});
        let (lea, paul) = heard(&mut world);
        let (failed, registered) = opened(&mut world, 200, within_ms, at, "");
        assert_eq!((failed, registered), (0, 400), "{name}");
        assert_eq!(world.server.stats().conns_over_address, 0, "{name}");
        assert_hears(&world, paul, lea, 1000, 80);
        world.end();
    }
}

#[test]
fn two_hundred_people_of_one_address_come_in_through_a_proxy() {
    let mut world = world(|_| {});
    world.trust_proxies(&["10.0.0.0/8"]);
    let proxy: Address = |n| SocketAddr::from(([10, 0, 0, 1], n));
    let (failed, _) = opened(&mut world, 200, 60_000, proxy, "X-Forwarded-For: 203.0.113.7\r\n");
    assert_eq!((failed, world.server.stats().conns_over_address), (0, 0));
    world.end();
}

/// Half a request, on so many connections of one address.
fn stall(world: &mut World, at: Address, numbers: std::ops::Range<u16>) -> Vec<ConnKey> {
    let conns: Vec<ConnKey> = numbers.filter_map(|n| world.knock(at(n))).collect();
    for &conn in &conns {
        world.push(conn, b"GET / HTTP/1.1\r\nHo");
    }
    conns
}

fn ask(world: &mut World, conn: ConnKey) -> bool {
    world.send_bytes(conn, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200 ")
}

/// Connects, is answered, and stays.
fn rest(world: &mut World, at: SocketAddr) -> ConnKey {
    let conn = world.knock(at).unwrap();
    assert!(ask(world, conn));
    conn
}

#[test]
fn who_asks_for_nothing_whole_goes_before_who_rests_and_nobody_goes_for_another_address() {
    let mut world = world(|_| {});
    let here: Address = |n| address(7, n);
    let elsewhere = stall(&mut world, |n| address(8, n), 0..64);
    let resting: Vec<ConnKey> = (0..80).map(|n| rest(&mut world, here(n))).collect();
    let registering = world.knock(here(100)).unwrap();
    world.push(registering, format!("{UPGRADE}\r\n").as_bytes());
    let slow = stall(&mut world, here, 200..253);
    assert_eq!(slow.len(), 53);
    // 80 eighths and 54 are all that there may be.
    assert_eq!(world.server.stats().conns_cut_for_own, 0);
    let count =
        |world: &World, conns: &[ConnKey]| conns.iter().filter(|&&conn| !world.server.should_close(conn)).count();
    let first = world.knock(here(300)).unwrap();
    assert!(ask(&mut world, first), "within everybody's grace");
    assert_eq!((count(&world, &slow), count(&world, &resting)), (53, 72), "whoever rested for longest made room");
    world.run_ms(1100);
    for n in 0..53 {
        let conn = world.knock(here(400 + n)).unwrap();
        world.push(conn, b"G");
    }
    assert_eq!((count(&world, &slow), count(&world, &resting)), (0, 72), "all who asked for nothing whole");
    assert!(!world.server.should_close(registering), "who is registering keeps the place");
    assert!(elsewhere.iter().all(|&conn| !world.server.should_close(conn)), "another address pays nothing");
    world.end();
}

#[test]
fn half_a_request_counts_fully_on_a_connection_that_rested_too() {
    let mut world = world(|_| {});
    let max = 8 * world.limits.admission.of_stranger.held_max as u16;
    let here: Address = |n| address(7, n);
    let conns: Vec<ConnKey> = (0..max + 20).map(|n| rest(&mut world, here(n))).collect();
    let alive = |world: &World| conns.iter().filter(|&&conn| !world.server.should_close(conn)).count();
    // Each came as one that had asked for nothing yet.
    assert_eq!(alive(&world), usize::from(max) - 7, "of those that rest there are so many, too");
    for &conn in &conns {
        if !world.server.should_close(conn) {
            world.push(conn, b"GET /health HT");
        }
    }
    assert_eq!(alive(&world), usize::from(max) / 8, "they make room for one another");
    assert!(world.knock(here(9000)).is_none(), "within their grace there is no place");
    assert_eq!(world.server.stats().conns_over_address, 1);
    world.run_ms(1100);
    let late = world.knock(here(9001)).unwrap();
    assert!(ask(&mut world, late));
    world.run_ms(20_000);
    assert_eq!(world.server.table_sizes().conns, 0);
    world.end();
}

#[test]
fn who_rests_and_who_asks_is_counted_as_such_whatever_the_order() {
    // Two proxies, one of them in the network of a client, who also comes without it.
    let ends = ["10.0.0.1", "2001:db8::1", "2001:db8::2", "203.0.113.7"];
    let clients = ["2001:db8::2", "203.0.113.7", "198.51.100.7"];
    for seed in 0..40 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut world = world(|limits| {
            limits.admission.of_stranger.held_max = 2;
            limits.admission.conns_max = 48;
        });
        world.trust_proxies(&["10.0.0.1/32", "2001:db8::1/128"]);
        let mut conns: Vec<ConnKey> = Vec::new();
        for n in 0..500 {
            let Some(&conn) = chance.choice(&conns).filter(|_| chance.u8(0..4) > 0) else {
                conns.extend(world.knock(SocketAddr::new(chance.choice(ends).unwrap().parse().unwrap(), n)));
                continue;
            };
            match chance.u8(0..8) {
                0 => world.push(conn, b"GET /health HTTP/1.1\r\nHo"),
                1 => world.push(conn, b"st: a\r\n\r\n"),
                2 => world.run_ms(chance.u64(1..900)),
                3 => world.push(conn, format!("{UPGRADE}\r\n").as_bytes()),
                4 => world.push(conn, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
                _ => {
                    let client = chance.choice(clients).unwrap();
                    let head = format!("GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
                    world.push(conn, head.repeat(chance.usize(1..3)).as_bytes());
                }
            }
            conns.retain(|&conn| !world.server.should_close(conn));
        }
        world.run_ms(100_000);
        let sizes = world.server.table_sizes();
        assert_eq!((sizes.conns, sizes.quotas), (0, 0), "seed {seed}");
        world.end();
    }
}
