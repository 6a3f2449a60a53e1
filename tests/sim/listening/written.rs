//! Listenings that wait for their entry: a writer that is slow, full or stuck, and what happens meanwhile.

use std::time::Duration;

use ecoute::config::{JobLimits, Limits};
use ecoute::words::{JournalFault, Role};
use serde_json::{Value, json};
use stage::link::Quality;
use stage::scenario::{assert_hears, count, heard, hears_nothing, last, scenario};
use stage::world::programs::{Ask, Kind};
use stage::world::{Who, World};
use str0m::media::Direction;

/// Paul's wish to hear Léa, or Ana's, was refused, as nobody can write it down.
fn assert_refused(world: &World, who: Who) {
    let error = last(world, who, "error");
    let words = error["message"].as_str().unwrap();
    assert_eq!((&error["code"], &error["commercial_id"]), (&json!("journal_unavailable"), &json!("lea")));
    assert!(
        words.starts_with("the journal can't be written") && error["retry_after_s"].as_u64() > Some(0),
        "{error}"
    );
}

/// A program of a supervisor that has not asked for anything yet.
fn player(world: &mut World, id: &str) -> Who {
    let token = world.token(Role::Admin, id, |_| {});
    world.program(Kind::Whep, id, &token)
}

/// The first request of a player is refused, as its announcement can't be written down, and nothing is left of it.
fn assert_player_refused(world: &mut World, who: Who) {
    let refused = world.post(who, "lea");
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("10")), "{refused:?}");
    let problem: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(problem["code"], "journal_unavailable");
    assert_eq!(world.server.table_sizes().resources, 0);
}

/// What the status says of the journal.
fn journal(world: &mut World) -> Value {
    let token = world.token(Role::Monitor, "watch", |_| {});
    let ask = Ask { method: "GET", ..Ask::delete("/api/streaming/status", &token) };
    let answer = world.ask_from(([127, 0, 0, 1], 999).into(), &ask.to_http());
    serde_json::from_str::<Value>(&answer.body).unwrap()["journal"].clone()
}

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
fn a_player_is_answered_once_its_entry_is_durable() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let marc = player(world, "marc");
        world.disk.delay = SLOW..SLOW;
        let begin = world.now;
        assert_eq!(world.post(marc, "lea").status, 201);
        let waited = world.now - begin;
        assert!((SLOW..SLOW + Duration::from_millis(2)).contains(&waited), "{waited:?}");
        world.run_ms(2000);
        assert_hears(world, marc, lea, 500, 80);
        assert_eq!(world.delete(marc).status, 200);
        world.browsers[marc].vanish();
        // There is nobody to tell of it, and nothing to wait for.
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(500);
        let begin = world.now;
        assert_eq!(world.post(marc, "lea").status, 201);
        assert_eq!(world.now, begin);
        // Who pauses while it is written down is told once she goes on.
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        let ana = player(world, "ana");
        world.browsers[lea].say("pause_streaming", json!({}));
        assert_eq!(world.post(ana, "lea").status, 201);
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(3000);
        assert_hears(world, ana, lea, 500, 80);
    });
}

/// Whoever does not wait for the answer does not know the URL of the session, and nobody could end it.
#[test]
fn a_player_that_goes_before_it_is_answered_was_never_there() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let marc = player(world, "marc");
        world.disk.is_stuck = true;
        let (remote, now) = (world.browsers[marc].address, world.now);
        let offer = world.browsers[marc].make_offer(now, Direction::RecvOnly);
        let token = world.token(Role::Admin, "marc", |_| {});
        let conn = world.knock(remote).unwrap();
        world.push(conn, Ask::post("/whep/lea", &token, &offer).to_http().as_bytes());
        world.run_ms(100);
        assert_eq!((world.server.pending_write(conn).len(), world.server.table_sizes().resources), (0, 1));
        world.hang_up(conn);
        world.disk.heal();
        world.run_ms(1000);
        assert_eq!(count(world, lea, "listener_joined"), 0);
        assert_eq!(world.server.table_sizes().resources, 0);
        let names =
            world.audit.iter().filter(|entry| entry.event.actor() == "marc").map(|entry| entry.event.name());
        assert_eq!(names.collect::<Vec<_>>(), ["listen_asked", "listen_announced", "listen_ended"]);
    });
}

#[test]
fn a_player_whose_right_ends_before_it_is_answered_is_told_so() {
    scenario(|world| {
        let lea = world.publisher("lea");
        world.settle();
        let marc = player(world, "marc");
        world.disk.is_stuck = true;
        let (remote, now) = (world.browsers[marc].address, world.now);
        let offer = world.browsers[marc].make_offer(now, Direction::RecvOnly);
        let token = world.token(Role::Admin, "marc", |_| {});
        let conn = world.knock(remote).unwrap();
        world.push(conn, Ask::post("/whep/lea", &token, &offer).to_http().as_bytes());
        let list = format!("marc {}\n", world.unix_s() + 1);
        world.take_revoked(list.as_bytes());
        world.disk.heal();
        world.run_ms(100);
        let answer = world.pull(conn, usize::MAX);
        assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&answer));
        world.hang_up(conn);
        assert_eq!(count(world, lea, "listener_joined"), 0, "law 3");
        assert_eq!(world.server.table_sizes().resources, 0);
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
        let token = world.token(Role::Commercial, "lea", |_| {});
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
        let marc = player(world, "marc");
        assert_player_refused(world, marc);
        world.run_ms(3000);
        assert_refused(world, ana);
        assert_eq!(count(world, lea, "listener_joined"), 1, "of paul alone");
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
        let (marc, begin) = (player(world, "marc"), world.now);
        assert_player_refused(world, marc);
        assert!(world.now - begin <= Duration::from_secs(1));
        world.run_ms(300);
        assert_refused(world, ana);
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
    let jobs = JobLimits { busy_max: 8, entries_max: 12, ..JobLimits::default() };
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
    assert_refused(&world, paul);
    let (marc, begin) = (player(&mut world, "marc"), world.now);
    assert_player_refused(&mut world, marc);
    assert_eq!(world.now, begin);
    assert_eq!(world.server.table_sizes().jobs, 12);
    assert!(world.server.stats().entries_lost > 0, "{:?}", world.server.stats());
    assert_eq!(count(&world, lea, "listener_joined"), 0);
}

