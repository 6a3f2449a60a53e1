//! How much anybody can have written down: nobody fills the journal, so that what matters can be found in it.

use ecoute::audit::Event;
use ecoute::words::Role;
use serde_json::json;
use stage::scenario::{assert_hears, count, error_codes, heard, last};
use stage::stranger::{Stranger, TEXT, address, frame};
use stage::world::{Who, World};

use super::world;

/// Returns how many entries have this name, and how often it happened in all.
fn entries(world: &World, name: &str) -> (usize, u64) {
    let of_name = world.audit.iter().filter(|entry| entry.event.name() == name);
    of_name.fold((0, 0), |(entries, times), entry| (entries + 1, times + entry.event.times()))
}

/// Comes back with one token as often as it may, and says this each time.
fn come_back(world: &mut World, token: &str, times: usize, texts: &[String]) -> usize {
    let before = world.server.stats().acts_over_rate;
    for _ in 0..times {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(TEXT, stage::stranger::register(token).as_bytes()));
        for text in texts {
            world.push(stranger.conn, &frame(TEXT, text.as_bytes()));
        }
        stranger.read(world);
        world.hang_up(stranger.conn);
        world.run_ms(2);
    }
    (world.server.stats().acts_over_rate - before) as usize
}

fn join(id: &str) -> String {
    json!({ "event": "join_commercial_stream", "data": { "commercial_id": id } }).to_string()
}

#[test]
fn refusals_that_are_alike_are_one_entry() {
    let mut world = world(|_| {});
    let (lea, paul) = heard(&mut world);
    let token = world.token(Role::Admin, "marc", |claims| claims.listen = Some(ecoute::token::Scope::new(["ana"])));
    // What is in no scope, for each reason that there is, and for ever more ids.
    let texts: Vec<String> = (0..50).map(|n| join(if n % 2 == 0 { "lea" } else { "tom" })).collect();
    let over = come_back(&mut world, &token, 200, &texts);
    assert_eq!(over, 0);
    let (written, _) = entries(&world, "listen_refused");
    assert_eq!(written, 2, "the first of each");
    world.run_ms(60_000);
    let (written, times) = entries(&world, "listen_refused");
    assert_eq!((written, times), (4, 200 * 50), "and how many more there were");
    let strange: Vec<String> = (0..50).map(|n| join(&format!("nobody{n}"))).collect();
    come_back(&mut world, &token, 20, &strange);
    world.run_ms(60_000);
    let (more, times) = entries(&world, "listen_refused");
    assert!(more - written <= 20, "{more} entries about many ids");
    assert_eq!(times, 200 * 50 + 20 * 50);
    assert_hears(&world, paul, lea, 4000, 80);
    world.end();
}

#[test]
fn refused_tokens_of_all_are_one_entry() {
    let mut world = world(|_| {});
    let ask = b"GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n";
    for n in 0..200 {
        let conn = world.knock(address(n, 1)).unwrap();
        for _ in 0..20 {
            world.send_bytes(conn, ask);
        }
        world.hang_up(conn);
    }
    let page = world.open_with("lea", "y");
    world.run_ms(100);
    assert_eq!(world.browsers[page].closed, Some(4401));
    assert_eq!(entries(&world, "tokens_refused"), (1, 1));
    world.run_ms(31_000);
    assert_eq!(entries(&world, "tokens_refused"), (2, 200 * 20 + 1));
    let last = world.audit.iter().rfind(|entry| entry.event.name() == "tokens_refused").unwrap();
    assert!(last.event.detail().starts_with("198.51.100."), "{}", last.event);
    world.end();
}

#[test]
fn what_was_counted_is_written_down_before_the_end() {
    let mut world = world(|_| {});
    let pages: Vec<Who> = (0..5).map(|_| world.open_with("lea", "x")).collect();
    world.run_ms(1000);
    assert!(pages.iter().all(|&who| world.browsers[who].closed == Some(4401)));
    world.drain();
    world.run_ms(1000);
    assert_eq!(entries(&world, "tokens_refused"), (2, 5));
    assert_eq!(world.server.table_sizes().refusals, 0);
}

#[test]
fn one_user_has_one_rate_on_all_conns() {
    let mut world = world(|_| {});
    let (lea, paul) = heard(&mut world);
    let before = world.audit.len();
    let token = world.token(Role::Commercial, "karim", |_| {});
    let over = come_back(&mut world, &token, 1000, &[]);
    assert!((600..800).contains(&over), "{over} of 1000 in 2 s were too many");
    let pages = [(); 3].map(|()| world.open(Role::Commercial, "karim"));
    world.run_ms(50);
    assert_eq!(world.browsers[pages[2]].closed, Some(4429));
    assert_eq!(error_codes(&world, pages[2]), ["too_many"]);
    pages.into_iter().for_each(|page| world.close(page));
    assert_eq!(world.audit.len(), before);
    world.run_ms(10_000);
    assert_hears(&world, paul, lea, 4000, 80);
    let karim = world.publisher("karim");
    world.run_ms(2000);
    assert!(world.browsers[karim].has("streaming_started"), "a moment later");
    world.end();
}

#[test]
fn a_pause_is_never_held_back() {
    let mut world = world(|limits| limits.admission.of_act.rate.burst = 10);
    let (lea, _) = heard(&mut world);
    for _ in 0..12 {
        world.browsers[lea].say("resume_streaming", json!({}));
        world.browsers[lea].say("pause_streaming", json!({}));
    }
    world.run_ms(100);
    assert!(error_codes(&world, lea).contains(&"too_many"));
    assert_eq!(count(&world, lea, "streaming_paused"), 12);
    assert!(world.browsers[lea].closed.is_none());
    let pauses = world.audit.iter().filter(|entry| matches!(entry.event, Event::BroadcastPaused { .. })).count();
    assert!(pauses <= 10, "{pauses} entries");
    world.end();
}

#[test]
fn one_supervisor_begins_to_hear_one_salesperson_so_often() {
    let mut world = world(|_| {});
    let lea = world.publisher("lea");
    let pages = ["paul", "paul", "ana"].map(|id| world.listener(id));
    world.settle();
    // From two pages, one after the other.
    for n in 0..90 {
        let paul = pages[n % 2];
        world.join(paul, "lea");
        world.run_ms(55);
        world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        world.run_ms(55);
    }
    let told = count(&world, lea, "listener_joined");
    assert!((40..=52).contains(&told), "told {told} times in 10 s");
    assert!(world.browsers[lea].closed.is_none(), "she did nothing wrong");
    world.join(pages[0], "lea");
    world.run_ms(100);
    world.join(pages[0], "lea");
    world.run_ms(100);
    let refused = last(&world, pages[0], "error");
    assert_eq!((&refused["code"], &refused["commercial_id"]), (&json!("too_many"), &json!("lea")));
    assert!(refused["retry_after_s"].as_u64().is_some_and(|seconds| seconds > 0), "{refused}");
    world.join(pages[2], "lea");
    world.run_ms(3000);
    assert_hears(&world, pages[2], lea, 2000, 80);
    world.run_ms(10_000);
    world.join(pages[1], "lea");
    world.run_ms(3000);
    assert_hears(&world, pages[1], lea, 2000, 80);
    world.end();
}
