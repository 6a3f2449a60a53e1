//! Supervisors' programs that listen: announced, acknowledged, counted, written down, and ended like any page's.

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::{Value, json};
use stage::browser::Manners;
use stage::scenario::{assert_hears, count, hears_nothing, last, scenario};
use stage::world::programs::{Ask, Kind};
use stage::world::{Who, World};

/// Léa's page on air, heard by Paul's player.
fn played(world: &mut World) -> (Who, Who) {
    let lea = world.publisher("lea");
    world.settle();
    let paul = world.player("paul", "lea");
    world.settle();
    world.run_ms(1000);
    assert_hears(world, paul, lea, 1000, 80);
    (lea, paul)
}

fn status(world: &mut World) -> Value {
    let token = world.token(Role::Monitor, "watch", |_| {});
    let ask = Ask { method: "GET", ..Ask::delete("/api/streaming/status", &token) };
    serde_json::from_str(&world.ask_from(([127, 0, 0, 1], 999).into(), &ask.to_http()).body).unwrap()
}

fn entries_of(world: &World, id: &str) -> Vec<(&'static str, String)> {
    let entries = world.audit.iter().filter(|entry| entry.event.actor() == id);
    entries.map(|entry| (entry.event.name(), entry.event.detail().to_owned())).collect()
}

#[test]
fn an_openssl_that_is_not_fit_refuses_programs_and_no_page() {
    scenario(|world| {
        world.refuse_programs();
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        for (kind, role, id) in [(Kind::Whep, Role::Admin, "ines"), (Kind::Whip, Role::Commercial, "tom")] {
            let token = world.token(role, id, |_| {});
            let program = world.program(kind, id, &token);
            let answer = world.post(program, if kind == Kind::Whip { id } else { "lea" });
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.body.contains("the server's OpenSSL can't serve programs"), "{answer:?}");
        }
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_player_is_answered_at_once_and_hears_from_the_acknowledgement_on() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.browsers[lea].manners = Manners::Ignores;
        world.settle();
        let paul = world.player("paul", "lea");
        world.settle();
        world.run_ms(5000);
        assert_eq!(world.media_sent_to(paul), 0, "law 1");
        let notice = last(world, lea, "listener_joined").clone();
        assert_eq!((&notice["admin"]["name"], &notice["reason"]), (&json!("paul X."), &json!("accompagnement")));
        assert_eq!(status(world)["total_listeners"], 0);
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice["notice_id"] }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        let status = status(world);
        assert_eq!(status["commercial_details"]["lea"]["listeners_count"], 1);
        assert_eq!(status["total_listeners"], 1);
        let ana = world.open(Role::Admin, "ana");
        world.run_ms(500);
        let listed = last(world, ana, "available_streams")[0].clone();
        assert_eq!((&listed["listeners_count"], &listed["listeners"][0]["id"]), (&json!(1), &json!("paul")));
        assert_eq!(world.delete(paul).status, 200);
        let reason = "accompagnement".to_owned();
        let want = [
            ("listen_asked", reason.clone()),
            ("listen_announced", reason.clone()),
            ("listen_started", reason),
            ("listen_ended", "left".to_owned()),
        ];
        world.run_ms(500);
        assert_eq!(entries_of(world, "paul"), want);
        let left = last(world, lea, "listener_left");
        assert_eq!((&left["admin"]["id"], &left["listeners_count"]), (&json!("paul"), &json!(0)));
    });
}

#[test]
fn a_player_whose_page_never_answers_is_withdrawn() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.browsers[lea].manners = Manners::Ignores;
        world.settle();
        let paul = world.player("paul", "lea");
        world.settle();
        assert_eq!(world.delete(paul).status, 200);
        world.run_ms(500);
        assert_eq!(entries_of(world, "paul").last().unwrap(), &("listen_ended", "left".to_owned()));
        assert_eq!(world.media_sent_to(paul), 0, "law 1");
        assert_eq!(world.server.stats().packets_forwarded, 0, "law 1");
    });
}

