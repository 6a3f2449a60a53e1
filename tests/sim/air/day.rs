//! What happens on a working day: tunnels, calls, locked phones, restarts, and pages that come back.

use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::{Value, json};
use stage::link::Quality;
use stage::scenario::{SEEDS, assert_hears, count, heard, hears_nothing, last, publisher_with, scenario};
use stage::world::{Who, World};

#[test]
fn a_page_that_reconnects_keeps_its_broadcast() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.drop_stream(lea);
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 1: nobody looks at the page");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "interrupted");
        assert_eq!(last(world, paul, "commercial_updated")["state"], "interrupted");
        world.connect(lea, &token);
        world.run_ms(1000);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "on_air");
        assert_eq!(count(world, lea, "listener_joined"), 2, "announced anew");
        assert_eq!(count(world, lea, "streaming_started"), 1, "the session is the same");
        assert_hears(world, paul, lea, 500, 70);
        world.run_ms(25_000);
        let stopped = world.audit.iter().any(|entry| entry.event.name() == "broadcast_stopped");
        assert!(!stopped, "off air meanwhile, or as if the page were still away");
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_reconnection_replaces_a_connection_that_nobody_saw_die() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(1500);
        assert_eq!(world.browsers[lea].closed, None);
        assert!(!world.browsers[lea].has("error"));
        assert_hears(world, paul, lea, 500, 70);
        assert_eq!(count(world, lea, "streaming_started"), 1);
    });
}

#[test]
fn a_pause_outlives_the_connection() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(500);
        world.drop_stream(lea);
        world.run_ms(1000);
        world.connect(lea, &token);
        world.run_ms(2000);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "paused");
        assert!(hears_nothing(world, paul, 2000), "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(1000);
        assert_hears(world, paul, lea, 500, 70);
    });
}

#[test]
fn another_page_begins_anew() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.close(lea);
        world.run_ms(1000);
        let again = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        assert_eq!(last(world, again, "commercial_updated")["state"], "online", "it has no microphone yet");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "off_air");
        let now = world.now;
        world.browsers[again].start_streaming(now);
        world.settle();
        assert_hears(world, paul, again, 1000, 80);
    });
}

#[test]
fn a_page_that_stays_away_is_off_air_after_20_s() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.drop_stream(lea);
        world.run_ms(19_000);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "interrupted");
        world.run_ms(2000);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "offline");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "offline");
        assert_eq!(world.server.table_sizes().peers, 1, "the microphone's session is closed");
    });
}

#[test]
fn a_drain_does_not_wait_for_a_page_that_is_away() {
    scenario(|world| {
        let (lea, _) = heard(world);
        world.drop_stream(lea);
        world.run_ms(1000);
        world.drain();
        world.run_ms(3000);
        assert!(world.server.is_drained());
    });
}

#[test]
fn an_access_that_expires_ends_the_broadcast_at_once() {
    scenario(|world| {
        // Later than anybody settles.
        let exp = 1_800_000_000 + 40;
        let lea = publisher_with(world, "lea", |claims| claims.exp = exp);
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(39_000 - world.elapsed_ms());
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air");
        world.run_ms(2000);
        assert_eq!(world.browsers[lea].closed, Some(4401));
        assert_eq!(last(world, paul, "commercial_updated")["state"], "offline");
        assert_eq!(world.server.table_sizes().peers, 1, "the microphone's session is closed");
    });
}

#[test]
fn a_tunnel_interrupts_and_ends_by_itself() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.unplug(lea);
        world.run_ms(2500);
        let updated = last(world, paul, "commercial_updated");
        assert_eq!((&updated["state"], &updated["interrupted_by"]), (&json!("interrupted"), &json!("network")));
        assert_eq!(last(world, paul, "listening_pending")["cause"], "interrupted");
        world.run_ms(2500);
        world.plug(lea);
        world.run_ms(1000);
        assert_hears(world, paul, lea, 500, 70);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air");
        assert_eq!(count(world, lea, "listener_joined"), 1, "the page never went away");
    });
}

#[test]
fn a_publisher_that_vanishes_is_interrupted_and_then_off_air() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.unplug(lea);
        world.run_ms(1500);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air");
        world.run_ms(1000);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "interrupted");
        world.run_ms(17_000);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "interrupted");
        world.run_ms(1500);
        let updated = last(world, paul, "commercial_updated");
        assert_eq!((&updated["state"], &updated["is_streaming"]), (&json!("online"), &json!(false)));
        assert_eq!(last(world, paul, "listening_pending")["cause"], "off_air");
    });
}

