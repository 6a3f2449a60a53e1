//! What may stream and be heard without anybody being told: what is named, and is nobody's microphone.

use ecoute::words::Role;
use serde_json::{Value, json};
use stage::scenario::{assert_hears, error_codes, hears_nothing, last, scenario};
use stage::world::World;
use stage::world::programs::Kind;

/// Names these devices, and no other.
fn name(world: &mut World, ids: &[&str]) {
    let list: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "place": format!("Place of {id}") })).collect();
    world.take_devices(json!(list).to_string().as_bytes());
}

#[test]
fn a_device_that_is_not_named_is_refused_and_all_are_told_of_those_that_are() {
    scenario(|world| {
        name(world, &["hall"]);
        let hall = world.device("hall");
        let paul = world.listener("paul");
        let lea = world.open(Role::Commercial, "lea");
        world.settle();
        world.join(paul, "hall");
        world.run_ms(2000);
        assert_hears(world, paul, hall, 1000, 80);
        for who in [paul, lea] {
            let devices = &last(world, who, "user_registered")["devices"];
            assert_eq!(*devices, json!([{ "id": "hall", "place": "Place of hall" }]));
        }
        let token = world.token(Role::Commercial, "bar", |claims| claims.device = true);
        let bar = world.program(Kind::Whip, "bar", &token);
        assert_eq!(world.post(bar, "bar").status, 403);
        let page = world.page_of_device("bar");
        world.run_ms(500);
        assert_eq!(world.browsers[page].closed, Some(4403));
        assert_eq!(error_codes(world, page), ["not_allowed"]);

        // A list that can't be used changes nothing.
        world.take_devices(b"[{}]");
        name(world, &["hall", "bar"]);
        world.run_ms(500);
        assert_eq!(
            last(world, lea, "user_registered")["devices"].as_array().map(Vec::len),
            Some(2),
            "told at once"
        );
        assert_eq!(world.post(bar, "bar").status, 201);
        world.settle();
        world.run_ms(1000);
        assert_hears(world, paul, hall, 1000, 80);

        name(world, &["bar"]);
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 2500), "it is no device any more");
        assert_eq!(world.post(hall, "hall").status, 403);
    });
}

#[test]
fn the_id_of_a_person_is_no_device() {
    scenario(|world| {
        name(world, &["lea", "tom"]);
        // She was here once, and is gone.
        let lea = world.open(Role::Commercial, "lea");
        world.run_ms(500);
        world.close(lea);
        world.run_ms(2000);
        let token = world.token(Role::Commercial, "lea", |claims| claims.device = true);
        let phone = world.program(Kind::Whip, "lea", &token);
        assert_eq!(world.post(phone, "lea").status, 403);

        // He comes while it streams.
        let (phone, paul) = (world.device("tom"), world.listener("paul"));
        world.settle();
        world.join(paul, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, phone, 1000, 80);
        let tom = world.open(Role::Commercial, "tom");
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 2500), "law 1");
        assert_eq!(world.post(phone, "tom").status, 403);
        assert_eq!(last(world, tom, "commercial_updated")["state"], "online");
        let stopped = world.audit.iter().rfind(|entry| entry.event.name() == "broadcast_stopped").unwrap();
        assert_eq!((stopped.event.commercial_id(), stopped.event.detail()), ("tom", "not allowed"));
        // His encoder is heard once he was told.
        let encoder = world.encoder("tom");
        world.settle();
        world.run_ms(3000);
        assert_hears(world, paul, encoder, 1000, 80);
    });
}

#[test]
fn a_page_does_not_stream_under_the_token_of_a_device() {
    scenario(|world| {
        let page = world.page_of_device("hall");
        world.run_ms(500);
        let now = world.now;
        world.browsers[page].start_streaming(now);
        world.run_ms(500);
        assert_eq!(error_codes(world, page), ["not_allowed"]);
        assert!(!world.browsers[page].has("streaming_started") && world.browsers[page].closed.is_none());
    });
}

#[test]
fn how_many_persons_are_remembered_is_bounded() {
    let mut limits = ecoute::config::Limits::default();
    limits.registration.persons_max = 2;
    let mut world = World::with_limits(1, stage::link::Quality::PERFECT, limits);
    for id in ["hall", "ana", "ana", "ben"] {
        let page = world.open(Role::Commercial, id);
        world.run_ms(100);
        world.close(page);
        world.run_ms(100);
        let hall = world.token(Role::Commercial, "hall", |claims| claims.device = true);
        let hall = world.program(Kind::Whip, "hall", &hall);
        assert_eq!(world.post(hall, "hall").status, if id == "ben" { 201 } else { 403 }, "after {id}");
    }
    world.end();
}
