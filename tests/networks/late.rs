//! Sound over TCP that comes late: what an outage leaves in the kernel.
//!
//! The clients are those of the simulation, in real time: they know of each packet when it was made. Invariant: every wait
//! is bounded.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use ecoute::wire::frame;
use serde_json::json;
use stage::browser::{Browser, PACKET_INTERVAL};
use stage::link::Quality as Unused;

use crate::internet::{Home, Internet};
use crate::namespace::with_networks;
use crate::support::Ecoute;
use crate::support::client::connect;
use crate::wire::{Quality, Wire};

const OUTAGE: Duration = Duration::from_secs(8);

/// How long the kernel may rest between two attempts to get something through, and some time to hear what follows.
const RETURN_MAX: Duration = Duration::from_secs(9);

/// What is older was lost in the outage: half a second is what waits for a slow network, and some is on its way.
const OLD: Duration = Duration::from_millis(800);

/// How many packets the kernel may have: 1500 bytes and one round trip of them.
const KERNEL_MAX: usize = 18;

/// How packets of a client's media travel.
enum Road {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, received: Vec<u8> },
}

struct Client {
    browser: Browser,
    websocket: TcpStream,
    road: Road,
    server: SocketAddr,
}

impl Client {
    fn open(ecoute: &Ecoute, home: &Home, (index, role, id): (u16, &str, &str)) -> Client {
        let (token, server) = (ecoute.token(role, id, id), ecoute.address);
        let (websocket, udp, tcp) = home.host.enter(|| {
            let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
            udp.connect(server).unwrap();
            (connect(server).into_inner(), udp, TcpStream::connect(server).unwrap())
        });
        let address = udp.local_addr().unwrap();
        websocket.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let mut browser = Browser::new(index, id, address, Unused::PERFECT);
        browser.register(&token, id);
        let road = if role == "commercial" {
            browser.start_streaming(Instant::now());
            Road::Udp(udp)
        } else {
            browser.open_audio(Instant::now());
            Road::Tcp { stream: tcp, received: Vec::new() }
        };
        Client { browser, websocket, road, server }
    }

    fn turn(&mut self) {
        let mut buffer = [0; 4000];
        while let Some(length) = read(&mut self.websocket, &mut buffer) {
            self.browser.handle_bytes(Instant::now(), &buffer[..length]);
        }
        let _ = self.websocket.write_all(&self.browser.take_bytes());
        self.let_time_pass();
        while let Some(length) = match &mut self.road {
            Road::Udp(udp) => udp.recv(&mut buffer).ok(),
            Road::Tcp { stream, received } => {
                if let Some(length) = read(stream, &mut buffer) {
                    received.extend(&buffer[..length]);
                }
                frame::parse(received).unwrap().map(<[u8]>::to_vec).map(|datagram| {
                    received.drain(..frame::HEADER_BYTES + datagram.len());
                    buffer[..datagram.len()].copy_from_slice(&datagram);
                    datagram.len()
                })
            }
        } {
            self.browser.handle_datagram(Instant::now(), self.server, &buffer[..length]);
            self.let_time_pass();
        }
    }

    fn let_time_pass(&mut self) {
        for (to, datagram) in self.browser.handle_timeout(Instant::now()) {
            match &mut self.road {
                Road::Udp(udp) if to == self.server => drop(udp.send(&datagram)),
                Road::Tcp { stream, .. } if to == self.server => {
                    let mut bytes = Vec::new();
                    assert!(frame::write(&datagram, &mut bytes));
                    // Where the server has closed it there is nobody to tell.
                    let _ = stream.write_all(&bytes);
                }
                Road::Udp(_) | Road::Tcp { .. } => {}
            }
        }
    }
}

/// Returns how much came, if anything did.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(0) => None,
        Ok(length) => Some(length),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Léa on air, and Paul, who hears her over TCP.
struct Both {
    ecoute: Ecoute,
    lea: Client,
    paul: Client,
    wire: Wire,
    _homes: [Home; 2],
}