#[test]
fn a_call_is_silence_until_the_page_says_that_it_is_over() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.browsers[lea].say("stream_interrupted", json!({ "cause": "call" }));
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 2500), "the muted microphone goes on sending");
        let updated = last(world, paul, "commercial_updated");
        assert_eq!((&updated["state"], &updated["interrupted_by"]), (&json!("interrupted"), &json!("call")));
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(1000);
        assert_hears(world, paul, lea, 500, 70);
        assert_eq!(last(world, paul, "commercial_updated")["interrupted_by"], Value::Null);
    });
}

#[test]
fn ice_restarts_on_both_sides_without_a_gap() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let percent = if world.quality.lost_per_mille == 0 { 99 } else { 85 };
        for who in [lea, paul] {
            world.browsers[who].restart_ice();
            world.run_ms(3000);
            assert_eq!(count(world, who, "ice_restarted"), 1);
            assert!(!world.browsers[who].has("error"), "{:?}", last(world, who, "error"));
            assert_hears(world, paul, lea, 2900, percent);
        }
        assert_eq!(count(world, lea, "listener_joined"), 1);
        let answers: Vec<&str> = ["streaming_started", "ice_restarted"]
            .map(|event| last(world, lea, event)["sdp"].as_str().unwrap())
            .to_vec();
        let ufrag = |sdp: &str| sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned();
        let [before, after] = [ufrag(answers[0]), ufrag(answers[1])];
        assert_ne!(before, after);
        assert_eq!(before[..16], after[..16], "both name the session");
    });
}

#[test]
fn ice_restarts_from_another_network() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for (n, who) in [lea, paul].into_iter().enumerate() {
            world.unplug(who);
            world.run_ms(4000);
            world.plug(who);
            world.browsers[who].external = ([198, 18, 7, n as u8 + 1], 4242).into();
            world.browsers[who].restart_ice();
            world.run_ms(2000);
            assert_hears(world, paul, lea, 1000, 80);
        }
    });
}

#[test]
#[allow(clippy::disallowed_macros, reason = "figures to be quoted")]
fn audio_goes_on_within_a_second_of_the_first_check_from_a_new_address() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for (n, who) in [lea, paul].into_iter().enumerate() {
            let address = ([198, 18, 8, n as u8 + 1], 4242).into();
            world.browsers[who].external = address;
            world.run_ms(10_000);
            let checked = world.first_check[&address];
            let second = checked..checked + Duration::from_secs(1);
            let heard = world.browsers[paul].heard.iter().filter(|heard| second.contains(&heard.at)).count();
            assert!(heard >= 25, "{heard} packets in the first second");
            let moved = world.browsers[paul].heard.iter().find(|heard| heard.at >= checked).unwrap();
            let side = if who == lea { "speaks" } else { "listens" };
            println!("moved who {side}: sound {} ms after the first check", (moved.at - checked).as_millis());
        }
    });
}

#[test]
fn a_restart_that_is_none_changes_nothing() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let mut offer = world.browsers[lea].restart_offer().unwrap();
        let fingerprint = offer.lines().find(|line| line.starts_with("a=fingerprint:")).unwrap().to_owned();
        let other = fingerprint.replace(['A', '1', '0'], "B");
        offer = offer.replace(&fingerprint, &other);
        for sdp in [offer.as_str(), "", "v=0\r\n"] {
            world.browsers[lea].say("restart_ice", json!({ "sdp": sdp }));
            world.run_ms(1000);
            assert_eq!(last(world, lea, "error")["code"], "offer_refused");
            assert_hears(world, paul, lea, 900, 80);
        }
        let nobody = world.open(Role::Admin, "ana");
        world.browsers[nobody].say("restart_ice", json!({ "sdp": offer }));
        world.run_ms(1000);
        assert_eq!(last(world, nobody, "error")["code"], "no_such_peer");
    });
}

#[test]
fn positions_reach_who_may_know_and_only_on_air() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let token = world.token(Role::Admin, "ana", |claims| claims.listen = Some(Scope::new(["tom"])));
        let ana = world.open_with("ana", &token);
        world.run_ms(1000);
        let place = |lat: f64| json!({ "lat": lat, "lon": 2.35, "accuracy_m": 12.5, "at": 1_800_000_000_000u64 });
        world.browsers[lea].say("gps_update", place(48.85));
        world.run_ms(500);
        let told = last(world, paul, "commercial_position");
        let want = json!({ "commercial_id": "lea", "lat": 48.85, "lon": 2.35, "accuracy_m": 12.5, "at": 1_800_000_000_000u64 });
        assert_eq!(*told, want);
        world.browsers[lea].say("gps_update", place(1.0));
        let late = world.open(Role::Admin, "marc");
        world.run_ms(1000);
        assert_eq!(last(world, late, "commercial_position")["lat"], 48.85, "too early: not relayed");
        world.browsers[lea].say("pause_streaming", json!({}));
        world.browsers[lea].say("gps_update", place(2.0));
        world.run_ms(1000);
        let later = world.open(Role::Admin, "nina");
        world.run_ms(1000);
        assert!(!world.browsers[later].has("commercial_position"), "a pause hides the place");
        world.browsers[lea].say("stop_streaming", json!({}));
        world.browsers[lea].say("gps_update", place(3.0));
        world.run_ms(1000);
        assert_eq!(count(world, paul, "commercial_position"), 1);
        assert!(!world.browsers[ana].has("commercial_position"), "law 3: out of scope");
    });
}

