//! The guide: how to run the server, and how to build on it. Text alone; there is no code here.
//!
//! Links between its pages lead from file to file, for those who read the sources. Here they lead from module to module:
//! the first definition of a link counts, so it stands above the page. Invariant: options, commands and links on these
//! pages are true; `tests/documents.rs` checks them.

pub mod operating {
    #![doc = include_str!("operating.md")]
}

pub mod embedding {
    //! [identity-provider]: super::operating#tokens-of-an-identity-provider
    #![doc = include_str!("embedding.md")]
}

pub mod programs {
    #![doc = include_str!("programs.md")]
}

pub mod protocol {
    //! [embedding]: super::embedding
    //! [programs]: super::programs
    #![doc = include_str!("protocol.md")]
}
