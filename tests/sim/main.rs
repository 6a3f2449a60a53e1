//! Scenarios against the whole core in virtual time, each over a fixed list of seeds.
//!
//! One run of a scenario is repeated by its seed; a seed that found a bug stays in the list of its scenario.
#![allow(clippy::disallowed_methods, reason = "virtual time starts at some real moment")]

mod attack_clock;
mod attack_dtls;
mod attack_insider;
mod attack_panic;
mod attack_rtp;
mod attack_sdp;
mod attack_stun;
mod browser;
mod certificates;
mod chaos;
mod day;
mod fuzz;
mod hostile;
mod hostile_http;
mod hostile_websocket;
mod hostile_whip;
mod ice_tcp;
mod insider;
mod limits;
mod link;
mod orders;
mod promises;
mod scene;
mod shift;
mod stranger;
mod test_connection;
mod tokens;
mod whep;
mod whip;
mod whip_ends;
mod whip_ice;
mod whip_neighbours;
mod whip_offers;
mod world;

use std::time::Duration;

use ecoute::outbox::AuditEvent;
use ecoute::token::Scope;
use ecoute::words::Role;

use crate::browser::Manners;
use crate::link::Quality;
use crate::world::World;

const SEEDS: [u64; 6] = [1, 2, 3, 5, 8, 13];

/// Runs a scenario on a perfect and on a mobile network, with every seed.
fn scenario(run: impl Fn(&mut World)) {
    for seed in SEEDS {
        for quality in [Quality::PERFECT, Quality::MOBILE] {
            let mut world = World::new(seed, quality);
            run(&mut world);
            world.end();
        }
    }
}

/// Asserts that a listener heard at least so many percent of what one microphone made in the last `ms`.
fn assert_hears(world: &World, listener: usize, publisher: usize, ms: u64, percent: usize) {
    let since = world.now - Duration::from_millis(ms);
    let heard = world.browsers[listener].heard_of(publisher as u16).filter(|heard| heard.at > since).count();
    let made = ms as usize / 20;
    assert!(heard * 100 >= made * percent, "heard {heard} of {made}");
}

fn hears_nothing(world: &World, listener: usize, ms: u64) -> bool {
    let since = world.now - Duration::from_millis(ms);
    !world.browsers[listener].heard.iter().any(|heard| heard.at > since)
}

#[test]
fn listening_after_going_on_air() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(3000);
        assert_hears(world, paul, lea, 2000, 80);
        assert!(world.browsers[paul].has("listening_started"));
        let answer = world.browsers[lea].messages_of("streaming_started").next().unwrap()["sdp"].to_string();
        assert!(answer.contains("useinbandfec=1;usedtx=1"), "{answer}");
        let notice = world.browsers[lea].messages_of("listener_joined").next().unwrap();
        assert_eq!(notice["admin"]["name"], "paul X.");
        assert_eq!(notice["reason"], "accompagnement");
        assert_eq!(notice["listeners_count"], 1);
    });
}

#[test]
fn listening_before_going_on_air_starts_by_itself() {
    scenario(|world| {
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "offline");
        let lea = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "off_air");
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, lea, 2000, 80);
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.run_ms(1000);
        assert!(world.browsers[lea].has("streaming_stopped"));
        assert!(hears_nothing(world, paul, 500));
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, lea, 2000, 80);
    });
}

#[test]
fn switching_moves_the_same_session() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.join(paul, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, tom, 1000, 80);
        assert_eq!(
            world.browsers[paul].heard_of(lea as u16).filter(|h| h.at > world.now - Duration::from_secs(1)).count(),
            0
        );
        let stopped = world.browsers[paul].messages_of("listening_stopped").last().unwrap();
        assert_eq!((stopped["commercial_id"].as_str(), stopped["cause"].as_str()), (Some("lea"), Some("switched")));
        assert!(world.browsers[lea].has("listener_left"));
        assert_eq!(world.browsers[paul].messages_of("audio_ready").count(), 1);
        // The numbers go on over the switch, and the timestamp runs with the clock.
        let mut heard = world.browsers[paul].heard.clone();
        heard.sort_by_key(|heard| heard.sequence);
        let switch = heard.iter().position(|heard| heard.source == tom as u16).unwrap();
        let (before, after) = (heard[switch - 1], heard[switch]);
        let is_perfect = world.quality.lost_per_mille == 0;
        let step_max = if is_perfect { 1 } else { 20 };
        assert!((1..=step_max).contains(&(after.sequence - before.sequence)), "{before:?} {after:?}");
        assert!(after.marker || !is_perfect, "the first packet after the switch arrived: {after:?}");
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        assert!((1..48_000).contains(&ticks), "{before:?} {after:?}");
    });
}

