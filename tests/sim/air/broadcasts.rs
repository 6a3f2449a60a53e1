//! A salesperson on air: pauses, who speaks, another page that takes over, and ends.

use ecoute::token::Scope;
use ecoute::words::Role;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};
use stage::world::{Who, World};

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

/// Tells whether somebody speaks, as a supervisor was told last; `None` where they were told nothing.
fn speaks(world: &World, who: Who, id: &str) -> Option<bool> {
    let lists = world.browsers[who].messages_of("available_streams").flat_map(|list| list.as_array().unwrap());
    let all = lists.chain(world.browsers[who].messages_of("commercial_updated"));
    all.filter(|row| row["commercial_id"] == id).last().map(|row| row["speaking"].as_bool().unwrap())
}

#[test]
fn who_speaks_is_told_without_audio_and_only_to_who_may_hear() {
    scenario(|world| {
        world.publisher("lea");
        let tom = world.publisher("tom");
        let zoe = world.publisher("zoe");
        world.browsers[tom].level = Some(-50);
        world.browsers[zoe].level = None;
        let paul = world.open(Role::Admin, "paul");
        let token = world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new(["tom"])));
        let ana = world.open_with("ana", &token);
        world.settle();
        world.run_ms(3000);
        let told = ["lea", "tom", "zoe"].map(|id| speaks(world, paul, id));
        assert_eq!(told, [Some(true), Some(false), Some(false)]);
        world.browsers[tom].level = Some(-20);
        world.run_ms(2000);
        assert_eq!(speaks(world, paul, "tom"), Some(true));
        assert_eq!((speaks(world, ana, "tom"), speaks(world, ana, "lea")), (Some(true), None), "law 3");
        let late = world.open(Role::Admin, "late");
        world.run_ms(1000);
        let told = ["lea", "tom", "zoe"].map(|id| speaks(world, late, id));
        assert_eq!(told, [Some(true), Some(true), Some(false)]);
        assert_eq!(world.server.stats().packets_forwarded, 0);
    });
}

#[test]
fn who_speaks_is_told_when_it_changes_and_once_a_second_at_most() {
    scenario(|world| {
        let older = world.publisher("lea");
        world.settle();
        let lea = world.open(Role::Commercial, "lea");
        let token = world.token(Role::Commercial, "lea", |_| {});
        let takeover = serde_json::json!({ "token": token, "page": "other", "takeover": true });
        world.browsers[lea].say("register_user", takeover);
        world.run_ms(2000);
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        let paul = world.open(Role::Admin, "paul");
        world.settle();
        world.run_ms(3000);
        assert!(world.browsers[older].has("taken_over"));
        assert_eq!(speaks(world, paul, "lea"), Some(true));
        let told = |world: &World, whom: [Who; 3]| whom.map(|who| count(world, who, "commercial_updated"));
        let all = [paul, lea, older];
        let before = told(world, all);
        world.run_ms(10_000);
        assert_eq!(told(world, all), before, "they go on to speak");
        for n in 0..20 {
            world.browsers[lea].level = Some(if n % 2 == 0 { -90 } else { -20 });
            world.run_ms(500);
        }
        assert_eq!(told(world, all), before, "they pause between words");

        // As often as it can change, for half a minute.
        for _ in 0..20 {
            for (level, ms) in [(-90, 1300), (-20, 200)] {
                world.browsers[lea].level = Some(level);
                world.run_ms(ms);
            }
        }
        world.browsers[lea].level = Some(-90);
        world.run_ms(4000);
        let [turns, lea_told, older_told] = told(world, all);
        let turns = turns - before[0];
        assert!((1..=34).contains(&turns) && turns % 2 == 1, "{turns} turns in 34 s");
        assert_eq!([lea_told, older_told], before[1..], "who speaks knows it");
        assert_eq!(speaks(world, paul, "lea"), Some(false));
        world.run_ms(5000);
        assert_eq!(told(world, all)[0], before[0] + turns, "they go on to be silent");
    });
}

#[test]
fn nobody_speaks_who_is_not_heard() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.run_ms(2000);
        assert_eq!(speaks(world, paul, "lea"), Some(true));
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.run_ms(1000);
        let before = count(world, paul, "commercial_updated");
        world.run_ms(5000);
        assert_eq!(speaks(world, paul, "lea"), Some(false));
        assert_eq!(count(world, paul, "commercial_updated"), before, "law 2: what comes in a pause says nothing");
        world.browsers[lea].say("resume_streaming", serde_json::json!({}));
        world.run_ms(3000);
        assert_eq!(speaks(world, paul, "lea"), Some(true));
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.run_ms(1000);
        assert_eq!(speaks(world, paul, "lea"), Some(false));
    });
}

#[test]
fn who_does_not_look_is_told_who_speaks_once_they_look_again() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = world.open(Role::Admin, "paul");
        world.settle();
        world.run_ms(3000);
        world.browsers[paul].say("page_visible", serde_json::json!({ "visible": false }));
        world.run_ms(1000);
        let before = count(world, paul, "commercial_updated");
        for level in [-90, -20, -90] {
            world.browsers[lea].level = Some(level);
            world.run_ms(4000);
        }
        assert_eq!(count(world, paul, "commercial_updated"), before);
        world.browsers[tom].say("pause_streaming", serde_json::json!({}));
        world.run_ms(1000);
        assert_eq!(count(world, paul, "commercial_updated"), before + 1, "anything else is told");
        world.browsers[paul].say("page_visible", serde_json::json!({ "visible": true }));
        world.run_ms(1000);
        assert_eq!(count(world, paul, "commercial_updated"), before + 2, "of whom nothing changed nothing is told");
        assert_eq!(speaks(world, paul, "lea"), Some(false));
        world.browsers[paul].say("page_visible", serde_json::json!({ "visible": true }));
        world.browsers[lea].level = Some(-20);
        world.run_ms(3000);
        assert_eq!(count(world, paul, "commercial_updated"), before + 3);
        assert_eq!(speaks(world, paul, "lea"), Some(true));
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
