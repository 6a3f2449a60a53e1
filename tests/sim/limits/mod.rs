//! Bounds, each filled: one more is refused and counted, everybody else notices nothing.

mod clients;
mod totals;

use std::net::SocketAddr;

use ecoute::config::Limits;
use stage::link::Quality;
use stage::world::{Who, World};

fn world(edit: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    edit(&mut limits);
    World::with_limits(1, Quality::PERFECT, limits)
}

/// A client of the network with this number.
fn address(network: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, network], port))
}

fn error_codes(world: &World, who: Who) -> Vec<String> {
    world.browsers[who].messages_of("error").map(|error| error["code"].as_str().unwrap().to_owned()).collect()
}