#[test]
fn who_comes_back_does_not_take_a_supervisor_who_moved_on() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.run_ms(1000);
        world.join(paul, "tom");
        world.run_ms(2000);
        let stopped = world.browsers[paul].messages_of("listening_stopped").last().unwrap();
        assert_eq!((stopped["commercial_id"].as_str(), stopped["cause"].as_str()), (Some("lea"), Some("switched")));
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, tom, 2000, 80);
        assert_eq!(world.browsers[lea].messages_of("listener_joined").count(), 1);
    });
}

#[test]
fn a_pause_silences_at_once_whatever_the_page_sends() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.run_ms(300);
        assert!(world.browsers[lea].has("streaming_paused"));
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "lea");
        // The microphone goes on sending, and even a new session changes nothing.
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        for who in [paul, ana] {
            assert!(hears_nothing(world, who, 5000), "law 2");
            assert_eq!(world.browsers[who].messages_of("listening_pending").last().unwrap()["cause"], "paused");
        }
        world.browsers[lea].say("resume_streaming", serde_json::json!({}));
        world.run_ms(3000);
        assert!(world.browsers[lea].has("streaming_resumed"));
        for who in [paul, ana] {
            assert_hears(world, who, lea, 2000, 80);
        }
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.run_ms(1000);
        assert_eq!(world.browsers[lea].messages_of("error").last().unwrap()["code"], "not_on_air");
    });
}

#[test]
fn levels_come_without_audio_and_only_to_who_may_hear() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        world.browsers[tom].level = -50;
        let paul = world.open(Role::Admin, "paul");
        let token = world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new(["tom"])));
        let ana = world.open_with("ana", &token);
        world.settle();
        let last = world.browsers[paul].messages_of("levels").last().unwrap();
        assert_eq!(*last, serde_json::json!({ "lea": -30, "tom": -50 }));
        let last = world.browsers[ana].messages_of("levels").last().unwrap();
        assert_eq!(*last, serde_json::json!({ "tom": -50 }), "law 3");
        let before = world.browsers[paul].messages_of("levels").count();
        world.run_ms(2000);
        let told = world.browsers[paul].messages_of("levels").count() - before;
        assert!((9..=11).contains(&told), "{told}");
        assert_eq!(world.server.stats().packets_forwarded, 0);
        world.browsers[lea].say("pause_streaming", serde_json::json!({}));
        world.unplug(tom);
        world.run_ms(1000);
        let last = world.browsers[paul].messages_of("levels").last().unwrap();
        assert_eq!(*last, serde_json::json!({ "lea": -127, "tom": -127 }));
        world.browsers[lea].say("stop_streaming", serde_json::json!({}));
        world.run_ms(60_000);
        assert_eq!(*world.browsers[paul].messages_of("levels").last().unwrap(), serde_json::json!({}));
        let before = world.browsers[paul].messages_of("levels").count();
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].messages_of("levels").count(), before, "nobody is on air");
    });
}

#[test]
fn a_page_that_does_not_acknowledge_is_not_heard() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.browsers[lea].manners = Manners::Ignores;
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(5000);
        assert!(world.browsers[lea].has("listener_joined"));
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
        assert_eq!(world.server.stats().packets_forwarded, 0, "law 1");
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "ack_late");
        // A notice that was never given does not help, nor does another person's page.
        world.browsers[lea].say("listener_ack", serde_json::json!({ "notice_id": 999_999 }));
        let tom = world.publisher("tom");
        world.settle();
        let notice_id = world.browsers[lea].messages_of("listener_joined").last().unwrap()["notice_id"].clone();
        world.browsers[tom].say("listener_ack", serde_json::json!({ "notice_id": notice_id }));
        world.run_ms(1000);
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
    });
}

#[test]
fn a_silent_page_takes_its_acknowledgements_along() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.mute_stream(lea);
        world.run_ms(15_000);
        assert!(hears_nothing(world, paul, 2000), "the page is silent, its microphone is not");
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "ack_late");
        world.unmute_stream(lea);
        world.browsers[lea].say("ping", serde_json::json!({ "t": 1 }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(world.browsers[lea].messages_of("listener_joined").count(), 2);
    });
}

