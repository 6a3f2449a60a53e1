//! A salesperson with a page: on air, paused, interrupted, off air, over every network that a day brings.

mod broadcasts;
mod day;
mod moves;
mod orders;
mod promises;
mod streams;
mod takeover;
mod test_connection;
