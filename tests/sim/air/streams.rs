//! Streams that no offer named, or otherwise, or that go on under another name: heard as one, and nobody hears what was said
//! untold.

use std::time::Duration;

use ecoute::words::{Presence, Role};
use serde_json::json;
use stage::link::Quality;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};
use stage::scene::is_rtp;
use stage::world::programs::Kind;
use stage::world::{Who, World};
use str0m::media::Direction;

type Edit = fn(String) -> String;

fn without(offer: &str, prefix: &str) -> String {
    offer.lines().filter(|line| !line.starts_with(prefix)).map(|line| format!("{line}\r\n")).collect()
}

/// What an offer says of its stream, and what it does not.
const OFFERS: &[(&str, Edit)] = &[
    ("named", |offer| offer),
    ("not named", |offer| without(&offer, "a=ssrc")),
    ("not named, and packets name no section", |offer| without(&without(&offer, "a=ssrc"), "a=extmap")),
    ("named otherwise", |offer| format!("{}a=ssrc:7 cname:x\r\n", without(&offer, "a=ssrc"))),
    ("named otherwise, and packets name no section", |offer| {
        format!("{}a=ssrc:7 cname:x\r\n", without(&without(&offer, "a=ssrc"), "a=extmap"))
    }),
    ("several named", |offer| format!("{offer}a=ssrc:7 cname:x\r\na=ssrc:8 cname:x\r\na=ssrc-group:FID 7 8\r\n")),
];

/// Returns a world with a device and a player that hears it.
fn heard_device() -> (World, Who, Who) {
    let mut world = World::new(1, Quality::PERFECT);
    let device = world.device("door");
    let paul = world.player("paul", "door");
    world.settle();
    (world, device, paul)
}

/// Asserts that what a listener got is one stream without gaps in its numbers, and with no time that goes back.
fn assert_one_stream(world: &World, listener: Who) {
    for pair in world.browsers[listener].heard.windows(2) {
        assert_eq!((pair[1].ssrc, pair[1].sequence), (pair[0].ssrc, pair[0].sequence + 1));
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((960..48_000 * 10).contains(&step), "{step}");
    }
}

#[test]
fn a_programs_stream_is_heard_however_it_was_named() {
    for (name, edit) in OFFERS {
        let mut world = World::new(1, Quality::PERFECT);
        let token = world.token(Role::Commercial, "door", |claims| claims.device = true);
        let device = world.program(Kind::Whip, "door", &token);
        assert_eq!(world.post_edited(device, "door", edit).status, 201, "{name}");
        let paul = world.player("paul", "door");
        world.settle();
        world.run_ms(3000);
        assert_hears(&world, paul, device, 2000, 98);
        assert_one_stream(&world, paul);
        world.end();
    }
}

#[test]
fn a_pages_stream_is_heard_however_it_was_named() {
    for (name, edit) in OFFERS {
        for joins_first in [true, false] {
            let mut world = World::new(1, Quality::PERFECT);
            let lea = world.open(Role::Commercial, "lea");
            let paul = world.listener("paul");
            world.settle();
            if joins_first {
                world.join(paul, "lea");
            }
            let now = world.now;
            let offer = edit(world.browsers[lea].make_offer(now, Direction::SendOnly));
            world.browsers[lea].say("start_streaming", json!({ "sdp": offer }));
            world.run_ms(2000);
            world.join(paul, "lea");
            world.run_ms(3000);
            assert_hears(&world, paul, lea, 2000, 98);
            assert!(count(&world, lea, "listener_joined") <= 2, "{name}");
            world.end();
        }
    }
}

#[test]
fn a_programs_stream_that_changes_goes_on_without_a_gap() {
    let (mut world, device, paul) = heard_device();
    for ssrc in 100..110 {
        world.run_ms(1000);
        world.browsers[device].change_stream(ssrc);
    }
    world.run_ms(1000);
    assert_hears(&world, paul, device, 10_000, 99);
    assert_one_stream(&world, paul);
    assert_eq!(world.server.stats().streams_changed, 10);
    assert_eq!(world.server.stats().packets_unsigned + world.server.stats().packets_foreign, 0);
    world.end();
}

/// A page counts what it sends of one stream: of another one it is asked anew.
#[test]
fn a_pages_stream_that_changes_is_told_anew() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for ssrc in 100..103 {
            let told = count(world, lea, "listener_joined");
            world.browsers[lea].change_stream(ssrc);
            world.run_ms(4000);
            assert_hears(world, paul, lea, 1000, 80);
            assert_eq!(count(world, lea, "listener_joined"), told + 1);
        }
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "lea");
        world.run_ms(3000);
        assert_hears(world, ana, lea, 1000, 80);
    });
}

