//! What TLS costs the real program: processor time of a handshake, full and resumed, and memory of a client that waits.
//!
//! Each client connects, shakes hands, asks for `/health` and leaves; a plain one does so too, for comparison. Processor
//! time is that of the server alone, as the system counts it.
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::disallowed_macros, reason = "a bench prints what it measured")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use support::client::{connect, get, read_response, request};
use support::tls::{Certificate, get_tls, handshake};
use support::{Ecoute, processor_time, resident_bytes};
use tempfile::TempDir;

/// How long each kind of client comes and goes.
const TIME: Duration = Duration::from_secs(4);

/// How many clients wait while memory is looked at.
const IDLE: usize = 1000;

fn main() {
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let certificate = Certificate::self_signed(&ecoute);
    let address = ecoute.address;
    println!("{:<24} {:>12} {:>22}", "client", "per second", "server's time each");
    measure(&ecoute, "plain", || assert_eq!(get(address, "/health", "").0, 200));
    for (name, version) in [("TLS 1.3", ProtocolVersion::TLSv1_3), ("TLS 1.2", ProtocolVersion::TLSv1_2)] {
        measure(&ecoute, &format!("{name}, full"), || {
            let config = certificate.client(version);
            assert_eq!(ask(address, &config), HandshakeKind::Full);
        });
        let config = certificate.client(version);
        ask(address, &config);
        measure(&ecoute, &format!("{name}, resumed"), || {
            assert_eq!(ask(address, &config), HandshakeKind::Resumed);
        });
    }

    drop(ecoute);

    // Each in a server of its own: memory that others gave back would be used again.
    let plain = idle_bytes(&certificate, |address| {
        let mut client = BufReader::new(connect(address).into_inner());
        wait(&mut client);
        client
    });
    let config = certificate.client(ProtocolVersion::TLSv1_3);
    let encrypted = idle_bytes(&certificate, |address| {
        let mut client = BufReader::new(handshake(address, &config).unwrap());
        wait(&mut client);
        client
    });
    println!("memory of a client that waits: plain {plain} bytes, TLS 1.3 {encrypted} bytes");
}

fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> HandshakeKind {
    let (stream, status, _) = get_tls(address, config, "/health");
    assert_eq!(status, 200);
    stream.conn.handshake_kind().unwrap()
}

fn measure(ecoute: &Ecoute, name: &str, mut client: impl FnMut()) {
    client();
    let (begin, before) = (Instant::now(), processor_time(ecoute.child.id()));
    let mut count = 0;
    while begin.elapsed() < TIME {
        client();
        count += 1;
    }
    let rate = f64::from(count) / begin.elapsed().as_secs_f64();
    let each = (processor_time(ecoute.child.id()) - before) / count;
    println!("{name:<24} {rate:>12.0} {:>19} µs", each.as_micros());
}

/// Asks once, and keeps the connection.
fn wait<S: Read + Write>(client: &mut BufReader<S>) {
    client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
    assert_eq!(read_response(client).0, 200);
}

/// Returns what one of many clients that wait costs.
fn idle_bytes<C>(certificate: &Certificate, open: impl Fn(SocketAddr) -> C) -> u64 {
    let data = TempDir::new().unwrap();
    certificate.keep_in(data.path());
    let ecoute = Ecoute::start_with(data, &["--tls-self-signed"]);
    let _warm: Vec<C> = (0..IDLE / 10).map(|_| open(ecoute.address)).collect();
    let before = resident_bytes(ecoute.child.id());
    let clients: Vec<C> = (0..IDLE).map(|_| open(ecoute.address)).collect();
    resident_bytes(ecoute.child.id()).saturating_sub(before) / clients.len() as u64
}
