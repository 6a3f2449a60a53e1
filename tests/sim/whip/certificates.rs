//! DTLS with programs of any certificate, in both roles: those of GStreamer's are of RSA.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ecoute::config::Limits;
use ecoute::peer::OpenSsl;
use ecoute::words::Role;
use rcgen::{CertificateParams, CustomExtension, KeyPair, RsaKeySize};
use stage::link::Quality;
use stage::scene::{Scene, is_dtls};
use stage::world::{Who, World};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider, DtlsVersion};
use str0m::media::Direction;

/// A network that loses much, doubles much and delivers in any order.
const BAD: Quality = Quality {
    lost_per_mille: 200,
    doubled_per_mille: 300,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(60),
};

static P256: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().expect("it makes keys"));
static P384: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("it makes keys"));
static RSA_2048: LazyLock<KeyPair> = LazyLock::new(|| rsa(RsaKeySize::_2048));
static RSA_4096: LazyLock<KeyPair> = LazyLock::new(|| rsa(RsaKeySize::_4096));

fn rsa(size: RsaKeySize) -> KeyPair {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).expect("it makes keys")
}

/// Returns a certificate of this key, `padding` bytes longer than it must be.
fn certificate(key: &KeyPair, padding: usize) -> DtlsCert {
    let mut params = CertificateParams::new(Vec::new()).expect("no name is a good name");
    let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![4; padding]);
    params.custom_extensions.push(padding);
    let certificate = params.self_signed(key).expect("it signs").der().to_vec();
    DtlsCert { certificate, private_key: key.serialize_der() }
}

/// Returns a cryptography of OpenSSL whose clients show such a certificate.
fn showing(key: &KeyPair, padding: usize) -> Arc<CryptoProvider> {
    let dtls = OpenSsl::new(certificate(key, padding)).expect("it is a good one");
    let dtls_provider: &'static OpenSsl = Box::leak(Box::new(dtls));
    Arc::new(CryptoProvider { dtls_provider, ..str0m::crypto::from_feature_flags() })
}

/// Returns the library's own cryptography with a certificate of ECDSA that is so much longer than it must be.
fn padded(padding: usize) -> Arc<CryptoProvider> {
    let dtls_provider: &'static Showing = Box::leak(Box::new(Showing(certificate(&P256, padding))));
    Arc::new(CryptoProvider { dtls_provider, ..str0m::crypto::from_feature_flags() })
}

#[derive(Debug)]
struct Showing(DtlsCert);

impl DtlsProvider for Showing {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(self.0.clone())
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        str0m::crypto::from_feature_flags().dtls_provider.new_dtls(certificate, now, version, mtu)
    }
}

/// A program streams with this cryptography; it offers `setup` as its role in the handshake.
fn stream(world: &mut World, id: &str, crypto: Option<&Arc<CryptoProvider>>, setup: &str) -> Who {
    let (who, answer) = post(world, id, crypto, setup);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let (_, answer) = answer.split_once("\r\n\r\n").expect("there is a body");
    let role = if setup == "a=setup:passive" { "a=setup:active" } else { "a=setup:passive" };
    assert!(answer.contains(role), "{answer}");
    let now = world.now;
    world.browsers[who].accept_answer(now, answer);
    who
}

/// Asks to stream; returns the answer to that.
fn post(world: &mut World, id: &str, crypto: Option<&Arc<CryptoProvider>>, setup: &str) -> (Who, String) {
    let who = world.add(id);
    let token = world.token(Role::Commercial, id, |claims| claims.device = true);
    world.browsers[who].crypto = crypto.cloned();
    let now = world.now;
    let offer = world.browsers[who].make_offer(now, Direction::SendOnly).replace("a=setup:actpass", setup);
    let conn = world.knock(world.browsers[who].address).expect("there is room");
    let len = offer.len();
    let request = format!(
        "POST /whip/{id} HTTP/1.1\r\nHost: ecoute\r\nAuthorization: Bearer {token}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {len}\r\n\r\n{offer}"
    );
    let answer = world.send_bytes(conn, request.as_bytes());
    world.hang_up(conn);
    if !answer.starts_with("HTTP/1.1 201 ") {
        world.browsers[who].vanish();
    }
    (who, answer)
}

/// Returns how long it took until this client was connected, if it was within 10 s.
fn connected_within(world: &mut World, who: Who) -> Option<u32> {
    (0..10_000).find(|_| {
        world.run_ms(1);
        world.browsers[who].connected
    })
}

const SETUPS: [&str; 3] = ["a=setup:actpass", "a=setup:active", "a=setup:passive"];

#[test]
fn programs_of_any_certificate_stream_in_both_roles() {
    let kinds: [(&str, &KeyPair); 4] =
        [("P-256", &P256), ("P-384", &P384), ("RSA 2048", &RSA_2048), ("RSA 4096", &RSA_4096)];
    for (name, key) in kinds {
        let crypto = showing(key, 0);
        for setup in SETUPS {
            let mut world = World::new(3, Quality::PERFECT);
            let lea = stream(&mut world, "lea", Some(&crypto), setup);
            let took = connected_within(&mut world, lea);
            assert!(took.is_some_and(|ms| ms < 500), "{name}, {setup}: {took:?}");
            world.run_ms(2000);
            let stats = world.server.stats();
            assert!(stats.packets_received > 80, "{name}, {setup}: {stats:?}");
            assert_eq!((stats.packets_unsigned, stats.peers_failed), (0, 0), "{name}, {setup}: {stats:?}");
        }
    }
}

