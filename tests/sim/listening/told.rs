//! What a salesperson was told before: neither a hidden page, nor somebody who holds back packets, nor another supervisor
//! who comes and goes changes that nothing is heard that was said untold.

use std::time::Duration;

use ecoute::audit::Event;
use ecoute::words::{Role, Told};
use serde_json::json;
use stage::browser::Manners;
use stage::link::Quality;
use stage::scenario::{assert_hears, count, error_codes, heard, hears_nothing, last, listener_with, scenario};
use stage::world::{Who, World};
use str0m::media::Direction;

/// From now on her packets come later and later, up to so much.
fn hold_back_more_and_more(world: &mut World, who: Who, ms_max: u64) {
    let begun_ms = world.browsers[who].held_back.as_millis() as u64;
    for ms in (begun_ms..ms_max).step_by(20) {
        world.browsers[who].held_back = Duration::from_millis(ms);
        world.run_ms(60);
    }
}

/// Whoever joins hears nothing that was made before it was told, and then all.
fn assert_hears_only_what_comes_later(world: &mut World, listener: Who, microphone: Who) {
    let made = world.browsers[microphone].made;
    world.join(listener, "lea");
    world.run_ms(3000);
    assert!(hears_nothing(world, listener, 2500), "what was said before is still on its way");
    world.run_ms(6000);
    assert_hears(world, listener, microphone, 2000, 80);
    let first = world.browsers[listener].heard_of(microphone as u16).next().unwrap();
    assert!(first.counter >= made, "packet {} of {made} was made before", first.counter);
}

#[test]
fn what_was_said_before_the_notice_is_not_heard_though_it_is_held_back() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        hold_back_more_and_more(world, lea, 4700);
        assert_hears_only_what_comes_later(world, paul, lea);
    });
}

#[test]
fn what_an_encoder_sent_before_the_notice_is_not_heard_though_it_is_held_back() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        let encoder = world.encoder("lea");
        let paul = world.listener("paul");
        world.settle();
        world.run_ms(2000);
        hold_back_more_and_more(world, encoder, 4700);
        assert_hears_only_what_comes_later(world, paul, encoder);
        assert!(world.browsers[lea].has("listener_joined"));
    });
}

#[test]
fn what_was_said_in_a_pause_is_not_heard_after_it_though_it_is_held_back() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        hold_back_more_and_more(world, lea, 3000);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(2000);
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2500);
        assert!(hears_nothing(world, paul, 2000), "law 2: what was said in the pause is still on its way");
        world.run_ms(3000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_page_whose_count_began_anew_is_heard_by_nobody_new_until_it_builds_another_session() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.listener("ana");
        world.settle();
        world.run_ms(4000);
        world.browsers[lea].forgets_sent = 150;
        world.join(ana, "lea");
        world.run_ms(2000);
        assert!(world.browsers[ana].heard.is_empty(), "law 1");
        assert_eq!(error_codes(world, lea), ["no_such_peer"]);
        assert_hears(world, paul, lea, 1000, 80);
        world.browsers[lea].forgets_sent = 0;
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.run_ms(3000);
        assert_hears(world, ana, lea, 1000, 80);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_count_of_another_stream_is_not_taken() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.browsers[lea].manners = Manners::Ignores;
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        let notice_id = last(world, lea, "listener_joined")["notice_id"].clone();
        let ack = json!({ "event": "listener_ack", "data": {
            "notice_id": notice_id, "told": "seen", "ssrc": 1, "packets_sent": 1000,
        } });
        world.browsers[lea].say_text(&ack.to_string());
        world.run_ms(2000);
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice_id }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_page_that_counts_for_a_session_we_do_not_know_yet_says_nothing_of_the_one_before() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        world.browsers[lea].manners = Manners::Ignores;
        world.browsers[lea].held_back = Duration::from_secs(3);
        let paul = world.listener("paul");
        world.settle();
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.join(paul, "lea");
        world.run_ms(2000);
        // Nothing came of her session when she builds another one, of which there is nothing to say.
        let now = world.now;
        let offer = world.browsers[lea].make_offer(now, Direction::SendOnly);
        let notice_id = last(world, lea, "listener_joined")["notice_id"].clone();
        let made = world.browsers[lea].made;
        let ack = json!({ "event": "listener_ack", "data": {
            "notice_id": notice_id, "told": "seen", "next": [lea, made],
        } });
        world.browsers[lea].say_text(&ack.to_string());
        world.run_ms(3000);
        assert!(world.browsers[paul].heard.is_empty(), "law 1: it was said untold");
        world.browsers[lea].held_back = Duration::ZERO;
        world.browsers[lea].say("start_streaming", json!({ "sdp": offer }));
        world.run_ms(2000);
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice_id }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_hidden_page_lets_nobody_hear_and_the_supervisor_reads_why() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.browsers[lea].manners = Manners::Hides;
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(6000);
        assert_eq!(last(world, paul, "listening_pending")["cause"], "hidden");
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
        let notice_id = last(world, lea, "listener_joined")["notice_id"].clone();
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice_id }));
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(last(world, paul, "listening_started")["told"], "seen");
        let is_told = |event: &Event| matches!(event, Event::ListenStarted { told: Some(Told::Seen), .. });
        assert!(world.audit.iter().any(|entry| is_told(&entry.event)));
    });
}

