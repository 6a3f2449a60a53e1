//! A TCP client that is no browser: sends any bytes, reads as much as it likes, each from an address of its own.

use std::net::SocketAddr;

use ecoute::keys::ConnKey;

use crate::scene::stranger;
use crate::world::World;

/// The upgrade of a program, without the end of its head.
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: ecoute\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// First bytes of frames: the last of a message, and one that more follow (RFC 6455 §5.2).
pub const TEXT: u8 = 0x81;
pub const TEXT_BEGINS: u8 = 0x01;
pub const GOES_ON: u8 = 0x00;
pub const ENDS: u8 = 0x80;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A client of the network with this number, where some share one.
pub fn address(network: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, network], port))
}

pub struct Stranger {
    pub conn: ConnKey,
}

impl Stranger {
    pub fn connect(world: &mut World) -> Stranger {
        Stranger::try_connect(world).expect("there is room")
    }

    pub fn try_connect(world: &mut World) -> Option<Stranger> {
        world.strangers += 1;
        let conn = world.knock(stranger(world.strangers))?;
        Some(Stranger { conn })
    }

    /// Connects and sends a request.
    pub fn asking(world: &mut World, request: &[u8]) -> Stranger {
        let stranger = Stranger::connect(world);
        world.push(stranger.conn, request);
        stranger
    }

    /// Connects and opens a WebSocket.
    pub fn upgraded(world: &mut World) -> Stranger {
        let stranger = Stranger::asking(world, format!("{UPGRADE}\r\n").as_bytes());
        assert!(stranger.read(world).starts_with(b"HTTP/1.1 101 "));
        stranger
    }

    /// Opens a WebSocket and registers.
    pub fn registered(world: &mut World, token: &str) -> Stranger {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(TEXT, register(token).as_bytes()));
        let answer = stranger.read(world);
        assert!(contains(&answer, "user_registered"), "{}", String::from_utf8_lossy(&answer));
        stranger
    }

    /// Returns all that waits for this client.
    pub fn read(&self, world: &mut World) -> Vec<u8> {
        world.pull(self.conn, usize::MAX)
    }

    /// Tells whether the server closed the connection.
    pub fn is_closed(&self, world: &World) -> bool {
        world.server.should_close(self.conn)
    }
}

pub fn register(token: &str) -> String {
    format!(r#"{{"event":"register_user","data":{{"token":"{token}","page":"stranger"}}}}"#)
}

/// A frame of a client, with any first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | len as u8),
        len @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0xa5, 0x0f, 0xf0];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Returns the code of the close frame among the frames of a server.
pub fn close_code(mut frames: &[u8]) -> Option<u16> {
    loop {
        let (head, rest) = match frames {
            [first, len @ ..126, rest @ ..] => ((*first, usize::from(*len)), rest),
            [first, 126, high, low, rest @ ..] => ((*first, usize::from(u16::from_be_bytes([*high, *low]))), rest),
            _ => return None,
        };
        let (payload, rest) = rest.split_at_checked(head.1)?;
        match (head.0, payload) {
            (CLOSE, [high, low, ..]) => return Some(u16::from_be_bytes([*high, *low])),
            _ => frames = rest,
        }
    }
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
