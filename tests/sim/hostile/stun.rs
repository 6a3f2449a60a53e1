//! Connectivity checks that are none: unsigned, malformed, somebody else's, or kept and sent again from elsewhere.

use std::time::Duration;

use aws_lc_rs::hmac;
use ecoute::stats::Stats;
use ecoute::wire::stun;
use stage::scene::{Scene, is_rtp, is_stun, stranger};
use stage::world::{Who, World};

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const SOFTWARE: u16 = 0x8022;
const ICE_CONTROLLING: u16 = 0x802a;

/// Writes a message (RFC 8489 §5); the first MESSAGE-INTEGRITY that has no value is computed with `password`.
fn message(kind: u16, attributes: &[(u16, &[u8])], password: &str) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    bytes.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(12));
    for &(kind, value) in attributes {
        let signature = (kind == MESSAGE_INTEGRITY && value.is_empty()).then(|| sign(&mut bytes, password));
        let value = signature.as_ref().map_or(value, |signature| signature.as_ref());
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    set_length(&mut bytes, 0);
    bytes
}

/// Returns the signature of all that stands in front of it, with the length as if it stood there (RFC 8489 §14.5).
fn sign(bytes: &mut [u8], password: &str) -> hmac::Tag {
    set_length(bytes, 24);
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()), bytes)
}