#[test]
fn three_publishers_and_fifty_listeners() {
    for seed in &SEEDS[..2] {
        let mut world = World::new(*seed, Quality::MOBILE);
        let publishers: Vec<usize> = ["lea", "tom", "zoe"].map(|id| world.publisher(id)).to_vec();
        let listeners: Vec<usize> = (0..50).map(|n| world.listener(&format!("admin{n}"))).collect();
        world.settle();
        for (n, &listener) in listeners.iter().enumerate() {
            world.join(listener, ["lea", "tom", "zoe"][n % 3]);
        }
        world.run_ms(3000);
        for (n, &listener) in listeners.iter().enumerate() {
            assert_hears(&world, listener, publishers[n % 3], 2000, 80);
            let others =
                world.browsers[listener].heard.iter().filter(|h| usize::from(h.source) != publishers[n % 3]);
            assert_eq!(others.count(), 0);
        }
        world.end();
    }
}

#[test]
fn a_listener_that_vanishes_is_gone_within_20_s() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        let ana = world.listener("ana");
        world.settle();
        world.join(paul, "lea");
        world.join(ana, "lea");
        let marc = world.open(Role::Admin, "marc");
        world.run_ms(2000);
        world.unplug(paul);
        world.run_ms(20_000);
        let left = world.browsers[lea].messages_of("listener_left").last().unwrap();
        assert_eq!(left["admin"]["id"], "paul");
        assert_eq!(left["listeners_count"], 1);
        for who in [ana, marc] {
            let told = world.browsers[who].messages_of("commercial_updated").last().unwrap();
            let left = serde_json::json!([{ "id": "ana", "name": "ana X." }]);
            assert_eq!((&told["listeners_count"], &told["listeners"]), (&1.into(), &left));
        }
        world.plug(paul);
        world.run_ms(2000);
        let stopped = world.browsers[paul].messages_of("listening_stopped").last().unwrap();
        assert_eq!(stopped["cause"], "connection_lost", "also who vanished, once it is back");
        assert_hears(world, ana, lea, 1000, 80);
    });
}

#[test]
fn a_publisher_that_vanishes_goes_off_air_and_wishes_stay() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        world.unplug(lea);
        world.run_ms(60_000);
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "offline");
        let again = world.publisher("lea");
        world.settle();
        assert_hears(world, paul, again, 1000, 80);
    });
}

#[test]
fn a_token_that_expires_ends_its_media() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let exp = 1_800_000_000 + 25;
        let token = world.token(Role::Admin, "paul", |claims| claims.exp = exp);
        let paul = world.open_with("paul", &token);
        let now = world.now;
        world.browsers[paul].open_audio(now);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(3000);
        assert_hears(world, paul, lea, 1000, 80);
        world.run_ms(24_000 - world.elapsed_ms());
        assert_hears(world, paul, lea, 1000, 80);
        world.run_ms(3000);
        assert_eq!(world.browsers[paul].closed, Some(4401));
        assert!(hears_nothing(world, paul, 1000), "law 3");
        assert!(world.browsers[lea].has("listener_left"));
    });
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let exp = 1_800_000_000 + 90;
        let token = world.token(Role::Admin, "paul", |claims| claims.exp = exp);
        let paul = world.open_with("paul", &token);
        let now = world.now;
        world.browsers[paul].open_audio(now);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(29_000 - world.elapsed_ms());
        assert!(!world.browsers[paul].has("token_expiring"));
        world.run_ms(3000);
        let warnings: Vec<_> = world.browsers[paul].messages_of("token_expiring").collect();
        assert_eq!(warnings.len(), 1);
        assert!((55..=60).contains(&warnings[0]["in_s"].as_u64().unwrap()));
        // Another person's token does not help; a later one of the same person does, and may allow less.
        let later = world.token(Role::Admin, "paul", |claims| claims.exp = exp + 600);
        world.browsers[paul].say("register_user", serde_json::json!({ "token": later, "page": "page-1" }));
        world.run_ms(90_000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(world.browsers[paul].messages_of("user_registered").count(), 2);
        let narrow = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
        world.browsers[paul].say("register_user", serde_json::json!({ "token": narrow, "page": "page-1" }));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 3");
        let other = world.token(Role::Admin, "ana", |_| {});
        world.browsers[paul].say("register_user", serde_json::json!({ "token": other, "page": "page-1" }));
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].closed, Some(4403));
    });
}

#[test]
fn a_jump_of_the_clock_ends_tokens_and_not_media() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        let token = world.token(Role::Admin, "ana", |claims| claims.exp += 7200);
        let ana = world.open_with("ana", &token);
        let now = world.now;
        world.browsers[ana].open_audio(now);
        let token = world.token(Role::Commercial, "tom", |claims| claims.exp += 7200);
        let tom = world.open_with("tom", &token);
        let now = world.now;
        world.browsers[tom].start_streaming(now);
        world.settle();
        world.join(paul, "lea");
        world.join(ana, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.jump_clock_s(3600);
        world.run_ms(2000);
        assert_eq!((world.browsers[paul].closed, world.browsers[lea].closed), (Some(4401), Some(4401)));
        assert_hears(world, ana, tom, 1500, 80);
        world.jump_clock_s(-7200);
        world.run_ms(2000);
        assert_hears(world, ana, tom, 1500, 80);
    });
}

