//! Strangers who hold every place: who comes from elsewhere gets one all the same, and whoever is here stays.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ecoute::keys::ConnKey;
use ecoute::words::Role;
use stage::scenario::{assert_hears, heard};
use stage::stranger::UPGRADE;
use stage::world::{Who, World};

use super::world;

type Address = fn(u32) -> SocketAddr;

fn in_a_56(n: u32) -> SocketAddr {
    let ip = 0x2001_0db8_0000_ab00_u128 << 64 | u128::from(n % 256) << 64 | u128::from(n);
    SocketAddr::new(Ipv6Addr::from_bits(ip).into(), 1)
}

fn in_a_48(n: u32) -> SocketAddr {
    let ip = 0x2001_0db8_0000_0000_u128 << 64 | u128::from(n % 65_536) << 64 | 1;
    SocketAddr::new(Ipv6Addr::from_bits(ip).into(), 1)
}

fn in_a_24(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0xcb00_7100 | (n % 256)).into(), (n / 256) as u16)
}

fn everywhere(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from_bits((0x2a00_u128 << 112) + (u128::from(n) << 80)).into(), 1)
}

/// Strangers knock, and ask for a WebSocket each.
fn knock(world: &mut World, address: Address, numbers: std::ops::Range<u32>, opens: bool) -> Vec<ConnKey> {
    let mut conns = Vec::new();
    for n in numbers {
        let Some(conn) = world.knock(address(n)) else { continue };
        if opens {
            world.push(conn, format!("{UPGRADE}\r\n").as_bytes());
        }
        conns.push(conn);
    }
    conns
}

/// Lets people come, from a network each, while strangers take every place that is free; returns how many were served.
fn newcomers_served(address: Address, opens: bool, wait_ms: u64, a_turn: u32) -> (usize, World) {
    let mut world = world(|limits| limits.admission.conns_max = 1024);
    let (lea, paul) = heard(&mut world);
    let max = world.limits.admission.conns_max as u32;
    knock(&mut world, address, 0..max + 500, opens);
    assert_eq!(world.server.table_sizes().conns, max as usize);
    world.run_ms(wait_ms);
    let mut people: Vec<Who> = Vec::new();
    for n in 0..63_u32 {
        world.office = Some(SocketAddr::from(([60, n as u8, 7, 1], 1)));
        people.push(world.open(if n % 2 == 0 { Role::Admin } else { Role::Commercial }, &format!("p{n}")));
        knock(&mut world, address, max + 500 + n * a_turn..max + 500 + (n + 1) * a_turn, opens);
        world.run_ms(20);
    }
    world.run_ms(200);
    assert_hears(&world, paul, lea, 1000, 80);
    assert!([lea, paul].iter().all(|&who| world.browsers[who].closed.is_none()), "users stay");
    (people.iter().filter(|&&who| world.browsers[who].has("user_registered")).count(), world)
}

#[test]
fn whoever_comes_from_elsewhere_is_served() {
    let cases: [(&str, Address, bool, u64, u32); 5] = [
        ("a /56", in_a_56, false, 0, 40),
        ("a /56 that opens WebSockets", in_a_56, true, 0, 40),
        ("a /48", in_a_48, false, 0, 40),
        ("a /24 of IPv4", in_a_24, false, 0, 40),
        // Nobody is a crowd: they come more slowly than their grace ends.
        ("everywhere", everywhere, false, 1500, 10),
    ];
    for (name, address, opens, wait_ms, a_turn) in cases {
        let (served, world) = newcomers_served(address, opens, wait_ms, a_turn);
        assert_eq!(served, 63, "{name}");
        world.end();
    }
}

#[test]
fn a_crowd_makes_room_for_its_neighbours_too() {
    let mut world = world(|limits| limits.admission.conns_max = 100);
    let crowd = knock(&mut world, in_a_56, 0..100, false);
    let neighbour: Address =
        |n| SocketAddr::new(Ipv6Addr::from_bits(0x2001_0db8_0000_cd00_u128 << 64 | u128::from(n)).into(), 1);
    let few = knock(&mut world, neighbour, 0..10, false);
    assert_eq!(few.len(), 10, "of the same /48");
    let more = knock(&mut world, in_a_56, 100..200, false);
    assert!(few.iter().all(|&conn| !world.server.should_close(conn)));
    assert_eq!(more.len(), 100, "each comes in");
    let of_crowd = crowd.iter().chain(&more).filter(|&&conn| !world.server.should_close(conn)).count();
    assert_eq!(of_crowd, 90, "its own make room for its own");
    world.end();
}

#[test]
fn who_is_registering_keeps_the_place_for_a_while() {
    let mut world = world(|limits| {
        limits.admission.conns_max = 50;
        limits.admission.registering_kept = 3;
    });
    let registering = knock(&mut world, everywhere, 1000..1005, true);
    world.run_ms(10);
    knock(&mut world, everywhere, 0..45, false);
    // Past everybody's grace, and before the end of the time to register.
    for n in 0..4 {
        world.run_ms(1100);
        knock(&mut world, everywhere, 100 * (n + 1)..100 * (n + 1) + 60, false);
    }
    let stays: Vec<bool> = registering.iter().map(|&conn| !world.server.should_close(conn)).collect();
    assert_eq!(stays, [true, true, true, false, false], "of so many the place is kept");
    world.end();
}
