//! Wishes to hear somebody: when they come true, whom they let hear, what refuses and what ends them.

use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::json;
use stage::browser::Manners;
use stage::link::Quality;
use stage::scenario::{SEEDS, assert_hears, count, heard, hears_nothing, last, listener_with, scenario};
use stage::world::{Who, World};

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
        assert_eq!(last(world, paul, "listening_pending")["cause"], "offline");
        let lea = world.open(Role::Commercial, "lea");
        world.run_ms(1000);
        assert_eq!(last(world, paul, "listening_pending")["cause"], "off_air");
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
        let stopped = last(world, paul, "listening_stopped");
        assert_eq!((stopped["commercial_id"].as_str(), stopped["cause"].as_str()), (Some("lea"), Some("switched")));
        assert!(world.browsers[lea].has("listener_left"));
        assert_eq!(count(world, paul, "audio_ready"), 1);
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
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        assert_hears(world, paul, tom, 2000, 80);
        assert_eq!(count(world, lea, "listener_joined"), 1);
        // Nor is she forgotten.
        assert_eq!(count(world, paul, "listening_stopped"), 0);
        assert_eq!(held_back(world, paul), "lea");
    });
}

/// Returns who goes on waiting because somebody else is heard.
fn held_back(world: &World, admin: Who) -> String {
    let pending = last(world, admin, "listening_pending");
    assert_eq!(pending["cause"], "hearing_another");
    pending["commercial_id"].as_str().unwrap().to_owned()
}

/// Returns a world in which somebody hears Léa, and Tom, who was wished for, has come on air.
fn heard_and_wished(world: &mut World) -> [Who; 3] {
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    world.join(paul, "tom");
    world.run_ms(2000);
    let tom = world.publisher("tom");
    world.run_ms(3000);
    assert_hears(world, paul, lea, 1000, 80);
    assert_eq!(held_back(world, paul), "tom");
    assert!(!world.browsers[tom].has("listener_joined"), "nobody is told of who does not listen");
    [lea, tom, paul]
}

#[test]
fn who_comes_on_air_takes_nobody_away_and_is_heard_when_asked_for_again() {
    scenario(|world| {
        let [lea, tom, paul] = heard_and_wished(world);
        world.join(paul, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, tom, 1000, 80);
        let stopped = last(world, paul, "listening_stopped");
        assert_eq!((stopped["commercial_id"].as_str(), stopped["cause"].as_str()), (Some("lea"), Some("switched")));
        assert!(world.browsers[lea].has("listener_left"));
    });
}

#[test]
fn what_was_held_back_goes_on_once_the_other_ends() {
    for is_left in [true, false] {
        scenario(|world| {
            let [lea, tom, paul] = heard_and_wished(world);
            match is_left {
                true => world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" })),
                false => world.browsers[lea].say("stop_streaming", json!({})),
            }
            world.run_ms(2000);
            assert_hears(world, paul, tom, 1000, 80);
            if is_left {
                return;
            }
            // Now it is she who waits, and is forgotten as little.
            let now = world.now;
            world.browsers[lea].start_streaming(now);
            world.settle();
            assert_hears(world, paul, tom, 1000, 80);
            assert_eq!(held_back(world, paul), "lea");
            world.browsers[tom].say("stop_streaming", json!({}));
            world.run_ms(2000);
            assert_hears(world, paul, lea, 1000, 80);
            assert_eq!(count(world, paul, "listening_stopped"), 0);
        });
    }
}

