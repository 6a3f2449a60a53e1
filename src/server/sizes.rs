//! Counts the rows of all tables, so that others can see that they are bounded and end empty.
//!
//! Reads and changes nothing. Invariant: each table of the server is counted.

use super::Server;

impl Server {
    /// Returns how many sessions and TCP clients there are: what most memory is for.
    pub fn clients_count(&self) -> usize {
        self.peers.len() + self.clients.len()
    }

    /// Returns how many rows each table holds.
    pub fn table_sizes(&self) -> TableSizes {
        TableSizes {
            conns: self.clients.rows_max(),
            registrations: self.clients.registrations_len(),
            peers: self.peers.len(),
            addresses: self.peers.addresses_len(),
            sources: self.peers.sources_len(),
            broadcasts: self.broadcasts.len(),
            deadlines: self.deadlines.len() + usize::from(self.quotas.next_deadline().is_some()),
            unconnected: self.peers.unconnected_len().max(self.clients.ready_len()),
            wishes: self.wishes_count(),
            quotas: self.quotas.len(),
            refusals: self.refusals.len(),
            resources: self.resources.len(),
            people: self.people.len(),
            jobs: self.jobs.len(),
            proofs: self.proofs.len(),
            buffered_bytes: self.clients.buffered_bytes(),
            offers_bytes: self.peers.offers_bytes(),
        }
    }
}

/// How many rows each table holds; all are zero when everybody is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSizes {
    pub conns: usize,
    pub registrations: usize,
    pub peers: usize,
    pub addresses: usize,
    pub sources: usize,
    pub broadcasts: usize,
    pub deadlines: usize,
    pub unconnected: usize,
    pub wishes: usize,
    pub quotas: usize,
    pub refusals: usize,
    pub resources: usize,
    /// Whose names are remembered.
    pub people: usize,
    /// What is done elsewhere and not answered yet.
    pub jobs: usize,
    /// Pages that were not told of the journal yet.
    pub proofs: usize,
    /// What all conns together have buffered.
    pub buffered_bytes: usize,
    /// What the offers of all sessions take.
    pub offers_bytes: usize,
}
