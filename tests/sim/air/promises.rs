//! What the protocol promises in numbers, and to whom, where no day's scenario would show that it is broken.

use std::collections::BTreeSet;

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::{Value, json};
use stage::browser::Manners;
use stage::scenario::{assert_hears, count, heard, last, scenario};
use stage::world::{Who, World};

fn place(lat: f64) -> Value {
    json!({ "lat": lat, "lon": 2.35, "accuracy_m": 12.5, "at": 1_800_000_000_000u64 })
}

/// Lets time pass until a page was told so; returns how many milliseconds it took, or `ms_max`.
fn ms_until(world: &mut World, ms_max: u64, is_so: impl Fn(&World) -> bool) -> u64 {
    let begin = world.elapsed_ms();
    while !is_so(world) && world.elapsed_ms() < begin + ms_max {
        world.run_ms(10);
    }
    world.elapsed_ms() - begin
}

fn has_last(world: &World, who: Who, event: &str, field: &str, want: &str) -> bool {
    world.browsers[who].messages_of(event).last().is_some_and(|data| data[field] == want)
}

#[test]
fn where_somebody_is_stays_from_who_may_not_know_though_they_come_later() {
    scenario(|world| {
        let (lea, _) = heard(world);
        world.browsers[lea].say("gps_update", place(48.85));
        world.run_ms(500);
        let token = world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new(["tom"])));
        let ana = world.open_with("ana", &token);
        let marc = world.open(Role::Admin, "marc");
        world.run_ms(1000);
        assert_eq!(last(world, marc, "commercial_position")["commercial_id"], "lea");
        assert!(!world.browsers[ana].has("commercial_position"), "law 3");
    });
}

#[test]
fn changes_without_end_are_told_five_times_a_second() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.run_ms(1000);
        let before = count(world, paul, "commercial_updated");
        for n in 0..40 {
            world.browsers[lea].say(if n % 2 == 0 { "pause_streaming" } else { "resume_streaming" }, json!({}));
            world.run_ms(50);
        }
        world.run_ms(500);
        let told = count(world, paul, "commercial_updated") - before;
        assert!((8..=12).contains(&told), "{told} in 2 s");
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air", "and the last one is how it is");
    });
}

#[test]
fn everybody_in_a_drain_comes_back_at_another_moment() {
    scenario(|world| {
        let pages: Vec<Who> = (0..40).map(|n| world.open(Role::Admin, &format!("admin{n}"))).collect();
        world.run_ms(1000);
        world.drain();
        world.run_ms(1000);
        let told: Vec<u64> = pages
            .iter()
            .map(|&page| last(world, page, "server_draining")["reconnect_in_ms"].as_u64().unwrap())
            .collect();
        let moments: BTreeSet<u64> = told.iter().map(|ms| ms / 250).collect();
        assert!(told.iter().all(|&ms| ms <= 2000) && moments.len() >= 6, "{told:?}");
        let late = world.open(Role::Admin, "late");
        world.run_ms(1000);
        assert_eq!(world.browsers[late].closed, Some(1012));
        assert_eq!(last(world, late, "error")["code"], "draining");
    });
}

#[test]
fn who_speaks_has_stopped_1500_ms_after_the_last_packet() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.run_ms(2000);
        let is_silent = |world: &World| last(world, paul, "commercial_updated")["speaking"] == false;
        assert!(!is_silent(world));
        world.browsers[lea].vanish();
        let ms = ms_until(world, 4000, is_silent);
        // The packets that are on the way still come, and the message has its own way.
        assert!((1480..=2000).contains(&ms), "{ms} ms");
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air", "they may say more");
    });
}