impl Both {
    /// Returns once he hears her; a packet of his takes so long.
    fn start(internet: &Internet, delay: Duration) -> Both {
        let ecoute = internet.start(&[]);
        let (field, (office, wire)) = (internet.home("field", 1), internet.home_on_wire("office", 2));
        wire.become_like(Quality { delay, ..Quality::default() });
        let lea = Client::open(&ecoute, &field, (0, "commercial", "lea"));
        let paul = Client::open(&ecoute, &office, (1, "admin", "paul"));
        let mut both = Both { ecoute, lea, paul, wire, _homes: [field, office] };
        both.run_until(|both| both.lea.browser.connected && both.paul.browser.connected);
        both.paul.browser.say("join_commercial_stream", json!({ "commercial_id": "lea" }));
        both.run_until(|both| both.paul.browser.heard.len() > 100);
        both
    }

    fn run_until(&mut self, is_so: impl Fn(&Both) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < until, "not in time");
            self.turn();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.lea.turn();
        self.paul.turn();
        thread::sleep(Duration::from_millis(1));
    }

    /// Loses all that he sends and is sent for a while, in which something happens; returns how old each packet was that
    /// he heard since then.
    fn interrupt(&mut self, delay: Duration, act: impl FnOnce(&mut Both)) -> Vec<Duration> {
        self.wire.become_like(Quality { loss: 1.0, delay, ..Quality::default() });
        self.run_for(OUTAGE / 2);
        act(self);
        self.run_for(OUTAGE / 2);
        let before = self.paul.browser.heard.len();
        self.wire.become_like(Quality { delay, ..Quality::default() });
        self.run_for(RETURN_MAX);
        let (now, made) = (Instant::now(), self.lea.browser.made);
        let age = |at: Instant, counter: u32| {
            let made_since = (now - at).as_millis() as u32 / PACKET_INTERVAL.as_millis() as u32;
            PACKET_INTERVAL * made.saturating_sub(counter + made_since)
        };
        self.paul.browser.heard[before..].iter().map(|heard| age(heard.at, heard.counter)).collect()
    }
}

#[test]
fn an_outage_over_tcp_brings_little_old_sound_and_none_after_a_right_ended() {
    let delay = Duration::from_millis(30);
    type Act = fn(&mut Both);
    let cases: [(&str, Act, usize); 3] = [
        ("nothing", |_| {}, KERNEL_MAX),
        ("a pause", |both| both.lea.browser.say("pause_streaming", json!({})), KERNEL_MAX),
        ("a revocation", |both| both.ecoute.revoke("paul"), 0),
    ];
    with_networks(|| {
        for (name, act, most) in cases {
            let internet = Internet::new();
            let mut both = Both::start(&internet, delay);
            let ages = both.interrupt(delay, act);
            let old = ages.iter().filter(|&&age| age > OLD).count();
            let oldest = ages.iter().max();
            eprintln!("{name} in an outage of 8 s: {} packets after it, {old} old, up to {oldest:?}", ages.len());
            assert!(old <= most, "{name}: {old}");
            match name {
                "nothing" => {
                    assert!(ages.len() > old + 50 && ages[old..].iter().all(|&age| age <= OLD), "{ages:?}");
                }
                _ => assert_eq!(ages.len(), old, "{name}"),
            }
        }
    });
}

#[test]
fn who_is_far_away_hears_all_over_tcp() {
    with_networks(|| {
        let internet = Internet::new();
        let mut both = Both::start(&internet, Duration::from_millis(300));
        let before = both.paul.browser.heard.len();
        both.run_for(Duration::from_secs(6));
        let heard = &both.paul.browser.heard[before..];
        let counters = heard.iter().map(|heard| heard.counter);
        let made = counters.clone().max().unwrap() - counters.min().unwrap() + 1;
        eprintln!("far away: {} of {made} packets", heard.len());
        assert!(made > 250, "{made}");
        assert_eq!(heard.len(), made as usize);
    });
}
