//! What strangers' datagrams leave behind: 10,000 a second of each kind, in bytes of memory and rows of tables.
//!
//! Invariant: whatever comes, bystanders hear everything, and nothing is kept for what proved nothing.

use std::time::Duration;

use ecoute::words::Role;
use stage::allocator::{Counting, held};
use stage::scene::{Scene, is_dtls, is_rtcp, is_rtp, stranger};
use stage::world::{Who, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FLOOD_MS: u64 = 4000;
const DATAGRAMS: u64 = 40_000;

/// What may be held more than without a flood, in bytes: queues and buffers that have grown once, less than three bytes
/// for each datagram.
const KEPT_MAX: isize = 96 * 1024;
/// The same, in the middle of a flood: the queue of sessions that are not connected, and an outbox.
const PEAK_MAX: isize = 256 * 1024;

/// A scene with lea on air and what somebody on the way could have kept of her datagrams.
struct Flood {
    scene: Scene,
    lea: Who,
    rtp: Vec<u8>,
    rtcp: Vec<u8>,
    check: Vec<u8>,
    hello: Vec<u8>,
}

impl Flood {
    fn new() -> Flood {
        let (mut scene, lea, _) = Scene::with_unharmed_lea();
        let zoe = scene.world.open(Role::Admin, "zoe");
        let now = scene.world.now;
        scene.world.browsers[zoe].open_audio(now);
        let hello = scene.overhear(zoe, 3000).into_iter().find(|bytes| is_dtls(bytes)).unwrap();
        let overheard = scene.overhear(lea, 5000);
        let last = |kind: fn(&[u8]) -> bool| overheard.iter().rfind(|bytes| kind(bytes)).unwrap().clone();
        let (rtp, rtcp, check) = (last(is_rtp), last(is_rtcp), scene.world.browsers[lea].last_check.clone());
        Flood { scene, lea, rtp, rtcp, check, hello }
    }

    /// Asserts that a flood leaves nothing behind and that nobody feels it.
    fn leaves_nothing(mut self, mut send: impl FnMut(&mut World, u64)) {
        let sizes = self.scene.world.server.table_sizes();
        // What browsers and journals of the simulation keep by themselves in that time.
        let before = held();
        self.scene.world.run_ms(FLOOD_MS);
        let quiet = held() - before;
        let before = held();
        let mut peak = 0;
        self.scene.flood(FLOOD_MS, DATAGRAMS, |world, n| {
            send(world, n);
            peak = peak.max(held() - before - quiet);
        });
        let kept = held() - before - quiet;
        assert!(kept < KEPT_MAX && peak < PEAK_MAX, "kept {kept}, at the peak {peak}");
        let now = self.scene.world.server.table_sizes();
        assert_eq!((now.peers, now.addresses, now.unconnected), (sizes.peers, sizes.addresses, 0));
        self.scene.end();
    }
}

/// Returns the bytes with a number in them.
fn numbered(bytes: &[u8], at: usize, n: u64) -> Vec<u8> {
    let mut numbered = bytes.to_vec();
    numbered[at..at + 4].copy_from_slice(&(n as u32).to_be_bytes());
    numbered
}

#[test]
fn handshakes_from_nowhere() {
    let flood = Flood::new();
    let hello = flood.hello.clone();
    flood.leaves_nothing(|world, n| world.inject_from(stranger(n as usize), &hello));
}

#[test]
fn checks_that_name_nobody() {
    let flood = Flood::new();
    let check = flood.check.clone();
    flood.leaves_nothing(|world, n| world.inject_from(stranger(n as usize), &numbered(&check, 40, n)));
}

#[test]
fn checks_that_are_not_signed() {
    let flood = Flood::new();
    let check = flood.check.clone();
    flood.leaves_nothing(|world, n| world.inject_from(stranger(n as usize), &numbered(&check, 8, n)));
}

#[test]
fn checks_that_were_kept() {
    let flood = Flood::new();
    let check = flood.check.clone();
    flood.leaves_nothing(|world, n| world.inject_from(stranger(n as usize), &check));
}

#[test]
fn datagrams_of_65_507_bytes() {
    let flood = Flood::new();
    let mut longest = flood.check.clone();
    let lea = flood.lea;
    // Well-formed, but for three bytes: an attribute of the session's own check that is as long as can be.
    let length = 65_504 - longest.len() - 4;
    longest.extend([0x80, 0x22]);
    longest.extend((length as u16).to_be_bytes());
    longest.resize(65_504, 7);
    longest[2..4].copy_from_slice(&(65_504u16 - 20).to_be_bytes());
    let longest = [longest.clone(), [&longest[..], &[7; 3]].concat()];
    flood.leaves_nothing(|world, n| match n % 2 {
        0 => world.inject(lea, &longest[1]),
        _ => world.inject_from(stranger(n as usize), &longest[0]),
    });
}

#[test]
fn packets_with_bad_tags() {
    let flood = Flood::new();
    let (lea, mut rtp) = (flood.lea, flood.rtp.clone());
    *rtp.last_mut().unwrap() ^= 0xff;
    flood.leaves_nothing(|world, n| {
        // The number and the time.
        rtp[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        world.inject(lea, &numbered(&rtp, 4, n));
    });
}

#[test]
fn packets_of_other_streams_while_nobody_speaks() {
    let mut flood = Flood::new();
    flood.scene.world.browsers[flood.lea].packet_interval = Duration::from_secs(20);
    flood.scene.world.run_ms(2000);
    let (lea, forged) = (flood.lea, flood.scene.world.browsers[flood.lea].forge_packet(7));
    flood.leaves_nothing(|world, n| world.inject(lea, &numbered(&forged, 8, n)));
}

#[test]
fn packets_from_nowhere() {
    let flood = Flood::new();
    let rtp = flood.rtp.clone();
    flood.leaves_nothing(|world, n| world.inject_from(stranger(n as usize), &rtp));
}

#[test]
fn reports_with_bad_tags() {
    let flood = Flood::new();
    let (lea, rtcp) = (flood.lea, flood.rtcp.clone());
    let at = rtcp.len() - 4;
    flood.leaves_nothing(|world, n| world.inject(lea, &numbered(&rtcp, at, n)));
}

#[test]
fn fragments_of_handshakes_that_never_end() {
    let flood = Flood::new();
    let (lea, hello) = (flood.lea, flood.hello.clone());
    flood.leaves_nothing(|world, n| {
        let mut fragment = numbered(&hello, 7, n);
        // The message's number, and where the fragment stands in it (RFC 6347 section 4.2.2).
        fragment[17..19].copy_from_slice(&((n % 7) as u16).to_be_bytes());
        fragment[20..22].copy_from_slice(&(n as u16).to_be_bytes());
        world.inject(lea, &fragment);
    });
}

/// A session that is being made takes what comes from its address for its handshake.
#[test]
fn fragments_of_handshakes_in_a_session_that_is_being_made() {
    let mut flood = Flood::new();
    let tom = flood.scene.world.open(Role::Commercial, "tom");
    flood.scene.world.run_ms(500);
    let now = flood.scene.world.now;
    flood.scene.world.browsers[tom].start_streaming(now);
    // Its checks are answered; then it says nothing more.
    flood.scene.world.run_ms(3);
    flood.scene.world.unplug(tom);
    let hello = flood.hello.clone();
    flood.leaves_nothing(|world, n| {
        let mut fragment = numbered(&hello, 7, n);
        fragment[17..19].copy_from_slice(&((n % 7) as u16).to_be_bytes());
        fragment[20..22].copy_from_slice(&(n as u16).to_be_bytes());
        world.inject(tom, &fragment);
    });
}
