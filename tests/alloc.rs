//! What a packet costs on its way from a publisher to its listeners, in allocations, and what a WebSocket keeps.
//!
//! Invariant: each thread counts its own, so that tests do not see one another.

use ecoute::outbox::{Item, Outbox};
use ecoute::wire::websocket::{Incoming, Websocket};
use stage::allocator::{Counting, allocations, held};
use stage::link::Quality;
use stage::world::{Who, World, is_media};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets that are counted, after as many that warm buffers up.
const PACKETS: usize = 200;

/// Returns how often each packet to so many listeners allocates, from its arrival until all is in the outbox.
fn allocations_per_packet(listeners: usize, over_tcp: bool) -> Vec<usize> {
    let mut world = World::new(1, Quality::PERFECT);
    let lea = world.publisher("lea");
    let hearing: Vec<_> = (0..listeners).map(|n| world.listener(&format!("admin{n}"))).collect();
    if over_tcp {
        hearing.iter().for_each(|&who| world.block_udp(who));
    }
    world.settle();
    for &who in &hearing {
        world.join(who, "lea");
    }
    world.run_ms(2000);
    let mut counts = Vec::new();
    let mut out = Outbox::new();
    while counts.len() < 2 * PACKETS {
        let now = world.browsers[lea].next_deadline().unwrap();
        let datagrams = world.browsers[lea].handle_timeout(now);
        world.now = now;
        for (_, bytes) in datagrams {
            let path = world.path_of(lea);
            let before = allocations();
            world.server.handle_datagram(now, path, &bytes, &mut out);
            let made = allocations() - before;
            let (delivered, reports) = deliver(&mut world, &mut out, lea);
            if is_media(&bytes) {
                assert!(delivered >= listeners);
                // A report that is due just then, to the publisher or to a listener, is not the packet's.
                counts.extend((reports == 0 && delivered == listeners).then_some(made));
            }
        }
        world.server.handle_timeout(now, &mut out);
        deliver(&mut world, &mut out, lea);
    }
    counts.split_off(PACKETS)
}

/// Does what the outbox says; returns how many datagrams and conns were in it, and how many datagrams to the publisher.
fn deliver(world: &mut World, out: &mut Outbox, publisher: Who) -> (usize, usize) {
    let publisher = world.path_of(publisher);
    let (mut delivered, mut reports) = (0, 0);
    while !out.is_empty() {
        let items: Vec<Item> = out.drain().0.collect();
        for item in items {
            match item {
                Item::Datagram(datagram) if datagram.path.remote == publisher.remote => reports += 1,
                Item::Datagram(_) | Item::Job(..) => delivered += 1,
                Item::Conn(conn) => {
                    delivered += 1;
                    let written = world.server.pending_write(conn).len();
                    world.server.handle_written(world.now, conn, written, out);
                }
            }
        }
    }
    (delivered, reports)
}

/// What a packet allocates is its payload, when the library decrypts it, whoever hears it and however many.
#[test]
fn delivering_a_packet_allocates_nothing() {
    for over_tcp in [false, true] {
        for listeners in [0, 1, 10, 50] {
            let counts = allocations_per_packet(listeners, over_tcp);
            assert_eq!(counts, [1; PACKETS], "with {listeners} listeners, over TCP: {over_tcp}");
        }
    }
}

#[test]
fn a_websocket_keeps_room_for_one_message_at_most() {
    let before = held();
    let message_bytes_max = 64 * 1024;
    let mut websocket = Websocket::new(message_bytes_max);
    for _ in 0..3 {
        // A text of 60,000 bytes, masked with zeros (RFC 6455 §5.2).
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(60_000u16.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend([b'a'; 60_000]);
        websocket.push(&frame);
        assert!(matches!(websocket.poll_message(), Ok(Some(Incoming::Text(_)))));
        assert_eq!(websocket.poll_message(), Ok(None));
        let mut out = Vec::new();
        websocket.send_text(&"a".repeat(200_000));
        websocket.take_output(&mut out);
        assert_eq!(out.len(), 10 + 200_000);
    }
    let kept = held() - before;
    assert!(kept < message_bytes_max.cast_signed() + 1024, "{kept} bytes");
}

/// Returns what a server holds in whose world so many supervisors hear somebody, more than one without anybody.
fn held_with(listeners: usize) -> isize {
    let mut world = World::new(1, Quality::PERFECT);
    world.publisher("lea");
    let hearing: Vec<_> = (0..listeners).map(|n| world.listener(&format!("admin{n}"))).collect();
    world.settle();
    for &who in &hearing {
        world.join(who, "lea");
    }
    world.run_ms(10_000);
    let with = held();
    world.renew_server();
    with - held()
}

#[test]
fn a_listener_takes_no_more_than_the_bounds_were_computed_with() {
    // A conn with a user takes 3600 bytes, a session that hears 42,300 (`src/config.rs`), of which the cryptography in C
    // takes a part that is not counted here.
    let each = (held_with(15) - held_with(5)) / 10;
    assert!((30_000..45_900).contains(&each), "{each} bytes");
}
