//! HTTP and WebSocket clients that speak to the real program over loopback.
//!
//! Invariant: every wait is bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::WAIT;

pub fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, WAIT).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.set_write_timeout(Some(WAIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

pub fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

pub fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut client = connect(address);
    client.get_mut().write_all(request(path, headers).as_bytes()).unwrap();
    read_response(&mut client)
}

/// Asks for so many pages that there are not, each a line of 1 KB in a log of `http=debug`.
pub fn fill_log(address: SocketAddr, lines: usize) {
    let mut client = connect(address);
    for index in 0..lines {
        let path = format!("/asked/{index}/{}", "x".repeat(1000));
        client.get_mut().write_all(request(&path, "").as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).0, 404, "{index}");
    }
}

/// Reads one response, and not a byte of the next.
pub fn read_response(client: &mut impl BufRead) -> (u16, String) {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {line:?}")).parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        client.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Opens a WebSocket and registers; returns it and the first answer.
pub fn register(address: SocketAddr, token: &str) -> (WebSocket<TcpStream>, Value) {
    register_on(connect(address).into_inner(), token)
}

/// Does the same over a connection that is open already.
pub fn register_on<S: Read + Write>(stream: S, token: &str) -> (WebSocket<S>, Value) {
    let (mut websocket, _) = tungstenite::client("ws://localhost/ws", stream).unwrap();
    let register = json!({"event": "register_user", "data": {"token": token, "page": "p1"}});
    websocket.send(Message::text(register.to_string())).unwrap();
    loop {
        if let Message::Text(text) = websocket.read().unwrap() {
            return (websocket, serde_json::from_str(&text).unwrap());
        }
    }
}

/// Returns the code with which the server closes a WebSocket.
pub fn close_code<S: Read + Write>(websocket: &mut WebSocket<S>) -> u16 {
    loop {
        match websocket.read().unwrap() {
            Message::Close(frame) => return frame.unwrap().code.into(),
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}
