//! Two pages of one salesperson: one shows who listens, the one before it sees that, and protects its person.

use ecoute::words::Role;
use serde_json::json;
use stage::browser::Manners;
use stage::scenario::{assert_hears, count, error_codes, hears_nothing, last, scenario};
use stage::world::{Who, World};

use crate::whip::encoders;

/// Opens another page with her link, which takes over.
fn takes_over(world: &mut World, manners: Manners) -> Who {
    let other = world.open(Role::Commercial, "lea");
    world.browsers[other].manners = manners;
    world.run_ms(1000);
    ask_to_take_over(world, other);
    other
}

fn ask_to_take_over(world: &mut World, page: Who) {
    let token = world.token(Role::Commercial, "lea", |_| {});
    let takeover = json!({ "token": token, "page": format!("page of {page}"), "takeover": true });
    world.browsers[page].say("register_user", takeover);
    world.run_ms(1000);
}

fn entries(world: &World, name: &str) -> usize {
    world.audit.iter().filter(|entry| entry.event.name() == name).count()
}

#[test]
fn who_has_her_link_cannot_acknowledge_for_her_encoder_unseen() {
    scenario(|world| {
        let (lea, encoder, paul) = encoders::heard(world);
        let other = takes_over(world, Manners::Acknowledges);
        assert_eq!(world.browsers[lea].closed, None, "she goes on to see");
        assert!(world.browsers[lea].has("taken_over"));
        assert_eq!((entries(world, "page_taken_over"), entries(world, "broadcast_paused")), (1, 1));
        assert_eq!(last(world, lea, "commercial_updated")["state"], "paused");
        assert!(hears_nothing(world, paul, 500), "the encoder is paused until somebody resumes it");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "paused");
        let joined = count(world, lea, "listener_joined");
        assert_eq!(count(world, lea, "listener_left"), joined);
        world.browsers[other].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), joined + 1, "she sees who listens");
        assert_eq!(last(world, lea, "commercial_updated")["state"], "on_air");
    });
}

#[test]
fn who_was_taken_over_from_acknowledges_nothing() {
    scenario(|world| {
        let (lea, _, paul) = encoders::heard(world);
        let other = takes_over(world, Manners::Ignores);
        world.browsers[other].say("resume_streaming", json!({}));
        let before = world.browsers[lea].acknowledged;
        world.run_ms(5000);
        assert!(world.browsers[lea].acknowledged > before, "it tried to");
        assert!(hears_nothing(world, paul, 5000), "law 1");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
    });
}

#[test]
fn who_was_taken_over_from_pauses_and_stops_and_does_nothing_else() {
    scenario(|world| {
        let (lea, encoder, paul) = encoders::heard(world);
        let other = takes_over(world, Manners::Acknowledges);
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(1000);
        assert_eq!(error_codes(world, lea), ["not_allowed"]);
        assert!(hears_nothing(world, paul, 1000), "law 2");
        world.browsers[other].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 2");
        assert_eq!(last(world, other, "streaming_paused")["cause"], "other_page");
        assert!(last(world, lea, "streaming_paused")["cause"].is_null());
        world.browsers[lea].say("stop_streaming", json!({}));
        world.run_ms(1000);
        assert_eq!(last(world, other, "streaming_stopped")["cause"], "other_page");
        assert_eq!(last(world, paul, "commercial_updated")["state"], "online");
    });
}

#[test]
fn who_takes_over_twice_does_not_drive_out_who_sees() {
    scenario(|world| {
        let (lea, encoder, paul) = encoders::heard(world);
        let other = takes_over(world, Manners::Acknowledges);
        let third = takes_over(world, Manners::Acknowledges);
        assert_eq!([lea, other, third].map(|who| world.browsers[who].closed), [None; 3]);
        let joined = count(world, lea, "listener_joined");
        world.browsers[third].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), joined + 1, "she sees who listens");
        ask_to_take_over(world, lea);
        assert!(world.browsers[third].has("taken_over"));
        assert!(hears_nothing(world, paul, 500), "law 1");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!(entries(world, "page_taken_over"), 3);
    });
}

#[test]
fn who_sees_comes_back_to_see() {
    scenario(|world| {
        let (lea, encoder, paul) = encoders::heard(world);
        let other = takes_over(world, Manners::Acknowledges);
        world.browsers[other].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        let joined = count(world, lea, "listener_joined");
        // Her connection breaks, or a new one is here before that is known.
        for is_known in [true, false] {
            if is_known {
                world.drop_stream(lea);
                world.run_ms(1000);
            }
            let token = world.token(Role::Commercial, "lea", |_| {});
            world.connect(lea, &token);
            world.run_ms(1000);
            assert_eq!(error_codes(world, lea), [] as [&str; 0], "{is_known}");
            assert_eq!(last(world, lea, "commercial_updated")["state"], "on_air", "{is_known}");
        }
        assert_eq!(count(world, lea, "listener_joined"), joined + 2, "she is told who listens");
        assert_eq!(count(world, lea, "taken_over"), 3);
        assert_hears(world, paul, encoder, 1000, 80);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 2");
    });
}

#[test]
fn who_waits_until_her_connection_breaks_takes_over_all_the_same() {
    waits_until_her_connection_breaks(World::drop_stream);
    waits_until_her_connection_breaks(|world, lea| world.browsers[lea].say_that_it_comes_back());
}

fn waits_until_her_connection_breaks(breaks: fn(&mut World, Who)) {
    scenario(|world| {
        let (lea, _, paul) = encoders::heard(world);
        breaks(world, lea);
        world.run_ms(500);
        let other = world.open(Role::Commercial, "lea");
        world.run_ms(3000);
        assert!(world.browsers[other].has("user_registered"));
        assert!(hears_nothing(world, paul, 2000), "who acknowledges is not who was heard");
        assert_eq!((entries(world, "page_taken_over"), entries(world, "broadcast_paused")), (1, 1));
        world.browsers[other].say("resume_streaming", json!({}));
        world.run_ms(1000);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(1000);
        assert!(world.browsers[lea].has("taken_over"), "she comes back to see");
        let joined = last(world, lea, "listener_joined");
        assert_eq!(joined["admin"]["id"], "paul");
    });
}

#[test]
fn a_page_that_said_goodbye_is_followed_by_another() {
    scenario(|world| {
        let (lea, encoder, paul) = encoders::heard(world);
        world.browsers[lea].say_goodbye();
        world.run_ms(500);
        world.open(Role::Commercial, "lea");
        world.run_ms(3000);
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!((entries(world, "page_taken_over"), entries(world, "broadcast_paused")), (0, 0));
    });
}

#[test]
fn a_microphone_that_is_taken_over_from_is_off_air() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        let other = takes_over(world, Manners::Acknowledges);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "online");
        assert!(hears_nothing(world, paul, 500));
        let now = world.now;
        world.browsers[other].start_streaming(now);
        world.run_ms(3000);
        assert_hears(world, paul, other, 1000, 80);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "on_air");
        world.drop_stream(other);
        world.run_ms(2000);
        assert_eq!(count(world, lea, "listener_left"), count(world, lea, "listener_joined"));
    });
}
