//! What one packet of a publisher costs until all its listeners' datagrams are in the outbox.
//!
//! `cargo bench --bench fanout`. Sessions are real and connected, in virtual time; no socket is involved. Instructions are
//! counted in `Fanout::receive` (`valgrind --tool=callgrind --toggle-collect='*Fanout*receive*'`).

use std::cell::RefCell;

use divan::Bencher;
use divan::counter::ItemsCount;
use ecoute::outbox::Outbox;
use stage::link::Quality;
use stage::world::{Who, World, is_media};

fn main() {
    divan::main();
}

/// How many pages open in a fifth of a second: fewer than one address may have that are not registered, and in a second
/// fewer than the server takes offers.
const OPENED_AT_ONCE: usize = 60;

/// A salesperson on air, and who hears them.
struct Fanout {
    world: World,
    lea: Who,
    out: Outbox,
}

impl Fanout {
    /// Returns one with `listeners` who hear and `others` who are connected and hear nobody.
    fn connected(listeners: usize, others: usize) -> Fanout {
        let mut world = World::new(1, Quality::PERFECT);
        let lea = world.publisher("lea");
        let mut everybody: Vec<Who> = Vec::new();
        for n in 0..listeners + others {
            everybody.push(world.listener(&format!("admin{n}")));
            // As fast as the server lets strangers in.
            if n % OPENED_AT_ONCE == OPENED_AT_ONCE - 1 {
                world.run_ms(200);
            }
        }
        world.settle();
        for &who in &everybody[..listeners] {
            world.join(who, "lea");
        }
        // Until all have reported, and the section is no longer named in each packet.
        world.run_ms(10_000);
        assert_eq!(world.server.table_sizes().peers, 1 + listeners + others);
        Fanout { world, lea, out: Outbox::new() }
    }

    /// Lets time pass up to the next packet of the microphone and returns it.
    fn next_packet(&mut self) -> Vec<u8> {
        loop {
            self.out.drain().0.for_each(drop);
            let now = self.world.browsers[self.lea].next_deadline().expect("it is on air");
            self.world.now = now;
            self.world.server.handle_timeout(now, &mut self.out);
            let mut datagrams = self.world.browsers[self.lea].handle_timeout(now);
            // What else a browser sends is for its own session only.
            let media = datagrams.iter().position(|(_, bytes)| is_media(bytes));
            let packet = media.map(|index| datagrams.remove(index).1);
            for (_, bytes) in datagrams {
                self.receive(&bytes);
            }
            if let Some(packet) = packet {
                return packet;
            }
        }
    }

    #[inline(never)]
    fn receive(&mut self, datagram: &[u8]) {
        let path = self.world.path_of(self.lea);
        self.world.server.handle_datagram(self.world.now, path, datagram, &mut self.out);
    }
}

fn bench(bencher: Bencher<'_, '_>, listeners: usize, others: usize) {
    let fanout = RefCell::new(Fanout::connected(listeners, others));
    bencher
        .counter(ItemsCount::new(listeners))
        .with_inputs(|| fanout.borrow_mut().next_packet())
        .bench_local_values(|packet| fanout.borrow_mut().receive(&packet));
}

/// One 20 ms packet to `listeners`: decrypt, rewrite, encrypt for each, queue.
#[divan::bench(args = [1, 20, 100, 1000])]
fn one_packet(bencher: Bencher<'_, '_>, listeners: usize) {
    bench(bencher, listeners, 0);
}

/// The same beside 4000 sessions that it does not concern.
#[divan::bench(args = [20])]
fn one_packet_beside_4000_others(bencher: Bencher<'_, '_>, listeners: usize) {
    bench(bencher, listeners, 4000);
}
