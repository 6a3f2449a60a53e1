//! Connectivity checks that are none: unsigned, malformed, somebody else's, or kept and sent again from elsewhere.

use std::time::Duration;

use ecoute::stats::Stats;
use ecoute::wire::stun;
use ecoute::words::Role;
use stage::check::{self, ICE_CONTROLLING, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE, USERNAME};
use stage::link::Quality;
use stage::scenario::{assert_hears, last};
use stage::scene::{Scene, is_rtp, is_stun, stranger};
use stage::world::{Who, World};

const SOFTWARE: u16 = 0x8022;

fn message(kind: u16, attributes: &[(u16, &[u8])], password: &str) -> Vec<u8> {
    check::message(kind, chosen_id(), attributes, password)
}

/// Returns a transaction as a client chooses it.
fn chosen_id() -> [u8; 12] {
    std::array::from_fn(|_| fastrand::u8(..))
}

/// What everybody on the way of a session's checks can read, and its password, which only its client has.
struct Session {
    username: String,
    password: String,
}

fn session_of(world: &World, who: Who) -> Session {
    let browser = &world.browsers[who];
    let password = browser.password.clone();
    let check = &browser.last_check;
    assert_eq!(check[20..22], USERNAME.to_be_bytes());
    let length = usize::from(u16::from_be_bytes([check[22], check[23]]));
    Session { username: String::from_utf8(check[24..24 + length].to_vec()).unwrap(), password }
}

/// A check that nominates, as a client makes it that has this password.
fn check(username: &str, password: &str) -> Vec<u8> {
    check::nominating(chosen_id(), username, password)
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
    let answers: fn(&Stats) -> u64 = |stats| stats.stun_unasked + stats.stun_ignored;
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
        ("an answer", message(0x0101, &[(USERNAME, name), (8, &[])], &of_lea.password), answers),
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

/// What clients write into a check beside what is needed: attributes of their own, of older and of later standards, with
/// padding that is anything (RFC 8489 §14), and no fingerprint.
#[test]
fn checks_with_what_clients_add_are_answered() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let Session { username, password } = session_of(&scene.world, lea);
    let name: (u16, &[u8]) = (USERNAME, username.as_bytes());
    let priority: (u16, &[u8]) = (PRIORITY, &[0x6e, 0, 0, 1]);
    let of_role: (u16, &[u8]) = (ICE_CONTROLLING, &[7; 8]);
    let signed = |added: &[(u16, &[u8])], after: &[(u16, &[u8])]| {
        let all = [&[name, priority, of_role], added, &[(MESSAGE_INTEGRITY, &[])], after].concat();
        message(1, &all, &password)
    };
    let mut padded =
        message(1, &[name, (SOFTWARE, b"abc"), priority, of_role, (MESSAGE_INTEGRITY, &[])], &password);
    let at = padded.windows(4).position(|four| four == b"abc\0").unwrap() + 3;
    padded[at] = 0x20;
    padded.truncate(padded.len() - 24);
    let padded = check::signed_again(padded, &password);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", signed(&[], &[])),
        ("a name of its own", signed(&[(SOFTWARE, "libwebrtc é".as_bytes())], &[])),
        ("the network and its cost, as Chromium", signed(&[(0xc057, &[0, 1, 0, 10])], &[])),
        ("the how-manieth nomination, as libwebrtc", signed(&[(0xc001, &[0, 0, 0, 1])], &[])),
        ("a candidate's identifier, as Microsoft", signed(&[(0x8054, b"1\0\0\0")], &[])),
        ("DTLS inside, as libwebrtc", signed(&[(0xc070, &[22; 1000]), (0xc071, &[1; 4])], &[])),
        ("an unknown one that may be ignored", signed(&[(0x8abc, b"odd")], &[])),
        ("an unknown one that may not", signed(&[(0x7abc, b"odd")], &[])),
        ("a stronger signature too", signed(&[], &[(0x001c, &[7; 32])])),
        ("something behind the signature", signed(&[], &[(USERNAME, b"x:y"), (SOFTWARE, b"x")])),
        ("padding that is not zero", padded),
        ("no role", message(1, &[name, priority, (MESSAGE_INTEGRITY, &[])], &password)),
    ];
    let refused = |world: &World| {
        let Stats { stun_unsigned, stun_ignored, stun_unknown_peer, stun_replayed, datagrams_malformed, .. } =
            *world.server.stats();
        stun_unsigned + stun_ignored + stun_unknown_peer + stun_replayed + datagrams_malformed
    };
    for (name, bytes) in cases {
        scene.world.inject(lea, &bytes);
        assert_eq!(refused(&scene.world), 0, "{name}");
        scene.world.run_ms(20);
    }
    scene.world.inject(lea, &signed(&[(MESSAGE_INTEGRITY, &[1; 20])], &[]));
    assert_eq!(refused(&scene.world), 1, "what is not answered is counted");
    scene.end();
}