#[test]
fn a_pause_is_no_end_of_what_is_heard() {
    scenario(|world| {
        let [lea, tom, paul] = heard_and_wished(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(3000);
        assert!(hears_nothing(world, paul, 500));
        assert!(!world.browsers[tom].has("listener_joined"));
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn who_pauses_while_held_back_goes_on_after_the_pause() {
    scenario(|world| {
        let [_, tom, paul] = heard_and_wished(world);
        world.browsers[tom].say("pause_streaming", json!({}));
        world.run_ms(500);
        world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        world.run_ms(500);
        assert_eq!(last(world, paul, "listening_pending")["cause"], "paused");
        world.browsers[tom].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, tom, 1000, 80);
    });
}

/// A phone that is looked at late takes nobody away who is heard by then, and keeps nobody waiting until then.
#[test]
fn who_acknowledges_late_takes_nobody_away() {
    for is_asked_for_on_air in [false, true] {
        scenario(|world| {
            let tom = world.open(Role::Commercial, "tom");
            world.browsers[tom].manners = Manners::Hides;
            let paul = world.listener("paul");
            world.settle();
            let now = world.now;
            if is_asked_for_on_air {
                world.browsers[tom].start_streaming(now);
                world.settle();
            }
            world.join(paul, "tom");
            world.join(paul, "lea");
            world.run_ms(500);
            if !is_asked_for_on_air {
                let now = world.now;
                world.browsers[tom].start_streaming(now);
            }
            world.run_ms(3000);
            let lea = world.publisher("lea");
            world.run_ms(3000);
            assert_hears(world, paul, lea, 1000, 80);
            let notice_id = last(world, tom, "listener_joined")["notice_id"].clone();
            world.browsers[tom].say("listener_ack", json!({ "notice_id": notice_id }));
            world.run_ms(2000);
            assert_hears(world, paul, lea, 1000, 80);
            assert_eq!(held_back(world, paul), "tom");
            assert!(world.browsers[tom].has("listener_left"), "he does not listen to Tom");
            assert_eq!(count(world, paul, "listening_stopped"), 0);
            world.browsers[tom].manners = Manners::Acknowledges;
            world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
            world.run_ms(2000);
            assert_hears(world, paul, tom, 1000, 80);
        });
    }
}

#[test]
fn of_two_who_come_on_air_at_once_one_is_heard_and_the_other_waits() {
    scenario(|world| {
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.join(paul, "tom");
        world.run_ms(500);
        let tom = world.publisher("tom");
        let lea = world.publisher("lea");
        world.run_ms(4000);
        let (first, second) = match held_back(world, paul).as_str() {
            "tom" => (lea, tom),
            _ => (tom, lea),
        };
        assert_hears(world, paul, first, 1000, 80);
        assert!(!world.browsers[second].has("listener_joined"));
        assert_eq!(count(world, paul, "listening_stopped"), 0);
    });
}

#[test]
fn a_page_that_comes_back_may_ask_for_one_who_waits() {
    scenario(|world| {
        let (lea, tom) = (world.publisher("lea"), world.publisher("tom"));
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.browsers[paul].say("join_commercial_stream", json!({ "commercial_id": "tom", "waits": true }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(held_back(world, paul), "tom");
        assert!(!world.browsers[tom].has("listener_joined"));
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
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
        // A notice that was never given does not help, nor does another person's page.
        world.browsers[lea].say("listener_ack", serde_json::json!({ "notice_id": 999_999 }));
        let tom = world.publisher("tom");
        world.settle();
        let notice_id = last(world, lea, "listener_joined")["notice_id"].clone();
        world.browsers[tom].say("listener_ack", serde_json::json!({ "notice_id": notice_id }));
        world.run_ms(1000);
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
    });
}

#[test]
fn who_opens_a_second_page_and_who_comes_back_is_acknowledged_anew() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        // The phone shows nothing any more.
        world.browsers[lea].manners = Manners::Ignores;
        let second = world.listener("paul");
        world.settle();
        world.join(second, "lea");
        world.run_ms(2000);
        assert!(hears_nothing(world, second, 2000), "law 1");
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        world.run_ms(500);
        world.join(paul, "lea");
        world.run_ms(2000);
        assert!(hears_nothing(world, paul, 1500), "law 1");
    });
}

#[test]
fn a_silent_page_takes_its_acknowledgements_along() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.mute_stream(lea);
        world.run_ms(15_000);
        assert!(hears_nothing(world, paul, 2000), "the page is silent, its microphone is not");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
        world.unmute_stream(lea);
        world.browsers[lea].say("ping", serde_json::json!({ "t": 1 }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), 2);
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
        let left = last(world, lea, "listener_left");
        assert_eq!(left["admin"]["id"], "paul");
        assert_eq!(left["listeners_count"], 1);
        for who in [ana, marc] {
            let told = last(world, who, "commercial_updated");
            let left = serde_json::json!([{ "id": "ana", "name": "ana X." }]);
            assert_eq!((&told["listeners_count"], &told["listeners"]), (&1.into(), &left));
        }
        world.plug(paul);
        world.run_ms(2000);
        let stopped = last(world, paul, "listening_stopped");
        assert_eq!(stopped["cause"], "connection_lost", "also who vanished, once it is back");
        assert_hears(world, ana, lea, 1000, 80);
    });
}

