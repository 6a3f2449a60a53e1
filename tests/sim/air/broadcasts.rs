//! A salesperson on air: pauses, levels, another page that takes over, and ends.

use ecoute::token::Scope;
use ecoute::words::Role;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};

#[test]
fn a_pause_silences_at_once_whatever_the_page_sends() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.run_ms(300);
        assert!(world.browsers[lea].has("streaming_paused"));
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "lea");
        // The microphone goes on sending, and even a new session changes nothing.
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        for who in [paul, ana] {
            assert!(hears_nothing(world, who, 5000), "law 2");
            assert_eq!(last(world, who, "listening_pending")["cause"], "paused");
        }
        world.browsers[lea].say("resume_streaming", serde_json::json!({}));
        world.run_ms(3000);
        assert!(world.browsers[lea].has("streaming_resumed"));
        for who in [paul, ana] {
            assert_hears(world, who, lea, 2000, 80);
        }
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.run_ms(1000);
        assert_eq!(last(world, lea, "error")["code"], "not_on_air");
    });
}

#[test]
fn levels_come_without_audio_and_only_to_who_may_hear() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        world.browsers[tom].level = -50;
        let paul = world.open(Role::Admin, "paul");
        let token = world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new(["tom"])));
        let ana = world.open_with("ana", &token);
        world.settle();
        assert_eq!(*last(world, paul, "levels"), serde_json::json!({ "lea": -30, "tom": -50 }));
        assert_eq!(*last(world, ana, "levels"), serde_json::json!({ "tom": -50 }), "law 3");
        let before = count(world, paul, "levels");
        world.run_ms(2000);
        let told = count(world, paul, "levels") - before;
        assert!((9..=11).contains(&told), "{told}");
        assert_eq!(world.server.stats().packets_forwarded, 0);
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.unplug(tom);
        world.run_ms(1000);
        assert_eq!(*last(world, paul, "levels"), serde_json::json!({ "lea": -127, "tom": -127 }));
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.run_ms(60_000);
        assert_eq!(*last(world, paul, "levels"), serde_json::json!({}));
        let before = count(world, paul, "levels");
        world.run_ms(1000);
        assert_eq!(count(world, paul, "levels"), before, "nobody is on air");
    });
}

#[test]
fn a_publisher_that_vanishes_goes_off_air_and_wishes_stay() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.unplug(lea);
        world.run_ms(60_000);
        assert_eq!(last(world, paul, "listening_pending")["cause"], "offline");
        let again = world.publisher("lea");
        world.settle();
        assert_hears(world, paul, again, 1000, 80);
    });
}

#[test]
fn another_page_takes_over_only_when_asked() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let other = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        assert_eq!(last(world, other, "error")["code"], "already_open");
        assert_eq!(last(world, other, "error")["state"], "on_air");
        assert_eq!(world.browsers[lea].closed, None);
        let token = world.token(Role::Commercial, "lea", |_| {});
        let takeover = serde_json::json!({ "token": token, "page": "other", "takeover": true });
        world.browsers[other].say("register_user", takeover);
        world.run_ms(1000);
        assert!(world.browsers[other].has("user_registered"));
        assert_eq!(world.browsers[lea].closed, None, "it goes on to see");
        assert!(world.browsers[lea].has("taken_over"));
    });
}

#[test]
fn a_drain_tells_everybody_and_ends() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.drain();
        world.run_ms(3000);
        assert!(world.server.is_drained());
        for who in [lea, paul] {
            assert!(world.browsers[who].has("server_draining"));
            assert_eq!(world.browsers[who].closed, Some(1012));
        }
        assert!(!world.browsers[paul].has("listening_stopped"), "the wish outlives the restart");
        assert_eq!(world.audit.last().unwrap().event.detail(), "conn closed");
    });
}
