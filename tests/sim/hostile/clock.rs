//! Clocks that jump: the wall clock alone, as when a machine was suspended or its time is set, and all at once.
//!
//! Tokens are judged by the new time; media, which only the monotonic clock drives, goes on.

use std::time::Duration;

use ecoute::words::Role;
use serde_json::json;
use stage::scene::Scene;
use stage::world::{Who, World};

const HOUR_S: i64 = 3600;

/// Gives a page a token that is good for so long from the start of the world.
fn renew(world: &mut World, who: Who, role: Role, good_for_s: u64) {
    let id = world.browsers[who].id.clone();
    let token = world.token(role, &id, |claims| claims.exp = claims.iat + good_for_s);
    world.browsers[who].say("register_user", json!({ "token": token, "page": format!("page-{who}") }));
    world.run_ms(100);
}

/// Returns a scene in which the bystanders' tokens outlast all jumps, and lea's is good for another half hour.
fn scene() -> (Scene, Who, [Who; 2]) {
    let (mut scene, lea, [paul, ana]) = Scene::with_lea();
    let (speaker, hearer) = (scene.speaker, scene.hearer);
    for (who, role) in [(speaker, Role::Commercial), (hearer, Role::Admin), (paul, Role::Admin), (ana, Role::Admin)]
    {
        renew(&mut scene.world, who, role, 10 * HOUR_S as u64);
    }
    renew(&mut scene.world, lea, Role::Commercial, HOUR_S as u64 / 2);
    (scene, lea, [paul, ana])
}

#[test]
fn an_hour_forward_ends_what_has_expired_and_nothing_else() {
    let (mut scene, lea, [paul, _]) = scene();
    scene.world.jump_clock_s(HOUR_S);
    scene.world.run_ms(2000);
    assert_eq!(scene.world.browsers[lea].closed, Some(4401));
    assert_eq!(scene.world.browsers[paul].closed, None);
    assert_eq!(scene.world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "offline");
    // A token of the new time works, one of the old time has expired.
    for (good_for_s, registers) in [(60, false), (2 * HOUR_S as u64, true)] {
        let token = scene.world.token(Role::Commercial, "lea", |claims| claims.exp = claims.iat + good_for_s);
        scene.world.browsers[lea].messages.clear();
        scene.world.connect(lea, &token);
        scene.world.run_ms(500);
        assert_eq!(scene.world.browsers[lea].has("user_registered"), registers);
    }
    let now = scene.world.now;
    scene.world.browsers[lea].start_streaming(now);
    scene.world.settle();
    scene.hears(paul, lea);
    scene.world.run_ms(1000);
    scene.end();
}

#[test]
fn an_hour_back_ends_nothing() {
    let (mut scene, lea, [paul, _]) = scene();
    scene.hears(paul, lea);
    for by_s in [-HOUR_S, -HOUR_S, HOUR_S] {
        scene.world.jump_clock_s(by_s);
        scene.world.run_ms(5000);
        assert_eq!(scene.world.browsers[lea].closed, None);
    }
    // A token that was issued in what is the future now is not good yet; the page that shows it is refused.
    let token = scene.world.token(Role::Admin, "eve", |_| {});
    let eve = scene.world.open_with("eve", &token);
    scene.world.run_ms(500);
    assert_eq!(scene.world.browsers[eve].closed, Some(4401));
    scene.world.jump_clock_s(HOUR_S);
    scene.world.connect(eve, &token);
    scene.world.run_ms(500);
    assert!(scene.world.browsers[eve].has("user_registered"));
    scene.end();
}

/// A process that did not run for seconds finds datagrams, timers and a wall clock that are all late.
#[test]
fn what_arrived_while_the_process_was_stopped_is_heard() {
    let (mut scene, lea, [paul, _]) = scene();
    scene.hears(paul, lea);
    for ms in [500, 3000, 6000] {
        scene.world.stop_process();
        scene.world.run_ms(ms);
        scene.world.continue_process();
        scene.world.run_ms(5000);
    }
    let stats = scene.world.server.stats();
    assert_eq!((stats.packets_over_rate, stats.unconnected_queue_full), (0, 0));
    scene.end();
}

/// Where the monotonic clock counts what was slept, all have been silent for an hour: the server, which reads before it
/// judges silence, keeps whom it hears, and whoever is gone comes back.
#[test]
fn after_an_hour_that_everybody_slept_all_comes_back() {
    let (mut scene, lea, [paul, ana]) = scene();
    let hour = Duration::from_secs(HOUR_S as u64);
    scene.world.sleep(hour);
    scene.world.run_ms(60_000);
    let sizes = scene.world.server.table_sizes();
    assert!(sizes.conns <= 5 && sizes.peers <= 5, "{sizes:?}");
    scene.world.close(ana);
    let people = [
        (scene.speaker, Role::Commercial),
        (scene.hearer, Role::Admin),
        (lea, Role::Commercial),
        (paul, Role::Admin),
    ];
    for (who, role) in people {
        let id = scene.world.browsers[who].id.clone();
        let token = scene.world.token(role, &id, |_| {});
        scene.world.connect(who, &token);
        scene.world.run_ms(100);
        let now = scene.world.now;
        match role {
            Role::Commercial => scene.world.browsers[who].start_streaming(now),
            Role::Admin | Role::Monitor => scene.world.browsers[who].open_audio(now),
        }
    }
    scene.world.settle();
    scene.world.join(scene.hearer, "speaker");
    scene.world.join(paul, "lea");
    scene.world.run_ms(1000);
    for (hearer, speaker) in [(scene.hearer, scene.speaker), (paul, lea)] {
        let heard = scene.world.browsers[hearer].heard_of(speaker as u16);
        let since = scene.world.now - Duration::from_millis(500);
        assert!(heard.filter(|heard| heard.at > since).count() > 20);
    }
    scene.world.end();
}
