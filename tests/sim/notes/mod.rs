//! Pages that keep a note of the journal: what is proved to them, what is doubted, and what that holds up, which is nothing.

use std::time::Duration;

use ecoute::audit::{Event, HistoryDoubt};
use ecoute::config::{JobLimits, Limits};
use ecoute::token::Right;
use ecoute::words::{JournalFault, Restoration, Role};
use serde_json::{Value, json};
use stage::link::Quality;
use stage::scenario::{assert_hears, count, error_codes, heard, last, scenario};
use stage::world::{Who, World};

/// Opens a supervisor's page that kept a note.
fn open_with_note(world: &mut World, id: &str, note: &str) -> Who {
    let token = world.token(Role::Admin, id, |_| {});
    let who = world.add(id);
    world.browsers[who].journal_note = Some(note.to_owned());
    world.connect(who, &token);
    who
}

/// The same page connects anew.
fn come_back(world: &mut World, who: Who) {
    let id = world.browsers[who].id.clone();
    let token = world.token(Role::Admin, &id, |_| {});
    world.drop_stream(who);
    world.run_ms(1000);
    world.connect(who, &token);
    world.run_ms(1000);
}

/// Returns who doubted the history, and why.
fn doubts(world: &World) -> Vec<(&str, HistoryDoubt)> {
    let doubt = |event| match event {
        &Event::HistoryDoubted { ref by, role: "admin", why } => Some((by.as_str(), why)),
        _ => None,
    };
    world.audit.iter().filter_map(|entry| doubt(&entry.event)).collect()
}

fn chain_of(note: &str) -> &str {
    note.lines().nth(2).expect("a note has three lines")
}

#[test]
fn a_page_is_told_the_newest_note_and_that_its_own_is_contained() {
    scenario(|world| {
        let (lea, _) = heard(world);
        let told = last(world, lea, "journal_note");
        assert!(told["note"].as_str().is_some_and(|note| note.starts_with("ecoute-journal\n")), "{told}");
        assert_eq!(told.get("proof"), None, "it brought none: {told}");
        let kept = world.notes.newest();
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "lea");
        world.run_ms(2000);
        assert_ne!(world.notes.newest(), kept, "something was written since");
        let back = open_with_note(world, "marc", &kept);
        world.run_ms(2000);
        let told = last(world, back, "journal_note");
        assert_eq!(told["proof"], json!({ "result": "contained", "chain": chain_of(&kept) }));
        assert_eq!(told["note"], world.notes.newest());
        assert_eq!(doubts(world), []);
    });
}

#[test]
fn whoever_kept_what_is_not_there_any_more_is_told_and_it_is_written_down() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        let kept = world.notes.newest();
        world.notes.replace_last();
        let ana = open_with_note(world, "ana", &kept);
        world.run_ms(2000);
        assert_eq!(last(world, ana, "journal_note")["proof"], json!({ "result": "different" }));
        let size = world.notes.size();
        world.notes.cut(size - 1);
        let marc = open_with_note(world, "marc", &kept);
        world.run_ms(2000);
        assert_eq!(last(world, marc, "journal_note")["proof"], json!({ "result": "missing" }));
        let written = doubts(world);
        assert_eq!(written, [("ana", HistoryDoubt::Different), ("marc", HistoryDoubt::Missing)]);
        assert_eq!(world.server.stats().notes_doubted, 2);
        assert_hears(world, paul, lea, 3000, 80);
    });
}

#[test]
fn what_anybody_can_make_is_written_down_nowhere() {
    let mut world = World::new(1, Quality::PERFECT);
    heard(&mut world);
    let kept = world.notes.newest();
    let other = world.notes.newest_of_other_key();
    let before = world.audit.len();
    let forged = kept.replacen('\n', "\n9", 1);
    for (note, want) in [(&other, "other_key"), (&forged, "unreadable"), (&"n".repeat(1024), "unreadable")] {
        let who = open_with_note(&mut world, "marc", note);
        world.run_ms(1000);
        let told = last(&world, who, "journal_note");
        assert_eq!((&told["proof"], &told["note"]), (&json!({ "result": want }), &json!(world.notes.newest())));
    }
    let stats = world.server.stats();
    assert_eq!((stats.notes_of_other_key, stats.notes_unreadable, stats.notes_doubted), (1, 2, 0));
    assert_eq!(world.audit.len(), before);
    let long = open_with_note(&mut world, "marc", &"n".repeat(1025));
    world.run_ms(1000);
    assert_eq!(error_codes(&world, long), ["malformed"]);
    world.end();
}

#[test]
fn one_user_doubts_once_an_hour() {
    let mut world = World::new(1, Quality::PERFECT);
    heard(&mut world);
    let kept = world.notes.newest();
    world.notes.cut(1);
    let ana = open_with_note(&mut world, "ana", &kept);
    world.run_ms(1000);
    for n in 1..=20 {
        come_back(&mut world, ana);
        assert_eq!(count(&world, ana, "journal_note"), n + 1, "it is told each time");
    }
    assert_eq!(doubts(&world).len(), 1);
    assert_eq!(world.server.stats().doubts_over_rate, 20);
    let marc = open_with_note(&mut world, "marc", &kept);
    world.run_ms(1000);
    assert!(doubts(&world).len() == 2 && count(&world, marc, "journal_note") == 1);
    world.run_ms(3_600_000);
    world.notes.cut(2);
    come_back(&mut world, ana);
    assert_eq!(doubts(&world).len(), 3);
    world.end();
}

