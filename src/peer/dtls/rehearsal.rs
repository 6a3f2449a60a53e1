//! A handshake of OpenSSL with itself, before anybody else's: tells whether the system's is one that `dtls` understands.
//!
//! Nothing leaves and no time passes. Each flight comes as it was sent, and once more with its records in the wrong order
//! and twice, so that the change of ciphers and the encrypted end overtake what is before them: nothing may be lost by that.
//! Invariant: it ends after a bounded number of steps, whatever the library does.

use std::time::Instant;

use openssl::error::ErrorStack;
use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, SrtpProfile};

use super::{MTU, OpenSsl, RETRANSMITS, Records, Session, State, without_errors};

/// A handshake has four flights, two from each side; after so many rounds nobody may have any more to say.
const ROUNDS_MAX: usize = 4;
/// What one side may put out in a round: datagrams and what is told.
const OUTPUTS_MAX: usize = 32;

/// Why the system's OpenSSL is not fit for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it takes no certificate, cipher or SRTP profile of ours")]
    NoSession,
    #[error("a handshake in order does not end")]
    Unconnected,
    #[error("a handshake out of order does not end")]
    UnconnectedOutOfOrder,
    #[error("a flight can't be repeated")]
    NoRepetition,
    #[error("the two sides of a handshake have different keys")]
    OtherKeys,
    #[error("a goodbye does not arrive")]
    NoGoodbye,
}

/// In what order the records of a flight arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Sent,
    /// Back to front, each twice.
    Reversed,
}

impl OpenSsl {
    /// Connects two sessions with each other.
    ///
    /// # Errors
    /// [`Unfit`], where the library does something else than is expected of it.
    pub fn rehearse(&self, now: Instant) -> Result<(), Unfit> {
        self.connect(now, Order::Sent)?.then_some(()).ok_or(Unfit::Unconnected)?;
        self.connect(now, Order::Reversed)?.then_some(()).ok_or(Unfit::UnconnectedOutOfOrder)
    }

    /// Tells whether both sides are connected when neither has more to say.
    fn connect(&self, now: Instant, order: Order) -> Result<bool, Unfit> {
        let side = |is_active| without_errors(|| Side::new(self, is_active, now)).map_err(|_| Unfit::NoSession);
        let (mut client, mut server) = (side(true)?, side(false)?);
        for _ in 0..ROUNDS_MAX {
            let up = client.flight(now);
            if !client.may_repeat() {
                return Err(Unfit::NoRepetition);
            }
            server.take(&up, order);
            let down = server.flight(now);
            client.take(&down, order);
        }
        if !client.is_connected || !server.is_connected {
            return Ok(false);
        }
        if client.agreed.is_none() || client.agreed != server.agreed {
            return Err(Unfit::OtherKeys);
        }
        // Neither has buffers any more.
        let _ = client.dtls.close();
        server.take(&client.flight(now), order);
        server.flight(now);
        if server.is_told_goodbye { Ok(true) } else { Err(Unfit::NoGoodbye) }
    }
}

/// One side of a handshake, and what it told.
struct Side {
    dtls: Session,
    agreed: Option<(Vec<u8>, SrtpProfile)>,
    is_connected: bool,
    is_told_goodbye: bool,
}

impl Side {
    fn new(openssl: &OpenSsl, is_active: bool, now: Instant) -> Result<Side, ErrorStack> {
        let mut dtls = openssl.session(now, MTU)?;
        dtls.set_active(is_active);
        if is_active {
            // So the library begins it; what fails shows in the end.
            let _ = dtls.handle_packet(&[]);
        }
        Ok(Side { dtls, agreed: None, is_connected: false, is_told_goodbye: false })
    }

    /// Returns what it has to say now.
    fn flight(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut flight = Vec::new();
        for _ in 0..OUTPUTS_MAX {
            let mut buffer = [0; 2 * MTU];
            match self.dtls.poll_output(&mut buffer) {
                DtlsOutput::Packet(datagram) => flight.push(datagram.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => self.agreed = Some((keys.to_vec(), profile)),
                DtlsOutput::Connected => self.is_connected = true,
                DtlsOutput::CloseNotify => self.is_told_goodbye = true,
                DtlsOutput::Timeout(at) if at > now => break,
                DtlsOutput::Timeout(_) if self.dtls.handle_timeout(now).is_err() => break,
                _ => {}
            }
        }
        flight
    }

    /// Tells whether what it said last may be lost.
    fn may_repeat(&self) -> bool {
        match &self.dtls.state {
            State::Handshaking(handshake) => handshake.repetitions.len() == RETRANSMITS,
            State::Connected | State::Closed | State::Failed => true,
        }
    }

    /// Takes what the other has said.
    fn take(&mut self, flight: &[Vec<u8>], order: Order) {
        let mut records: Vec<&[u8]> = flight.iter().flat_map(|datagram| Records(datagram)).collect();
        if order == Order::Reversed {
            records = records.into_iter().rev().flat_map(|record| [record, record]).collect();
        }
        for record in records {
            // What fails shows in the end.
            let _ = self.dtls.handle_packet(record);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::super::{STATE_NAMES, StateNames};
    use super::*;
    use crate::peer::crypto::certificate;

    #[test]
    fn what_openssl_calls_otherwise_or_does_sooner_is_found() {
        let now = Instant::now();
        let cases: [(_, &[&str], _, _); 5] = [
            ("as it is", STATE_NAMES.before_change, "TRCCS", Ok(())),
            ("a server's", &["?", "TWFIN"], "TRCCS", Err(Unfit::Unconnected)),
            ("a client's", &["TRCV", "?"], "TRCCS", Err(Unfit::Unconnected)),
            ("the end's", &["TRCV", "TWFIN"], "?", Err(Unfit::Unconnected)),
            // As if a server had the name while messages before the change are missing.
            ("too soon", &["TWSD", "TRCV", "TWFIN"], "TRCCS", Err(Unfit::UnconnectedOutOfOrder)),
        ];
        for (name, before_change, after_change, want) in cases {
            let names = StateNames { before_change, after_change };
            let openssl = OpenSsl { names, ..OpenSsl::new(certificate()).expect("it is a good one") };
            assert_eq!(openssl.rehearse(now), want, "{name}");
        }
    }
}
