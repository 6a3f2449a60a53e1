//! What sessions take of memory, OpenSSL's and the cryptography's in C included, against what the bounds are computed with.
//!
//! Invariant: nothing else runs in this program, so that what glibc has in use is the session's. The figures are those in
//! the docs of `ecoute::config`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::time::Duration;

use ecoute::config::PLACES_OF_PROGRAM;
use ecoute::token::{Scope, TOKEN_BYTES_MAX};
use ecoute::words::Role;
use stage::link::Quality;
use stage::world::{Who, World};

/// What a session may take that is connected, in bytes.
const PLACE: usize = 68_500;

/// A conn with a user whose scope fills the token, in bytes.
const CONN: usize = 8_500;

/// So many ids of six characters do.
const SCOPE_IDS: usize = 660;

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
        let sizes = world.server.table_sizes();
        assert!(sizes.peers >= count || sizes.conns >= count);
        let with = in_use();
        world.renew_server();
        with - in_use()
    };
    (of_so_many(40) - of_so_many(8)) / 32
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

/// Opens a page of somebody who may hear as many as a token has room for.
fn register(world: &mut World, n: usize) {
    let ids: Vec<String> = (0..SCOPE_IDS).map(|id| format!("id{id:04}")).collect();
    let token = world.token(Role::Admin, &format!("admin{n}"), |claims| {
        claims.listen = Some(Scope::new(ids.iter().map(String::as_str)));
    });
    assert!((TOKEN_BYTES_MAX - 200..=TOKEN_BYTES_MAX).contains(&token.len()), "{}", token.len());
    let who = world.open_with(&format!("admin{n}"), &token);
    world.run_ms(200);
    assert!(world.browsers[who].has("user_registered"));
}

fn play(world: &mut World, n: usize) {
    if n == 0 {
        world.device("door");
    }
    let who = world.player(&format!("admin{n}"), "door");
    world.run_ms(1000);
    assert!(!world.browsers[who].heard.is_empty());
}

fn post(world: &mut World, n: usize) -> Who {
    world.device(&format!("device{n}"))
}

fn connect(world: &mut World, n: usize) {
    let who = post(world, n);
    world.run_ms(400);
    assert!(world.browsers[who].connected);
}

/// Lets a client's stream go on under as many names as it may.
fn rename(world: &mut World, who: Who) {
    let changed = world.server.stats().streams_changed;
    for ssrc in 101..100 + world.limits.peer.streams_life_max as u32 {
        world.browsers[who].change_stream(ssrc);
        world.run_ms(20);
    }
    world.run_ms(100);
    assert_eq!(world.server.stats().streams_changed - changed, world.limits.peer.streams_life_max as u64 - 1);
}

fn page_of_many_streams(world: &mut World, n: usize) {
    let who = world.publisher(&format!("lea{n}"));
    world.settle();
    world.run_ms(200);
    rename(world, who);
}

fn program_of_many_streams(world: &mut World, n: usize) {
    let who = post(world, n);
    world.run_ms(400);
    rename(world, who);
}

/// Lets a client's handshake go as far as the server's first flight, and then no further.
fn stop(world: &mut World, who: Who) {
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
}

/// Sends from a client's address the beginnings of all messages that a handshake may have, each as long as may be, what is
/// early, and repetitions.
fn send_pieces(world: &mut World, who: Who) {
    let mut number = 100;
    let mut send = |kind: u8, epoch: u8, body: &[u8]| {
        number += 1;
        let len = (body.len() as u16).to_be_bytes();
        let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, number, len[0], len[1]];
        world.inject(who, &[&header[..], body].concat());
    };
    // Where the longest are not taken, shorter ones are.
    for [long, longer] in [[16, 0], [4, 0]] {
        for sequence in 1..20 {
            let piece = [11, 0, long, longer, 0, sequence, 0, 0, 0, 0, 3, 232];
            send(22, 0, &[&piece[..], &[7; 1000]].concat());
        }
    }
    send(20, 0, &[1; 100]);
    send(22, 1, &[1; 100]);
    assert_eq!(world.server.stats().peers_failed, 0);
}

fn page_amid_handshake(world: &mut World, n: usize) -> Who {
    let who = world.open(Role::Admin, &format!("admin{n}"));
    world.run_ms(100);
    let now = world.now;
    world.browsers[who].open_audio(now);
    stop(world, who);
    who
}

fn program_amid_handshake(world: &mut World, n: usize) -> Who {
    let who = post(world, n);
    stop(world, who);
    who
}

fn page_in_pieces(world: &mut World, n: usize) {
    let who = page_amid_handshake(world, n);
    send_pieces(world, who);
}

fn program_in_pieces(world: &mut World, n: usize) {
    let who = program_amid_handshake(world, n);
    send_pieces(world, who);
}

#[test]
fn sessions_take_the_places_that_they_count_for() {
    let program = PLACES_OF_PROGRAM * PLACE;
    let page = PLACE + CONN;
    // Those that hear are most of all, and take less.
    let (page_that_hears, program_that_hears) = (48 * 1024, 80 * 1024);
    let cases: [(&str, &dyn Fn(&mut World, usize), usize); 11] = [
        ("a conn of a wide scope", &register, CONN),
        ("a page that listens", &listen, page_that_hears),
        ("a program that listens", &play, program_that_hears),
        ("a page of many streams", &page_of_many_streams, page),
        ("a program of many streams", &program_of_many_streams, program),
        ("a page amid its handshake", &|world, n| _ = page_amid_handshake(world, n), page),
        ("a page that sends pieces", &page_in_pieces, page),
        ("a program that has asked", &|world, n| _ = post(world, n), program),
        ("a program that is connected", &connect, program),
        ("a program amid its handshake", &|world, n| _ = program_amid_handshake(world, n), program),
        ("a program that sends pieces", &program_in_pieces, program),
    ];
    let taken = cases.map(|(name, open, bytes_max)| (name, taken_by_each(open), bytes_max));
    let is_within = taken.iter().all(|&(_, bytes, bytes_max)| (bytes_max / 4..=bytes_max).contains(&bytes));
    assert!(is_within, "{taken:#?}");
}
