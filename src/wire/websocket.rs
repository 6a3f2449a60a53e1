//! Speaks the WebSocket framing (RFC 6455) over a pipe in memory.
//!
//! Invariant: what waits in the pipe never exceeds what was pushed since the last poll plus what that poll wrote, and
//! frames that end no message come to an end.

use std::io::{self, Cursor, Read, Write};
use std::mem;

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, Utf8Bytes};

/// How much the library reads at once, in bytes.
const READ_BUFFER_BYTES: usize = 1024;

/// The longest payload of a ping, pong or close (RFC 6455 §5.5).
const CONTROL_PAYLOAD_BYTES_MAX: u64 = 125;

/// The server's end of one WebSocket, after the upgrade.
#[derive(Debug)]
pub struct Websocket {
    inner: tungstenite::WebSocket<Pipe>,
    message_bytes_max: usize,
    progress: Progress,
    is_closing: bool,
}

/// How far the client is with its message, which the library does not say.
#[derive(Debug, Default)]
struct Progress {
    /// The header that has begun.
    header: Vec<u8>,
    /// What is to come of the frame behind the last whole header.
    payload: u64,
    /// Whether more frames of the message are to come.
    has_more: bool,
    /// Whether the frame is no part of a message: such may stand between those that are (RFC 6455 §5.4).
    is_control: bool,
    /// Bytes since the last message was whole, without control frames.
    unfinished: usize,
    /// Why what follows is not taken: the message has more frames than any client makes of one, and frames of nothing
    /// are never too long for the library; or a ping is longer than any, which it looks at only once all has come.
    refused: Option<WebsocketError>,
    /// The most that they were since the library's buffer was new.
    largest: usize,
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
    Closed {
        /// Whether the client said that it goes on with another connection.
        comes_back: bool,
    },
}

/// With this code a page closes a connection in whose place it opens another one (RFC 6455 §7.4.2: 4000 and up are ours).
const COMES_BACK: u16 = 4000;

/// Why a WebSocket can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebsocketError {
    #[error("a message or frame longer than allowed")]
    TooLarge,
    #[error("{}", .0.words())]
    Malformed(BadFrame),
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    Binary,
    NotUtf8,
    Unmasked,
    /// Somebody compresses, say, without having agreed on it (RFC 7692).
    Reserved,
    Control,
    Sequence,
    Other,
}

impl BadFrame {
    /// Returns what the client is told.
    pub(crate) fn words(self) -> &'static str {
        match self {
            BadFrame::Binary => "malformed: a binary message, where text is spoken",
            BadFrame::NotUtf8 => "malformed: text that is not UTF-8",
            BadFrame::Unmasked => "malformed: a frame without a mask",
            BadFrame::Reserved => "malformed: reserved bits, where no extension was agreed on",
            BadFrame::Control => "malformed: a ping, pong or close in fragments or of more than 125 bytes",
            BadFrame::Sequence => "malformed: a fragment that continues nothing, or a message inside another",
            BadFrame::Other => "malformed: no WebSocket frame",
        }
    }
}

impl From<ProtocolError> for BadFrame {
    fn from(error: ProtocolError) -> BadFrame {
        match error {
            ProtocolError::UnmaskedFrameFromClient => BadFrame::Unmasked,
            ProtocolError::NonZeroReservedBits => BadFrame::Reserved,
            ProtocolError::FragmentedControlFrame | ProtocolError::ControlFrameTooBig => BadFrame::Control,
            ProtocolError::UnexpectedContinueFrame | ProtocolError::ExpectedFragment(_) => BadFrame::Sequence,
            _ => BadFrame::Other,
        }
    }
}

impl Websocket {
    /// Returns a WebSocket whose upgrade has just been answered.
    pub fn new(message_bytes_max: usize) -> Websocket {
        Websocket {
            inner: inner(Pipe::default(), message_bytes_max),
            message_bytes_max,
            progress: Progress::default(),
            is_closing: false,
        }
    }

    /// Hands over bytes that the client sent.
    pub fn push(&mut self, bytes: &[u8]) {
        let taken = self.progress.push(bytes, 2 * self.message_bytes_max);
        self.inner.get_mut().input.extend(&bytes[..taken]);
    }

    /// Returns how many bytes wait for the rest of their message, or have room kept for them: a frame's length is taken
    /// at its word, and what a large message took is given back only between two.
    pub(crate) fn held_bytes(&self) -> usize {
        let declared = usize::try_from(self.progress.payload).unwrap_or(usize::MAX).min(self.message_bytes_max);
        let kept = if self.keeps_room() { self.progress.largest } else { 0 };
        kept.max(self.progress.unfinished + declared)
    }

    /// Tells whether the library's buffer has grown.
    fn keeps_room(&self) -> bool {
        self.progress.largest > READ_BUFFER_BYTES
    }

