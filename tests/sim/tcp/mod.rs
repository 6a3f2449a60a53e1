//! Media over TCP: who has no UDP hears and is heard, who reads slowly or frames nonsense harms nobody else.
//! And requests over TCP whose answer is made elsewhere.

mod answering;
mod pages;
mod trouble;

use ecoute::wire::frame;
use stage::scenario::heard;
use stage::world::{Who, World};

/// A salesperson and a supervisor who hears her, both without UDP.
fn heard_over_tcp(world: &mut World) -> (Who, Who) {
    for who in 0..2 {
        world.block_udp(who);
    }
    heard(world)
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(frame::write(datagram, &mut bytes));
    bytes
}
