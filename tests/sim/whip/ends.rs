//! How sessions of programs end: by their client, by silence, by time, by a revocation, with the server; and that
//! nothing is left of them.

use ecoute::words::Role;
use stage::link::Quality;
use stage::scenario::{assert_hears, hears_nothing, last, scenario};
use stage::world::programs::{Ask, Kind};
use stage::world::{Who, World};

use super::encoders::heard;

/// How many sessions there are, and URLs that are remembered.
fn sizes(world: &World) -> (usize, usize) {
    let sizes = world.server.table_sizes();
    (sizes.peers, sizes.resources)
}

fn is_on_air(world: &World, paul: Who) -> bool {
    last(world, paul, "commercial_updated")["is_streaming"] == true
}

#[test]
fn an_encoder_whose_media_stops_is_gone_after_20_s() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        world.browsers[encoder].next_packet = None;
        world.run_ms(3000);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "interrupted");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "interrupted");
        world.run_ms(16_000);
        assert!(is_on_air(world, paul));
        world.run_ms(2000);
        assert!(!is_on_air(world, paul));
        assert_eq!(sizes(world), (1, 1));
        assert_eq!(world.patch(encoder, Some("*"), "a=end-of-candidates\r\n").status, 404);
        world.run_ms(31_000);
        assert_eq!(sizes(world), (1, 0));
        assert_eq!(world.delete(encoder).status, 404);
    });
}

/// As programs over libnice do: once they are connected they send no checks (RFC 8445 §11).
#[test]
fn who_checks_no_more_is_there_as_long_as_media_or_reports_come() {
    scenario(|world| {
        let encoder = world.device("cam");
        world.settle();
        let player = world.player("ana", "cam");
        world.settle();
        for who in [encoder, player] {
            world.browsers[who].checks_no_more = true;
        }
        world.run_ms(90_000);
        assert_hears(world, player, encoder, 1000, 80);
        assert_eq!(sizes(world), (2, 2));
        world.unplug(player);
        world.run_ms(20_500);
        assert_eq!(sizes(world), (1, 2));
        world.unplug(encoder);
        world.run_ms(20_500);
        assert_eq!(sizes(world).0, 0);
    });
}

/// Anybody can send under a client's address what looks like its reports.
#[test]
fn reports_of_somebody_else_keep_nobody() {
    let mut world = World::new(1, Quality::PERFECT);
    world.device("cam");
    world.settle();
    let player = world.player("ana", "cam");
    world.settle();
    world.browsers[player].checks_no_more = true;
    world.run_ms(20_000);
    world.unplug(player);
    for _ in 0..41 {
        world.inject(player, &[&[0x80, 201, 0, 1][..], &[7; 40]].concat());
        world.run_ms(500);
    }
    assert_eq!(sizes(&world), (1, 2));
    assert!(world.server.stats().reports_unsigned >= 20);
}

#[test]
fn over_tcp_too_who_checks_no_more_is_there() {
    scenario(|world| {
        let encoder = world.device("cam");
        world.block_udp(encoder);
        world.settle();
        let player = world.player("ana", "cam");
        world.block_udp(player);
        world.settle();
        for who in [encoder, player] {
            world.browsers[who].checks_no_more = true;
        }
        world.run_ms(90_000);
        assert_hears(world, player, encoder, 1000, 80);
    });
}

#[test]
fn an_encoder_that_loses_its_network_is_gone_after_20_s_and_may_be_back_before() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        world.unplug(encoder);
        world.run_ms(8000);
        world.plug(encoder);
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        world.unplug(encoder);
        world.run_ms(20_500);
        assert!(!is_on_air(world, paul));
        assert_eq!(world.server.table_sizes().peers, 1);
    });
}

#[test]
fn an_encoder_that_never_begins_is_gone_after_10_s() {
    scenario(|world| {
        let paul = world.listener("paul");
        world.settle();
        for connects in [false, true] {
            let encoder = world.encoder("lea");
            world.browsers[encoder].is_mute = true;
            if !connects {
                world.unplug(encoder);
            }
            world.run_ms(1000);
            world.run_ms(8000);
            assert!(is_on_air(world, paul), "connects: {connects}");
            world.run_ms(1500);
            assert!(!is_on_air(world, paul), "connects: {connects}");
            assert_eq!(world.server.table_sizes().peers, 1, "connects: {connects}");
            world.close(encoder);
        }
    });
}

