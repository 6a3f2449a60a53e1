//! An answer that is longer than what a client has read of it: pulled piece by piece, each once the one before was read.
//!
//! Of HTTP/1.1 alone. Invariant: no more of it waits than a piece, and what breaks off is never taken for the end (RFC 9112
//! §8).

use std::mem;
use std::time::Instant;

use super::state::More;
use super::{Conn, State};
use crate::config::ConnLimits;
use crate::history::{Piece, Question};
use crate::keys::JobKey;
use crate::wire::http::{self, Request, Response};

impl Conn {
    /// Begins an answer with its first piece.
    pub fn begin_stream(
        &mut self,
        now: Instant,
        request: Request,
        response: Response<'_>,
        piece: Piece,
        limits: &ConnLimits,
    ) {
        let State::Head { received, .. } = &mut self.state else { return };
        let received = mem::take(received);
        response.write_head(self.out.end(), request.keep_alive);
        self.responses += 1;
        self.stream(now, request.into(), received, piece, limits);
    }

    /// Takes the next piece of the answer that is made under this name; one that is not waited for goes.
    pub fn continue_stream(&mut self, now: Instant, job: JobKey, piece: Piece, limits: &ConnLimits) {
        match mem::replace(&mut self.state, State::Dead) {
            State::Streaming { more: More::Asked(awaited), request, received, .. } if awaited == job => {
                self.stream(now, request, received, piece, limits);
            }
            other => self.state = other,
        }
    }

    fn stream(
        &mut self,
        now: Instant,
        request: Box<Request>,
        received: Vec<u8>,
        piece: Piece,
        limits: &ConnLimits,
    ) {
        let Piece { bytes, rest } = piece;
        http::write_chunk(self.out.end(), &bytes, rest.is_none());
        self.state = match rest {
            Some(rest) => {
                State::Streaming { more: More::Rest(rest), request, received, until: now + limits.piece_timeout }
            }
            // What came last is still to be read.
            None if request.keep_alive => {
                State::Head { received, until: now + self.keep_alive.max(limits.piece_timeout) }
            }
            None => State::Closing { websocket: None, until: now + limits.piece_timeout },
        };
    }

    /// Returns the request that the rest of an answer is to be asked for, once the client has read all that was written.
    pub fn wants_more(&self) -> Option<&Request> {
        match &self.state {
            State::Streaming { more: More::Rest(_), request, .. } if self.out.pending().is_empty() => Some(request),
            State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. }
            | State::Signaling { .. }
            | State::Framed(_)
            | State::Closing { .. }
            | State::Dead => None,
        }
    }

    /// Takes it that the rest is made elsewhere, under this name; returns what was to be asked.
    pub fn await_piece(&mut self, now: Instant, job: JobKey, limits: &ConnLimits) -> Option<Box<Question>> {
        let State::Streaming { more, until, .. } = &mut self.state else { return None };
        *until = now + limits.answer_timeout;
        match mem::replace(more, More::Asked(job)) {
            More::Rest(rest) => Some(rest),
            More::Asked(_) => None,
        }
    }
}