fn set_length(bytes: &mut [u8], more: usize) {
    let length = (bytes.len() - 20 + more) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

/// What everybody on the way of a session's checks can read, and its password, which only its client has.
struct Session {
    username: String,
    password: String,
}

fn session_of(world: &World, who: Who) -> Session {
    let browser = &world.browsers[who];
    let event = if browser.has("audio_ready") { "audio_ready" } else { "streaming_started" };
    let answer = browser.messages_of(event).last().unwrap()["sdp"].as_str().unwrap().to_owned();
    let password = answer.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap().to_owned();
    let check = &browser.last_check;
    assert_eq!(check[20..22], USERNAME.to_be_bytes());
    let length = usize::from(u16::from_be_bytes([check[22], check[23]]));
    Session { username: String::from_utf8(check[24..24 + length].to_vec()).unwrap(), password }
}

/// A check that nominates, as a client makes it that has this password.
fn check(username: &str, password: &str) -> Vec<u8> {
    let attributes: &[(u16, &[u8])] = &[
        (USERNAME, username.as_bytes()),
        (ICE_CONTROLLING, &[7; 8]),
        (PRIORITY, &[0x6e, 0, 0, 1]),
        (USE_CANDIDATE, &[]),
        (MESSAGE_INTEGRITY, &[]),
    ];
    message(1, attributes, password)
}

/// The checks among datagrams.
fn checks(datagrams: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    datagrams.into_iter().filter(|bytes| is_stun(bytes)).collect()
}

#[test]
fn checks_that_prove_nothing_are_not_answered() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let of_lea = session_of(&scene.world, lea);
    let of_paul = session_of(&scene.world, paul);
    let (name, other) = (of_lea.username.as_bytes(), of_paul.username.as_bytes());
    let (ours, theirs) = of_lea.username.split_once(':').unwrap();
    let guessed = "0".repeat(32);
    let signed = |attributes: &[(u16, &[u8])]| {
        let priority: (u16, &[u8]) = (PRIORITY, &[0x6e, 0, 0, 1]);
        let all = [&[priority, (USE_CANDIDATE, &[])], attributes, &[(MESSAGE_INTEGRITY, &[])]].concat();
        message(1, &all, &of_lea.password)
    };
    let long = vec![b'x'; 1900];
    let longest = [&check(&of_lea.username, &guessed)[..], &vec![7; 65_507]].concat()[..65_507].to_vec();
    let mut overlong = check(&of_lea.username, &of_lea.password);
    overlong[3] += 4;
    let unknown: fn(&Stats) -> u64 = |stats| stats.stun_unknown_peer;
    let ignored: fn(&Stats) -> u64 = |stats| stats.stun_ignored;
    let unsigned: fn(&Stats) -> u64 = |stats| stats.stun_unsigned;
    let malformed: fn(&Stats) -> u64 = |stats| stats.datagrams_malformed;
    let too_long: fn(&Stats) -> u64 = |stats| stats.datagrams_too_long;
    let cases: Vec<(&str, Vec<u8>, fn(&Stats) -> u64)> = vec![
        ("half of the user fragment", check(&format!("{}00000000:{theirs}", &ours[..16]), &guessed), unknown),
        ("a session that is none", check(&format!("ffffffffffffffff00000000:{theirs}"), &guessed), unknown),
        ("a guessed password", check(&of_lea.username, &guessed), unsigned),
        ("no password", check(&of_lea.username, ""), unsigned),
        ("another's password", check(&of_lea.username, &of_paul.password), unsigned),
        ("another user fragment of the client", check(&format!("{ours}:nobody"), &of_lea.password), unsigned),
        (
            "a signature of zeroes",
            message(1, &[(USERNAME, name), (PRIORITY, &[0; 4]), (8, &[0; 20])], ""),
            unsigned,
        ),
        ("a short signature", message(1, &[(USERNAME, name), (PRIORITY, &[0; 4]), (8, &[0; 16])], ""), malformed),
        ("no signature", message(1, &[(USERNAME, name), (PRIORITY, &[0; 4])], ""), malformed),
        (
            "signature first",
            message(1, &[(8, &[]), (USERNAME, name), (PRIORITY, &[0; 4])], &of_lea.password),
            ignored,
        ),
        ("signature before the priority", message(1, &[(USERNAME, name), (8, &[])], &of_lea.password), malformed),
        ("two names, the other's last", signed(&[(USERNAME, name), (USERNAME, other)]), unsigned),
        ("two names, the other's first", signed(&[(USERNAME, other), (USERNAME, name)]), unsigned),
        ("the other's name twice", signed(&[(USERNAME, other), (USERNAME, other)]), unsigned),
        ("two signatures, the first wrong", signed(&[(USERNAME, name), (8, &[1; 20])]), unsigned),
        ("a name that is no text", signed(&[(USERNAME, &[0xff; 8])]), ignored),
        ("an empty name", signed(&[(USERNAME, b":")]), unknown),
        ("as long as may be", message(1, &[(USERNAME, name), (SOFTWARE, &long), (8, &[])], &guessed), malformed),
        ("65,507 bytes", longest, too_long),
        ("a length that is wrong", overlong, ignored),
        ("an indication", message(0x0011, &[(USERNAME, name), (8, &[])], &of_lea.password), ignored),
        ("an answer", message(0x0101, &[(USERNAME, name), (8, &[])], &of_lea.password), ignored),
        ("a relay is asked for", message(0x0003, &[(USERNAME, name), (8, &[])], &of_lea.password), ignored),
    ];
    let addresses = scene.world.server.table_sizes().addresses;
    for (name, bytes, counter) in cases {
        let before = counter(scene.world.server.stats());
        for n in 0..10 {
            scene.world.inject(lea, &bytes);
            scene.world.inject_from(stranger(n), &bytes);
            scene.world.run_ms(2);
        }
        let stats = scene.world.server.stats();
        assert_eq!(counter(stats) - before, 20, "{name}: {stats:?}");
        assert_eq!(scene.world.sent_to_nobody, 0, "{name}");
        assert_eq!(scene.world.server.table_sizes().addresses, addresses, "{name}");
    }
    scene.end();
}

#[test]
fn who_knows_a_user_fragment_and_no_password_takes_nothing_over() {
    let (mut scene, lea, [paul, ana]) = Scene::with_unharmed_lea();
    let addresses = scene.world.server.table_sizes().addresses;
    for victim in [lea, paul, ana] {
        let session = session_of(&scene.world, victim);
        let overheard = scene.overhear(victim, 2000);
        for n in 0..100 {
            scene.world.inject_from(stranger(n), &check(&session.username, "a password of 22 bytes"));
            for bytes in overheard.iter().filter(|bytes| is_rtp(bytes)).take(3) {
                scene.world.inject_from(stranger(n), bytes);
            }
            scene.world.run_ms(10);
        }
    }
    let stats = scene.world.server.stats();
    assert_eq!((stats.stun_unsigned, stats.datagrams_unknown_address), (300, 300));
    assert_eq!(scene.world.sent_to_nobody, 0);
    assert_eq!(scene.world.server.table_sizes().addresses, addresses);
    scene.end();
}

