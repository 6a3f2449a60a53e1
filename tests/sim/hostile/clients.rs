//! Clients and strangers who know what they do. A bystander's pair must hear every packet meanwhile.

use std::time::Duration;

use ecoute::words::Role;
use serde_json::json;
use stage::scene::{Scene, stranger};
use stage::world::Who;

#[test]
fn forged_packets_do_not_mute_who_speaks() {
    let mut scene = Scene::new();
    for sequence in 0..40 {
        let forged = scene.world.browsers[scene.speaker].forge_packet(sequence);
        let speaker = scene.speaker;
        scene.world.inject(speaker, &forged);
        scene.world.run_ms(50);
    }
    assert_eq!(scene.world.server.stats().packets_unsigned, 40);
    scene.end();
}

#[test]
fn a_listener_sends_no_media() {
    let mut scene = Scene::new();
    let (hearer, forged) = (scene.hearer, scene.world.browsers[scene.hearer].forge_packet(1));
    scene.world.inject(hearer, &forged);
    assert_eq!(scene.world.server.stats().packets_foreign, 1);
    scene.end();
}

#[test]
fn a_flood_of_joins_ends_who_floods() {
    let mut scene = Scene::new();
    let paul = scene.world.listener("paul");
    scene.world.settle();
    for _ in 0..1500 {
        scene.world.join(paul, "speaker");
        scene.world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "speaker" }));
    }
    scene.world.run_ms(1000);
    assert_eq!(scene.world.browsers[paul].closed, Some(4429));
    assert_eq!(scene.world.browsers[paul].messages_of("error").last().unwrap()["retry_after_s"], 10);
    assert_eq!(scene.world.browsers[scene.speaker].closed, None);
    scene.end();
}

#[test]
fn many_listeners_are_no_flood_of_acknowledgements() {
    let mut scene = Scene::new();
    let listeners: Vec<Who> = (0..90).map(|n| scene.world.listener(&format!("admin{n}"))).collect();
    scene.world.settle();
    for &listener in &listeners {
        scene.world.join(listener, "lea");
    }
    scene.world.run_ms(1000);
    let lea = scene.world.publisher("lea");
    scene.world.settle();
    assert_eq!(scene.world.browsers[lea].closed, None);
    assert_eq!(scene.world.browsers[lea].acknowledged, 90);
    assert!(listeners.iter().all(|&listener| scene.world.browsers[listener].heard_of(lea as u16).count() > 50));
    scene.end();
}

#[test]
fn a_check_replayed_from_elsewhere_is_not_answered() {
    let mut scene = Scene::new();
    let check = scene.world.browsers[scene.speaker].last_check.clone();
    for n in 0..1000 {
        scene.world.inject_from(stranger(n), &check);
        scene.world.run_ms(1);
    }
    assert_eq!(scene.world.sent_to_nobody, 0);
    assert_eq!(scene.world.server.stats().stun_replayed, 1000);
    scene.end();
}

#[test]
fn a_guessed_user_fragment_takes_no_place_in_the_queue() {
    let mut scene = Scene::new();
    // The key of the first peer is no secret; what follows it is.
    for n in 0..5000 {
        let username = format!("0000000100000001{n:08x}:abcd");
        let mut check = vec![0, 1, 0, (username.len() + 4) as u8, 0x21, 0x12, 0xa4, 0x42];
        check.extend([1; 12]);
        check.extend([0, 6, 0, username.len() as u8]);
        check.extend(username.as_bytes());
        check.resize(check.len().next_multiple_of(4), 0);
        let len = (check.len() - 20) as u16;
        check[2..4].copy_from_slice(&len.to_be_bytes());
        scene.world.inject_from(stranger(n % 1000), &check);
    }
    assert_eq!(scene.world.server.stats().stun_unknown_peer, 5000);
    assert_eq!(scene.world.server.table_sizes().unconnected, 0);
    scene.end();
}

#[test]
fn one_session_cannot_fill_the_queue() {
    let mut scene = Scene::new();
    let paul = scene.world.listener("paul");
    scene.world.settle();
    let check = scene.world.browsers[paul].last_check.clone();
    for n in 0..1000 {
        scene.world.inject_from(stranger(n), &check);
    }
    assert_eq!(scene.world.server.table_sizes().unconnected, scene.world.limits.media.unconnected_per_peer_max);
    assert_eq!(scene.world.server.stats().unconnected_queue_full, 1000 - 16);
    scene.end();
}

#[test]
fn an_address_in_use_is_not_taken_by_another_session() {
    let mut scene = Scene::new();
    let thief = scene.world.listener("thief");
    scene.world.settle();
    for victim in [scene.speaker, scene.hearer] {
        // Its genuine checks come from the victim's address; the answers go to the victim.
        scene.world.browsers[thief].external = scene.world.browsers[victim].external;
        scene.world.run_ms(8000);
    }
    assert!(scene.world.server.stats().address_conflicts >= 2);
    scene.end();
}

#[test]
fn a_microphone_that_races_is_slowed_down() {
    let mut scene = Scene::new();
    let racer = scene.world.publisher("racer");
    scene.world.browsers[racer].packet_interval = Duration::from_millis(1);
    let paul = scene.world.listener("paul");
    scene.world.settle();
    scene.world.join(paul, "racer");
    scene.world.run_ms(5000);
    let heard = scene.world.browsers[paul].heard_of(racer as u16).count();
    assert!((500..2000).contains(&heard), "{heard}");
    assert!(scene.world.server.stats().packets_over_rate > 2000);
    scene.end();
}

#[test]
fn a_long_list_arrives_whole() {
    let mut scene = Scene::new();
    for n in 0..700 {
        scene.world.open(Role::Commercial, &format!("a-salesperson-with-quite-a-long-identifier-{n}"));
    }
    scene.world.run_ms(1000);
    let ana = scene.world.open(Role::Admin, "ana");
    scene.world.run_ms(1000);
    let list = scene.world.browsers[ana].messages_of("available_streams").next().expect("the list arrives");
    assert_eq!(list.as_array().unwrap().len(), 701);
    assert_eq!(scene.world.browsers[ana].closed, None);
    scene.end();
}

#[test]
fn a_nat_that_forgets_is_healed_by_the_next_check() {
    let mut scene = Scene::new();
    let lea = scene.world.publisher("lea");
    let paul = scene.world.listener("paul");
    scene.world.settle();
    scene.world.join(paul, "lea");
    scene.world.run_ms(1000);
    for (n, who) in [lea, paul].into_iter().enumerate() {
        scene.world.browsers[who].external = stranger(n);
        scene.world.run_ms(8000);
        let last = *scene.world.browsers[paul].heard_of(lea as u16).last().unwrap();
        assert!(scene.world.now - last.at < Duration::from_millis(100), "silence after a new address");
    }
    scene.end();
}