#[test]
fn supervisors_who_come_and_go_do_not_throw_her_off() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let admins: Vec<Who> = (0..8).map(|n| world.listener(&format!("admin{n}"))).collect();
        world.settle();
        // Her answers are on their way for long.
        world.browsers[lea].quality = Quality { delay: Duration::from_millis(600), ..world.quality };
        for _ in 0..40 {
            for &admin in &admins {
                world.join(admin, "lea");
            }
            world.run_ms(30);
            for &admin in &admins {
                world.browsers[admin].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
            }
            world.run_ms(30);
        }
        world.run_ms(3000);
        assert!(count(world, lea, "listener_joined") > 100, "she had to answer");
        assert_eq!((world.browsers[lea].closed, error_codes(world, lea).len()), (None, 0));
    });
}

#[test]
fn a_page_that_comes_back_is_told_of_the_same_listening() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let before = last(world, lea, "listener_joined").clone();
        world.drop_stream(lea);
        world.run_ms(1000);
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(2000);
        let after = last(world, lea, "listener_joined");
        assert_ne!(before["notice_id"], after["notice_id"]);
        assert_eq!(before["listening_id"], after["listening_id"]);
        assert_hears(world, paul, lea, 1000, 80);
    });
}

#[test]
fn a_name_that_looks_like_another_persons_is_marked() {
    scenario(|world| {
        let lea = world.publisher("lea");
        listener_with(world, "paul", |claims| claims.name = Some("Paul D.".to_owned()));
        let eve = listener_with(world, "eve", |claims| claims.name = Some("\u{420}aul D.".to_owned()));
        let ana = world.listener("ana");
        // Who has a page open for long gets another name with the next token.
        let tom = listener_with(world, "tom", |claims| claims.name = Some("Tom P.".to_owned()));
        world.settle();
        let renamed = world.token(Role::Admin, "tom", |claims| claims.name = Some("Tom Petit".to_owned()));
        world.browsers[tom].say("register_user", json!({ "token": renamed, "page": format!("page-{tom}") }));
        let mia = listener_with(world, "mia", |claims| claims.name = Some("Tom Petit".to_owned()));
        world.settle();
        for listener in [eve, ana, mia] {
            world.join(listener, "lea");
        }
        world.run_ms(2000);
        let told: Vec<_> = world.browsers[lea].messages_of("listener_joined").map(|data| &data["admin"]).collect();
        let of = |id: &str| told.iter().find(|admin| admin["id"] == id).unwrap()["looks_like"].clone();
        assert_eq!(of("eve"), json!({ "id": "paul", "name": "Paul D." }));
        assert!(of("ana").is_null());
        assert_eq!(of("mia"), json!({ "id": "tom", "name": "Tom Petit" }));
        let announced = world.audit.iter().find(|entry| entry.event.name() == "listen_announced").unwrap();
        assert!(announced.event.to_string().contains(" looks_like=paul"), "{}", announced.event);
    });
}