    /// Returns the next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`WebsocketError`]; nothing more can be read after it.
    pub fn poll_message(&mut self) -> Result<Option<Incoming>, WebsocketError> {
        let polled = self.poll_inner();
        if polled == Ok(None) {
            if let Some(error) = self.progress.refused {
                return Err(error);
            }
            if self.progress.is_between() && self.keeps_room() && !self.is_closing {
                self.renew();
            }
        }
        polled
    }

    /// Gives back what a large message took: the library would keep it for the next one. It is between two
    /// messages and knows nothing that would be lost.
    fn renew(&mut self) {
        let pipe = mem::take(self.inner.get_mut());
        self.inner = inner(pipe, self.message_bytes_max);
        self.progress.largest = 0;
    }

    fn poll_inner(&mut self) -> Result<Option<Incoming>, WebsocketError> {
        match self.inner.read() {
            Ok(Message::Text(text)) => Ok(Some(Incoming::Text(text))),
            Ok(Message::Close(frame)) => {
                // The answer is queued; a flush writes it and reports the end.
                let _ = self.inner.flush();
                Ok(Some(Incoming::Closed {
                    comes_back: frame.is_some_and(|frame| frame.code == COMES_BACK.into()),
                }))
            }
            Ok(Message::Binary(_)) => Err(WebsocketError::Malformed(BadFrame::Binary)),
            Ok(Message::Pong(_)) => Ok(Some(Incoming::Pong)),
            Ok(Message::Ping(_) | Message::Frame(_)) => {
                let _ = self.inner.flush();
                Ok(Some(Incoming::Alive))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(Some(Incoming::Closed { comes_back: false })),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Err(WebsocketError::TooLarge),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                Ok(Some(Incoming::Closed { comes_back: false }))
            }
            Err(Error::Protocol(error)) => Err(WebsocketError::Malformed(error.into())),
            Err(Error::Utf8(_)) => Err(WebsocketError::Malformed(BadFrame::NotUtf8)),
            Err(_) => Err(WebsocketError::Malformed(BadFrame::Other)),
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
    pub(crate) fn send_ping(&mut self) {
        let _ = self.inner.send(Message::Ping(Default::default()));
    }

    /// Begins the closing handshake.
    pub(crate) fn close(&mut self, code: u16, reason: &'static str) {
        self.is_closing = true;
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) };
        let _ = self.inner.close(Some(frame));
        let _ = self.inner.flush();
    }

    /// Moves the bytes for the client to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut mem::take(&mut self.inner.get_mut().output));
    }
}

fn inner(pipe: Pipe, message_bytes_max: usize) -> tungstenite::WebSocket<Pipe> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        // The queue behind the pipe is the bound.
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    tungstenite::WebSocket::from_raw_socket(pipe, Role::Server, Some(config))
}

impl Progress {
    /// Follows the client's bytes; returns how many may be taken with a bound on what is unfinished.
    fn push(&mut self, bytes: &[u8], unfinished_max: usize) -> usize {
        let mut rest = bytes;
        while self.refused.is_none()
            && let Some(&byte) = rest.first()
        {
            if self.payload > 0 {
                let passed = usize::try_from(self.payload).unwrap_or(usize::MAX).min(rest.len());
                self.payload -= passed as u64;
                self.unfinished += if self.is_control { 0 } else { passed };
                rest = &rest[passed..];
            } else {
                self.header.push(byte);
                self.unfinished += 1;
                rest = &rest[1..];
                self.read_header(unfinished_max);
            }
            self.largest = self.largest.max(self.unfinished);
            if self.is_between() {
                self.unfinished = 0;
            }
        }
        bytes.len() - rest.len()
    }

    /// Tells whether nothing of a message or frame has begun.
    fn is_between(&self) -> bool {
        self.payload == 0 && self.header.is_empty() && !self.has_more
    }

