//! What a packet costs on its way from a publisher to its listeners, in allocations.
//!
//! One test only: the counter sees the whole process.
#![allow(clippy::disallowed_methods, reason = "virtual time starts at some real moment")]
#![allow(dead_code, reason = "the simulation has more than this needs")]
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

#[path = "sim/browser.rs"]
mod browser;
#[path = "sim/link.rs"]
mod link;
#[path = "sim/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ecoute::outbox::{Item, Outbox};

use crate::link::Quality;
use crate::world::World;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the same allocator with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises about `pointer` and `layout` are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets that are counted, after as many that warm buffers up.
const PACKETS: usize = 200;

/// Returns how often a packet to so many listeners allocates, in the median: timers and reports come in between.
fn allocations_per_packet(listeners: usize) -> usize {
    let mut world = World::new(1, Quality::PERFECT);
    let lea = world.publisher("lea");
    let hearing: Vec<_> = (0..listeners).map(|n| world.listener(&format!("admin{n}"))).collect();
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
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            world.server.handle_datagram(now, path, &bytes, &mut out);
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            let delivered = out.drain().filter(|item| matches!(item, Item::Datagram(_))).count();
            if delivered == listeners {
                counts.push(allocations);
            }
        }
        world.server.handle_timeout(now, &mut out);
        out.drain().for_each(drop);
    }
    let counted = &mut counts[PACKETS..];
    counted.sort_unstable();
    counted[PACKETS / 2]
}

#[test]
fn a_delivered_packet_allocates_its_datagram_and_nothing_else() {
    let few = allocations_per_packet(10);
    let many = allocations_per_packet(50);
    assert_eq!(many - few, 40, "{few} with 10 listeners, {many} with 50");
    let received = few - 10;
    assert!(received <= 2, "{received} for a packet that is received");
}
