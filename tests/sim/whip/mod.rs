//! Programs without a page: encoders that stream over WHIP, players that listen over WHEP.

mod certificates;
mod devices;
pub mod encoders;
mod ends;
mod ice;
mod neighbours;
mod offers;
mod players;
