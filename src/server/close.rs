//! Closes TCP clients, and says why.
//!
//! Invariant: a conn's session ends before its WebSocket is told.

use std::time::Instant;

use log::debug;

use super::Server;
use crate::keys::ConnKey;
use crate::outbox::Outbox;

impl Server {
    /// Ends a conn's session and begins to close it.
    pub(super) fn close_conn(&mut self, now: Instant, conn: ConnKey, code: CloseCode, out: &mut Outbox) {
        debug!(target: "signal", "closing conn={conn:?} code={} reason={:?}", code.0, code.1);
        if code.ends_broadcast()
            && let Some(key) = self.own_broadcast(conn)
            && self.broadcasts[key].is_on_air_by_page()
        {
            self.go_off_air(now, key, code.1, out);
        }
        self.end_session(now, conn, out);
        if let Some(client) = self.conns.get_mut(conn) {
            client.close(now, code.0, code.1, &self.config.limits);
        }
        self.settle_conn(conn, out);
    }
}

/// Why a WebSocket is closed: the code and its words (RFC 6455 §7.4.2: 4000 and up are ours).
#[derive(Clone, Copy)]
pub(super) struct CloseCode(pub(super) u16, pub(super) &'static str);

impl CloseCode {
    pub(super) const RESTARTING: CloseCode = CloseCode(1012, "restarting");
    pub(super) const SILENT: CloseCode = CloseCode(1001, "silent for too long");
    pub(super) const MALFORMED: CloseCode = CloseCode(4400, "malformed");
    pub(super) const NOT_REGISTERED: CloseCode = CloseCode(4401, "not registered in time");
    pub(super) const TOKEN_REFUSED: CloseCode = CloseCode(4401, "token refused or expired");
    pub(super) const REVOKED: CloseCode = CloseCode(4401, "token revoked");
    pub(super) const NOT_ALLOWED: CloseCode = CloseCode(4403, "not allowed");
    pub(super) const TOO_SLOW: CloseCode = CloseCode(4408, "too slow");
    pub(super) const TAKEN_OVER: CloseCode = CloseCode(4409, "opened elsewhere");
    pub(super) const TOO_LARGE: CloseCode = CloseCode(4413, "too large");
    pub(super) const TOO_MANY: CloseCode = CloseCode(4429, "too many");

    /// Tells whether the page does not come back, or not to this server; after anything else it finds its broadcast.
    fn ends_broadcast(self) -> bool {
        matches!(self.0, 1012 | 4401 | 4403)
    }
}
