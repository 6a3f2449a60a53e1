//! Which paths lead to a session's client, as far as that was proven.
//!
//! Whoever has a session's credentials can make checks under any address, and has all later proofs of it as well: only what
//! was sent there and nowhere else, and can't be guessed, tells who is there. So each UDP path on which a check is answered
//! is asked with a binding request of our own, which goes beyond what a lite agent has to do (RFC 8445 §2.5). A path over TCP
//! proves itself. To any other no more leaves than three times what came from there (RFC 9000 §8.1).
//!
//! Invariant: a path is proven once somebody there answered, signed with the client's password, what was sent there alone.

use rand_core::Rng;
use str0m::net::Protocol;

use crate::path::Path;
use crate::wire::stun::TransactionId;

/// How many times what came from a path may leave to it while nothing is proven.
const CREDIT: u32 = 3;

/// Tells whether so many bytes may leave to where so many came from, and nothing before.
pub(super) fn is_covered(leave: usize, came: usize) -> bool {
    leave <= came.saturating_mul(CREDIT as usize)
}

/// All paths on which checks were answered since ICE began.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    known: Vec<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    path: Path,
    standing: Standing,
    /// A check nominated it, which counts once it is proven.
    is_nominated: bool,
    /// How many bytes came from there, and left to it, until it was proven.
    received: u32,
    sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unasked,
    /// It was asked so, once or more often.
    Asked(TransactionId),
    Proven,
}

impl Proofs {
    /// Returns how many paths are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets all paths.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Returns the place of a path among all.
    pub(super) fn place_of(&self, path: Path) -> Option<usize> {
        self.known.iter().position(|known| known.path == path)
    }

    /// An authenticated check of so many bytes is answered on a path; returns the path's place.
    pub(super) fn on_check(&mut self, path: Path, bytes: usize) -> usize {
        let place = self.place_of(path).unwrap_or_else(|| {
            let standing = if path.proto == Protocol::Tcp { Standing::Proven } else { Standing::Unasked };
            self.known.push(Known { path, standing, is_nominated: false, received: 0, sent: 0 });
            self.known.len() - 1
        });
        self.on_received(path, bytes);
        place
    }

    /// So many bytes came from a path.
    pub(super) fn on_received(&mut self, path: Path, bytes: usize) {
        if let Some(known) = self.unproven(path) {
            known.received = known.received.saturating_add(bytes as u32);
        }
    }

    /// So many bytes leave to a path whatever is known of it.
    pub(super) fn on_sent(&mut self, path: Path, bytes: usize) {
        if let Some(known) = self.unproven(path) {
            known.sent = known.sent.saturating_add(bytes as u32);
        }
    }

    /// Tells whether so many bytes may leave to a path, and takes it that they do.
    pub(super) fn may_send(&mut self, path: Path, bytes: usize) -> bool {
        if self.is_proven(path) {
            return true;
        }
        let Some(known) = self.unproven(path) else { return false };
        let sent = known.sent.saturating_add(bytes as u32);
        let may = sent <= known.received.saturating_mul(CREDIT);
        if may {
            known.sent = sent;
        }
        may
    }

    /// Tells whether the client is at the other end of a path.
    pub(super) fn is_proven(&self, path: Path) -> bool {
        self.known.iter().any(|known| known.path == path && known.standing == Standing::Proven)
    }

    /// A check nominates a path of which that is not known yet.
    pub(super) fn nominate(&mut self, path: Path) {
        if let Some(known) = self.unproven(path) {
            known.is_nominated = true;
        }
    }

    /// Returns the transaction with which a path is to be asked: one and the same until it is answered, so that the answer
    /// may take longer than the next check.
    pub(super) fn ask(&mut self, path: Path, chance: &mut impl Rng) -> Option<TransactionId> {
        let known = self.unproven(path)?;
        if known.standing == Standing::Unasked {
            let mut transaction_id = TransactionId::default();
            chance.fill_bytes(&mut transaction_id);
            known.standing = Standing::Asked(transaction_id);
        }
        match known.standing {
            Standing::Asked(transaction_id) => Some(transaction_id),
            Standing::Unasked | Standing::Proven => None,
        }
    }

    /// Tells whether a path was asked so.
    pub(super) fn has_asked(&self, path: Path, transaction_id: TransactionId) -> bool {
        self.known.iter().any(|known| known.path == path && known.standing == Standing::Asked(transaction_id))
    }

    /// Takes it that the client is at the other end of a path; tells whether it was nominated before.
    pub(super) fn prove(&mut self, path: Path) -> bool {
        let Some(known) = self.unproven(path) else { return false };
        known.standing = Standing::Proven;
        known.is_nominated
    }

    fn unproven(&mut self, path: Path) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.path == path && known.standing != Standing::Proven)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn path(proto: Protocol, port: u16) -> Path {
        let [remote, local] = [port, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto, remote, local }
    }

    #[test]
    fn three_times_what_came_leaves_until_it_is_proven() {
        let (mut proofs, udp) = (Proofs::default(), path(Protocol::Udp, 1));
        assert!(!proofs.may_send(udp, 1), "nobody is known there");
        proofs.on_received(udp, 1000);
        assert_eq!(proofs.on_check(udp, 100), 0);
        assert!(proofs.may_send(udp, 200) && proofs.may_send(udp, 100) && !proofs.may_send(udp, 1));
        proofs.on_received(udp, 10);
        proofs.on_sent(udp, 29);
        assert!(!proofs.may_send(udp, 2) && proofs.may_send(udp, 1));
        assert!(!proofs.is_proven(udp));
        proofs.prove(udp);
        assert!(proofs.is_proven(udp) && proofs.may_send(udp, 1_000_000));
        let tcp = path(Protocol::Tcp, 1);
        assert_eq!(proofs.on_check(tcp, 100), 1);
        assert!(proofs.is_proven(tcp), "by itself");
        proofs.clear();
        assert!(!proofs.may_send(udp, 1));
    }

    #[test]
    fn a_path_answers_what_it_was_asked_and_no_other_does() {
        let (mut proofs, mut chance) = (Proofs::default(), ChaCha20Rng::from_seed([1; 32]));
        let [one, two] = [1, 2].map(|port| path(Protocol::Udp, port));
        assert_eq!(proofs.ask(one, &mut chance), None, "nobody is known there");
        proofs.on_check(one, 100);
        proofs.on_check(two, 100);
        assert!(!proofs.has_asked(one, [0; 12]));
        let asked = [one, two].map(|path| proofs.ask(path, &mut chance).unwrap());
        assert_ne!(asked[0], asked[1]);
        assert_eq!(proofs.ask(one, &mut chance), Some(asked[0]), "an answer may still be on its way");
        assert!(proofs.has_asked(one, asked[0]) && !proofs.has_asked(one, asked[1]));
        proofs.nominate(two);
        assert!(!proofs.prove(one) && proofs.prove(two), "one of them was nominated");
        assert!(!proofs.has_asked(one, asked[0]) && proofs.ask(one, &mut chance).is_none());
        assert!(!proofs.prove(two), "once");
    }
}
