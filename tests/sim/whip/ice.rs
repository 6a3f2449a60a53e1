//! ICE of programs: preconditions, trickled addresses, restarts, moves, and both roles of DTLS.

use std::time::Duration;

use ecoute::words::Role;
use stage::link::Quality;
use stage::scenario::{assert_hears, scenario};
use stage::scene::{is_dtls, is_stun};
use stage::world::programs::{Kind, SDP, fragment_of};
use stage::world::{Who, World};

/// A device, heard by a player.
fn played(world: &mut World) -> (Who, Who) {
    let device = world.device("door");
    let paul = world.player("paul", "door");
    world.settle();
    world.run_ms(1000);
    assert_hears(world, paul, device, 1000, 80);
    (device, paul)
}

/// Asserts that a listener heard every packet of a microphone, from one of them on.
fn assert_hears_all(world: &World, listener: Who, publisher: Who, from: u32) {
    let until = world.browsers[publisher].made - 10;
    let heard: std::collections::BTreeSet<u32> =
        world.browsers[listener].heard_of(publisher as u16).map(|heard| heard.counter).collect();
    let missed: Vec<u32> = (from..until).filter(|counter| !heard.contains(counter)).collect();
    assert_eq!(missed, [] as [u32; 0], "of {from}..{until}");
}

#[test]
fn a_fragment_needs_the_right_entity_tag() {
    scenario(|world| {
        let (device, paul) = played(world);
        for who in [device, paul] {
            let etag = world.etag(who);
            assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "a strong one: {etag}");
            let trickle = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 UDP 1 192.0.2.2 49827 typ host\r\n";
            let new = "a=ice-ufrag:abcdefgh\r\na=ice-pwd:0123456789012345678901\r\n";
            let weak = format!("W/{etag}");
            for fragment in [trickle, new] {
                assert_eq!(world.patch(who, None, fragment).status, 428);
                for stale in ["\"stale\"", "", weak.as_str(), "stale", "\"\""] {
                    let status = world.patch(who, Some(stale), fragment).status;
                    assert!(matches!((stale, status), ("", 428) | (_, 412)), "{stale}: {status}");
                }
            }
            for if_match in [etag.as_str(), "*"] {
                let answer = world.patch(who, Some(if_match), trickle);
                assert_eq!((answer.status, answer.body.as_str()), (204, ""));
            }
            let several = format!("\"other\", {etag}");
            assert_eq!(world.patch(who, Some(&several), trickle).status, 204);
            world.run_ms(500);
        }
        world.run_ms(1000);
        assert_hears(world, paul, device, 1000, 80);
        assert_eq!(world.server.stats().requests_refused, 2 * 2 * 6);
    });
}

/// As a client trickles that remembers no entity-tag.
#[test]
fn a_fragment_that_names_the_present_credentials_needs_no_entity_tag() {
    scenario(|world| {
        let (device, paul) = played(world);
        for who in [device, paul] {
            let credentials = |world: &World| {
                let browser = &world.browsers[who];
                format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", browser.own_ufrag, browser.own_password)
            };
            let trickle = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 UDP 1 192.0.2.2 49827 typ host\r\n";
            let before = credentials(world);
            let present = format!("{before}{trickle}a=end-of-candidates\r\n");
            let answer = world.patch(who, None, &present);
            assert_eq!((answer.status, answer.body.as_str()), (204, ""));
            assert_eq!(world.patch(who, Some("\"stale\""), &present).status, 412, "it says which it means");
            let other = present.replace("a=ice-pwd:", "a=ice-pwd:x");
            assert_eq!(world.patch(who, None, &other).status, 428, "half of them");
            world.restart(who, "*");
            assert_eq!(world.patch(who, None, &present).status, 428, "those of before would restart it");
        }
        world.run_ms(2000);
        assert_hears(world, paul, device, 1000, 80);
    });
}

#[test]
fn a_restart_loses_nothing() {
    scenario(|world| {
        let is_perfect = world.quality.lost_per_mille == 0;
        let (device, paul) = played(world);
        let from = world.browsers[device].made;
        for if_match in ["*", ""] {
            for who in [device, paul] {
                let old = world.etag(who);
                let answer = match if_match {
                    "" => world.restart(who, &old),
                    any => world.restart(who, any),
                };
                assert_ne!(world.etag(who), old);
                assert!(!answer.body.contains("fingerprint"), "{}", answer.body);
                assert!(answer.body.contains("a=candidate:"), "{}", answer.body);
                let late = "a=candidate:1 1 UDP 1 192.0.2.2 49827 typ host\r\n";
                assert_eq!(world.patch(who, Some(&old), late).status, 412);
                let new = world.etag(who);
                assert_eq!(world.patch(who, Some(&new), late).status, 204);
                world.run_ms(4000);
                assert!(world.browsers[who].connected);
                assert_hears(world, paul, device, 1000, 80);
            }
        }
        if is_perfect {
            assert_hears_all(world, paul, device, from);
        }
    });
}

