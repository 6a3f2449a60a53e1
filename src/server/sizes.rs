//! Counts the rows of all tables, so that others can see that they are bounded and end empty.
//!
//! Reads and changes nothing. Invariant: each table of the server is counted.

use super::Server;

impl Server {
    /// Returns how many rows each table holds.
    pub fn table_sizes(&self) -> TableSizes {
        TableSizes {
            conns: self.conns.len().max(self.idle.len()).max(self.framed.len()),
            sessions: self.sessions.len().max(self.admins.len()),
            peers: self.peers.len(),
            addresses: self.peers.addresses_len(),
            broadcasts: self.broadcasts.len().max(self.broadcast_of.len()),
            deadlines: self.deadlines.len(),
            unconnected: self.peers.unconnected_len().max(self.framed_ready.len()),
            wishes: self.wishes_count(),
            quotas: self.strangers.len() + self.users.len() + self.programs.len() + self.programs_networks.len(),
            resources: self.resources.len(),
            jobs: self.jobs.len(),
            buffered_bytes: self.buffered_bytes,
            offers_bytes: self.peers.offers_bytes(),
        }
    }
}

/// How many rows each table holds; all are zero when everybody is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSizes {
    pub conns: usize,
    pub sessions: usize,
    pub peers: usize,
    pub addresses: usize,
    pub broadcasts: usize,
    pub deadlines: usize,
    pub unconnected: usize,
    pub wishes: usize,
    pub quotas: usize,
    pub resources: usize,
    /// What is done elsewhere and not answered yet.
    pub jobs: usize,
    /// What all conns together have buffered.
    pub buffered_bytes: usize,
    /// What the offers of all sessions take.
    pub offers_bytes: usize,
}