#[test]
fn an_encoder_that_takes_a_place_and_never_begins_is_gone_after_10_s() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        world.browsers[encoder].next_packet = None;
        world.run_ms(2500);
        let other = world.encoder("lea");
        world.unplug(other);
        world.run_ms(9000);
        assert!(is_on_air(world, paul));
        world.run_ms(2000);
        assert!(!is_on_air(world, paul));
        let third = world.encoder("lea");
        world.settle();
        world.run_ms(1000);
        world.browsers[third].next_packet = None;
        world.run_ms(2500);
        let fourth = world.encoder("lea");
        // It connects, and sends nothing.
        world.browsers[fourth].is_mute = true;
        world.run_ms(9000);
        assert!(world.browsers[fourth].connected && is_on_air(world, paul));
        world.run_ms(2000);
        assert!(!is_on_air(world, paul), "it has not begun, whatever the one before did");
    });
}

#[test]
fn who_says_goodbye_first_is_answered_all_the_same() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        let player = world.player("ana", "lea");
        world.settle();
        world.run_ms(1000);
        assert_hears(world, player, encoder, 1000, 80);
        let now = world.now;
        for who in [player, encoder] {
            world.browsers[who].hang_up(now);
        }
        world.run_ms(200);
        for who in [player, encoder] {
            world.browsers[who].vanish();
        }
        // On a bad network the alert may be lost.
        world.run_ms(20_000);
        for id in ["paul", "ana"] {
            assert!(world.browsers[lea].messages_of("listener_left").any(|left| left["admin"]["id"] == id), "{id}");
        }
        assert_eq!(world.server.table_sizes().peers, 1);
        for who in [player, encoder] {
            assert_eq!(world.patch(who, Some("*"), "a=end-of-candidates\r\n").status, 404);
            assert_eq!(world.delete(who).status, 200);
            assert_eq!(world.delete(who).status, 404);
        }
        assert!(hears_nothing(world, paul, 5000));
        assert_eq!(world.server.table_sizes().resources, 0);
    });
}

#[test]
fn a_delete_is_answered_whatever_its_entity_tag() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        let player = world.player("ana", "lea");
        world.settle();
        world.run_ms(500);
        for who in [player, encoder] {
            let delete = |token: &str, location: &str| {
                Ask { if_match: Some("\"stale\""), ..Ask::delete(location, token) }.to_http()
            };
            let sent = world.media_sent_to(player);
            let answer = world.ask(who, delete);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(world.ask(who, delete).status, 404);
            world.run_ms(500);
            assert_eq!(world.media_sent_to(player), sent);
        }
        assert_eq!(last(world, lea, "listener_left")["admin"]["id"], "paul");
        assert!(hears_nothing(world, paul, 300));
        let details: Vec<_> = world
            .audit
            .iter()
            .filter(|entry| entry.event.actor() == "ana")
            .map(|e| e.event.detail().to_owned())
            .collect();
        assert_eq!(details.last().map(String::as_str), Some("left"));
        assert_eq!(
            world.audit.last().unwrap().event.name(),
            "listen_interrupted",
            "of paul, by the end of the encoder"
        );
    });
}

#[test]
fn a_token_that_expires_ends_what_it_began() {
    scenario(|world| {
        let (_, _, paul) = heard(world);
        // Later than anybody settles.
        let exp = world.unix_s() + 40;
        let token = world.token(Role::Admin, "ana", |claims| claims.exp = exp);
        let player = world.program(Kind::Whep, "ana", &token);
        assert_eq!(world.post(player, "lea").status, 201);
        let token = world.token(Role::Commercial, "tom", |claims| (claims.exp, claims.device) = (exp, true));
        let device = world.program(Kind::Whip, "tom", &token);
        assert_eq!(world.post(device, "tom").status, 201);
        world.settle();
        world.join(paul, "tom");
        world.run_ms(2000);
        assert!(world.media_sent_to(player) > 0);
        assert_hears(world, paul, device, 1000, 80);
        world.run_ms((exp - 1 - world.unix_s()) * 1000);
        let sent = world.media_sent_to(player);
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 1000), "law 3");
        assert!(world.media_sent_to(player) < sent + 150, "law 3");
        let sent = world.media_sent_to(player);
        world.run_ms(1000);
        assert_eq!(world.media_sent_to(player), sent, "law 3");
        assert_eq!(world.delete(player).status, 401, "with such a token nothing can be asked");
    });
}

