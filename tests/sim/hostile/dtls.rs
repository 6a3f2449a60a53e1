//! DTLS that is nobody's: from addresses without ICE, and before, during and after the handshake of a session.

use ecoute::words::Role;
use stage::scene::{Scene, is_dtls, stranger};
use stage::world::Who;

use super::FLOOD_PER_S;

/// Returns the first flight of a handshake of somebody else.
fn client_hello(scene: &mut Scene) -> Vec<u8> {
    let zoe = scene.world.open(Role::Admin, "zoe");
    let now = scene.world.now;
    scene.world.browsers[zoe].open_audio(now);
    let sent = scene.overhear(zoe, 3000);
    let hello = sent.into_iter().find(|bytes| is_dtls(bytes)).unwrap();
    assert_eq!((hello[0], hello[13]), (22, 1), "a handshake's ClientHello");
    hello
}

/// Lets time pass until an answer has arrived, but no check has been sent.
fn offer(scene: &mut Scene, id: &str) -> Who {
    let who = scene.world.open(Role::Commercial, id);
    scene.world.run_ms(500);
    let now = scene.world.now;
    scene.world.browsers[who].start_streaming(now);
    who
}

fn connect(scene: &mut Scene, who: Who) -> u32 {
    for ms in 0..3000 {
        if scene.world.browsers[who].connected {
            return ms;
        }
        scene.world.run_ms(1);
    }
    panic!("it does not connect");
}

#[test]
fn a_flood_of_handshakes_from_nowhere_gets_no_answer() {
    let (mut scene, _, _) = Scene::with_unharmed_lea();
    let hello = client_hello(&mut scene);
    let sizes = scene.world.server.table_sizes();
    scene.flood(2000, 2 * FLOOD_PER_S, |world, n| world.inject_from(stranger(n as usize), &hello));
    assert_eq!(scene.world.server.stats().datagrams_unknown_address, 2 * FLOOD_PER_S);
    assert_eq!(scene.world.sent_to_nobody, 0);
    let now = scene.world.server.table_sizes();
    assert_eq!((now.peers, now.addresses, now.unconnected), (sizes.peers, sizes.addresses, 0));
    scene.end();
}

/// Before its ICE has proved an address, a session takes no DTLS from it.
#[test]
fn a_handshake_before_ice_is_nobodys() {
    let (mut scene, _, _) = Scene::with_unharmed_lea();
    let hello = client_hello(&mut scene);
    let tom = offer(&mut scene, "tom");
    for n in 0..100 {
        scene.world.inject(tom, &hello);
        scene.world.inject_from(stranger(n), &hello);
    }
    assert_eq!(scene.world.server.stats().datagrams_unknown_address, 200);
    connect(&mut scene, tom);
    scene.end();
}

/// While a session shakes hands, strangers disturb nobody, whatever flight of theirs they send.
#[test]
fn a_handshake_is_not_disturbed_from_elsewhere() {
    let (mut scene, _, _) = Scene::with_unharmed_lea();
    let hello = client_hello(&mut scene);
    let tom = offer(&mut scene, "tom");
    let mut injected = 0;
    while !scene.world.browsers[tom].connected {
        scene.world.run_ms(1);
        for n in 0..10 {
            scene.world.inject_from(stranger(n), &hello);
            injected += 1;
        }
        assert!(injected < 10_000, "it does not connect");
    }
    assert!(injected >= 50, "{injected}");
    assert_eq!(scene.world.server.stats().datagrams_unknown_address, injected);
    assert_eq!(scene.world.sent_to_nobody, 0);
    scene.world.settle();
    assert_eq!(scene.world.server.stats().peers_unfinished, 0);
    scene.end();
}

/// Somebody who can send under a client's address, while it shakes hands, may spoil that handshake: the first to come
/// is answered. It costs nobody else anything, ends in time, and the next try works.
#[test]
fn a_handshake_that_is_spoilt_ends_and_the_next_one_works() {
    let (mut scene, _, _) = Scene::with_unharmed_lea();
    let hello = client_hello(&mut scene);
    let tom = offer(&mut scene, "tom");
    for _ in 0..2000 {
        scene.world.run_ms(1);
        for _ in 0..10 {
            scene.world.inject(tom, &hello);
        }
    }
    let queue_max = scene.world.limits.media.unconnected_per_peer_max;
    assert!(scene.world.server.table_sizes().unconnected <= queue_max);
    scene.world.run_ms(10_000);
    let stats = scene.world.server.stats();
    assert_eq!(stats.peers_unfinished + stats.peers_failed, 1, "{stats:?}");
    let now = scene.world.now;
    scene.world.browsers[tom].start_streaming(now);
    connect(&mut scene, tom);
    scene.end();
}

#[test]
fn a_flood_under_the_address_of_a_connected_session_ends_nothing() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let hello = client_hello(&mut scene);
    let alert = |level, description| vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, level, description];
    let encrypted = [&[22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 48][..], &[7; 48]].concat();
    let data = [&[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 48][..], &[7; 48]].concat();
    let change_cipher = vec![20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 1, 1];
    let mut later_hello = hello.clone();
    later_hello[18] = 9;
    let cases = [
        ("a first flight", hello),
        ("a renegotiation", later_hello),
        ("a plain close", alert(1, 0)),
        ("a plain fatal alert", alert(2, 40)),
        ("an encrypted flight", encrypted),
        ("encrypted data", data),
        ("a change of ciphers", change_cipher),
        ("half a record", vec![22, 254, 253, 0, 0]),
        ("many records", [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0].repeat(150)),
    ];
    for who in [lea, paul] {
        for (name, bytes) in &cases {
            let before = scene.world.server.stats().control_over_rate;
            scene.flood(500, FLOOD_PER_S / 2, |world, _| world.inject(who, bytes));
            let over_rate = scene.world.server.stats().control_over_rate - before;
            assert!((FLOOD_PER_S / 2 - 200..FLOOD_PER_S / 2).contains(&over_rate), "{name}: {over_rate}");
            assert_eq!(scene.world.server.stats().peers_failed, 0, "{name}");
        }
    }
    scene.end();
}