#[test]
fn who_is_out_of_scope_is_neither_seen_nor_heard() {
    scenario(|world| {
        let _lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let token = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
        let paul = world.open_with("paul", &token);
        let now = world.now;
        world.browsers[paul].open_audio(now);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].messages_of("error").last().unwrap()["code"], "not_allowed");
        world.join(paul, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, tom, 1000, 80);
        let mut told = world.browsers[paul].messages.iter().filter(|message| message["event"] != "error");
        assert!(!told.any(|message| message.to_string().contains("lea")), "law 3");
    });
}

#[test]
fn wishes_have_a_bound_and_leave_no_trace() {
    scenario(|world| {
        let paul = world.listener("paul");
        world.settle();
        let wishes_max = world.limits.wishes_per_conn_max;
        for n in 0..wishes_max + 3 {
            world.join(paul, &format!("nobody{n}"));
        }
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].messages_of("listening_pending").count(), wishes_max);
        let refused: Vec<_> = world.browsers[paul].messages_of("error").map(|error| &error["code"]).collect();
        assert_eq!(refused, ["too_many"; 3]);
        assert_eq!(world.server.table_sizes().broadcasts, wishes_max);
        let ana = world.open(Role::Admin, "ana");
        world.run_ms(1000);
        let listed = world.browsers[ana].messages_of("available_streams").next().unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 0, "who was never seen is no news to others");
    });
}

#[test]
fn every_refused_wish_is_written_down() {
    scenario(|world| {
        let tom = world.open(Role::Commercial, "tom");
        let token = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["zoe"])));
        let paul = world.open_with("paul", &token);
        world.run_ms(1000);
        world.join(tom, "lea");
        world.join(paul, "lea");
        world.join(paul, "zoe");
        world.join(paul, "no id");
        world.run_ms(1000);
        assert_eq!(world.browsers[tom].closed, Some(4403));
        let refused = world.audit.iter().filter(|entry| entry.event == AuditEvent::ListenRefused);
        let refused: Vec<_> = refused
            .map(|entry| (entry.actor.as_str(), entry.commercial_id.as_str(), entry.detail.as_str()))
            .collect();
        let out_of_scope = "your token does not allow to listen to them";
        let want = [
            ("tom", "lea", "not with this role"),
            ("paul", "lea", out_of_scope),
            ("paul", "zoe", "send open_audio first"),
            ("paul", "", out_of_scope),
        ];
        assert_eq!(refused, want);
    });
}

#[test]
fn a_reason_that_nobody_would_understand_is_refused_and_ends_nothing() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        for reason in ["training", "autre: ", "autre: \n", ""] {
            let wish = serde_json::json!({ "commercial_id": "tom", "reason": reason });
            world.browsers[paul].say("join_commercial_stream", wish);
            world.run_ms(500);
            let error = world.browsers[paul].messages_of("error").last().unwrap();
            assert_eq!(
                (&error["code"], &error["commercial_id"]),
                (&"bad_reason".into(), &"tom".into()),
                "{reason:?}"
            );
        }
        assert_eq!(world.audit.last().unwrap().event, AuditEvent::ListenRefused);
        assert_eq!(world.browsers[paul].closed, None);
        assert!(!world.browsers[tom].has("listener_joined"));
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn another_page_takes_over_only_when_asked() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let other = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        assert_eq!(world.browsers[other].messages_of("error").last().unwrap()["code"], "already_open");
        assert_eq!(world.browsers[other].messages_of("error").last().unwrap()["state"], "on_air");
        assert_eq!(world.browsers[lea].closed, None);
        let token = world.token(Role::Commercial, "lea", |_| {});
        let takeover = serde_json::json!({ "token": token, "page": "other", "takeover": true });
        world.browsers[other].say("register_user", takeover);
        world.run_ms(1000);
        assert!(world.browsers[other].has("user_registered"));
        assert_eq!(world.browsers[lea].closed, Some(4409));
    });
}

#[test]
fn a_drain_tells_everybody_and_ends() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        world.drain();
        world.run_ms(3000);
        assert!(world.server.is_drained());
        for who in [lea, paul] {
            assert!(world.browsers[who].has("server_draining"));
            assert_eq!(world.browsers[who].closed, Some(1012));
        }
        assert!(!world.browsers[paul].has("listening_stopped"), "the wish outlives the restart");
        assert_eq!(world.audit.last().unwrap().detail, "conn closed");
    });
}