#[test]
fn a_page_is_told_once_for_each_connection() {
    let mut world = World::new(1, Quality::PERFECT);
    let kept = world.notes.newest();
    let ana = open_with_note(&mut world, "ana", &kept);
    world.run_ms(1000);
    let token = world.token(Role::Admin, "ana", |_| {});
    // With another note, which counts for nothing here.
    world.browsers[ana].say("register_user", json!({ "token": token, "page": "page-0", "journal_note": "other" }));
    world.run_ms(1000);
    assert_eq!((count(&world, ana, "user_registered"), count(&world, ana, "journal_note")), (2, 1));
    assert_eq!(world.server.stats().notes_unreadable, 0);
    come_back(&mut world, ana);
    assert_eq!(count(&world, ana, "journal_note"), 2);
    world.end();
}

#[test]
fn three_hundred_pages_that_come_at_once_are_all_told() {
    let mut world = World::new(1, Quality::PERFECT);
    world.notes.is_stuck = true;
    let kept = world.notes.newest();
    let pages: Vec<Who> = (0..300).map(|n| open_with_note(&mut world, &format!("u{n}"), &kept)).collect();
    world.run_ms(2000);
    let is_registered = |world: &World, who: Who| world.browsers[who].has("user_registered");
    assert!(pages.iter().all(|&who| is_registered(&world, who)), "nobody waits for it");
    assert_eq!((world.server.table_sizes().jobs, world.server.table_sizes().proofs), (16, 300));
    world.notes.is_stuck = false;
    world.run_ms(1000);
    for &who in &pages {
        assert_eq!(count(&world, who, "journal_note"), 1, "{}", world.browsers[who].id);
        assert_eq!(last(&world, who, "journal_note")["proof"]["result"], "contained");
    }
    assert_eq!((world.notes.asked_max, world.server.stats().proofs_refused), (16, 0));
    world.end();
}

#[test]
fn where_too_many_wait_the_next_page_is_told_nothing_and_misses_nothing_else() {
    let jobs = JobLimits { proofs_max: 2, proofs_waiting_max: 3, ..JobLimits::default() };
    let mut world = World::with_limits(1, Quality::PERFECT, Limits { jobs, ..Limits::default() });
    world.notes.is_stuck = true;
    let pages: Vec<Who> = (0..6).map(|n| world.open(Role::Admin, &format!("u{n}"))).collect();
    world.run_ms(1000);
    assert_eq!(world.server.stats().proofs_refused, 1);
    assert!(pages.iter().all(|&who| world.browsers[who].has("available_streams")));
    // Who leaves makes room for who comes.
    world.close(pages[2]);
    world.run_ms(1000);
    let late = world.open(Role::Admin, "late");
    world.run_ms(1000);
    assert_eq!((world.server.stats().proofs_refused, world.server.table_sizes().proofs), (1, 5));
    world.notes.is_stuck = false;
    world.run_ms(1000);
    let told: Vec<usize> = pages.iter().chain([&late]).map(|&who| count(&world, who, "journal_note")).collect();
    assert_eq!(told, [1, 1, 0, 1, 1, 0, 1]);
    world.end();
}

#[test]
fn a_page_that_is_gone_meanwhile_misses_what_is_nobody_elses() {
    let mut world = World::new(1, Quality::PERFECT);
    let kept = world.notes.newest();
    world.notes.is_stuck = true;
    let gone = open_with_note(&mut world, "gone", &kept);
    world.run_ms(1000);
    world.close(gone);
    world.run_ms(1000);
    // It takes the place in the table that was left.
    let next = world.open(Role::Admin, "next");
    world.run_ms(1000);
    assert_eq!((world.server.table_sizes().jobs, world.server.table_sizes().registrations), (2, 1));
    world.notes.is_stuck = false;
    world.run_ms(1000);
    let told: Vec<&Value> = world.browsers[next].messages_of("journal_note").collect();
    assert!(told.len() == 1 && told[0].get("proof").is_none(), "{told:?}");
    assert_eq!(count(&world, gone, "journal_note"), 0);
    assert_eq!(world.server.table_sizes().proofs, 0);
    world.end();
}

#[test]
fn a_reader_that_hangs_holds_up_nothing() {
    scenario(|world| {
        world.notes.is_stuck = true;
        let (lea, paul) = heard(world);
        let pages: Vec<Who> = (0..40).map(|n| world.open(Role::Admin, &format!("u{n}"))).collect();
        world.run_ms(3000);
        assert!(pages.iter().all(|&who| world.browsers[who].has("available_streams")));
        assert_hears(world, paul, lea, 3000, 80);
        assert_eq!(count(world, lea, "journal_note"), 0);
        // Those that wait for a turn leave with their pages.
        pages.iter().for_each(|&who| world.close(who));
        world.run_ms(3000);
        assert_eq!((world.server.table_sizes().jobs, world.server.table_sizes().registrations), (16, 2));
    });
}