#[test]
fn waits_are_as_long_as_they_are_said_to_be() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let on_the_way = if world.quality.lost_per_mille == 0 { 50 } else { 700 };
        let is_near = |ms: u64, want: u64| ms + 50 >= want && ms <= want + on_the_way;
        // The phone does not answer.
        world.browsers[lea].manners = Manners::Ignores;
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "lea");
        ms_until(world, 2000, |world| has_last(world, ana, "listening_pending", "cause", "ack"));
        let ms = ms_until(world, 6000, |world| has_last(world, ana, "listening_pending", "cause", "ack_late"));
        assert!(is_near(ms, 3000), "ack_late after {ms} ms");
        let notice = last(world, lea, "listener_joined")["notice_id"].clone();
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice }));
        world.run_ms(2000);
        assert_hears(world, ana, lea, 1000, 80);
        world.browsers[lea].manners = Manners::Acknowledges;
        // The page is silent while its microphone goes on.
        world.run_ms(4000);
        world.mute_stream(lea);
        let ms = ms_until(world, 15_000, |world| has_last(world, paul, "listening_pending", "cause", "ack_late"));
        // Somewhere in the last ping interval it was heard last.
        assert!((6900..=10_000 + on_the_way).contains(&ms), "silent after {ms} ms");
        world.unmute_stream(lea);
        world.browsers[lea].say("ping", json!({ "t": 1 }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        // Nothing comes.
        world.unplug(lea);
        let ms = ms_until(world, 5000, |world| has_last(world, paul, "commercial_updated", "state", "interrupted"));
        assert!(is_near(ms, 2000), "interrupted after {ms} ms");
        let ms =
            ms + ms_until(world, 30_000, |world| has_last(world, paul, "commercial_updated", "state", "online"));
        assert!(is_near(ms, 20_000), "off air after {ms} ms");
    });
}

#[test]
fn a_page_is_told_what_became_of_its_microphone() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let tom = world.publisher("tom");
        world.settle();
        // The session ends, the page is there: it builds another one, under the same notices.
        world.hang_up_heard(lea);
        ms_until(world, 2000, |world| world.browsers[lea].has("error"));
        assert_eq!(last(world, lea, "error")["code"], "no_such_peer");
        assert!(has_last(world, paul, "listening_pending", "cause", "interrupted"));
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), 1);
        // The media ends, the page is there and does nothing: it is off air after 20 s, and told.
        world.browsers[lea].vanish();
        world.run_ms(19_000);
        assert!(!world.browsers[lea].has("streaming_stopped"));
        world.run_ms(2000);
        assert_eq!(last(world, lea, "streaming_stopped")["commercial_id"], "lea");
        assert!(has_last(world, lea, "listener_left", "reason", "accompagnement"));
        assert!(has_last(world, paul, "listening_pending", "cause", "off_air"));
        assert!(!world.browsers[tom].has("streaming_stopped") && !world.browsers[tom].has("error"));
    });
}

#[test]
fn another_session_on_a_conn_takes_the_place_of_the_first() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for who in [lea, paul] {
            let (peers, now) = (world.server.table_sizes().peers, world.now);
            match who == lea {
                true => world.browsers[who].start_streaming(now),
                false => world.browsers[who].open_audio(now),
            }
            world.settle();
            assert_eq!(world.server.table_sizes().peers, peers, "the replaced one is closed");
            assert_hears(world, paul, lea, 1000, 80);
        }
        assert_eq!(
            (count(world, lea, "listener_joined"), count(world, lea, "listener_left")),
            (1, 0),
            "the wish stays"
        );
        assert!(!world.browsers[paul].has("listening_stopped"));
        let entries = world.audit.iter().filter(|entry| entry.event.name() == "broadcast_started");
        assert_eq!(entries.count(), 1, "the broadcast stays");
    });
}

#[test]
fn a_conn_stays_who_it_is_and_a_page_learns_who_is_open() {
    scenario(|world| {
        let begin_ms = world.unix_s() * 1000;
        let lea = world.publisher("lea");
        world.settle();
        let other = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        let error = last(world, other, "error");
        assert_eq!((&error["code"], &error["state"]), (&json!("already_open"), &json!("on_air")));
        let since = error["since"].as_u64().unwrap();
        assert!((begin_ms..begin_ms + 3000).contains(&since), "on air since {since}");
        // The same id in another role is another user.
        let token = world.token(Role::Admin, "lea", |_| {});
        world.browsers[lea].say("register_user", json!({ "token": token, "page": "page-0" }));
        world.run_ms(1000);
        assert_eq!(world.browsers[lea].closed, Some(4403));
        let monitor = world.open(Role::Monitor, "m");
        world.run_ms(1000);
        assert_eq!(world.browsers[monitor].closed, Some(4403));
    });
}

