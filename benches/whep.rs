//! How long a WHEP listener waits: from the start of its POST to the first packet, over loopback.
//!
//! `cargo bench --bench whep` prints medians. The listener is str0m's, on a socket of its own, so that a join costs
//! little beside what the server and the exchange cost; the device is libdatachannel's, with a packet every 20 ms.
#![allow(clippy::disallowed_methods, reason = "listeners wait in real time")]
#![allow(clippy::disallowed_macros, reason = "figures are what this program is for")]

#[path = "../tests/browser/drive/mod.rs"]
mod drive;
#[path = "../tests/clients/installed.rs"]
mod installed;
#[path = "../tests/browser/npm.rs"]
mod npm;
#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/clients/program.rs"]
mod program;
#[path = "../tests/browser/sound.rs"]
mod sound;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use program::{Endpoint, Kind};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use support::{Ecoute, WAIT, program, run};
use tempfile::TempDir;

const JOINS: usize = 20;

/// When a listener got how far, from the start of its POST.
struct Join {
    answered: Duration,
    connected: Duration,
    heard: Duration,
}

fn main() {
    // `cargo test --all-targets` runs this too, without `--bench`; measuring is not testing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let ecoute = Ecoute::start_at("127.0.0.1:0", TempDir::new().unwrap(), &[]);
    let mut mint = program();
    mint.args(["token", "--role", "commercial", "--device", "--id", "cam", "--data"]).arg(ecoute.data.path());
    let token = String::from_utf8(run(&mut mint).stdout).unwrap().trim_end().to_owned();
    let endpoint = Endpoint { url: format!("{}/whip/cam", ecoute.url()), token, certificate: None };
    let mut device = Kind::Libdatachannel.publish(&endpoint, &[]);
    device.wait_until_connected();

    let token = ecoute.token("admin", "paul", "Paul D.");
    let joins: Vec<Join> = (0..JOINS)
        .map(|_| {
            // What one user may ask for is limited.
            thread::sleep(Duration::from_millis(500));
            join(&ecoute, &token)
        })
        .collect();
    let steps: [(&str, fn(&Join) -> Duration); 3] = [
        ("WHEP, until the answer", |join| join.answered),
        ("WHEP, until DTLS stands", |join| join.connected),
        ("WHEP, until the first packet", |join| join.heard),
    ];
    for (name, step) in steps {
        let mut ms: Vec<f64> = joins.iter().map(|join| step(join).as_secs_f64() * 1000.0).collect();
        ms.sort_by(f64::total_cmp);
        println!(
            "{name:<30} {:.1} ms, the median of {JOINS} ({:.1} to {:.1})",
            ms[JOINS / 2],
            ms[0],
            ms[JOINS - 1]
        );
    }
    device.stop();
}

/// Listens until the first packet, and ends the session.
fn join(ecoute: &Ecoute, token: &str) -> Join {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().unwrap();

    let begin = Instant::now();
    let (head, answer) = request(ecoute, token, "POST", "/whep/cam", &offer.to_sdp_string());
    let answered = begin.elapsed();
    rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
    let mut connected = None;
    let mut buffer = [0; 2048];
    let heard = loop {
        assert!(begin.elapsed() < WAIT, "nothing is heard");
        match rtc.poll_output().unwrap() {
            Output::Transmit(transmit) => {
                socket.send_to(&transmit.contents, transmit.destination).unwrap();
            }
            Output::Event(Event::Connected) => connected = Some(begin.elapsed()),
            Output::Event(Event::RtpPacket(_)) => break begin.elapsed(),
            Output::Event(_) => {}
            Output::Timeout(at) => {
                // No time at all would mean to wait for ever.
                let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_micros(100));
                socket.set_read_timeout(Some(wait)).unwrap();
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        let received = Receive::new(Protocol::Udp, from, address, &buffer[..length]).unwrap();
                        rtc.handle_input(Input::Receive(Instant::now(), received)).unwrap();
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    let location = head.iter().find_map(|line| line.strip_prefix("location:")).unwrap();
    request(ecoute, token, "DELETE", location.trim(), "");
    Join { answered, connected: connected.expect("no packet comes before"), heard }
}

/// Asks the server on a connection of its own; returns the head's lines with their names in small letters, and the body.
fn request(ecoute: &Ecoute, token: &str, method: &str, path: &str, body: &str) -> (Vec<String>, String) {
    let mut stream = TcpStream::connect(ecoute.address).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    for line in stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        head.push(format!("{}:{value}", name.to_ascii_lowercase()));
    }
    assert!(head[0].starts_with("http/1.1 20"), "{method} {path}: {head:?}");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (head, answer)
}
