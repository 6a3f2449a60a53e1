//! Orders of events that a day brings rarely: alone on the server, at the edge of a wait, in the middle of a restart.

use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::json;
use stage::link::Quality;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};
use stage::world::World;

#[test]
fn who_is_alone_on_the_server_reconnects_and_takes_over() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(1000);
        assert_eq!(count(world, lea, "user_registered"), 2);
        let other = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        let takeover = json!({ "token": token, "page": "another", "takeover": true });
        world.browsers[other].say("register_user", takeover);
        world.run_ms(1000);
        assert!(world.browsers[other].has("user_registered"));
        assert!(world.browsers[lea].has("taken_over"));
        let now = world.now;
        world.browsers[other].start_streaming(now);
        world.settle();
        assert_eq!(world.server.table_sizes().peers, 1);
    });
}

#[test]
fn who_was_here_is_listed_though_the_only_page_left_reconnects() {
    scenario(|world| {
        let ana = world.open(Role::Admin, "ana");
        let lea = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        world.close(lea);
        world.run_ms(1000);
        let token = world.token(Role::Admin, "ana", |_| {});
        world.connect(ana, &token);
        world.run_ms(1000);
        assert_eq!(last(world, ana, "available_streams").as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_session_built_anew_has_time_to_connect() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.browsers[lea].vanish();
        world.browsers[lea].quality = Quality { delay: Duration::from_millis(75), ..Quality::PERFECT };
        world.run_ms(19_600);
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert!(!world.browsers[lea].has("streaming_stopped"));
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_pause_outlives_a_network_that_comes_back_in_time() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(500);
        world.unplug(lea);
        world.run_ms(18_500);
        world.plug(lea);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(1000);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "paused");
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert!(hears_nothing(world, paul, 2500), "law 2");
        let stopped = world.audit.iter().any(|entry| entry.event.name() == "broadcast_stopped");
        assert!(!stopped, "off air meanwhile");
    });
}

#[test]
fn who_restarts_ice_and_is_not_seen_again_gets_no_more() {
    scenario(|world| {
        let (_, paul) = heard(world);
        world.browsers[paul].restart_ice();
        world.run_ms(20);
        world.browsers[paul].vanish();
        world.run_ms(20_000);
        let sent = world.media_sent_to(paul);
        world.run_ms(5000);
        assert_eq!(world.media_sent_to(paul), sent, "sent to nobody");
        assert_eq!(last(world, paul, "listening_stopped")["cause"], "connection_lost");
    });
}

#[test]
fn a_short_pause_is_no_loss() {
    let mut world = World::new(1, Quality::PERFECT);
    let (lea, _) = heard(&mut world);
    for _ in 0..4 {
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2300);
    }
    let losses: Vec<_> =
        world.browsers[lea].messages_of("stream_quality").map(|quality| &quality["loss"]).collect();
    assert!(losses.len() > 3 && losses.iter().all(|&loss| loss == 0.0), "{losses:?}");
    world.end();
}

#[test]
fn a_later_token_with_another_scope_shows_others() {
    scenario(|world| {
        for id in ["lea", "tom"] {
            world.open(Role::Commercial, id);
        }
        let token = |world: &World, id: &str| {
            world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new([id])))
        };
        let first = token(world, "tom");
        let ana = world.open_with("ana", &first);
        world.run_ms(1000);
        let later = token(world, "lea");
        world.browsers[ana].say("register_user", json!({ "token": later, "page": "page" }));
        world.run_ms(1000);
        let lists = world.browsers[ana].messages_of("available_streams");
        let shown: Vec<_> = lists.map(|list| (list.as_array().unwrap().len(), &list[0]["commercial_id"])).collect();
        assert_eq!(shown, [(1, &json!("tom")), (1, &json!("lea"))]);
    });
}