#[test]
fn who_is_out_of_scope_is_neither_seen_nor_heard() {
    scenario(|world| {
        // Of devices all are told.
        world.take_devices(b"[]");
        let _lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = listener_with(world, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
        world.settle();
        world.join(paul, "lea");
        world.run_ms(1000);
        assert_eq!(last(world, paul, "error")["code"], "not_allowed");
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
        let wishes_max = world.limits.listening.wishes_per_conn_max;
        for n in 0..wishes_max + 3 {
            world.join(paul, &format!("nobody{n}"));
        }
        world.run_ms(1000);
        assert_eq!(count(world, paul, "listening_pending"), wishes_max);
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
        let refused = world.audit.iter().filter(|entry| entry.event.name() == "listen_refused");
        let refused: Vec<_> =
            refused.map(|entry| (entry.event.actor(), entry.event.commercial_id(), entry.event.detail())).collect();
        let out_of_scope = "not with this token";
        let want = [
            ("tom", "lea", "not with this role"),
            ("paul", "lea", out_of_scope),
            ("paul", "zoe", "no audio connection"),
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
            let error = last(world, paul, "error");
            assert_eq!(
                (&error["code"], &error["commercial_id"]),
                (&"bad_reason".into(), &"tom".into()),
                "{reason:?}"
            );
        }
        assert_eq!(world.audit.last().unwrap().event.name(), "listen_refused");
        assert_eq!(world.browsers[paul].closed, None);
        assert!(!world.browsers[tom].has("listener_joined"));
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_supervisor_has_eight_pages_and_each_is_a_listener() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let ana = world.open(Role::Admin, "ana");
        let pages: Vec<Who> = (0..8).map(|_| world.listener("paul")).collect();
        world.settle();
        let ninth = world.listener("paul");
        world.run_ms(1000);
        assert_eq!(world.browsers[ninth].closed, Some(4429));
        assert_eq!(
            (&last(world, ninth, "error")["code"], &last(world, ninth, "error")["retry_after_s"]),
            (&json!("too_many"), &json!(10))
        );
        for (n, &page) in pages.iter().enumerate() {
            world.join(page, if n < 5 { "lea" } else { "tom" });
        }
        world.run_ms(3000);
        for (n, &page) in pages.iter().enumerate() {
            assert_eq!(world.browsers[page].closed, None);
            assert_hears(world, page, if n < 5 { lea } else { tom }, 1000, 80);
        }
        assert_eq!(count(world, lea, "listener_joined"), 5);
        assert_eq!(last(world, lea, "listener_joined")["listeners_count"], 5);
        let of_lea = world.browsers[ana].messages_of("commercial_updated").filter(|c| c["commercial_id"] == "lea");
        assert_eq!(of_lea.last().unwrap()["listeners_count"], 5, "connections, not people");
        // The same page in a new connection is no ninth one.
        let token = world.token(Role::Admin, "paul", |_| {});
        world.connect(pages[0], &token);
        world.run_ms(1000);
        assert_eq!((world.browsers[pages[0]].closed, count(world, pages[0], "user_registered")), (None, 2));
        assert_eq!(count(world, lea, "listener_left"), 1, "the older connection and what it heard are gone");
        assert_hears(world, pages[1], lea, 1000, 80);
        world.close(pages[7]);
        world.run_ms(1000);
        let again = world.open(Role::Admin, "paul");
        world.run_ms(1000);
        assert!(world.browsers[again].has("user_registered"), "one has gone");
    });
}

#[test]
fn a_supervisor_who_may_hear_less_is_told_what_ended_and_why() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let narrow = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
        world.browsers[paul].say("register_user", json!({ "token": narrow, "page": "page-1" }));
        world.run_ms(1000);
        let stopped = last(world, paul, "listening_stopped");
        assert_eq!((&stopped["commercial_id"], &stopped["cause"]), (&json!("lea"), &json!("not_allowed")));
        assert!(hears_nothing(world, paul, 500), "law 3");
        assert_eq!(last(world, lea, "listener_left")["admin"]["id"], "paul");
        let entry = world.audit.iter().rfind(|entry| entry.event.name() == "listen_ended").unwrap();
        assert_eq!(entry.event.detail(), "not allowed any more");
        world.join(paul, "lea");
        world.run_ms(500);
        assert_eq!(last(world, paul, "error")["code"], "not_allowed");
    });
}