/// A lite agent stays controlled: a client that takes itself for that too is told so, and its path stays.
#[test]
fn who_takes_the_wrong_role_is_told_and_changes_nothing() {
    const ICE_CONTROLLED: u16 = 0x8029;
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    for who in [lea, paul] {
        let Session { username, password } = session_of(&scene.world, who);
        // Whoever has the greater number keeps its role.
        for tie_breaker in [[0; 8], [0xff; 8]] {
            let of_role = |password: &str| {
                let attributes: &[(u16, &[u8])] = &[
                    (USERNAME, username.as_bytes()),
                    (PRIORITY, &[0x6e, 0, 0, 1]),
                    (ICE_CONTROLLED, &tie_breaker),
                    (MESSAGE_INTEGRITY, &[]),
                ];
                message(1, attributes, password)
            };
            let before = scene.world.server.stats().clone();
            scene.world.inject(who, &of_role(&password));
            scene.world.inject(who, &of_role("not its password"));
            let stats = scene.world.server.stats();
            assert_eq!(stats.stun_conflicts, before.stun_conflicts + 1);
            assert_eq!(stats.stun_unsigned, before.stun_unsigned + 1);
        }
    }
    let told = scene.world.sent_to_nobody;
    let Session { username, password } = session_of(&scene.world, lea);
    let from_elsewhere: &[(u16, &[u8])] =
        &[(USERNAME, username.as_bytes()), (ICE_CONTROLLED, &[0xff; 8]), (MESSAGE_INTEGRITY, &[])];
    scene.world.inject_from(stranger(1), &message(1, from_elsewhere, &password));
    scene.world.run_ms(20);
    assert_eq!(scene.world.sent_to_nobody, told + 1, "whoever asks is told");
    // Checks go on to be answered and to nominate.
    scene.world.run_ms(20_000);
    assert_eq!(scene.world.server.stats().stun_unsigned, 4);
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
    assert_eq!(scene.world.sent_to_nobody, 10, "the answers, as many questions, and no media");
    scene.end();
}

/// Who checks under somebody else's address, whatever it knows, sends them no more than three times what it spends itself.
#[test]
fn a_listener_who_nominates_somebody_else_sends_them_little() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let session = session_of(&scene.world, paul);
    let victim = stranger(1);
    let mut spent = 0;
    for round in 0..60 {
        // Three at once, then one now and then, as long as the path is fresh.
        for _ in 0..if round == 0 { 3 } else { 1 } {
            let check = check(&session.username, &session.password);
            spent += check.len();
            scene.world.inject_from(victim, &check);
        }
        scene.world.run_ms(500);
    }
    let sent = scene.world.bytes_to[&victim];
    assert!(sent > 0 && sent <= 3 * spent, "{sent} bytes for {spent}");
    assert_eq!(scene.world.browsers[paul].heard.last().map(|heard| heard.source), Some(lea as u16));
    // And when the listener is gone, and nothing else is left to send to.
    scene.world.unplug(paul);
    for _ in 0..60 {
        let check = check(&session.username, &session.password);
        spent += check.len();
        scene.world.inject_from(victim, &check);
        scene.world.run_ms(500);
    }
    let sent = scene.world.bytes_to[&victim];
    assert!(sent <= 3 * spent, "{sent} bytes for {spent}, and no other path");
    assert!(scene.world.server.stats().datagrams_withheld > 500, "it was to hear on");
}