#[test]
fn a_journal_that_cannot_be_read_raises_no_alarm() {
    let mut world = World::new(1, Quality::PERFECT);
    let kept = world.notes.newest();
    world.notes.is_unreadable = true;
    let ana = open_with_note(&mut world, "ana", &kept);
    world.run_ms(1000);
    assert_eq!((count(&world, ana, "journal_note"), world.server.stats().proofs_failed), (0, 1));
    world.notes.is_unreadable = false;
    come_back(&mut world, ana);
    assert_eq!(last(&world, ana, "journal_note")["proof"]["result"], "contained");
    world.end();
}

/// A page that another one took over from takes back on the same connection.
#[test]
fn who_takes_back_before_the_answer_is_told_once() {
    let mut world = World::new(1, Quality::PERFECT);
    world.notes.is_stuck = true;
    let lea = world.open(Role::Commercial, "lea");
    world.run_ms(Duration::from_secs(1).as_millis() as u64);
    let other = world.add("lea");
    let token = world.token(Role::Commercial, "lea", |_| {});
    world.connect(other, &token);
    let takeover = |page: &str| json!({ "token": token, "page": page, "takeover": true });
    world.browsers[other].say("register_user", takeover("page-1"));
    world.run_ms(1000);
    world.browsers[lea].say("register_user", takeover("page-0"));
    world.run_ms(1000);
    assert_eq!(world.server.table_sizes().jobs, 2, "one of each connection");
    world.notes.is_stuck = false;
    world.run_ms(1000);
    assert_eq!([lea, other].map(|who| count(&world, who, "journal_note")), [1, 1]);
    world.end();
}

/// What a page was told last of a restoration.
fn restored(world: &World, who: Who) -> Value {
    let told = world.browsers[who].messages_of("journal_state").last();
    told.and_then(|told| told.get("restored")).cloned().unwrap_or_default()
}

fn confirm(world: &mut World, who: Who, at: u64) {
    world.browsers[who].say("confirm_restoration", json!({ "at": at }));
    world.run_ms(1000);
}

/// Returns who confirmed that they know of which restoration.
fn confirmed(world: &World) -> Vec<(&str, u64)> {
    let of = |event| match event {
        &Event::RestorationConfirmed { ref by, at_ms } => Some((by.as_str(), at_ms)),
        _ => None,
    };
    world.audit.iter().filter_map(|entry| of(&entry.event)).collect()
}

#[test]
fn a_restoration_is_told_to_all_until_somebody_who_may_confirms_it() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        assert_eq!([lea, paul].map(|who| count(world, who, "journal_state")), [0, 0]);
        world.disk.restored = Some(Restoration { made: 9, at: 70 });
        world.run_ms(1000);
        // And who comes later.
        let token = world.token(Role::Admin, "eve", |claims| claims.rights = [Right::Manage].into_iter().collect());
        let eve = world.open_with("eve", &token);
        world.run_ms(1000);
        let want = json!({ "ok": true, "restored": { "made": 9, "at": 70 } });
        for who in [lea, paul, eve] {
            assert_eq!(count(world, who, "journal_state"), 1, "{}", world.browsers[who].id);
            assert_eq!(last(world, who, "journal_state"), &want);
        }

        confirm(world, paul, 70);
        assert_eq!(error_codes(world, paul), ["not_allowed"], "it takes the right");
        confirm(world, eve, 69);
        assert_eq!(confirmed(world), [], "that was another one");
        world.disk.is_stuck = true;
        confirm(world, eve, 70);
        assert!(!restored(world, lea).is_null(), "it is not written down yet");
        world.disk.is_stuck = false;
        world.run_ms(1000);
        assert_eq!(confirmed(world), [("eve", 70)]);
        for who in [lea, paul, eve] {
            assert_eq!(last(world, who, "journal_state"), &json!({ "ok": true }));
        }
        confirm(world, eve, 70);
        assert_eq!(confirmed(world).len(), 1, "once");
        let ana = world.listener("ana");
        world.settle();
        assert_eq!(count(world, ana, "journal_state"), 0);
        assert_hears(world, paul, lea, 3000, 80);
    });
}

#[test]
fn a_journal_that_fails_after_a_restoration_tells_both() {
    let mut world = World::new(1, Quality::PERFECT);
    let (lea, _) = heard(&mut world);
    world.disk.restored = Some(Restoration { made: 9, at: 70 });
    world.disk.fault = Some(JournalFault::DiskFull);
    world.run_ms(3000);
    let both = json!({ "ok": false, "cause": "disk_full", "restored": { "made": 9, "at": 70 } });
    assert_eq!(last(&world, lea, "journal_state"), &both);
    world.disk.heal();
    world.run_ms(6000);
    assert_eq!(last(&world, lea, "journal_state"), &json!({ "ok": true, "restored": { "made": 9, "at": 70 } }));
    world.end();
}