#[test]
fn a_refused_restart_changes_nothing() {
    scenario(|world| {
        let is_perfect = world.quality.lost_per_mille == 0;
        let (device, paul) = played(world);
        let from = world.browsers[device].made;
        let (ufrag, pwd) = ("a=ice-ufrag:abcdefgh\r\n", "a=ice-pwd:0123456789012345678901\r\n");
        let long = format!("a=ice-ufrag:{}\r\n{pwd}", "x".repeat(300));
        let many = "a=x\r\n".repeat(1000);
        let cases = [
            ("nothing", ""),
            ("no SDP", "hello\r\n"),
            ("half", ufrag),
            ("the other half", pwd),
            ("a short password", "a=ice-ufrag:abcdefgh\r\na=ice-pwd:0123\r\n"),
            ("a short fragment", &format!("a=ice-ufrag:abc\r\n{pwd}")),
            ("other characters", &format!("a=ice-ufrag:abc def\r\n{pwd}")),
            ("too long", &long),
            ("too many lines", &many),
            ("two", &format!("m=audio 9 x 0\r\n{ufrag}{pwd}m=audio 9 x 0\r\na=ice-ufrag:12345678\r\n{pwd}")),
        ];
        for who in [device, paul] {
            let etag = world.etag(who);
            for (name, fragment) in cases {
                let answer = world.patch(who, Some("*"), fragment);
                assert_eq!(answer.status, 400, "{name}: {answer:?}");
                world.run_ms(100);
            }
            let wrong = world.ask(who, |token, location| {
                let ask = stage::world::programs::Ask::patch(location, token, Some("*"), "v=0\r\n");
                stage::world::programs::Ask { content_type: SDP, ..ask }.to_http()
            });
            assert_eq!(wrong.status, 415);
            assert_eq!(world.patch(who, Some(&etag), "a=end-of-candidates\r\n").status, 204, "the same as before");
        }
        world.run_ms(20_000);
        assert_hears(world, paul, device, 1000, 80);
        if is_perfect {
            assert_hears_all(world, paul, device, from);
        }
    });
}

#[test]
fn restarts_without_end_are_bounded() {
    scenario(|world| {
        let (device, paul) = played(world);
        let before = world.server.table_sizes();
        for n in 0..100 {
            world.restart([device, paul][n % 2], "*");
            world.run_ms(300);
        }
        world.run_ms(3000);
        assert_hears(world, paul, device, 1000, 80);
        let after = world.server.table_sizes();
        assert_eq!(
            (after.peers, after.resources, after.deadlines),
            (before.peers, before.resources, before.deadlines)
        );
        assert!(after.addresses <= before.addresses + 2 && after.offers_bytes < before.offers_bytes + 500);
        // Faster than that it is refused, and that changes nothing.
        let refused = (0..100).filter(|n| {
            let fragment = format!("a=ice-ufrag:abcd{n:04}\r\na=ice-pwd:0123456789012345678901\r\n");
            world.patch(paul, Some("\"stale\""), &fragment).status == 429
        });
        assert!(refused.count() > 20);
        world.run_ms(1000);
        assert_hears(world, paul, device, 1000, 80);
    });
}

#[test]
fn who_restarts_and_is_not_seen_again_gets_no_more() {
    scenario(|world| {
        let (_, paul) = played(world);
        let restart = |world: &mut World, n: u32| {
            let fragment = format!("a=ice-ufrag:abcd{n:04}\r\na=ice-pwd:0123456789012345678901\r\n");
            world.patch(paul, Some("*"), &fragment).status
        };
        world.close(paul);
        // Restarts are no sign of life at the old address.
        for n in 0..10 {
            restart(world, n);
            world.run_ms(2000);
        }
        let sent = world.media_sent_to(paul);
        world.run_ms(3000);
        assert_eq!(world.media_sent_to(paul), sent);
        assert_eq!(restart(world, 99), 404);
    });
}