#[test]
fn a_disk_that_is_full_is_told_to_all_pages_until_it_has_room() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let ana = world.listener("ana");
        world.settle();
        assert_eq!(journal(world)["ok"], true);
        world.disk.fault = Some(JournalFault::DiskFull);
        world.run_ms(100);
        let full = json!({ "ok": false, "cause": "disk_full" });
        for who in [lea, paul, ana] {
            assert_eq!(*last(world, who, "journal_state"), full);
        }
        world.join(ana, "lea");
        world.run_ms(500);
        assert_refused(world, ana);
        assert!(last(world, ana, "error")["message"].as_str().unwrap().ends_with(": its disk is full"));
        let token = world.token(Role::Admin, "marc", |_| {});
        let marc = world.program(Kind::Whep, "marc", &token);
        let refused = world.post(marc, "lea");
        assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("10")), "{refused:?}");
        let problem: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(problem["code"], "journal_unavailable");
        let ines = world.open(Role::Admin, "ines");
        world.run_ms(5000);
        assert_eq!(*last(world, ines, "journal_state"), full, "who comes later is told too");
        let status = journal(world);
        assert_eq!(
            (&status["ok"], &status["cause"], &status["free_bytes"]),
            (&json!(false), &full["cause"], &json!(0))
        );
        assert!(status["lag_ms"].as_u64().unwrap() >= 5000, "what is no gate waits: {status}");
        assert!(world.server.stats().entries_waiting >= 2 && world.server.stats().journal_lag_ms >= 4000);
        assert_hears(world, paul, lea, 5000, 80);

        world.disk.heal();
        world.run_ms(1000);
        assert_eq!(count(world, lea, "journal_state"), 1, "it may be full again in a moment");
        world.run_ms(2500);
        for who in [lea, paul, ana, ines] {
            assert_eq!(*last(world, who, "journal_state"), json!({ "ok": true }));
            assert_eq!(count(world, who, "journal_state"), 2);
        }
        let status = journal(world);
        assert_eq!((&status["ok"], &status["lag_ms"], &status["cause"]), (&json!(true), &json!(0), &Value::Null));
        let stats = world.server.stats();
        assert!(
            stats.journal_lag_worst_ms >= 5000 && stats.journal_faults == 1 && stats.entries_written > 0,
            "{stats:?}"
        );
        assert_eq!((stats.entries_lost, stats.entries_waiting), (0, 0), "{stats:?}");
        world.join(ana, "lea");
        world.run_ms(3000);
        assert_hears(world, ana, lea, 2000, 80);
        assert_eq!(world.post(marc, "lea").status, 201);
    });
}

/// Nobody but the core can know, as the writer says nothing.
#[test]
fn a_disk_that_hangs_is_told_after_a_second() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        world.disk.is_stuck = true;
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(900);
        assert_eq!(count(world, paul, "journal_state"), 0);
        world.run_ms(300);
        assert_eq!(*last(world, paul, "journal_state"), json!({ "ok": false, "cause": "hangs" }));
        world.run_ms(10_000);
        assert_eq!(journal(world)["cause"], "hangs");
        assert!(world.server.stats().journal_lag_ms >= 10_000);
        world.disk.heal();
        world.run_ms(4000);
        assert_eq!(*last(world, lea, "journal_state"), json!({ "ok": true }));
    });
}

/// A disk that is nearly full takes one entry and not the next.
#[test]
fn a_journal_that_fails_now_and_then_is_no_flood_of_news() {
    scenario(|world| {
        let (_, paul) = heard(world);
        let before = count(world, paul, "journal_state");
        for turn in 0..100 {
            let faults = [Some(JournalFault::DiskFull), None, Some(JournalFault::Other), None];
            world.disk.fault = faults[turn % 4];
            world.run_ms(100);
        }
        let told = count(world, paul, "journal_state") - before;
        assert!((1..=6).contains(&told), "{told} times in 10 s");
    });
}

/// Gates are answered while notes before them wait.
#[test]
fn what_is_remembered_of_answered_entries_is_bounded() {
    let mut world = World::new(1, Quality::PERFECT);
    let _lea = world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.disk.fault = Some(JournalFault::DiskFull);
    for _ in 0..200 {
        world.join(paul, "lea");
        world.run_ms(1000);
    }
    let stats = world.server.stats();
    assert!(stats.gates_refused > 100 && stats.entries_lost == 0, "{stats:?}");
    assert_eq!(stats.entries_waiting as usize, world.server.table_sizes().jobs);
    world.end();
}
