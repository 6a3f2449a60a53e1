//! What sessions take of memory, OpenSSL's and the cryptography's in C included, against what the bounds are computed with.
//!
//! Invariant: nothing else runs in this program, so that what glibc has in use is the session's. The figures are those in
//! the docs of `ecoute::config`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods, reason = "virtual time starts at some real moment")]
#![allow(dead_code, reason = "the simulation has more than this needs")]

#[path = "sim/browser.rs"]
mod browser;
#[path = "sim/link.rs"]
mod link;
#[path = "sim/world.rs"]
mod world;

use std::time::Duration;

use ecoute::config::PLACES_OF_PROGRAM;

use crate::link::Quality;
use crate::world::{Who, World};

/// What a session may take that is connected, in bytes.
const PLACE: usize = 73_800;

/// A conn with a user, in bytes.
const CONN: usize = 10_900;

/// A network on which a flight can be stopped behind another.
const SLOW: Quality = Quality { delay: Duration::from_millis(20), ..Quality::PERFECT };

/// Returns the bytes that the program has in use.
fn in_use() -> usize {
    /// The fields of glibc's `struct mallinfo2`, by their places.
    #[repr(C)]
    struct Mallinfo([usize; 10]);
    #[allow(unsafe_code, reason = "a function of C")]
    // SAFETY: it takes nothing, returns a struct of ten numbers, and reads the allocator's own books under its locks.
    unsafe {
        unsafe extern "C" {
            fn mallinfo2() -> Mallinfo;
        }
        let Mallinfo(fields) = mallinfo2();
        // In pages of its own, and out of the heap.
        fields[4] + fields[7]
    }
}

/// Returns what each of the sessions that `open` opens takes of a server.
fn taken_by_each(open: impl Fn(&mut World, usize)) -> usize {
    let of_so_many = |count: usize| {
        let mut world = World::new(3, SLOW);
        for n in 0..count {
            open(&mut world, n);
        }
        assert!(world.server.table_sizes().peers >= count);
        let with = in_use();
        world.restart_server();
        with - in_use()
    };
    (of_so_many(48) - of_so_many(8)) / 40
}

fn listen(world: &mut World, n: usize) {
    if n == 0 {
        world.publisher("lea");
        world.settle();
    }
    let paul = world.listener(&format!("admin{n}"));
    world.settle();
    world.join(paul, "lea");
    world.run_ms(200);
}

fn post(world: &mut World, n: usize) -> Who {
    world.device(&format!("device{n}"))
}

fn connect(world: &mut World, n: usize) {
    let who = post(world, n);
    world.run_ms(400);
    assert!(world.browsers[who].connected);
}

/// A program's handshake goes as far as the server's first flight, and then no further.
fn stop_in_the_handshake(world: &mut World, n: usize) -> Who {
    let who = post(world, n);
    world.record(who);
    let is_dtls = |bytes: &Vec<u8>| matches!(bytes[..], [20..=63, ..]);
    let mut sent = Vec::new();
    while !sent.iter().any(is_dtls) {
        world.run_ms(1);
        sent = world.take_record(who);
        world.record(who);
    }
    world.run_ms(22);
    world.unplug(who);
    who
}

/// Besides, it has sent the beginnings of all messages that OpenSSL keeps, each as long as may be, and what is early.
fn stop_in_pieces(world: &mut World, n: usize) {
    let who = stop_in_the_handshake(world, n);
    let mut number = 100;
    let mut send = |kind: u8, epoch: u8, body: &[u8]| {
        number += 1;
        let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, number, 0, body.len() as u8];
        world.inject(who, &[&header[..], body].concat());
    };
    // Where the longest are not taken, shorter ones are.
    for len in [[0, 16, 0], [0, 4, 0]] {
        for sequence in 1..20 {
            send(22, 0, &[&[11][..], &len, &[0, sequence, 0, 0, 0, 0, 0, 8], &[7; 8]].concat());
        }
    }
    send(20, 0, &[1; 100]);
    send(22, 1, &[1; 100]);
    assert_eq!(world.server.stats().peers_failed, 0);
}

#[test]
fn sessions_take_the_places_that_they_count_for() {
    let program = PLACES_OF_PROGRAM * PLACE;
    let cases: [(&str, &dyn Fn(&mut World, usize), usize); 5] = [
        ("a page that listens", &listen, PLACE + CONN),
        ("a program that has asked", &|world, n| _ = post(world, n), program),
        ("a program that is connected", &connect, program),
        ("a program amid its handshake", &|world, n| _ = stop_in_the_handshake(world, n), program),
        ("a program that sends pieces", &stop_in_pieces, program),
    ];
    let taken = cases.map(|(name, open, bytes_max)| (name, taken_by_each(open), bytes_max));
    let is_within = taken.iter().all(|&(_, bytes, bytes_max)| (20_000..=bytes_max).contains(&bytes));
    assert!(is_within, "{taken:#?}");
}