/// Programs on the library that pages are simulated with, too.
#[test]
fn programs_of_another_library_stream_in_both_roles() {
    for setup in SETUPS {
        let mut world = World::new(3, Quality::PERFECT);
        let lea = stream(&mut world, "lea", None, setup);
        assert!(connected_within(&mut world, lea).is_some(), "{setup}");
        world.run_ms(2000);
        assert!(world.server.stats().packets_received > 80, "{setup}");
    }
}

/// Flights with a long certificate take two datagrams, which are lost, doubled and overtake each other.
#[test]
fn a_handshake_outlasts_a_bad_network() {
    let crypto = padded(900);
    let mut took: Vec<u32> = Vec::new();
    for seed in 0..24 {
        let mut world = World::new(seed, BAD);
        let lea = stream(&mut world, "lea", Some(&crypto), SETUPS[seed as usize % 2]);
        took.extend(connected_within(&mut world, lea));
        assert_eq!(world.server.stats().peers_failed, 0, "seed {seed}");
    }
    took.sort_unstable();
    // Within 10 s the other side repeats a flight three times; some lose it each time, as pages do.
    assert!(took.len() >= 20, "{took:?}");
    assert!(took[0] < 1000, "the luckiest waits for nothing: {took:?}");
    assert!(took[took.len() - 1] > 400, "somebody had to repeat a flight: {took:?}");
}

/// The library hands a certificate out in a buffer of 2000 bytes; messages above 4096 are not even kept.
#[test]
fn a_certificate_that_is_too_long_ends_its_own_session() {
    for (padding, is_good) in [(1000, true), (1500, false), (5000, false), (20_000, false)] {
        for setup in SETUPS {
            let (mut scene, _, _) = Scene::with_unharmed_lea();
            let tom = stream(&mut scene.world, "tom", Some(&showing(&RSA_2048, padding)), setup);
            scene.world.run_ms(15_000);
            let stats = scene.world.server.stats();
            assert_eq!(
                stats.peers_failed + stats.peers_unfinished,
                u64::from(!is_good),
                "{padding} {setup} {stats:?}"
            );
            if is_good {
                assert!(scene.world.browsers[tom].connected);
            }
            scene.end();
        }
    }
}

/// Whoever can send under a client's address may spoil its handshake, but nothing else, whatever it makes of the flight
/// that it has seen: pieces, pieces of far too much, the same again in any order.
#[test]
fn pieces_of_a_flight_disturb_one_session_at_most() {
    let crypto = showing(&RSA_4096, 0);
    for setup in SETUPS {
        let mut world = World::new(5, Quality::PERFECT);
        let lea = stream(&mut world, "lea", Some(&crypto), setup);
        world.record(lea);
        assert!(connected_within(&mut world, lea).is_some());
        let seen: Vec<_> = world.take_record(lea).into_iter().filter(|bytes| is_dtls(bytes)).collect();
        assert!(seen.len() >= 2, "{}", seen.len());

        let mut chance = fastrand::Rng::with_seed(9);
        let (mut scene, _, _) = Scene::with_unharmed_lea();
        for round in 0..20 {
            let tom = stream(&mut scene.world, &format!("device{round}"), Some(&crypto), setup);
            for _ in 0..400 {
                scene.world.run_ms(1);
                for _ in 0..3 {
                    let mut bytes = seen[chance.usize(..seen.len())].clone();
                    // Lengths of the record, of the message, of the piece, and the rest.
                    for _ in 0..chance.usize(..4) {
                        let end = if chance.bool() { bytes.len() } else { bytes.len().min(25) };
                        let index = chance.usize(..end);
                        bytes[index] = chance.u8(..);
                    }
                    if chance.bool() {
                        bytes.truncate(chance.usize(1..bytes.len()));
                    }
                    scene.world.inject(tom, &bytes);
                }
            }
            scene.world.browsers[tom].vanish();
        }
        scene.world.run_ms(30_000);
        scene.end();
    }
}

/// A device that leaves says so, and is gone at once.
#[test]
fn a_goodbye_of_a_program_is_heard() {
    let crypto = showing(&RSA_2048, 0);
    for setup in SETUPS {
        let mut world = World::new(4, Quality::PERFECT);
        let lea = stream(&mut world, "lea", Some(&crypto), setup);
        assert!(connected_within(&mut world, lea).is_some());
        world.run_ms(500);
        assert_eq!(world.server.table_sizes().peers, 1);
        let now = world.now;
        world.browsers[lea].hang_up(now);
        world.run_ms(100);
        assert_eq!(world.server.table_sizes().peers, 0, "{setup}");
    }
}

/// What OpenSSL takes of memory is bounded together with all else: two places of three are one program's.
#[test]
fn a_program_counts_for_two() {
    let mut limits = Limits::default();
    limits.media.peers_max = 3;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let lea = stream(&mut world, "lea", None, SETUPS[0]);
    let (_, refused) = post(&mut world, "tom", None, SETUPS[0]);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    world.publisher("zoe");
    world.settle();
    let refused = world.server.stats().peers_refused;
    assert_eq!((world.server.table_sizes().peers, refused), (2, 1));
    let anne = world.publisher("anne");
    world.run_ms(100);
    assert!(world.browsers[anne].has("error"));
    world.browsers[anne].vanish();
    // Its places are free again when it has gone.
    let now = world.now;
    world.browsers[lea].hang_up(now);
    world.run_ms(100);
    stream(&mut world, "tom", None, SETUPS[0]);
    assert_eq!(world.server.table_sizes().peers, 2);
}
