//! Closes TCP clients, and says why.
//!
//! Invariant: a conn's session ends before its WebSocket is told.

use std::time::Instant;

use log::debug;

use super::Server;
use crate::audit::OffAir;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::wire::websocket::BadFrame;

impl Server {
    /// Ends a conn's session and begins to close it.
    pub(super) fn close_conn(&mut self, now: Instant, conn: ConnKey, code: CloseCode, out: &mut Outbox) {
        debug!(target: "signal", "closing conn={conn:?} code={} reason={:?}", code.number(), code.words());
        if let Some(why) = code.ends_broadcast()
            && let Some(key) = self.clients.own_broadcast(conn)
            && self.broadcasts[key].is_on_air_by_page()
        {
            self.go_off_air(now, key, why, out);
        }
        if code.ends_right()
            && let Some(audio) = self.clients.audio(conn)
        {
            self.void_framed(audio);
        }
        self.end_registration(now, conn, out);
        if let Some(client) = self.clients.get_mut(conn) {
            client.close(now, code.number(), code.words(), &self.settings.limits.conn);
        }
    }
}

/// Why a WebSocket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    Restarting,
    Silent,
    Malformed,
    BadFrame(BadFrame),
    NotRegistered,
    TokenRefused,
    Revoked,
    NotAllowed,
    TooSlow,
    TakenOver,
    TooLarge,
    TooMany,
}

impl CloseCode {
    /// Returns the number that clients get (RFC 6455 §7.4.2: 4000 and up are ours).
    fn number(self) -> u16 {
        match self {
            CloseCode::Restarting => 1012,
            CloseCode::Silent => 1001,
            CloseCode::Malformed | CloseCode::BadFrame(_) => 4400,
            CloseCode::NotRegistered | CloseCode::TokenRefused | CloseCode::Revoked => 4401,
            CloseCode::NotAllowed => 4403,
            CloseCode::TooSlow => 4408,
            CloseCode::TakenOver => 4409,
            CloseCode::TooLarge => 4413,
            CloseCode::TooMany => 4429,
        }
    }

    fn words(self) -> &'static str {
        match self {
            CloseCode::Restarting => "restarting",
            CloseCode::Silent => "silent for too long",
            CloseCode::Malformed => "malformed",
            CloseCode::BadFrame(why) => why.words(),
            CloseCode::NotRegistered => "not registered in time",
            CloseCode::TokenRefused => "token refused or expired",
            CloseCode::Revoked => "token revoked",
            CloseCode::NotAllowed => "not allowed",
            CloseCode::TooSlow => "too slow",
            CloseCode::TakenOver => "opened elsewhere",
            CloseCode::TooLarge => "too large",
            CloseCode::TooMany => "too many",
        }
    }

    /// Tells whether what the client was sent before may not arrive any more.
    fn ends_right(self) -> bool {
        match self {
            CloseCode::NotRegistered | CloseCode::TokenRefused | CloseCode::Revoked | CloseCode::NotAllowed => true,
            CloseCode::Restarting
            | CloseCode::Silent
            | CloseCode::Malformed
            | CloseCode::BadFrame(_)
            | CloseCode::TooSlow
            | CloseCode::TakenOver
            | CloseCode::TooLarge
            | CloseCode::TooMany => false,
        }
    }

    /// Returns why what the page streams is over, where it does not come back, or not to this server; after anything else
    /// it finds its broadcast.
    fn ends_broadcast(self) -> Option<OffAir> {
        match self {
            CloseCode::Restarting => Some(OffAir::Restarting),
            CloseCode::NotRegistered | CloseCode::TokenRefused => Some(OffAir::TokenExpired),
            CloseCode::Revoked => Some(OffAir::TokenRevoked),
            CloseCode::NotAllowed => Some(OffAir::NotAllowed),
            CloseCode::Silent
            | CloseCode::Malformed
            | CloseCode::BadFrame(_)
            | CloseCode::TooSlow
            | CloseCode::TakenOver
            | CloseCode::TooLarge
            | CloseCode::TooMany => None,
        }
    }
}