#[test]
fn a_user_has_so_many_players() {
    let mut world = World::new(1, stage::link::Quality::PERFECT);
    let lea = world.publisher("lea");
    world.settle();
    let token = world.token(Role::Admin, "paul", |_| {});
    let max = world.limits.admission.of_program.held_max;
    let mut players = Vec::new();
    for _ in 0..max {
        players.push(world.player("paul", "lea"));
        // Users make so many offers in a second.
        world.run_ms(200);
    }
    world.settle();
    let one_more = world.program(Kind::Whep, "paul", &token);
    let refused = world.post(one_more, "lea");
    assert_eq!((refused.status, refused.header("Retry-After").is_some()), (429, true), "{refused:?}");
    world.player("ana", "lea");
    world.settle();
    assert_eq!(status(&mut world)["total_listeners"], max + 1);
    // One is free again by whatever end: a request, a farewell, the network, a refusal.
    let ends: [&dyn Fn(&mut World, Who); 3] = [
        &|world, who| assert_eq!(world.delete(who).status, 200),
        &|world, who| {
            let now = world.now;
            world.browsers[who].hang_up(now);
            world.run_ms(100);
        },
        &|world, who| {
            world.close(who);
            world.run_ms(20_000);
        },
    ];
    for (who, end) in players.clone().into_iter().zip(ends) {
        end(&mut world, who);
        world.close(who);
        assert_eq!(world.post_edited(one_more, "lea", |_| "v=0".into()).status, 422);
        assert_eq!(world.post(one_more, "lea").status, 201);
        world.settle();
        let another = world.program(Kind::Whep, "paul", &token);
        assert_eq!(world.post(another, "lea").status, 429);
        assert_hears(&world, one_more, lea, 300, 80);
        world.run_ms(1000);
        // The same program once more: its session before is another one, which nobody ended.
        assert_eq!(world.delete(one_more).status, 200);
        players.push(world.player("paul", "lea"));
        world.settle();
    }
    world.end();
}

#[test]
fn nobody_on_air_or_out_of_scope() {
    scenario(|world| {
        let token = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["lea", "tom"])));
        let paul = world.program(Kind::Whep, "paul", &token);
        world.open(Role::Commercial, "tom");
        world.run_ms(500);
        for id in ["lea", "tom"] {
            let refused = world.post(paul, id);
            assert_eq!((refused.status, refused.header("Retry-After").is_some()), (409, true), "{id}: {refused:?}");
        }
        let zoe = world.publisher("zoe");
        world.settle();
        assert_eq!(world.post(paul, "zoe").status, 403, "law 3");
        assert_eq!(world.post(paul, "nobody").status, 403, "law 3");
        world.run_ms(500);
        let refused = entries_of(world, "paul");
        assert_eq!(refused.len(), 2, "law 8: {refused:?}");
        assert!(refused.iter().all(|(event, _)| *event == "listen_refused"));
        assert!(!world.browsers[zoe].has("listener_joined"));
        assert_eq!(world.server.table_sizes().resources, 0);
    });
}

#[test]
fn a_player_stays_through_a_pause_and_off_air() {
    scenario(|world| {
        let (lea, paul) = played(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 2000), "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[lea].say("stop_streaming", json!({}));
        world.run_ms(40_000);
        assert!(hears_nothing(world, paul, 30_000));
        assert_eq!(world.server.table_sizes().resources, 1, "it waits");
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), 2, "announced anew");
        // Another page of hers, and then an encoder.
        world.close(lea);
        world.run_ms(21_000);
        let page = world.open(Role::Commercial, "lea");
        let encoder = world.encoder("lea");
        world.settle();
        world.run_ms(1000);
        assert_hears(world, paul, encoder, 1000, 80);
        assert!(world.browsers[page].has("listener_joined"));
    });
}

#[test]
fn a_player_that_vanishes_is_gone_within_20_s() {
    scenario(|world| {
        let (lea, paul) = played(world);
        let ana = world.player("ana", "lea");
        world.settle();
        world.close(paul);
        world.run_ms(20_000);
        let left = last(world, lea, "listener_left");
        assert_eq!((&left["admin"]["id"], &left["listeners_count"]), (&json!("paul"), &json!(1)));
        assert_hears(world, ana, lea, 1000, 80);
        assert_eq!(world.server.table_sizes().peers, 2);
        assert_eq!(entries_of(world, "paul").last().unwrap(), &("listen_ended", "connection lost".to_owned()));
        assert_eq!(world.delete(paul).status, 200);
    });
}