/// A phone without a satellite, a page of another version, a backend of another language.
#[test]
fn an_odd_value_is_an_error_and_ends_nothing() {
    let odd_of_lea = [
        ("gps_update", json!({ "lat": null, "lon": null, "accuracy_m": null, "at": 1_800_000_000_000u64 })),
        ("gps_update", json!({ "lat": 48.85, "lon": 2.35, "accuracy_m": 1e300, "at": 1 })),
        ("gps_update", json!({ "lat": "48.85", "lon": "2.35", "accuracy_m": 3, "at": 1 })),
        ("stream_interrupted", json!({ "cause": "elevator" })),
        ("listener_hidden", json!({ "notice_id": "1" })),
        ("ping", json!({ "t": "now" })),
        ("battery_update", json!({ "percent": 4 })),
    ];
    let odd_of_paul = [
        ("join_commercial_stream", json!({ "id": "lea" })),
        ("join_commercial_stream", json!({ "commercial_id": 7 })),
        ("leave_commercial_stream", json!({})),
        ("open_audio", json!({ "sdp": { "type": "offer" } })),
        ("restart_ice", json!({})),
    ];
    scenario(|world| {
        let (lea, paul) = heard(world);
        for (who, odd) in [(lea, &odd_of_lea[..]), (paul, &odd_of_paul[..])] {
            for (n, (event, data)) in odd.iter().enumerate() {
                world.browsers[who].say(event, data.clone());
                world.run_ms(500);
                assert_eq!(world.browsers[who].closed, None, "{event} {data}");
                assert_eq!(count(world, who, "error"), n + 1, "{event} {data}");
                let error = last(world, who, "error");
                assert_eq!(error["code"], "malformed", "{event} {data}");
            }
        }
        assert_eq!(count(world, paul, "listening_started"), 1);
        assert_eq!(count(world, paul, "listening_stopped") + count(world, paul, "listening_pending"), 1);
        let before = world.browsers[paul].heard.len();
        world.run_ms(1000);
        assert!(world.browsers[paul].heard.len() > before + 40);
        let malformed = (odd_of_lea.len() + odd_of_paul.len()) as u64;
        assert_eq!(world.server.stats().requests_malformed, malformed);
    });
}

#[test]
fn quality_says_what_the_network_does() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.open(Role::Admin, "ana");
        world.run_ms(20_000);
        let losses: Vec<f64> =
            world.browsers[paul].messages_of("stream_quality").map(|q| q["loss"].as_f64().unwrap()).collect();
        assert!((9..=12).contains(&losses.len()), "{}", losses.len());
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let quality = last(world, lea, "stream_quality");
        let is_mobile = world.quality.lost_per_mille > 0;
        if is_mobile {
            assert!((0.01..0.06).contains(&mean), "{mean}");
            assert!(quality["jitter_ms"].as_f64().unwrap() > 5.0, "{quality}");
            assert!((70..200).contains(&quality["rtt_ms"].as_u64().unwrap()), "{quality}");
        } else {
            assert_eq!(mean, 0.0);
            assert!(quality["jitter_ms"].as_f64().unwrap() < 1.0, "{quality}");
            assert_eq!(quality["rtt_ms"], 2);
        }
        assert!((28_000..33_000).contains(&quality["bitrate_bps"].as_u64().unwrap()), "{quality}");
        assert!(!world.browsers[ana].has("stream_quality"), "of no concern to who does not listen");
    });
}

#[test]
fn who_was_here_is_listed_until_everybody_has_gone() {
    scenario(|world| {
        let ana = world.open(Role::Admin, "ana");
        let lea = world.publisher("lea");
        world.run_ms(1000);
        world.close(lea);
        world.run_ms(30_000);
        let paul = world.open(Role::Admin, "paul");
        world.run_ms(1000);
        let list = last(world, paul, "available_streams").as_array().unwrap();
        assert_eq!((list.len(), &list[0]["state"], &list[0]["name"]), (1, &json!("offline"), &json!("lea X.")));
        assert!(list[0]["last_seen"].as_u64().unwrap() > 1_800_000_000_000);
        world.close(ana);
        world.close(paul);
        world.run_ms(1000);
        assert_eq!(world.server.table_sizes().broadcasts, 0, "law 5");
    });
}