#[test]
fn the_status_names_who_is_on_air_and_in_scope() {
    scenario(|world| {
        let (lea, _) = heard(world);
        let tom = world.publisher("tom");
        world.open(Role::Commercial, "zoe");
        world.settle();
        world.browsers[tom].say("pause_streaming", json!({}));
        world.run_ms(1000);
        let tokens = [(Role::Monitor, None), (Role::Admin, None), (Role::Admin, Some(Scope::new(["tom"])))]
            .map(|(role, listen)| world.token(role, "marc", |claims| claims.listen = listen));
        let conn = world.knock(([203, 0, 113, 7], 1).into()).unwrap();
        let mut status = |token: String| -> Value {
            let head =
                format!("GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
            let answer = world.send_bytes(conn, head.as_bytes());
            let mut status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            let journal = status.as_object_mut().unwrap().remove("journal").unwrap();
            assert_eq!((&journal["ok"], &journal["lag_ms"]), (&json!(true), &json!(0)));
            status
        };
        let of_lea = json!({ "listeners_count": 1, "is_streaming": true, "paused": false });
        let of_tom = json!({ "listeners_count": 0, "is_streaming": true, "paused": true });
        let all = json!({ "active_commercials": 2, "total_listeners": 1, "commercial_details": { "lea": of_lea, "tom": of_tom } });
        let one = json!({ "active_commercials": 1, "total_listeners": 0, "commercial_details": { "tom": of_tom } });
        for (token, want) in tokens.into_iter().zip([&all, &all, &one]) {
            assert_eq!(status(token), *want);
        }
        assert_hears(world, 1, lea, 500, 70);
    });
}

#[test]
fn a_state_has_its_beginning_and_a_place_only_on_air() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let steps = [
            ("pause_streaming", json!({}), "paused", Value::Null),
            ("resume_streaming", json!({}), "on_air", Value::Null),
            ("stream_interrupted", json!({ "cause": "call" }), "interrupted", json!("call")),
            ("stream_interrupted", json!({ "cause": "locked" }), "interrupted", json!("locked")),
            ("resume_streaming", json!({}), "on_air", Value::Null),
            ("stop_streaming", json!({}), "online", Value::Null),
        ];
        let (mut state_before, mut since_before) = ("on_air", 0);
        for (event, data, state, interrupted_by) in steps {
            world.browsers[lea].say(event, data);
            world.run_ms(1500);
            let told = last(world, paul, "commercial_updated");
            assert_eq!((&told["state"], &told["interrupted_by"]), (&json!(state), &interrupted_by), "{event}");
            let since = told["since"].as_u64().unwrap();
            let age = world.unix_s() * 1000 - since;
            match state == state_before {
                true => assert_eq!(since, since_before, "{event}: the state goes on"),
                false => assert!((500..=1500).contains(&age), "{event}: {state} for {age} ms"),
            }
            (state_before, since_before) = (state, since);
            let places = count(world, paul, "commercial_position");
            world.browsers[lea].say("gps_update", place(48.0));
            world.run_ms(500);
            let told = count(world, paul, "commercial_position") - places;
            assert_eq!(told, usize::from(state == "on_air"), "{event}: where somebody is");
        }
    });
}

#[test]
fn words_about_oneself_have_their_form() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        let [paul, ana] = ["paul", "ana"].map(|id| world.listener(id));
        world.settle();
        for (chars, is_taken) in [(1023, false), (1022, true)] {
            let now = world.now;
            let sdp = world.browsers[lea].make_offer(now, str0m::media::Direction::SendOnly);
            let info = "x".repeat(chars);
            world.browsers[lea].say("start_streaming", json!({ "sdp": sdp, "commercial_info": info }));
            world.run_ms(1000);
            assert_eq!(world.browsers[lea].closed, None, "a mistake, no attack");
            assert_eq!(world.browsers[lea].has("streaming_started"), is_taken, "{chars}");
        }
        assert_eq!(last(world, lea, "error")["code"], "malformed");
        let info = &last(world, paul, "commercial_updated")["commercial_info"];
        assert_eq!(info.as_str().map(str::len), Some(1022));
        for (who, reason) in [(paul, "autre: première visite"), (ana, "sécurité")] {
            let wish = json!({ "commercial_id": "lea", "reason": reason });
            world.browsers[who].say("join_commercial_stream", wish);
            world.run_ms(1000);
            assert_eq!(last(world, lea, "listener_joined")["reason"], reason);
            let entry = world.audit.iter().rfind(|entry| entry.event.name() == "listen_announced").unwrap();
            assert_eq!((entry.event.detail(), entry.event.commercial_id()), (reason, "lea"));
        }
        assert_eq!(last(world, ana, "listening_started")["listeners_count"], 2);
        world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        world.run_ms(1000);
        let want = json!({ "commercial_id": "lea", "listeners_count": 1 });
        assert_eq!(*last(world, paul, "listening_stopped"), want, "no cause: it was asked for");
        assert_eq!(last(world, lea, "listener_left")["listeners_count"], 1);
    });
}