#[test]
fn a_player_that_never_connects_is_gone_after_10_s() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let paul = world.player("paul", "lea");
        world.unplug(paul);
        world.run_ms(11_000);
        assert_eq!(last(world, lea, "listener_left")["admin"]["id"], "paul");
        assert_eq!((world.server.table_sizes().peers, world.server.table_sizes().wishes), (1, 0));
    });
}

#[test]
fn a_supervisors_page_and_players_go_their_own_ways() {
    scenario(|world| {
        let (lea, player) = played(world);
        let tom = world.publisher("tom");
        let page = world.listener("paul");
        world.settle();
        world.join(page, "lea");
        world.run_ms(1500);
        assert_hears(world, page, lea, 500, 70);
        assert_eq!(count(world, lea, "listener_joined"), 2, "each is announced");
        assert_eq!(last(world, page, "listening_started")["listeners_count"], 2);
        let second = world.player("paul", "tom");
        world.join(page, "tom");
        world.settle();
        world.run_ms(1500);
        assert_hears(world, player, lea, 500, 70);
        for who in [page, second] {
            assert_hears(world, who, tom, 500, 70);
        }
        world.close(page);
        world.run_ms(1000);
        world.delete(second);
        world.run_ms(1000);
        assert!(hears_nothing(world, second, 500));
        assert_hears(world, player, lea, 500, 70);
        assert_eq!(last(world, tom, "listener_left")["listeners_count"], 0);
        assert_eq!(last(world, lea, "listener_left")["listeners_count"], 1);
    });
}

#[test]
fn programs_without_udp() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        let token = world.token(Role::Commercial, "lea", |_| {});
        let encoder = world.program(Kind::Whip, "lea", &token);
        world.block_udp(encoder);
        assert_eq!(world.post(encoder, "lea").status, 201);
        let token = world.token(Role::Admin, "paul", |_| {});
        let paul = world.program(Kind::Whep, "paul", &token);
        world.block_udp(paul);
        assert_eq!(world.post(paul, "lea").status, 201);
        world.settle();
        world.run_ms(2000);
        assert!(world.has_tunnel(encoder) && world.has_tunnel(paul));
        assert_hears(world, paul, encoder, 2000, 99);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        // The network drops the connection: another one is made.
        world.drop_tunnel(paul);
        world.run_ms(5000);
        assert_hears(world, paul, encoder, 1000, 80);
        for who in [paul, encoder] {
            assert_eq!(world.delete(who).status, 200);
            world.browsers[who].vanish();
        }
        world.run_ms(1000);
        assert!(!world.has_tunnel(encoder) && !world.has_tunnel(paul));
        assert_eq!(world.server.table_sizes().peers, 0);
    });
}

/// Firefox nominates once and for all: where its router forgot it, its checks come from somewhere else and do not say so.
#[test]
fn a_player_that_nominates_once_hears_again_where_its_checks_come_from() {
    scenario(|world| {
        let (lea, paul) = played(world);
        world.browsers[paul].nominates_once = true;
        world.run_ms(3000);
        for n in 0..2 {
            world.browsers[paul].external = ([198, 18, 7, n], 4321).into();
            world.run_ms(14_000);
            assert_hears(world, paul, lea, 1000, 80);
        }
    });
}

/// A client that answers no checks is where its handshake was done, and gets little where it goes from there.
#[test]
fn who_answers_nothing_hears_where_it_connected() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let token = world.token(Role::Admin, "paul", |_| {});
        let paul = world.program(Kind::Whep, "paul", &token);
        world.browsers[paul].answers_nothing = true;
        assert_eq!(world.post(paul, "lea").status, 201);
        world.settle();
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[paul].external = ([198, 18, 7, 1], 4321).into();
        world.run_ms(12_000);
        let before = world.media_sent_to(paul);
        world.run_ms(10_000);
        assert!(world.media_sent_to(paul) < before + 60, "no more than three times what comes");
        // Somebody who moves and answers then is heard of.
        world.browsers[paul].answers_nothing = false;
        world.run_ms(10_000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}