#[test]
fn what_was_said_in_a_pause_is_not_heard_where_the_stream_changed_in_it() {
    for change_at in [0, 1, 2] {
        scenario(|world| {
            let (lea, paul) = heard(world);
            let change = |world: &mut World, at| {
                if at == change_at {
                    world.browsers[lea].change_stream(77);
                }
            };
            world.browsers[lea].held_back = Duration::from_secs(2);
            world.run_ms(3000);
            change(world, 0);
            world.browsers[lea].say("pause_streaming", json!({}));
            world.run_ms(1000);
            change(world, 1);
            world.run_ms(3000);
            world.browsers[lea].say("resume_streaming", json!({}));
            world.run_ms(100);
            change(world, 2);
            world.run_ms(1500);
            assert!(hears_nothing(world, paul, 1000), "law 2: what was said in the pause is still on its way");
            world.run_ms(6000);
            assert_hears(world, paul, lea, 1000, 80);
        });
    }
}

/// A page may resume before its first packet is there, and then send another stream than it counted.
#[test]
fn a_page_that_resumed_with_another_stream_is_heard_all_the_same() {
    let mut world = World::new(1, Quality::PERFECT);
    let lea = world.open(Role::Commercial, "lea");
    let paul = world.listener("paul");
    world.settle();
    world.browsers[lea].held_back = Duration::from_secs(2);
    let now = world.now;
    let offer = without(&world.browsers[lea].make_offer(now, Direction::SendOnly), "a=ssrc");
    world.browsers[lea].say("start_streaming", json!({ "sdp": offer }));
    world.run_ms(500);
    world.browsers[lea].say("pause_streaming", json!({}));
    world.run_ms(200);
    world.browsers[lea].say_text(r#"{"event":"resume_streaming","data":{"ssrc":9,"packets_sent":0}}"#);
    world.run_ms(300);
    assert!(world.browsers[lea].has("streaming_resumed"));
    world.join(paul, "lea");
    world.run_ms(8000);
    assert_hears(&world, paul, lea, 2000, 98);
    world.end();
}

/// Nobody counts for an encoder, and all of the new stream may be held back alike.
#[test]
fn what_an_encoder_said_untold_is_not_heard_though_its_stream_changed_and_is_held_back() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        let encoder = world.encoder("lea");
        let paul = world.listener("paul");
        world.settle();
        world.run_ms(2000);
        world.browsers[encoder].change_stream(77);
        world.browsers[encoder].held_back = Duration::from_secs(3);
        world.run_ms(2000);
        let made = world.browsers[encoder].made;
        world.join(paul, "lea");
        world.run_ms(9000);
        assert_hears(world, paul, encoder, 1000, 80);
        let first = world.browsers[paul].heard_of(encoder as u16).next().unwrap();
        assert!(first.counter >= made, "packet {} of {made} was made before", first.counter);
        assert!(world.browsers[lea].has("listener_joined"));
    });
}

/// Somebody on the way keeps what was said untold, and sends it when the stream that it was said in was left.
#[test]
fn what_an_encoder_said_untold_is_not_heard_though_it_comes_after_another_stream() {
    scenario(|world| {
        world.open(Role::Commercial, "lea");
        let encoder = world.encoder("lea");
        let paul = world.listener("paul");
        world.settle();
        world.run_ms(2000);
        let kept = withhold(world, encoder, 2000);
        world.browsers[encoder].change_stream(77);
        world.run_ms(500);
        let made = world.browsers[encoder].made;
        world.join(paul, "lea");
        world.run_ms(5000);
        assert_hears(world, paul, encoder, 1000, 70);
        let changed = world.server.stats().streams_changed;
        withhold(world, encoder, 1500);
        for packet in kept.iter().filter(|bytes| is_rtp(bytes)) {
            world.inject(encoder, packet);
        }
        world.run_ms(1000);
        assert_eq!(world.server.stats().streams_changed, changed + 1, "they are the client's own");
        let first = world.browsers[paul].heard_of(encoder as u16).map(|heard| heard.counter).min().unwrap();
        assert!(first >= made, "packet {first} of {made} was made before");
        world.run_ms(3000);
        assert_hears(world, paul, encoder, 1000, 70);
    });
}