#[test]
fn a_full_table_forgets_who_is_away_longest() {
    let mut world = World::new(1, Quality::PERFECT);
    let ana = world.open(Role::Admin, "ana");
    for n in 0..world.limits.listening.broadcasts_max {
        let who = world.open(Role::Commercial, &format!("c{n}"));
        world.run_ms(20);
        world.close(who);
    }
    world.run_ms(1000);
    assert_eq!(world.server.table_sizes().broadcasts, world.limits.listening.broadcasts_max);
    let new = world.open(Role::Commercial, "new");
    world.run_ms(1000);
    assert!(world.browsers[new].has("user_registered"));
    assert_eq!(world.server.table_sizes().broadcasts, world.limits.listening.broadcasts_max);
    assert_eq!(world.server.stats().tables_full, 0);
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(1000);
    let list = last(&world, paul, "available_streams").as_array().unwrap();
    let has = |id: &str| list.iter().any(|commercial| commercial["commercial_id"] == id);
    assert_eq!((has("c0"), has("c1"), has("new")), (false, true, true));
    world.close(ana);
    world.end();
}

#[test]
fn after_a_restart_the_wish_waits_for_who_comes_back_later() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.restart_server();
        world.run_ms(500);
        let now = world.now;
        let token = world.token(Role::Admin, "paul", |_| {});
        world.connect(paul, &token);
        world.browsers[paul].open_audio(now);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(1000);
        assert_eq!(last(world, paul, "listening_pending")["cause"], "offline");
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.browsers[lea].restart_ice();
        world.run_ms(1000);
        assert_eq!(last(world, lea, "error")["code"], "no_such_peer");
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, lea, 1000, 80);
    });
}

/// A phone with 150 ms there and back; the supervisor sits near the server.
#[test]
#[allow(clippy::disallowed_macros, reason = "figures to be quoted")]
fn sound_comes_soon_and_switches_without_a_hole() {
    const FAR: Quality = Quality { delay: Duration::from_millis(75), ..Quality::PERFECT };
    let mut clicks = Vec::new();
    let mut holes = Vec::new();
    for seed in SEEDS {
        let mut world = World::new(seed, FAR);
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        world.quality = Quality::PERFECT;
        let paul = world.listener("paul");
        world.settle();
        let clicked = world.now;
        world.join(paul, "lea");
        world.run_ms(2000);
        let first = world.browsers[paul].heard_of(lea as u16).next().unwrap().at;
        clicks.push((first - clicked).as_millis());
        world.join(paul, "tom");
        world.run_ms(2000);
        let last = world.browsers[paul].heard_of(lea as u16).last().unwrap().at;
        let first = world.browsers[paul].heard_of(tom as u16).next().unwrap().at;
        holes.push((first - last).as_millis());
        world.end();
    }
    println!("click to sound: {clicks:?} ms; silence at a switch: {holes:?} ms");
    // 200 ms of each are packets that the page may have sent before it told.
    assert!(clicks.iter().all(|&ms| ms <= 600), "click to sound: {clicks:?} ms");
    assert!(holes.iter().all(|&ms| ms <= 300), "silence at a switch: {holes:?} ms");
}

#[test]
fn a_ping_is_told_how_many_packets_came() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let marie = world.listener("marie");
        world.settle();
        let count_of = |world: &mut World, who: Who| {
            world.browsers[who].say("ping", json!({ "t": 7 }));
            world.run_ms(200);
            last(world, who, "pong")["media_packets"].as_u64()
        };
        assert_eq!(count_of(world, marie), None, "she hears nobody");
        for who in [lea, paul] {
            let before = count_of(world, who).unwrap();
            world.run_ms(800);
            let came = count_of(world, who).unwrap() - before;
            assert!((35..=55).contains(&came), "{came} packets in a second");
        }
        world.unplug(lea);
        world.run_ms(500);
        let before = count_of(world, paul).unwrap();
        world.run_ms(500);
        assert_eq!(count_of(world, paul), Some(before));
        world.plug(lea);
        world.run_ms(1000);
        assert!(count_of(world, paul) > Some(before));
        world.browsers[lea].say("stop_streaming", json!({}));
        world.run_ms(500);
        for who in [lea, paul] {
            assert_eq!(count_of(world, who), None, "off air");
        }
    });
}
