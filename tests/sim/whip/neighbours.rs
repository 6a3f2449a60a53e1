//! What programs may not take from others: from their office its requests, from their user's page its restarts, its name
//! and its pause, from the journal what is true.

use std::net::SocketAddr;

use ecoute::config::PeerLimits;
use ecoute::wire::sdp::with_credentials;
use ecoute::words::Role;
use serde_json::json;
use stage::link::Quality;
use stage::scenario::last;
use stage::world::World;
use stage::world::programs::{Ask, Kind};
use str0m::media::Direction;

const NOBODY: &str = "/whip/lea/0123456789abcdef0123456789abcdef0123456789abcdef";

/// How an office asks to end a session that is none: 404 is as good as done.
fn asks(world: &mut World, from: SocketAddr, id: &str) -> u16 {
    let token = world.token(Role::Commercial, id, |_| {});
    world.ask_from(from, &Ask::delete(NOBODY, &token).to_http()).status
}

#[test]
fn what_is_refused_to_one_is_not_counted_for_the_office() {
    let mut world = World::new(1, Quality::PERFECT);
    let office: SocketAddr = "203.0.113.7:4000".parse().unwrap();
    for _ in 0..2000 {
        let answer = world.ask_from(office, &Ask::delete(NOBODY, "no token").to_http());
        assert!([401, 429].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(asks(&mut world, office, "lea"), 404, "beside somebody without a token");
    let refused = (0..2000).filter(|_| asks(&mut world, office, "mallory") == 429).count();
    assert!(refused > 1900, "{refused}");
    assert_eq!(asks(&mut world, office, "lea"), 404, "beside somebody who asks too often");
    world.end();
}

#[test]
fn an_encoder_that_tries_again_and_again_does_not_keep_the_page_from_restarting() {
    let mut world = World::new(1, Quality::PERFECT);
    let page = world.publisher("lea");
    world.settle();
    let token = world.token(Role::Commercial, "lea", |_| {});
    let encoder = world.program(Kind::Whip, "lea", &token);
    for _ in 0..50 {
        assert_eq!(world.post(encoder, "lea").status, 409);
    }
    world.browsers[page].restart_ice();
    world.run_ms(500);
    assert!(world.browsers[page].messages_of("ice_restarted").next().is_some());
    world.end();
}

#[test]
fn a_restart_answers_as_many_sections_as_it_was_offered() {
    let mut world = World::new(1, Quality::PERFECT);
    let page = world.open(Role::Commercial, "lea");
    world.run_ms(500);
    let token = world.token(Role::Commercial, "other", |_| {});
    let other = world.program(Kind::Whip, "other", &token);
    let now = world.now;
    let audio = world.browsers[other].make_offer(now, Direction::SendOnly);
    let offer = format!("{audio}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:video\r\na=rtpmap:96 VP8/90000\r\n");
    world.browsers[page].say("start_streaming", json!({ "sdp": offer }));
    world.run_ms(500);
    let restart = with_credentials(&offer, "another", "0123456789012345678901");
    world.browsers[page].say("restart_ice", json!({ "sdp": restart }));
    world.run_ms(500);
    for event in ["streaming_started", "ice_restarted"] {
        let sdp = last(&world, page, event)["sdp"].as_str().unwrap().to_owned();
        let sections: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(sections.len(), 2, "{event}: {sdp}");
        assert!(sections[1].starts_with("m=video 0 "), "{event}: {sdp}");
    }
    world.end();
}

#[test]
fn a_token_without_a_name_renames_nobody() {
    let mut world = World::new(1, Quality::PERFECT);
    let paul = world.listener("paul");
    world.open(Role::Commercial, "lea");
    world.settle();
    let token = world.token(Role::Commercial, "lea", |claims| claims.name = None);
    let encoder = world.program(Kind::Whip, "lea", &token);
    assert_eq!(world.post(encoder, "lea").status, 201);
    world.settle();
    assert_eq!(last(&world, paul, "commercial_updated")["name"], "lea X.");
    assert_eq!(last(&world, paul, "commercial_updated")["source"], "encoder");
    world.end();
}

#[test]
fn entity_tags_for_any_may_be_quoted_and_offers_may_be_long() {
    let mut world = World::new(1, Quality::PERFECT);
    let token = world.token(Role::Commercial, "hall", |claims| claims.device = true);
    let device = world.program(Kind::Whip, "hall", &token);
    let codecs: String = (0..500).map(|n| format!("a=rtcp-fb:{} nack pli\r\n", 96 + n % 30)).collect();
    let video = format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:video\r\n{codecs}");
    let answer = world.post_edited(device, "hall", |offer| {
        assert!(offer.len() + video.len() > PeerLimits::default().offer_bytes_max);
        offer + &video
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    world.settle();
    world.restart(device, "\"*\"");
    world.end();
}

#[test]
fn loopback_is_loopback_in_either_family() {
    let mut world = World::new(1, Quality::PERFECT);
    for n in 0..1000 {
        assert_eq!(asks(&mut world, "[::1]:4000".parse().unwrap(), &format!("user{n}")), 404);
    }
    world.end();
}

#[test]
fn entries_say_what_ended_a_listening_and_a_broadcast() {
    type End = fn(&mut World, usize, usize);
    let cases: [(&str, End, &str, &str); 4] = [
        ("deleted", |world, _, player| drop(world.delete(player)), "left", ""),
        ("revoked", |world, _, _| world.take_revoked(b"ana 1900000000\n"), "token revoked", ""),
        ("encoder stopped", |world, encoder, _| drop(world.delete(encoder)), "off air", "stopped"),
        (
            "encoder said goodbye",
            |world, encoder, _| {
                let now = world.now;
                world.browsers[encoder].hang_up(now);
            },
            "off air",
            "closed by the encoder",
        ),
    ];
    for (name, end, listening, broadcast) in cases {
        let mut world = World::new(1, Quality::PERFECT);
        let encoder = world.device("hall");
        world.settle();
        let player = world.player("ana", "hall");
        world.settle();
        end(&mut world, encoder, player);
        world.run_ms(1000);
        let detail = |events: &[&str]| {
            let entry = world.audit.iter().find(|entry| events.contains(&entry.event.name()));
            entry.map(|entry| entry.event.detail().to_owned()).unwrap_or_default()
        };
        assert_eq!(detail(&["listen_ended", "listen_interrupted"]), listening, "{name}");
        assert_eq!(detail(&["broadcast_stopped"]), broadcast, "{name}");
        world.end();
    }
}