/// What was said in a pause and kept on the way is not heard, whichever stream it is of and whatever came between.
#[test]
fn what_was_said_in_a_pause_and_kept_is_not_heard_after_another_stream() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(500);
        let from = world.browsers[lea].made;
        let kept = withhold(world, lea, 1500);
        let until = world.browsers[lea].made;
        world.browsers[lea].change_stream(77);
        world.run_ms(500);
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(6000);
        assert_hears(world, paul, lea, 1000, 70);
        withhold(world, lea, 1500);
        for packet in kept.iter().filter(|bytes| is_rtp(bytes)) {
            world.inject(lea, packet);
        }
        world.run_ms(8000);
        assert_hears(world, paul, lea, 1000, 70);
        let is_of_pause = |counter: u32| (from..until).contains(&counter);
        assert!(!world.browsers[paul].heard_of(lea as u16).any(|heard| is_of_pause(heard.counter)), "law 2");
    });
}

/// A page answers of the stream that it had when it was asked, or of the next one.
#[test]
fn a_stream_that_changes_while_an_acknowledgement_is_on_its_way_tells_nothing_of_before() {
    for change_at in [0, 20, 50, 100, 150, 300] {
        scenario(|world| {
            let lea = world.publisher("lea");
            let paul = world.listener("paul");
            world.settle();
            world.browsers[lea].held_back = Duration::from_secs(2);
            world.run_ms(4000);
            let made = world.browsers[lea].made;
            world.join(paul, "lea");
            world.run_ms(change_at);
            world.browsers[lea].change_stream(77);
            world.run_ms(10_000);
            assert_hears(world, paul, lea, 1000, 70);
            let first = world.browsers[paul].heard_of(lea as u16).map(|heard| heard.counter).min().unwrap();
            assert!(first >= made, "law 2: packet {first} of {made}, changed after {change_at} ms");
        });
    }
}

/// Neither does a flood of others' names delay it, nor does it use up what a client may have.
#[test]
fn a_stream_that_changes_amid_forged_ones_goes_on_at_once() {
    let (mut world, device, paul) = heard_device();
    world.run_ms(1000);
    let before = world.browsers[paul].heard.len();
    world.record(device);
    world.run_ms(100);
    let packet = world.take_record(device).into_iter().rfind(|bytes| is_rtp(bytes)).unwrap();
    for round in 0..5 {
        world.browsers[device].change_stream(100 + round);
        for n in 0..1000_u32 {
            for ssrc in [n * 2 + 1000, 1000 + round] {
                let mut forged = packet.clone();
                forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
                world.inject(device, &forged);
            }
            world.run_ms(1);
        }
    }
    world.run_ms(100);
    assert!((258..=262).contains(&(world.browsers[paul].heard.len() - before)));
    assert_one_stream(&world, paul);
    assert_eq!((world.server.stats().streams_changed, world.server.stats().packets_unsigned), (5, 10_000));
    world.end();
}

/// Lets a client send nothing for so long; returns what it would have sent.
fn withhold(world: &mut World, who: Who, ms: u64) -> Vec<Vec<u8>> {
    world.record(who);
    world.unplug(who);
    world.run_ms(ms);
    world.plug(who);
    world.take_record(who)
}

#[test]
fn of_two_streams_at_once_one_is_heard() {
    let (mut world, device, paul) = heard_device();
    world.run_ms(1000);
    let before = world.browsers[paul].heard.len();
    let own = [50, 51];
    let mut numbers = own.map(|_| (1000, 7));
    for n in 0..100 {
        let browser = &mut world.browsers[device];
        browser.change_stream(own[n % 2]);
        (browser.sequence, browser.timestamp) = numbers[n % 2];
        numbers[n % 2] = (browser.sequence + 1, browser.timestamp + 960);
        world.run_ms(20);
    }
    let heard = &world.browsers[paul].heard[before..];
    assert!((48..=53).contains(&heard.len()), "{}", heard.len());
    assert_eq!(world.server.stats().streams_changed, 2, "each was new once");
    // The one that was heard first comes back where the others are gone.
    world.browsers[device].change_stream(50);
    (world.browsers[device].sequence, world.browsers[device].timestamp) = numbers[0];
    world.run_ms(3000);
    assert_hears(&world, paul, device, 1500, 98);
    assert_eq!(world.server.stats().streams_changed, 3);
    world.end();
}

