//! A request whose answer is made elsewhere.
//!
//! Not what is asked or answered. Invariant: no later request of the client is served before this one is answered, and
//! only the answer that is waited for is.

use std::mem;
use std::time::Instant;

use super::state::More;
use super::{Conn, State};
use crate::config::ConnLimits;
use crate::keys::JobKey;
use crate::wire::http::Request;

impl Conn {
    /// Takes it that the request that came last is answered under this name; those behind it wait, without a deadline of
    /// their own.
    pub fn await_answer(&mut self, now: Instant, job: JobKey, request: Request, limits: &ConnLimits) {
        if let State::Head { received, .. } = &mut self.state {
            let received = mem::take(received);
            let until = now + limits.answer_timeout;
            self.state = State::Answering { job, request: Box::new(request), received, until };
        }
    }

    /// Returns the request that is answered under this name, to be answered now; `None` where it is not waited for any
    /// more.
    pub fn take_answering(&mut self, now: Instant, job: JobKey, limits: &ConnLimits) -> Option<Request> {
        match mem::replace(&mut self.state, State::Dead) {
            State::Answering { job: awaited, request, received, .. } if awaited == job => {
                self.state = State::Head { received, until: now + limits.head_timeout };
                Some(*request)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Returns the name under which an answer is made elsewhere.
    pub fn awaited_answer(&self) -> Option<JobKey> {
        match self.state {
            State::Answering { job, .. } | State::Streaming { more: More::Asked(job), .. } => Some(job),
            State::Streaming { .. }
            | State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Signaling { .. }
            | State::Framed(_)
            | State::Closing { .. }
            | State::Dead => None,
        }
    }

    /// Tells whether an answer is made elsewhere, or some of it is.
    pub fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering { .. } | State::Streaming { .. })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use slotmap::KeyData;

    use super::*;
    use crate::conn::{ConnEvent, ConnTimeout};
    use crate::path::{Door, Ends};
    use crate::wire::http::{Response, Status};

    fn job(number: u64) -> JobKey {
        KeyData::from_ffi(1 << 32 | number).into()
    }

    /// A client whose first of two requests is answered elsewhere, under the first name.
    fn answering() -> (Conn, Instant, ConnLimits) {
        let (now, limits) = (Instant::now(), ConnLimits::default());
        let ends = Ends {
            remote: "192.0.2.9:4000".parse().unwrap(),
            local: "192.0.2.1:8080".parse().unwrap(),
            door: Door::Main,
        };
        let mut conn = Conn::new(now, ends, &limits);
        conn.push(now, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &limits);
        let Some(ConnEvent::Request(request)) = conn.poll(now, &limits) else { panic!("no request") };
        conn.await_answer(now, job(1), *request, &limits);
        (conn, now, limits)
    }

    #[test]
    fn the_next_request_is_served_after_the_answer() {
        let (mut conn, now, limits) = answering();
        assert!(conn.is_answering() && conn.poll(now, &limits).is_none());
        let later = now + limits.head_timeout;
        assert_eq!(conn.handle_timeout(later, &limits), None);
        assert_eq!(conn.take_answering(later, job(2), &limits).map(|request| request.path), None, "another's");
        let request = conn.take_answering(later, job(1), &limits).unwrap();
        assert_eq!(request.path, "/1");
        conn.respond(later, Some(&request), Response::new(Status::NotFound), &limits);
        assert!(conn.take_answering(later, job(1), &limits).is_none(), "once");
        let Some(ConnEvent::Request(request)) = conn.poll(later, &limits) else { panic!("no second request") };
        assert_eq!(request.path, "/2");
        assert!(!conn.is_answering() && !conn.should_close());
    }

    #[test]
    fn it_is_waited_for_so_long() {
        let (mut conn, now, limits) = answering();
        let until = now + limits.answer_timeout;
        assert_eq!(conn.next_deadline(&limits), Some(until));
        assert_eq!(conn.handle_timeout(until, &limits), Some(ConnTimeout::Answer));
        conn.respond(until, None, Response::new(Status::Unavailable), &limits);
        assert!(conn.take_answering(until, job(1), &limits).is_none());
        assert!(conn.pending_write().starts_with(b"HTTP/1.1 503 "));
    }

    #[test]
    fn what_comes_meanwhile_is_counted_and_bounded() {
        let (mut conn, now, limits) = answering();
        conn.reckon(now);
        conn.push(now, &vec![b'x'; 3 * limits.head_bytes_max], &limits);
        let (before, after) = conn.reckon(now);
        assert!(after >= before + 3 * limits.head_bytes_max);
        assert!(conn.poll(now, &limits).is_none());
        conn.push(now, &vec![b'x'; limits.head_bytes_max], &limits);
        assert!(matches!(conn.poll(now, &limits), Some(ConnEvent::TooSlow)));
        conn.close(now, 1000, "", &limits);
        assert!(conn.should_close() && !conn.is_answering());
    }
}
