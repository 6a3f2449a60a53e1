//! What nobody thought of: clients, honest and not, that do anything at any time, by seeds and by the corpus.

mod chaos;
mod corpus;
mod shift;
