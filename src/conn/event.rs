//! What happens to a TCP client: what it did, and which time ran out.
//!
//! Words alone: what follows from them is the server's. Invariant: each names one thing that the server must do.

use tungstenite::Utf8Bytes;

use crate::wire::http::{HttpError, Request};
use crate::wire::websocket::WebsocketError;

/// What a client did.
#[derive(Debug)]
pub enum ConnEvent {
    Request(Box<Request>),
    /// A request that can't be served, with its head where that could be read; the conn must be told and closed.
    BadRequest(HttpError, Option<Box<Request>>),
    /// Requests wait until the client has read the answers before them.
    Held,
    Text(Utf8Bytes),
    /// A pong, or a ping that was answered.
    Alive,
    /// Whether the client goes on with another connection.
    WebsocketClosed {
        comes_back: bool,
    },
    WebsocketBroken(WebsocketError),
    /// The client makes answers that it does not read.
    TooSlow,
    /// The client says too much.
    TooMany,
}

/// Which time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnTimeout {
    /// Half a request: to be told with 408.
    Request,
    /// An answer that is made elsewhere did not come: to be told with 503.
    Answer,
    /// A piece of a long answer was not read, or the next one did not come.
    Piece,
    /// Nothing at all since the last answer.
    Idle,
    /// Upgraded, but nobody registered.
    Register,
    /// A page that did not take over.
    Takeover,
    /// A WebSocket whose client fell silent.
    Silence,
    /// ICE-TCP without a check that was answered.
    Unchecked,
    /// A closing conn whose client does not read.
    Closing,
}
