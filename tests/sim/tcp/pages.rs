//! Pages without UDP: they hear and are heard.

use ecoute::config::Limits;
use serde_json::json;
use stage::link::Quality;
use stage::scenario::{assert_hears, heard, hears_nothing, scenario};
use stage::stranger::Stranger;
use stage::world::{Who, World};

use super::{framed, heard_over_tcp};

#[test]
fn both_ends_without_udp() {
    scenario(|world| {
        let (lea, paul) = heard_over_tcp(world);
        world.run_ms(3000);
        assert_hears(world, paul, lea, 3000, 99);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 99);
        let stats = world.server.stats();
        assert_eq!((stats.frames_malformed, stats.frames_late, stats.frames_excess), (0, 0, 0));
        assert_eq!(stats.packets_withheld, 0);
    });
}

#[test]
fn a_connection_ends_with_its_session() {
    scenario(|world| {
        let (lea, paul) = heard_over_tcp(world);
        assert!(world.has_tunnel(lea) && world.has_tunnel(paul));
        world.browsers[lea].say("stop_streaming", json!({}));
        world.drop_stream(paul);
        world.run_ms(1000);
        // Their checks open connections that name no session.
        for who in [lea, paul] {
            world.browsers[who].vanish();
        }
        world.run_ms(1000);
        assert!(!world.has_tunnel(lea) && !world.has_tunnel(paul));
        assert_eq!(world.server.table_sizes().addresses, 0);
        assert_eq!(world.server.stats().frames_undeliverable, 0);
    });
}

#[test]
fn udp_is_blocked_and_works_again() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for who in [lea, paul] {
            world.block_udp(who);
            world.browsers[who].restart_ice();
            world.run_ms(2000);
            assert!(world.has_tunnel(who));
            world.run_ms(1000);
            assert_hears(world, paul, lea, 1000, 80);
        }
        for who in [paul, lea] {
            world.unblock_udp(who);
            world.browsers[who].restart_ice();
            world.run_ms(1000);
            assert_hears(world, paul, lea, 1000, 80);
        }
        // What is checked no more is closed.
        world.run_ms(world.limits.conn.unchecked_timeout.as_millis() as u64 + 1000);
        assert!(!world.has_tunnel(lea) && !world.has_tunnel(paul));
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_connection_that_breaks_is_made_anew() {
    scenario(|world| {
        let (lea, paul) = heard_over_tcp(world);
        for who in [lea, paul] {
            world.drop_tunnel(who);
            world.run_ms(5000);
            assert!(world.has_tunnel(who));
            assert_hears(world, paul, lea, 1000, 99);
        }
        assert_eq!(world.server.stats().frames_undeliverable, 0);
    });
}

#[test]
fn an_office_has_as_many_connections_for_media_as_sessions() {
    let mut limits = Limits::default();
    limits.admission.of_stranger.held_max = 2;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    world.office = Some("203.0.113.9:4000".parse().unwrap());
    let lea = world.publisher("lea");
    world.settle();
    let listeners: Vec<Who> = (0..6)
        .map(|n| {
            let who = world.listener(&format!("paul-{n}"));
            world.block_udp(who);
            world.settle();
            world.join(who, "lea");
            who
        })
        .collect();
    world.run_ms(2000);
    for who in listeners {
        assert!(world.has_tunnel(who));
        assert_hears(&world, who, lea, 1000, 99);
    }
    assert_eq!(world.server.stats().conns_over_address, 0);
    world.end();
}

#[test]
fn a_drain_closes_connections_for_media_after_their_last_words() {
    scenario(|world| {
        let (lea, paul) = heard_over_tcp(world);
        world.drain();
        world.run_ms(1000);
        for who in [lea, paul] {
            world.browsers[who].vanish();
        }
        world.run_ms(1000);
        assert!(world.server.is_drained());
        assert_eq!(world.server.stats().frames_undeliverable, 0);
    });
}

/// A session may have connections that it does not use: nobody is shut out for them.
#[test]
fn spare_connections_make_room_and_used_ones_stay() {
    let mut limits = Limits::default();
    limits.admission.conns_max = 10;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let (lea, paul) = heard_over_tcp(&mut world);
    let ana = world.listener("ana");
    world.settle();
    world.record(ana);
    world.unplug(ana);
    world.run_ms(12_000);
    let mut checks = world.take_record(ana);
    checks.retain(|bytes| bytes.starts_with(&[0, 1]));
    world.plug(ana);
    world.run_ms(100);
    assert!(checks.len() >= 4, "{}", checks.len());
    let spare: Vec<Stranger> =
        checks.iter().take(4).map(|check| Stranger::asking(&mut world, &framed(check))).collect();
    world.run_ms(100);
    for stranger in &spare {
        assert_eq!(stranger.read(&mut world)[2..4], [1, 1], "it is answered");
    }
    // The last of them may have been where ana went.
    world.run_ms(9000);
    // Five conns of pages and their media, four that are spare, one of a stranger; then come six more.
    let waiting: Vec<Stranger> = (0..6)
        .map(|_| {
            world.run_ms(1100);
            Stranger::try_connect(&mut world).expect("somebody makes room")
        })
        .collect();
    assert!(spare.iter().all(|stranger| stranger.is_closed(&world)));
    assert!(waiting.iter().rev().take(5).all(|stranger| !stranger.is_closed(&world)));
    assert!(world.has_tunnel(lea) && world.has_tunnel(paul));
    world.run_ms(1000);
    assert_hears(&world, paul, lea, 7000, 99);
    for stranger in spare.iter().chain(&waiting) {
        world.hang_up(stranger.conn);
    }
    world.end();
}