#[test]
fn a_program_that_moves_is_heard_on() {
    scenario(|world| {
        let (device, paul) = played(world);
        for (n, who) in [paul, device].into_iter().enumerate() {
            world.browsers[who].external = ([198, 18, 7, n as u8], 4321).into();
            world.run_ms(10_000);
            assert_hears(world, paul, device, 1000, 80);
            world.restart(who, "*");
            world.run_ms(3000);
            assert_hears(world, paul, device, 1000, 80);
        }
    });
}

#[test]
fn both_roles_of_dtls() {
    scenario(|world| {
        world.device("other");
        let token = world.token(Role::Commercial, "door", |claims| claims.device = true);
        let admin = world.token(Role::Admin, "paul", |_| {});
        for (setup, answered) in [("active", "passive"), ("passive", "active"), ("actpass", "passive")] {
            let edit = |offer: String| offer.replace("a=setup:actpass", &format!("a=setup:{setup}"));
            let device = world.program(Kind::Whip, "door", &token);
            let answer = world.post_edited(device, "door", edit);
            assert_eq!(answer.status, 201);
            assert!(answer.body.contains(&format!("a=setup:{answered}\r\n")), "{}", answer.body);
            let paul = world.program(Kind::Whep, "paul", &admin);
            assert_eq!(world.post_edited(paul, "door", edit).status, 201);
            world.settle();
            world.run_ms(1000);
            assert_hears(world, paul, device, 1000, 80);
            for who in [paul, device] {
                world.restart(who, "*");
            }
            world.run_ms(3000);
            assert_hears(world, paul, device, 1000, 80);
            for who in [paul, device] {
                assert_eq!(world.delete(who).status, 200);
                world.browsers[who].vanish();
            }
            world.run_ms(100);
        }
    });
}

/// A server that begins the handshake does so as soon as it knows where to, and again soon: a client may lose the first
/// flight while it still gets ready.
#[test]
fn a_server_that_begins_the_handshake_does_not_wait() {
    let mut world = World::new(1, Quality::PERFECT);
    world.device("bell");
    for (kind, delay_ms) in
        [(Kind::Whip, 0), (Kind::Whep, 0), (Kind::Whep, 500), (Kind::Whep, 1500), (Kind::Whep, 4000)]
    {
        let (role, of, to) = match kind {
            Kind::Whip => (Role::Commercial, "door", "door"),
            Kind::Whep => (Role::Admin, "paul", "bell"),
        };
        let token = world.token(role, of, |_| {});
        let who = world.program(kind, of, &token);
        let edit = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
        assert_eq!(world.post_edited(who, to, edit).status, 201);
        // The client may be slow to send its first check.
        world.unplug(who);
        world.run_ms(delay_ms);
        world.plug(who);
        world.deafen(who);
        let mut flights = Vec::new();
        let mut nominated = None;
        for _ in 0..3000 {
            world.run_ms(1);
            let sent = world.take_sent_to(who);
            let answered = sent.iter().any(|bytes| is_stun(bytes));
            if answered && nominated.is_none() {
                nominated = Some(world.now);
            }
            flights.extend(sent.iter().filter(|bytes| is_dtls(bytes)).map(|_| world.now));
        }
        let nominated = nominated.expect("a check was answered");
        let waits: Vec<Duration> = flights.iter().map(|at| *at - nominated).collect();
        assert!(
            waits[0] <= Duration::from_millis(3),
            "{kind:?} {delay_ms}: the first flight leaves with the answer: {waits:?}"
        );
        let again = waits.iter().find(|wait| **wait > Duration::from_millis(3));
        let is_soon = again.is_some_and(|wait| *wait < Duration::from_millis(500));
        assert!(is_soon || delay_ms > 0, "{kind:?}: and again soon: {waits:?}");
        assert_eq!(world.delete(who).status, 200);
        world.close(who);
    }
    world.end();
}

#[test]
fn the_fragment_of_a_restart_is_what_the_draft_shows() {
    let mut world = World::new(1, Quality::PERFECT);
    let (device, _) = played(&mut world);
    let offer = world.browsers[device].restart_offer().unwrap();
    let fragment = fragment_of(&offer);
    let answer = world.patch(device, Some("*"), &fragment);
    let lines: Vec<&str> = answer.body.lines().collect();
    for wanted in ["a=ice-lite", "m=audio 9 ", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"] {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted}: {lines:?}");
    }
    assert_eq!(answer.header("ETag"), Some(format!("\"{}\"", ufrag_of(&answer.body)).as_str()));
    // What was lost on its way is asked for again.
    let again = world.patch(device, Some("*"), &fragment);
    assert!([200, 204].contains(&again.status), "{again:?}");
}

fn ufrag_of(fragment: &str) -> &str {
    fragment.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap()
}
