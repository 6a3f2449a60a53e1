//! Scenarios against the whole core in virtual time, by subject. What they play on is `tests/sim/stage`.
//!
//! One run of a scenario is repeated by its seed; a seed that found a bug stays in the list of its scenario.

mod air;
mod hostile;
mod limits;
mod listening;
mod random;
mod tcp;
mod whip;