/// The first path of a session is proven by nothing either, until its client answers there or has done its handshake.
#[test]
fn a_listener_who_begins_as_somebody_else_sends_them_little() {
    let mut world = World::new(1, Quality::PERFECT);
    let paul = world.open(Role::Admin, "paul");
    // The server is to begin the handshake; the client itself sends nothing.
    world.browsers[paul].waits_for_dtls = true;
    let now = world.now;
    world.browsers[paul].open_audio(now);
    world.browsers[paul].forget_offer();
    world.run_ms(100);
    let answer = last(&world, paul, "audio_ready")["sdp"].as_str().unwrap().to_owned();
    let of_answer = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let username = format!("{}:{}", of_answer("a=ice-ufrag:"), world.browsers[paul].own_ufrag);
    let check = check(&username, &of_answer("a=ice-pwd:"));
    let victim = stranger(1);
    world.inject_from(victim, &check);
    world.run_ms(9000);
    let sent = world.bytes_to[&victim];
    assert!(sent > check.len() && sent <= 3 * check.len(), "{sent} bytes for {}", check.len());
    // Whoever answers there is the client, and gets what waited.
    let question = world.questions.last().unwrap().clone();
    let id = question[8..20].try_into().unwrap();
    let answer = check::message(0x0101, id, &[(MESSAGE_INTEGRITY, &[])], &world.browsers[paul].own_password);
    world.inject_from(victim, &answer);
    world.run_ms(10);
    assert!(world.bytes_to[&victim] > sent + 100, "a flight");
    world.end();
}

/// Who checks no more is known by its reports, and its address is not given to the first who sends a check from there.
#[test]
fn who_checks_no_more_keeps_its_address() {
    let mut world = World::new(1, Quality::PERFECT);
    let door = world.device("door");
    let paul = world.listener("paul");
    world.settle();
    let player = world.player("ana", "door");
    world.settle();
    world.browsers[player].checks_no_more = true;
    world.run_ms(20_000);
    let (session, victim) = (session_of(&world, paul), world.browsers[player].external);
    for _ in 0..20 {
        world.inject_from(victim, &check(&session.username, &session.password));
        world.run_ms(1000);
    }
    assert!(world.server.stats().address_conflicts >= 20);
    assert_eq!(world.server.stats().reports_unsigned, 0, "its reports are read as its own");
    assert_hears(&world, player, door, 1000, 95);
    world.end();
}

/// A question proves nothing but to whoever answers it where it was sent, with the client's signature.
#[test]
fn answers_that_prove_nothing_move_nobody() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let session = session_of(&scene.world, paul);
    let [own, other] = [paul, lea].map(|who| scene.world.browsers[who].own_password.clone());
    let answer =
        |id: &[u8], pwd: &str| check::message(0x0101, id.try_into().unwrap(), &[(MESSAGE_INTEGRITY, &[])], pwd);
    let cases: [(&str, usize, &str); 4] = [
        ("another's password", 0, &other),
        ("the server's password", 0, &session.password),
        ("another transaction", 1, &own),
        ("from somewhere else", 2, &own),
    ];
    for (n, (name, how, pwd)) in cases.into_iter().enumerate() {
        let (victim, elsewhere) = (stranger(10 + n), stranger(20 + n));
        scene.world.inject_from(victim, &check(&session.username, &session.password));
        scene.world.run_ms(5);
        let question = scene.world.questions.last().unwrap().clone();
        let mut id: Vec<u8> = question[8..20].to_vec();
        id[11] ^= u8::from(how == 1);
        scene.world.inject_from(if how == 2 { elsewhere } else { victim }, &answer(&id, pwd));
        let before = scene.world.sent_to_nobody;
        scene.world.run_ms(1000);
        assert_eq!(scene.world.sent_to_nobody, before, "{name}");
    }
    // The same with all that it takes.
    let victim = stranger(30);
    scene.world.inject_from(victim, &check(&session.username, &session.password));
    scene.world.run_ms(5);
    let question = scene.world.questions.last().unwrap().clone();
    scene.world.inject_from(victim, &answer(&question[8..20], &own));
    let before = scene.world.sent_to_nobody;
    scene.world.run_ms(1000);
    assert!(scene.world.sent_to_nobody > before + 40, "it is where it says");
    scene.end();
}