    fn read_header(&mut self, unfinished_max: usize) {
        match FrameHeader::parse(&mut Cursor::new(&self.header)) {
            Ok(None) => {}
            Ok(Some((header, payload))) => {
                self.payload = payload;
                self.is_control = matches!(header.opcode, OpCode::Control(_));
                if self.is_control {
                    self.unfinished -= self.header.len();
                    self.refused = (payload > CONTROL_PAYLOAD_BYTES_MAX)
                        .then_some(WebsocketError::Malformed(BadFrame::Control));
                } else {
                    self.has_more = !header.is_final;
                    let is_endless = (self.unfinished as u64).saturating_add(payload) > unfinished_max as u64;
                    self.refused = is_endless.then_some(WebsocketError::TooLarge);
                }
                self.header.clear();
            }
            // The library will refuse it too.
            Err(_) => {
                self.header.clear();
                self.has_more = true;
            }
        }
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
    fn what_a_large_message_took_is_given_back_between_messages() {
        let mut websocket = Websocket::new(65_536);
        let large = frame(1, &[b'x'; 60_000]);
        for piece in large.chunks(1000) {
            assert_eq!(websocket.poll_message(), Ok(None));
            websocket.push(piece);
        }
        websocket.push(&frame(1, b"next")[..3]);
        assert!(matches!(websocket.poll_message(), Ok(Some(Incoming::Text(text))) if text.len() == 60_000));
        assert_eq!(websocket.poll_message(), Ok(None));
        assert_eq!(
            (websocket.progress.unfinished, websocket.progress.largest),
            (3, large.len()),
            "the next one has begun"
        );
        websocket.push(&frame(1, b"next")[3..]);
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Text("next".into()))));
        assert_eq!(websocket.poll_message(), Ok(None));
        assert_eq!((websocket.progress.unfinished, websocket.progress.largest), (0, 0));
        websocket.push(&frame(1, b"last"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Text("last".into()))));
    }

    #[test]
    fn a_message_in_pieces_is_unfinished_until_its_last() {
        let piece = |first_byte: u8, payload: &[u8]| [&[first_byte], &frame(0, payload)[1..]].concat();
        let mut websocket = Websocket::new(1000);
        websocket.push(&piece(0x01, b"he"));
        websocket.push(&frame(9, b"between"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Alive)));
        assert_eq!(websocket.poll_message(), Ok(None));
        assert_eq!(websocket.progress.unfinished, 8);
        websocket.push(&piece(0x80, b"llo"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Text("hello".into()))));
        assert_eq!(websocket.progress.unfinished, 0);
    }

    #[test]
    fn ping_is_answered_and_close_is_returned() {
        let mut websocket = Websocket::new(1000);
        websocket.push(&frame(9, b"hi"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Alive)));
        assert_eq!(output(&mut websocket), [0x8a, 2, b'h', b'i']);
        for (code, comes_back) in [(1000u16, false), (4000, true)] {
            let mut websocket = Websocket::new(1000);
            let [high, low] = code.to_be_bytes();
            websocket.push(&frame(8, &[high, low]));
            assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Closed { comes_back })));
            assert_eq!(output(&mut websocket), [0x88, 2, high, low]);
        }
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
    fn fragments_that_never_end_do() {
        let (first, next, last) = ([0x01, 0x80, 0, 0, 0, 0], [0x00, 0x80, 0, 0, 0, 0], [0x80, 0x80, 0, 0, 0, 0]);
        let mut websocket = Websocket::new(1000);
        websocket.push(&first);
        let fitting = 2000 / 6 - 1;
        for _ in 0..fitting {
            websocket.push(&next);
            assert_eq!(websocket.poll_message(), Ok(None));
        }
        let mut patient = Websocket::new(1000);
        patient.push(&[&first[..], &next.repeat(fitting - 1), &last].concat());
        assert_eq!(patient.poll_message(), Ok(Some(Incoming::Text("".into()))));
        patient.push(&[&first[..], &next.repeat(fitting - 1)].concat());
        assert_eq!(patient.poll_message(), Ok(None), "another message, another bound");
        websocket.push(&frame(9, b"still there?"));
        assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Alive)));
        assert_eq!(websocket.progress.unfinished, (fitting + 1) * 6, "a ping ends nothing");
        websocket.push(&next);
        assert_eq!(websocket.poll_message(), Err(WebsocketError::TooLarge));
    }

    #[test]
    fn signs_of_life_go_on_for_ever() {
        let mut websocket = Websocket::new(100);
        for _ in 0..1000 {
            websocket.push(&frame(10, b""));
            assert_eq!(websocket.poll_message(), Ok(Some(Incoming::Pong)));
            assert_eq!(websocket.poll_message(), Ok(None));
        }
    }

    #[test]
    fn hostile_frames_are_refused() {
        let unmasked = [0x81, 1, b'a'].to_vec();
        let cases: &[(&str, Vec<u8>, WebsocketError)] = &[
            ("too long", frame(1, &[b'a'; 101]), WebsocketError::TooLarge),
            ("unmasked", unmasked, WebsocketError::Malformed(BadFrame::Unmasked)),
            ("not utf-8", frame(1, &[0xff]), WebsocketError::Malformed(BadFrame::NotUtf8)),
            ("binary", frame(2, b"a"), WebsocketError::Malformed(BadFrame::Binary)),
            ("compressed", frame(0x40 | 1, b"a"), WebsocketError::Malformed(BadFrame::Reserved)),
            ("half a ping", vec![9, 0x80, 0, 0, 0, 0], WebsocketError::Malformed(BadFrame::Control)),
            ("a continuation of nothing", frame(0, b"a"), WebsocketError::Malformed(BadFrame::Sequence)),
            ("reserved opcode", frame(3, b"a"), WebsocketError::Malformed(BadFrame::Other)),
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
