//! Scenarios against the whole core in virtual time, by subject. What they play on is `tests/sim/stage`.
//!
//! Seeds are for what is left to chance: what a mobile network loses and delays (six bad days), and what people do in
//! `random`. On a perfect network one is enough. A seed repeats its run, and one that found a bug stays in its list.

mod air;
mod history;
mod hostile;
mod limits;
mod listening;
mod random;
mod tcp;
mod whip;