#[test]
fn a_flood_of_unsigned_checks_keeps_nobody_from_moving() {
    let (mut scene, lea, [paul, _]) = Scene::with_lea();
    let flooded = [lea, paul].map(|who| check(&session_of(&scene.world, who).username, "guessed"));
    for who in [lea, paul] {
        scene.world.browsers[who].external = stranger(5000 + who);
    }
    let queue_max = scene.world.limits.media.unconnected_queue_max;
    scene.flood(8000, 80_000, |world, n| {
        world.inject_from(stranger(n as usize % 1000), &flooded[n as usize % 2]);
        assert!(world.server.table_sizes().unconnected <= queue_max);
    });
    assert_eq!(scene.world.server.stats().stun_unsigned, 80_000);
    scene.hears(paul, lea);
    scene.world.run_ms(2000);
    scene.end();
}

/// Only so many answered checks are remembered; those of before are answered again, and take nothing away.
#[test]
fn checks_that_were_kept_for_minutes_move_nobody_away() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let kept = [lea, paul].map(|who| checks(scene.overhear(who, 90_000)));
    scene.world.run_ms(400_000);
    assert!(kept.iter().all(|checks| checks.len() > 20));
    for round in 0..12 {
        for (victim, checks) in kept.iter().enumerate() {
            scene.world.inject_from(stranger(100 * victim + round), &checks[round]);
            scene.world.run_ms(70);
        }
    }
    assert_eq!(scene.world.server.stats().stun_replayed, 0, "none was remembered");
    assert!(scene.world.sent_to_nobody > 24, "all were answered");
    // Once the clients have checked their own paths again, strangers get nothing more.
    scene.world.run_ms(4000);
    let sent = scene.world.sent_to_nobody;
    scene.world.run_ms(4000);
    assert_eq!(scene.world.sent_to_nobody, sent);
    scene.check();
    // And who moves is not refused for the addresses of strangers.
    scene.world.browsers[paul].external = stranger(5000);
    scene.world.run_ms(4000);
    assert_eq!(scene.world.server.stats().addresses_refused, 0);
    let last = *scene.world.browsers[paul].heard.last().unwrap();
    assert!(scene.world.now - last.at < Duration::from_millis(100), "he hears where he went");
    scene.world.end();
}

/// Somebody who sees a check on its way sends it first, from elsewhere, every time.
#[test]
fn checks_that_somebody_else_sends_first_move_nobody_away() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    for who in [lea, paul] {
        scene.world.browsers[who].quality.delay = Duration::from_millis(5);
    }
    scene.world.run_ms(100);
    for _ in 0..30_000 {
        for who in [lea, paul] {
            scene.world.record(who);
        }
        scene.world.run_ms(1);
        for who in [lea, paul] {
            for check in checks(scene.world.take_record(who)) {
                scene.world.inject_from(stranger(who), &check);
            }
        }
    }
    assert!(scene.world.sent_to_nobody > 20, "they were answered");
    scene.world.run_ms(10);
    scene.end();
}

/// A check says that it nominates, but not where the signature covers it.
#[test]
fn a_nomination_that_is_not_signed_is_none() {
    let (mut scene, _, [paul, _]) = Scene::with_unharmed_lea();
    let session = session_of(&scene.world, paul);
    for n in 0..5 {
        let attributes: &[(u16, &[u8])] = &[
            (USERNAME, session.username.as_bytes()),
            (PRIORITY, &[0x6e, 0, 0, 1]),
            (MESSAGE_INTEGRITY, &[]),
            (USE_CANDIDATE, &[]),
        ];
        let check = message(1, attributes, &session.password);
        assert_eq!(stun::parse_binding_request(&check).map(|check| check.use_candidate), Ok(false));
        scene.world.inject_from(stranger(n), &check);
        scene.world.run_ms(1000);
    }
    assert_eq!(scene.world.sent_to_nobody, 5, "the answers, and no media");
    scene.end();
}
