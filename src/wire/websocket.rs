//! Speaks the WebSocket framing (RFC 6455) over a pipe in memory.
//!
//! Invariant: what waits in the pipe never exceeds what was pushed since the last poll plus what that poll wrote.

use std::io::{self, Read, Write};
use std::mem;

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, Utf8Bytes};

/// The server's end of one WebSocket, after the upgrade.
#[derive(Debug)]
pub struct Websocket {
    inner: tungstenite::WebSocket<Pipe>,
    /// Bytes that came since the last message was whole.
    unfinished: usize,
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Text(Utf8Bytes),
    /// A ping, or a frame of a kind that is not spoken here: a sign of life.
    Alive,
    /// A pong.
    Pong,
    /// The closing handshake is over, or its first half came from the client and was answered.
    Closed,
}

/// Why a WebSocket can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebsocketError {
    #[error("a message or frame longer than allowed")]
    TooLarge,
    #[error("bytes that are no WebSocket frames, or text that is no UTF-8")]
    Malformed,
}

impl Websocket {
    /// Returns a WebSocket whose upgrade has just been answered.
    pub fn new(message_bytes_max: usize) -> Websocket {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            // The queue behind the pipe is the bound.
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let inner = tungstenite::WebSocket::from_raw_socket(Pipe::default(), Role::Server, Some(config));
        Websocket { inner, unfinished: 0 }
    }

    /// Hands over bytes that the client sent.
    pub fn push(&mut self, bytes: &[u8]) {
        self.inner.get_mut().input.extend(bytes);
        self.unfinished += bytes.len();
    }

    /// Returns how many bytes at most wait for the rest of their message.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns the next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`WebsocketError`]; nothing more can be read after it.
    pub fn poll_message(&mut self) -> Result<Option<Incoming>, WebsocketError> {
        let polled = self.poll_inner();
        if !matches!(polled, Ok(None)) {
            self.unfinished = self.inner.get_ref().input.len();
        }
        polled
    }

    fn poll_inner(&mut self) -> Result<Option<Incoming>, WebsocketError> {
        match self.inner.read() {
            Ok(Message::Text(text)) => Ok(Some(Incoming::Text(text))),
            Ok(Message::Close(_)) => {
                // The answer is queued; a flush writes it and reports the end.
                let _ = self.inner.flush();
                Ok(Some(Incoming::Closed))
            }
            Ok(Message::Binary(_)) => Err(WebsocketError::Malformed),
            Ok(Message::Pong(_)) => Ok(Some(Incoming::Pong)),
            Ok(Message::Ping(_) | Message::Frame(_)) => {
                let _ = self.inner.flush();
                Ok(Some(Incoming::Alive))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(Some(Incoming::Closed)),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Err(WebsocketError::TooLarge),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Ok(Some(Incoming::Closed)),
            Err(_) => Err(WebsocketError::Malformed),
        }
    }

    /// Queues a text message, unless the closing handshake has begun: then nobody waits for it any more.
    pub fn send_text(&mut self, text: &str) {
        if !self.inner.can_write() {
            return;
        }
        // Past the library, whose own buffer would keep room for the largest message ever.
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        let output = &mut self.inner.get_mut().output;
        header.format(text.len() as u64, output).expect("writing to memory does not fail");
        output.extend(text.as_bytes());
    }

    /// Queues a ping.
    pub fn send_ping(&mut self) {
        let _ = self.inner.send(Message::Ping(Default::default()));
    }

    /// Begins the closing handshake.
    pub fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) };
        let _ = self.inner.close(Some(frame));
        let _ = self.inner.flush();
    }

    /// Moves the bytes for the client to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut mem::take(&mut self.inner.get_mut().output));
    }
}

/// Two buffers that look like a socket; empty they hold no memory.
#[derive(Debug, Default)]
struct Pipe {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = self.input.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.input.drain(..len)) {
            *to = from;
        }
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame from a client, masked with zeros (RFC 6455 §5.2).
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        if payload.len() < 126 {
            bytes.push(0x80 | payload.len() as u8);
        } else {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn output(websocket: &mut Websocket) -> Vec<u8> {
        let mut out = Vec::new();
        websocket.take_output(&mut out);
        out
    }

    #[test]
    fn text_arrives_whole_however_it_is_cut() {
        let mut websocket = Websocket::new(1000);
        for byte in frame(1, "héllo".as_bytes()) {
            assert_eq!(websocket.poll_message(), Ok(None));
            websocket.push(&[byte]);
        }
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Text("héllo".into()))));
        assert_eq!(websocket.poll_message(), Ok(None));
    }

    #[test]
    fn ping_is_answered_and_close_is_returned() {
        let mut websocket = Websocket::new(1000);
        websocket.push(&frame(9, b"hi"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Alive)));
        assert_eq!(output(&mut websocket), [0x8a, 2, b'h', b'i']);
        websocket.push(&frame(8, &[0x03, 0xe8]));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Closed)));
        assert_eq!(output(&mut websocket), [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn our_close_carries_code_and_reason() {
        let mut websocket = Websocket::new(1000);
        websocket.close(4401, "expired");
        assert_eq!(output(&mut websocket), [b"\x88\x09\x11\x31", "expired".as_bytes()].concat());
        websocket.send_text("too late");
        assert!(output(&mut websocket).is_empty());
    }

    #[test]
    fn hostile_frames_are_refused() {
        let unmasked = [0x81, 1, b'a'].to_vec();
        let cases: &[(&str, Vec<u8>, WebsocketError)] = &[
            ("too long", frame(1, &[b'a'; 101]), WebsocketError::TooLarge),
            ("unmasked", unmasked, WebsocketError::Malformed),
            ("not utf-8", frame(1, &[0xff]), WebsocketError::Malformed),
            ("binary", frame(2, b"a"), WebsocketError::Malformed),
            ("reserved opcode", frame(3, b"a"), WebsocketError::Malformed),
        ];
        for (name, bytes, want) in cases {
            let mut websocket = Websocket::new(100);
            websocket.push(bytes);
            assert_eq!(websocket.poll_message(), Err(*want), "{name}");
        }
        let mut websocket = Websocket::new(100);
        websocket.push(&frame(1, &[b'a'; 100]));
        assert!(matches!(websocket.poll_message(), Ok(Some(Incoming::Text(_)))));
    }
}
