//! Listenings that wait for their entry: a writer that is slow, full or stuck, and what happens meanwhile.

use std::time::Duration;

use ecoute::config::{JobLimits, Limits};
use serde_json::json;
use stage::link::Quality;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};
use stage::world::World;

/// A little less than a listening waits.
const SLOW: Duration = Duration::from_millis(900);

#[test]
fn nobody_is_told_or_heard_before_the_entry_is_durable() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.listener("ana");
        world.settle();
        world.disk.delay = SLOW..SLOW;
        world.join(ana, "lea");
        world.run_ms(800);
        assert_eq!(last(world, ana, "listening_pending")["cause"], "ack");
        assert_eq!(count(world, lea, "listener_joined"), 1, "of paul alone");
        assert_hears(world, paul, lea, 800, 80);
        world.run_ms(2500);
        assert_hears(world, ana, lea, 2000, 80);
    });
}

#[test]
fn a_page_that_comes_back_waits_for_an_entry_of_its_own() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.disk.delay = SLOW..SLOW;
        world.join(paul, "lea");
        world.run_ms(500);
        world.drop_stream(lea);
        world.run_ms(200);
        let token = world.token(ecoute::words::Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        // The first entry is durable soon, and nobody waits for it any more.
        world.run_ms(400);
        assert_eq!(count(world, lea, "listener_joined"), 0);
        world.run_ms(3000);
        assert_eq!(count(world, lea, "listener_joined"), 1);
        assert_hears(world, paul, lea, 500, 80);
    });
}

#[test]
fn a_pause_while_an_entry_is_written_is_followed_by_no_sound() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let hall = world.device("hall");
        let [paul, ana] = ["paul", "ana"].map(|id| world.listener(id));
        world.settle();
        let page = world.page_of_device("hall");
        world.settle();
        world.disk.delay = SLOW..SLOW;
        world.join(paul, "lea");
        world.join(ana, "hall");
        world.run_ms(400);
        for who in [lea, page] {
            world.browsers[who].say("pause_streaming", json!({}));
        }
        world.run_ms(4000);
        for who in [paul, ana] {
            assert!(hears_nothing(world, who, 4000), "law 2");
            assert_eq!(last(world, who, "listening_pending")["cause"], "paused");
        }
        for who in [lea, page] {
            world.browsers[who].say("resume_streaming", json!({}));
        }
        world.run_ms(1500);
        assert_hears(world, paul, lea, 1000, 80);
        assert_hears(world, ana, hall, 1000, 80);
    });
}

#[test]
fn what_cannot_be_written_down_is_refused_and_may_be_asked_for_again() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.listener("ana");
        world.settle();
        world.disk.refused_per_mille = 1000;
        world.join(ana, "lea");
        let marc = world.player("marc", "lea");
        world.run_ms(3000);
        assert_eq!(last(world, ana, "listening_stopped")["cause"], "not_written");
        assert_eq!(count(world, lea, "listener_joined"), 1, "of paul alone");
        assert!(!world.browsers[marc].connected, "a player has nothing to wait for");
        assert_hears(world, paul, lea, 2000, 80);
        assert_eq!(world.server.stats().gates_refused, 2);
        world.disk.heal();
        world.join(ana, "lea");
        world.run_ms(3000);
        assert_hears(world, ana, lea, 2000, 80);
    });
}

/// Whether the entry is there in the end or not, nobody is told or heard for it.
#[test]
fn a_disk_that_hangs_refuses_within_a_second() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.listener("ana");
        world.settle();
        world.disk.is_stuck = true;
        world.join(ana, "lea");
        let marc = world.player("marc", "lea");
        world.run_ms(1300);
        assert_eq!(last(world, ana, "listening_stopped")["cause"], "not_written");
        assert_eq!(world.server.stats().gates_refused, 2);
        world.disk.heal();
        world.run_ms(2000);
        assert_eq!(count(world, lea, "listener_joined"), 1, "of paul alone");
        for who in [ana, marc] {
            assert!(hears_nothing(world, who, 3000), "law 8");
        }
        assert_hears(world, paul, lea, 2000, 80);
        world.join(ana, "lea");
        world.run_ms(3000);
        assert_hears(world, ana, lea, 2000, 80);
    });
}

#[test]
fn what_protects_somebody_waits_for_no_disk() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.disk.is_stuck = true;
        for (event, answer) in [
            ("pause_streaming", "streaming_paused"),
            ("resume_streaming", "streaming_resumed"),
            ("stop_streaming", "streaming_stopped"),
        ] {
            world.browsers[lea].say(event, json!({}));
            world.run_ms(500);
            assert!(world.browsers[lea].has(answer), "{answer}");
            let is_heard = event == "resume_streaming";
            assert_eq!(!hears_nothing(world, paul, 200), is_heard, "{event}");
        }
        assert!(world.server.table_sizes().jobs > 0);
    });
}

#[test]
fn listening_is_refused_at_once_where_too_many_entries_wait() {
    let jobs = JobLimits { gates_max: 8, entries_max: 12, ..JobLimits::default() };
    let mut world = World::with_limits(1, Quality::PERFECT, Limits { jobs, ..Limits::default() });
    let lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.disk.is_stuck = true;
    for _ in 0..6 {
        world.join(paul, "lea");
        world.browsers[paul].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
        world.run_ms(1000);
    }
    assert_eq!(
        world.server.table_sizes().jobs,
        12,
        "three times asked, announced and ended, and then no gate opens"
    );
    world.join(paul, "lea");
    world.run_ms(1000);
    assert_eq!(last(&world, paul, "listening_stopped")["cause"], "not_written");
    assert_eq!(world.server.table_sizes().jobs, 12);
    assert!(world.server.stats().entries_lost > 0, "{:?}", world.server.stats());
    assert_eq!(count(&world, lea, "listener_joined"), 0);
}
