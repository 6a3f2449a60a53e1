//! Bounds, each filled: one more is refused and counted, everybody else notices nothing.

mod clients;
mod crowds;
mod entries;
mod office;
mod storm;
mod totals;

use ecoute::config::Limits;
use stage::link::Quality;
use stage::world::World;

fn world(edit: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    edit(&mut limits);
    World::with_limits(1, Quality::PERFECT, limits)
}