#[test]
fn a_clock_that_jumps_ends_what_has_expired() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        let player = world.player("ana", "lea");
        world.settle();
        world.jump_clock_s(7200);
        world.run_ms(1000);
        let sent = world.media_sent_to(player);
        let resources = world.server.table_sizes().resources;
        assert_eq!((world.server.table_sizes().peers, resources), (0, 2));
        world.run_ms(1000);
        assert_eq!(world.media_sent_to(player), sent, "law 3");
        assert!(hears_nothing(world, paul, 1000));
        world.jump_clock_s(-7200);
        world.run_ms(10);
        assert_eq!(world.delete(encoder).status, 200);
    });
}

#[test]
fn a_revocation_ends_programs_within_the_call() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        let player = world.player("ana", "lea");
        world.settle();
        world.run_ms(500);
        let now_s = world.unix_s();
        world.take_revoked(format!("ana {now_s}\n").as_bytes());
        let sent = world.media_sent_to(player);
        world.run_ms(2000);
        assert_eq!(world.media_sent_to(player), sent, "law 3");
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!(last(world, lea, "listener_left")["admin"]["id"], "ana");
        assert_eq!(world.delete(player).status, 401);

        let now_s = world.unix_s();
        world.take_revoked(format!("lea {now_s}\n").as_bytes());
        let before = world.server.stats().packets_forwarded;
        world.run_ms(2000);
        assert_eq!(world.server.stats().packets_forwarded, before, "law 3");
        assert!(!is_on_air(world, paul));
        assert_eq!(world.post(encoder, "lea").status, 401);
        let revoked: Vec<_> = world.audit.iter().filter(|e| e.event.name() == "access_revoked").collect();
        assert!(revoked.iter().all(|entry| ["ana", "lea"].contains(&entry.event.actor())));
        assert_eq!(revoked.len(), 3, "her page and her encoder each: {revoked:?}");
    });
}

#[test]
fn an_encoder_with_a_newer_token_outlives_a_revocation() {
    scenario(|world| {
        let paul = world.listener("paul");
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.run_ms(9000);
        // Longer ago than the issuer's clock may be ahead.
        let revoked_s = world.unix_s() - 7;
        assert_eq!(
            world.ask_from(([192, 0, 2, 77], 1).into(), &Ask::post("/whip/lea", &token, "").to_http()).status,
            400
        );
        let encoder = world.encoder("lea");
        world.settle();
        // The list is read after the new token came into use.
        world.take_revoked(format!("lea {revoked_s}\n").as_bytes());
        world.run_ms(1000);
        assert!(is_on_air(world, paul), "its token is as good as any");
        assert!(!world.audit.iter().any(|entry| entry.event.name() == "access_revoked"));
        assert_eq!(world.delete(encoder).status, 200);
    });
}

#[test]
fn a_drain_ends_all_programs() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        let player = world.player("ana", "lea");
        world.settle();
        world.run_ms(500);
        assert_hears(world, paul, encoder, 500, 70);
        world.drain();
        let sent = world.media_sent_to(player);
        world.run_ms(3000);
        assert!(world.server.is_drained());
        assert_eq!(world.media_sent_to(player), sent);
        for (who, id) in [(encoder, "lea"), (player, "lea")] {
            let refused = world.post(who, id);
            assert_eq!((refused.status, refused.header("Retry-After").is_some()), (503, true), "{refused:?}");
            assert_eq!(world.delete(who).status, 200);
        }
    });
}
