//! Datagrams by the ten thousand: from nowhere, and under the address of somebody who is on air.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bystanders::Bystanders;
use crate::start;
use crate::support::{Ecoute, WAIT, processor_time};

const DATAGRAMS_PER_S: u32 = 10_000;
const FLOOD: Duration = Duration::from_secs(3);
/// One in so many is as long as a datagram can be (RFC 768).
const LONG_EVERY: u32 = 1000;
/// What a server in a test's build may need for buffers that it has not needed before.
const GROWTH_KIB_MAX: u64 = 8 * 1024;

#[test]
fn datagrams_from_nowhere_get_no_answer() {
    let ecoute = start(&["--log", "debug"]);
    let mut bystanders = Bystanders::start(&ecoute);
    let sockets: Vec<UdpSocket> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let sent = flood(&ecoute, &mut bystanders, &sockets);
    bystanders.assert_undisturbed();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 100]).is_err(), "an answer");
    }
    let refused = counted(ecoute);
    assert_most(refused("datagrams_too_long"), sent / LONG_EVERY);
    let others = ["datagrams_unknown_address", "datagrams_malformed", "stun_unknown_peer", "stun_ignored"];
    let others: u64 = others.into_iter().map(&refused).sum();
    assert_most(others, sent - sent / LONG_EVERY);
}

#[test]
fn datagrams_under_the_address_of_who_speaks_and_of_who_hears_end_nothing() {
    let ecoute = start(&["--log", "debug"]);
    let mut bystanders = Bystanders::start(&ecoute);
    let sockets = [bystanders.speaker.port(), bystanders.hearer.port()];
    let sent = flood(&ecoute, &mut bystanders, &sockets);
    bystanders.assert_undisturbed();
    let refused = counted(ecoute);
    assert_most(refused("datagrams_too_long"), sent / LONG_EVERY);
    assert!(refused("packets_foreign") + refused("packets_unsigned") >= u64::from(sent / 7), "RTP");
    assert!(refused("control_over_rate") >= u64::from(sent / 4), "DTLS and RTCP");
    assert_eq!(refused("peers_failed"), 0);
}

/// Asserts that so many were refused, but for what the kernel had no room for.
fn assert_most(refused: u64, sent: u32) {
    let sent = u64::from(sent);
    assert!((sent * 8 / 10..=sent).contains(&refused), "{refused} of {sent}");
}

/// Sends one kind after the other in turn, on all sockets; returns how many were sent.
fn flood(ecoute: &Ecoute, bystanders: &mut Bystanders, sockets: &[UdpSocket]) -> u32 {
    let (memory, processor) = (resident_kib(ecoute), processor_time(ecoute.child.id()));
    let to = ecoute.address;
    let sent = bystanders.run_during(|| send_evenly(sockets, to));
    let used = processor_time(ecoute.child.id()) - processor;
    assert!(used < FLOOD * 2 / 3, "{used:?} of {FLOOD:?}");
    let grown = resident_kib(ecoute).saturating_sub(memory);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    sent
}

fn send_evenly(sockets: &[UdpSocket], to: SocketAddr) -> u32 {
    let kinds = kinds();
    let long = vec![0x80; 65_507];
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < FLOOD {
        let due = (begin.elapsed().as_millis() as u32) * DATAGRAMS_PER_S / 1000;
        while sent < due {
            sent += 1;
            let kind = &kinds[sent as usize % kinds.len()];
            let bytes = if sent.is_multiple_of(LONG_EVERY) { &long } else { kind };
            sockets[sent as usize / kinds.len() % sockets.len()].send_to(bytes, to).unwrap();
        }
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

/// What no session made: RTP, RTCP with a goodbye, DTLS, STUN for nobody, noise.
fn kinds() -> Vec<Vec<u8>> {
    let rtp = [&[0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 100]].concat();
    let goodbye = [0x81, 203, 0, 1, 0, 0, 0, 3].to_vec();
    let client_hello = [
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54][..],
        &[1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 254, 253],
        &[7; 32],
        &[0, 0, 0, 2, 0xc0, 0x2b, 1, 0],
    ]
    .concat();
    let name = b"ffffffffffffffff00000000:abcd";
    let mut check = [&[0, 1, 0, 36, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12], &[0, 6, 0, 29], name].concat();
    check.resize(20 + 36, 0);
    let answer = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12]].concat();
    vec![rtp, goodbye, client_hello, check, answer, vec![255; 300]]
}

/// Ends a server; returns what it says that it counted.
fn counted(mut ecoute: Ecoute) -> impl Fn(&str) -> u64 {
    ecoute.signal(Signal::SIGTERM);
    let line = ecoute.wait_for_line("counted: ");
    ecoute.wait_for_exit(WAIT);
    move |name| {
        let (_, rest) = line.split_once(&format!(" {name}: ")).unwrap_or_else(|| panic!("no {name} in {line}"));
        rest.split(|char: char| !char.is_ascii_digit()).next().unwrap().parse().unwrap()
    }
}

fn resident_kib(ecoute: &Ecoute) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ecoute.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
