//! A supervisor with a page: whom they may hear, from when on, and until when.

mod sealed;
mod tokens;
mod told;
mod wishes;
mod written;
