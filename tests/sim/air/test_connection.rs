//! Sessions that show a user how the server is reached: no audio comes near them, and they end.

use std::net::SocketAddr;

use ecoute::config::Limits;
use ecoute::words::Role;
use serde_json::json;
use stage::link::Quality;
use stage::scenario::{error_codes, scenario};
use stage::world::{Who, World};

const OTHER_ADDRESS: ([u8; 4], u16) = ([198, 18, 0, 1], 4000);

fn test(world: &mut World, who: Who) {
    let now = world.now;
    world.browsers[who].test_connection(now);
}

#[test]
fn either_role_learns_that_it_connects_and_no_state_changes() {
    scenario(|world| {
        for (role, id) in [(Role::Commercial, "lea"), (Role::Admin, "paul")] {
            let who = world.open(role, id);
            world.settle();
            test(world, who);
            world.run_ms(3000);
            assert!(world.browsers[who].has("connection_test") && world.browsers[who].connected, "{id}");
            let answer = world.browsers[who].messages_of("connection_test").next().unwrap()["sdp"].to_string();
            assert!(answer.contains("a=candidate:") && answer.contains("a=sendonly"), "{answer}");
            assert!(!world.browsers[who].has("streaming_started") && !world.browsers[who].has("audio_ready"));
        }
        let paul = &world.browsers[1];
        assert_eq!(paul.messages_of("available_streams").next().unwrap()[0]["state"], "online");
        assert!(!paul.has("commercial_updated"), "{:?}", paul.messages);
        assert!(world.audit.is_empty(), "{:?}", world.audit);
    });
}

/// Law 1: not even beside a session of the same user that hears.
#[test]
fn no_packet_reaches_it_and_none_is_taken_from_it() {
    scenario(|world| {
        let (lea, paul) = (world.publisher("lea"), world.listener("paul"));
        world.settle();
        world.join(paul, "lea");
        world.run_ms(3000);
        assert!(world.browsers[paul].heard_of(lea as u16).count() > 50);
        // From now on the page has another socket for its test; the first one's audio goes nowhere.
        world.browsers[paul].external = SocketAddr::from(OTHER_ADDRESS);
        let (heard, sent, stats) =
            (world.browsers[paul].heard.len(), world.media_sent_to(paul), world.server.stats().clone());
        test(world, paul);
        world.run_ms(5000);
        assert!(world.browsers[paul].connected);
        assert_eq!((world.browsers[paul].heard.len(), world.media_sent_to(paul)), (heard, sent));
        assert!(world.server.stats().packets_forwarded > stats.packets_forwarded + 100, "the other one hears");
        let (foreign, received) = (world.server.stats().packets_foreign, world.server.stats().packets_received);
        let forged = world.browsers[paul].forge_packet(1);
        world.inject(paul, &forged);
        assert_eq!(world.server.stats().packets_foreign, foreign + 1);
        assert_eq!(world.server.stats().packets_received, received);
        world.join(paul, "lea");
        world.run_ms(1000);
        assert_eq!(world.media_sent_to(paul), sent, "after another wish");
    });
}

/// Laws 5 and 6.
#[test]
fn a_conn_has_one_and_it_ends_with_its_time_or_its_conn() {
    let mut world = World::new(1, Quality::PERFECT);
    let (paul, ana) = (world.open(Role::Admin, "paul"), world.open(Role::Admin, "ana"));
    world.run_ms(100);
    for _ in 0..3 {
        test(&mut world, paul);
        world.run_ms(1000);
        assert!(world.browsers[paul].connected);
        assert_eq!(world.server.table_sizes().peers, 1, "a new one takes the place of the last");
    }
    test(&mut world, ana);
    world.run_ms(1000);
    assert_eq!(world.server.table_sizes().peers, 2);
    world.drop_stream(ana);
    world.run_ms(10);
    assert_eq!(world.server.table_sizes().peers, 1, "gone with its conn");
    world.run_ms(17_900);
    assert_eq!(world.server.table_sizes().peers, 1, "it has 20 s");
    world.run_ms(200);
    assert_eq!(world.server.table_sizes().peers, 0, "though it is in use");
    assert_eq!((world.server.stats().peers_failed, world.server.stats().peers_unfinished), (0, 0));
    test(&mut world, paul);
    world.run_ms(1000);
    assert!(world.browsers[paul].connected, "one more");
    assert_eq!(world.browsers[paul].closed, None);
    world.end();
}

#[test]
fn one_that_nobody_connects_to_ends_too() {
    let mut world = World::new(1, Quality::PERFECT);
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(100);
    test(&mut world, paul);
    world.run_ms(1);
    world.browsers[paul].vanish();
    world.run_ms(9000);
    assert_eq!(world.server.table_sizes().peers, 1);
    world.run_ms(1100);
    assert_eq!(world.server.table_sizes().peers, 0);
    assert_eq!(world.server.stats().peers_unfinished, 1);
    world.end();
}

#[test]
fn it_counts_as_an_offer_and_a_refused_one_leaves_the_last() {
    let mut world = World::new(1, Quality::PERFECT);
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(100);
    test(&mut world, paul);
    world.run_ms(2000);
    for event in ["test_connection", "open_audio"].repeat(6) {
        world.browsers[paul].say(event, json!({ "sdp": "v=0" }));
    }
    world.run_ms(50);
    assert_eq!(error_codes(&world, paul), [["offer_refused"; 10].as_slice(), &["too_many"; 2]].concat());
    assert_eq!(world.server.table_sizes().peers, 1);
    world.end();
}

#[test]
fn it_counts_among_the_sessions_of_all_and_only_users_have_one() {
    let mut limits = Limits::default();
    limits.media.peers_max = 1;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let (paul, ana) = (world.open(Role::Admin, "paul"), world.open(Role::Admin, "ana"));
    let (mia, nobody) = (world.open(Role::Monitor, "mia"), world.open_with("nobody", "no token"));
    world.run_ms(100);
    test(&mut world, paul);
    world.run_ms(100);
    test(&mut world, ana);
    test(&mut world, mia);
    test(&mut world, nobody);
    world.run_ms(100);
    assert_eq!(error_codes(&world, ana), ["too_many"]);
    assert_eq!(world.server.stats().peers_refused, 1);
    assert_eq!((world.browsers[mia].closed, world.browsers[nobody].closed), (Some(4403), Some(4401)));
    world.end();
}