#[test]
fn a_client_has_so_many_streams_and_is_then_off_air_alone() {
    let mut world = World::new(1, Quality::PERFECT);
    let (device, other) = (world.device("door"), world.device("bell"));
    let (paul, ana) = (world.player("paul", "door"), world.player("ana", "bell"));
    world.settle();
    let streams_max = world.limits.peer.streams_life_max as u32;
    for ssrc in 100..100 + 2 * streams_max {
        world.browsers[device].change_stream(ssrc);
        world.run_ms(100);
    }
    let stats = world.server.stats();
    assert_eq!(stats.streams_changed, u64::from(streams_max) - 1);
    assert!(stats.packets_foreign > 100, "{stats:?}");
    assert!(hears_nothing(&world, paul, 1000));
    assert_hears(&world, ana, other, 5000, 98);
    world.run_ms(25_000);
    assert_eq!(world.server.table_sizes().peers, 3, "the one that nobody hears is over");
    assert_hears(&world, ana, other, 5000, 98);
    world.end();
}

#[test]
fn packets_of_another_section_are_not_its_own() {
    let mut world = World::new(1, Quality::PERFECT);
    let token = world.token(Role::Commercial, "door", |claims| claims.device = true);
    let device = world.program(Kind::Whip, "door", &token);
    // The section has another name for the server than in the packets.
    let now = world.now;
    let offer = world.browsers[device].make_offer(now, Direction::SendOnly);
    let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap().to_owned();
    let renamed = |text: &str, from: &str, to: &str| {
        let mids = ["a=mid:", "a=group:BUNDLE "].map(|name| (format!("{name}{from}"), format!("{name}{to}")));
        mids.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let offered = renamed(&offer, &mid, "zz");
    let answer =
        world.ask(device, |token, _| stage::world::programs::Ask::post("/whip/door", token, &offered).to_http());
    assert_eq!(answer.status, 201);
    world.browsers[device].accept_answer(now, &renamed(&answer.body, "zz", &mid));
    let paul = world.player("paul", "door");
    world.settle();
    world.run_ms(3000);
    assert!(world.browsers[paul].heard.is_empty());
    assert!(world.server.stats().packets_foreign > 100);
    world.end();
}

/// A section may have any name, those too that the server and its library have for others.
#[test]
fn a_section_with_a_name_of_the_servers_own_is_heard_and_its_stream_may_change() {
    for name in ["trial", "other", "~]probe", "audio-1.x"] {
        let mut world = World::new(1, Quality::PERFECT);
        let token = world.token(Role::Commercial, "door", |claims| claims.device = true);
        let device = world.program(Kind::Whip, "door", &token);
        let now = world.now;
        let offer = without(&world.browsers[device].make_offer(now, Direction::SendOnly), "a=extmap");
        let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap().to_owned();
        let renamed = |text: &str, from: &str, to: &str| {
            let mids = ["a=mid:", "a=group:BUNDLE "].map(|name| (format!("{name}{from}"), format!("{name}{to}")));
            mids.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
        };
        let offered = renamed(&offer, &mid, name);
        let answer = world
            .ask(device, |token, _| stage::world::programs::Ask::post("/whip/door", token, &offered).to_http());
        assert_eq!(answer.status, 201, "{name}");
        world.browsers[device].accept_answer(now, &renamed(&answer.body, name, &mid));
        let paul = world.player("paul", "door");
        world.settle();
        for ssrc in 100..103 {
            world.run_ms(1000);
            assert_hears(&world, paul, device, 500, 98);
            world.browsers[device].change_stream(ssrc);
        }
        world.run_ms(1000);
        assert_one_stream(&world, paul);
        assert_eq!(world.server.stats().streams_changed, 3, "{name}");
        world.end();
    }
}

#[test]
fn a_stream_that_changed_survives_a_restart_of_ice() {
    let (mut world, device, paul) = heard_device();
    world.browsers[device].change_stream(77);
    world.run_ms(1000);
    world.restart(device, "*");
    world.run_ms(3000);
    assert_hears(&world, paul, device, 1000, 98);
    world.browsers[device].change_stream(78);
    world.run_ms(1000);
    assert_hears(&world, paul, device, 500, 98);
    world.end();
}

#[test]
fn who_moves_without_a_word_is_found_under_the_last_name() {
    let (mut world, lea);
    world = World::new(1, Quality::PERFECT);
    let heard = heard(&mut world);
    lea = heard.0;
    world.browsers[lea].change_stream(77);
    world.run_ms(2000);
    let sought = world.server.stats().addresses_sought;
    world.browsers[lea].external = "198.51.100.200:999".parse().unwrap();
    world.run_ms(1000);
    assert!(world.server.stats().addresses_sought > sought);
    assert_hears(&world, heard.1, lea, 500, 90);
    assert_eq!(last(&world, heard.1, "commercial_updated")["state"], json!(Presence::OnAir));
    world.end();
}
