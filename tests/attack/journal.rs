//! What the journal is when the disk is full, when the server is killed, and when somebody has changed it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ecoute::audit::{Entry, EntryId, Event, Subject};
use ecoute::host::journal::{Journal, Reading};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::{Value, json};
use stage::browser::Browser;
use stage::link::Quality;
use str0m::media::Direction;
use tempfile::TempDir;

use crate::bystanders::{Bystanders, Client};
use crate::start;
use crate::support::client::{connect, get, read_response};
use crate::support::{Ecoute, WAIT, program, run};

/// How often somebody begins to listen until a full disk has no room left in what is there.
const WISHES_MAX: usize = 30;
/// How often the server is killed, each time at another moment.
const KILLS: u64 = 25;
/// How many entries are purged, of which a piece are 2000.
const PURGED: usize = 30_000;

fn audit(data: &Path, arguments: &[&str]) -> Output {
    run(program().arg("audit").args(arguments).arg("--data").arg(data))
}

pub fn assert_good(data: &Path) {
    let verified = audit(data, &["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// Returns the entries of the journal, as they are shown.
fn entries(data: &Path) -> Vec<Value> {
    let shown = audit(data, &["show"]);
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns what the status says of the journal.
fn journal_status(ecoute: &Ecoute) -> Value {
    let bearer = format!("Authorization: Bearer {}\r\n", ecoute.token("monitor", "watch", "Watch"));
    let (status, body) = get(ecoute.address, "/api/streaming/status", &bearer);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["journal"].clone()
}

/// Asserts that whoever watches, whoever looks for what is wrong, and a program that would listen are told of a full disk.
fn assert_said_to_be_full(ecoute: &Ecoute) {
    let status = journal_status(ecoute);
    assert_eq!((&status["ok"], &status["cause"]), (&json!(false), &json!("disk_full")), "{status}");
    assert!(status["entries"].as_u64() > Some(0) && status["free_bytes"].as_u64() < Some(1 << 20), "{status}");
    let token = ecoute.token("admin", "doctor", "Doctor");
    let said = run(program().args(["doctor", "--url", &ecoute.url()]).env("ECOUTE_TOKEN", &token));
    let lines = String::from_utf8_lossy(&said.stdout);
    let wrong = "wrong    nobody can begin to listen: the journal can't be written: its disk is full";
    assert!(lines.contains(wrong) && lines.contains("→ df -h"), "{lines}");
    let mut player = connect(ecoute.address);
    let post = format!(
        "POST /whep/speaker HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
    player.get_mut().write_all(post.as_bytes()).unwrap();
    let (status, body) = read_response(&mut player);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"]), (503, &json!("journal_unavailable")), "{problem}");
}

/// Asks to hear the speaker, for a reason that takes some room.
fn wish(bystanders: &mut Bystanders) {
    let reason = format!("autre: {}", "€".repeat(60));
    let wish = json!({ "commercial_id": "speaker", "reason": reason });
    bystanders.others[0].browser.say("join_commercial_stream", wish);
}

/// Starts a server whose data is on a disk of 4 MiB of its own; returns it and where that disk is seen from here.
fn start_on_small_disk() -> (Ecoute, PathBuf) {
    let script = r#"mount -t tmpfs -o size=4m tmpfs /mnt && exec "$0" --secret-file "$D/secret" --data /mnt "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(program().get_program());
    let data = TempDir::new().unwrap();
    // Whoever makes tokens here finds it.
    fs::write(data.path().join("secret"), "9f2c4e81b7d0635a9f8e12c4d7b60a35\n").unwrap();
    command.env("D", data.path()).args(["--listen", "127.0.0.1:0"]);
    let ecoute = Ecoute::start_command(command, data);
    let disk = ["/proc", &ecoute.child.id().to_string(), "root", "mnt"].iter().collect();
    (ecoute, disk)
}

#[test]
fn nobody_begins_to_hear_somebody_while_the_disk_is_full() {
    let (mut ecoute, disk) = start_on_small_disk();
    let mut bystanders = Bystanders::start(&ecoute);
    bystanders.others.push(Client::open(&ecoute, 2, "admin", "late"));
    bystanders.run_until(|all| all.others[0].browser.connected);
    let filler = disk.join("filler");
    // Until not a page more fits.
    let _ = fs::write(&filler, vec![7; 8 << 20]);

    let refused = |all: &Bystanders| all.others[0].browser.messages_of("error").count();
    // What the journal's own files have room for is written.
    for _ in 0..WISHES_MAX {
        wish(&mut bystanders);
        bystanders.run_for(Duration::from_millis(100));
        if refused(&bystanders) > 0 {
            break;
        }
        bystanders.others[0].browser.say("leave_commercial_stream", json!({ "commercial_id": "speaker" }));
    }
    let told = bystanders.others[0].browser.messages_of("error").next().expect("it is full");
    assert_eq!(
        (&told["code"], &told["commercial_id"]),
        (&json!("journal_unavailable"), &json!("speaker")),
        "{told}"
    );
    bystanders.run_for(Duration::from_secs(1));
    let full = json!({ "ok": false, "cause": "disk_full" });
    for client in [&bystanders.speaker, &bystanders.hearer, &bystanders.others[0]] {
        assert_eq!(client.browser.messages_of("journal_state").last(), Some(&full));
    }
    assert_said_to_be_full(&ecoute);
    bystanders.assert_undisturbed();
    ecoute.wait_for_line("nobody begins to hear anybody until that is over");

    fs::remove_file(filler).unwrap();
    let before = bystanders.others[0].browser.heard.len();
    wish(&mut bystanders);
    bystanders.run_until(|all| all.others[0].browser.heard.len() > before + 10);
    ecoute.wait_for_line("the journal is written again");
    bystanders.run_until(|all| all.speaker.browser.messages_of("journal_state").any(|said| said["ok"] == true));
    assert_eq!(journal_status(&ecoute)["ok"], true);
    bystanders.run_for(Duration::from_secs(1));
    let copy = copy_of(&disk);
    assert_good(copy.path());
    let entries = entries(copy.path());
    let names: Vec<_> =
        entries.iter().filter(|entry| entry["actor"] == "late").map(|entry| &entry["event"]).collect();
    assert_eq!(names.last().unwrap().as_str(), Some("listen_started"));
    let refused = entries.iter().find(|entry| entry["detail"] == "could not be written down");
    assert!(refused.is_some(), "what ended meanwhile is written once there is room: {names:?}");
}

/// Makes a request of a player on a connection of its own; returns the status, the head, the body and how long that took.
fn ask_as_player((address, token): (SocketAddr, &str), head: &str, body: &str) -> (u16, String, String, Duration) {
    let mut tcp = connect(address).into_inner();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let begin = Instant::now();
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned(), begin.elapsed())
}

/// A program that listens is answered that it does once that is written down, from the first one on that can't be.
#[test]
fn a_player_is_never_told_that_it_listens_while_that_cannot_be_written_down() {
    let (ecoute, disk) = start_on_small_disk();
    let mut bystanders = Bystanders::start(&ecoute);
    let offer = {
        let mut maker = Browser::new(9, "player", "127.0.0.1:9".parse().unwrap(), Quality::PERFECT);
        maker.make_offer(Instant::now(), Direction::RecvOnly)
    };
    let token = ecoute.token("admin", "player", "Player");
    let player = (ecoute.address, token.as_str());
    let filler = disk.join("filler");
    let _ = fs::write(&filler, vec![7; 8 << 20]);
    let mut begun = 0;
    let refused = (0..WISHES_MAX).find_map(|_| {
        let (status, head, body, took) =
            bystanders.run_during(|| ask_as_player(player, "POST /whep/speaker", &offer));
        if status == 201 {
            begun += 1;
            let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
            let ended = bystanders.run_during(|| ask_as_player(player, &format!("DELETE {location}"), ""));
            assert_eq!(ended.0, 200);
        }
        (status != 201).then_some((status, head, body, took))
    });
    let (status, head, body, took) = refused.expect("it is full");
    assert_eq!((status, head.contains("\r\nRetry-After: ")), (503, true), "{head}");
    assert!(body.contains("journal_unavailable") && took < Duration::from_secs(1), "{body} {took:?}");
    fs::remove_file(filler).unwrap();
    bystanders.run_during(|| {
        let end = Instant::now() + WAIT;
        while ask_as_player(player, "POST /whep/speaker", &offer).0 != 201 {
            assert!(Instant::now() < end, "there is room again");
            thread::sleep(Duration::from_millis(100));
        }
    });
    let copy = copy_of(&disk);
    assert_good(copy.path());
    let is_players = |entry: &&Value| entry["event"] == "listen_announced" && entry["actor"] == "player";
    let announced = entries(copy.path()).iter().filter(is_players).count();
    assert_eq!(announced, begun + 1, "as many as were told so");
    bystanders.assert_heard_all();
}

/// Returns a copy of a journal on another's disk, to which SQLite does not find its way.
fn copy_of(disk: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["journal.db", "journal.db-wal", "journal.key"] {
        fs::copy(disk.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

/// Whoever heard somebody is in the journal, whenever the server is killed.
#[test]
fn a_kill_loses_no_entry_that_let_somebody_hear() {
    let mut ecoute = start(&[]);
    let mut heard = 0;
    for kill in 0..KILLS {
        let mut bystanders = Bystanders::start(&ecoute);
        let names: Vec<String> = (0..3).map(|n| format!("late{kill}x{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            bystanders.others.push(Client::open(&ecoute, 2 + n as u16, "admin", name));
        }
        bystanders.run_until(|all| all.others.iter().all(|other| other.browser.connected));
        for other in &mut bystanders.others {
            other.browser.say("join_commercial_stream", json!({ "commercial_id": "speaker" }));
        }
        bystanders.run_for(Duration::from_millis(kill * 16));
        ecoute.signal(Signal::SIGKILL);
        ecoute.wait_for_exit(Duration::from_secs(5));
        assert_good(ecoute.data.path());
        let entries = entries(ecoute.data.path());
        for (other, name) in bystanders.others.iter().zip(&names) {
            let is_announced =
                entries.iter().any(|entry| entry["event"] == "listen_announced" && entry["actor"] == **name);
            assert!(other.browser.heard.is_empty() || is_announced, "{name} heard, and nothing tells so");
            heard += usize::from(!other.browser.heard.is_empty());
        }
        ecoute.start_again(&[]);
    }
    assert!(heard > 0, "nobody heard anything before a kill");
}

#[test]
fn whoever_changes_the_journal_is_found_out() {
    type Tamper = (&'static str, &'static str, i32, &'static str);
    const CASES: [Tamper; 21] = [
        (
            "edited",
            "UPDATE entries SET entry = replace(entry, 'hearer', 'nobody') WHERE number = 4",
            1,
            "entry 4: it was edited",
        ),
        ("salt alone", "UPDATE entries SET salt = NULL WHERE number = 3", 1, "entry 3: it was edited"),
        ("text alone", "UPDATE entries SET entry = NULL WHERE number = 3", 1, "entry 3: it was edited"),
        ("half a salt", "UPDATE entries SET salt = x'00' WHERE number = 3", 1, "entry 3: it was edited"),
        ("removed", "DELETE FROM entries WHERE number = 3", 1, "entry 3: it was removed"),
        (
            "purged without a word",
            "UPDATE entries SET salt = NULL, entry = NULL WHERE number = 3",
            1,
            "entry 3: it was purged, and nothing says so",
        ),
        (
            "purged with a word of one's own",
            "UPDATE entries SET salt = NULL, entry = NULL WHERE number = 3; \
             INSERT INTO handed_in (statement, signature) VALUES \
             ('{\"id\":\"1\",\"at_ms\":1,\"event\":\"journal_purged\",\"actor\":\"\",\"commercial_id\":\"\",\"detail\":\"due\",\"rows\":\"3\"}', zeroblob(64))",
            1,
            "entry 3: it was purged, and nothing says so",
        ),
        (
            "one before the first",
            "PRAGMA ignore_check_constraints = 1; INSERT INTO entries (number, leaf, chain) VALUES (0, x'00', x'00')",
            1,
            "entry 1: ",
        ),
        (
            "one behind the last",
            "INSERT INTO entries (number, salt, entry, leaf, chain) SELECT max(number) + 1, salt, entry, leaf, chain FROM entries",
            1,
            "it was not written here",
        ),
        ("cut", "DELETE FROM entries WHERE number > 2", 1, "entry 3: the journal ends before it"),
        (
            "reordered",
            "UPDATE entries SET (salt, entry, leaf) = (SELECT salt, entry, leaf FROM entries AS other WHERE other.number = 7 - entries.number) WHERE number IN (3, 4)",
            1,
            "entry 3: it was not written here",
        ),
        (
            "two salts swapped",
            "UPDATE entries SET salt = (SELECT salt FROM entries AS other WHERE other.number = 7 - entries.number) WHERE number IN (3, 4)",
            1,
            "entry 3: it was edited",
        ),
        (
            "cut with its note",
            "DELETE FROM entries WHERE number > 2; DELETE FROM notes WHERE size > 2",
            1,
            "it was rolled back",
        ),
        ("no notes", "DELETE FROM notes", 1, "no note is signed"),
        (
            "a note forged",
            "UPDATE notes SET note = replace(note, char(10) || '1' || char(10), char(10) || '2' || char(10))",
            1,
            "a note of it is not good",
        ),
        (
            "a trigger",
            "CREATE TRIGGER t BEFORE INSERT ON entries BEGIN SELECT RAISE(IGNORE); END",
            2,
            "has other tables",
        ),
        (
            "a view",
            "DROP TABLE notes; CREATE VIEW notes AS SELECT 1 AS size, '' AS note, 1 AS stays",
            2,
            "has other tables",
        ),
        ("hidden in the history", "DELETE FROM listenings", 1, "entry 5: the history does not tell it"),
        (
            "shortened in the history",
            "UPDATE listenings SET heard_ms = 1",
            1,
            "entry 5: the history tells it otherwise",
        ),
        (
            "invented in the history",
            "INSERT INTO listenings (number, listening, commercial_id, admin_id, admin_name, reason, device, asked_ms) \
             SELECT 1, listening, commercial_id, 'eve', 'Eve', reason, device, asked_ms FROM listenings",
            1,
            "entry 1: the history tells of it what it does not say",
        ),
        ("not ours", "PRAGMA application_id = 1", 2, "is no journal of ecoute"),
    ];
    let mut ecoute = start(&[]);
    let bystanders = Bystanders::start(&ecoute);
    drop(bystanders);
    ecoute.signal(Signal::SIGTERM);
    ecoute.wait_for_exit(Duration::from_secs(5));
    let data = ecoute.data.path();
    assert_good(data);
    let note: String = Connection::open(data.join("journal.db"))
        .unwrap()
        .query_row("SELECT note FROM notes ORDER BY size DESC LIMIT 1", [], |row| row.get(0))
        .unwrap();
    for (name, sql, code, want) in CASES {
        let copy = TempDir::new().unwrap();
        for file in ["journal.db", "journal.key"] {
            fs::copy(data.join(file), copy.path().join(file)).unwrap();
        }
        let kept = copy.path().join("note");
        fs::write(&kept, &note).unwrap();
        Connection::open(copy.path().join("journal.db")).unwrap().execute_batch(sql).unwrap();
        // Without the note, unless it is what tells.
        let with_note = ["verify", "--checkpoint", kept.to_str().unwrap()];
        let arguments = if want == "it was rolled back" { &with_note[..] } else { &with_note[..1] };
        let verified = audit(copy.path(), arguments);
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert_eq!(verified.status.code(), Some(code), "{name}: {verified:?}");
        assert!(told.contains(want), "{name}: {told}");
    }
}

/// Of what a purge took that was killed in the middle, nothing is gone of which is not said that it is.
#[test]
fn a_kill_leaves_no_purge_without_a_word() {
    let data = TempDir::new().unwrap();
    let mut journal = Journal::open(data.path()).unwrap().0;
    let of = Subject { commercial_id: "lea".into(), is_device: false };
    let paused = Entry { id: EntryId(0), at: UNIX_EPOCH, event: Event::BroadcastPaused { of } };
    journal.append(&vec![&paused; PURGED]).unwrap();
    journal.close();
    let purge = |reason: &str| {
        let mut purge = program();
        purge.args(["purge", "--person", "lea", "--reason", reason, "--data"]).arg(data.path());
        purge
    };
    let mut pieces = BTreeSet::new();
    for kill in 0..KILLS {
        let mut purge = purge("killed").stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(20 + kill * 7));
        let _ = purge.kill();
        purge.wait().unwrap();
        assert_good(data.path());
        pieces.insert(Reading::open(data.path()).unwrap().verify(None).unwrap().purged);
    }
    assert!(pieces.len() > 2, "no kill came between two pieces: {pieces:?}");
    assert!(run(&mut purge("at last")).status.success());
    let (mut journal, _) = Journal::open(data.path()).unwrap();
    journal.take_in(UNIX_EPOCH).unwrap();
    let verdict = Reading::open(data.path()).unwrap().verify(None).unwrap();
    assert_eq!(verdict.purged, PURGED as u64);
}

/// Half a copy, which whoever was killed has left, is gone with the next start.
#[test]
fn a_kill_leaves_no_copy_for_long() {
    let mut ecoute = start(&[]);
    drop(Bystanders::start(&ecoute));
    let data = ecoute.data.path().to_owned();
    let elsewhere = TempDir::new().unwrap();
    let left = || {
        let files = fs::read_dir(&data).unwrap().flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("backup-partial-")).count()
    };
    let kill = |number: usize| {
        let copy = elsewhere.path().join(number.to_string());
        let mut backup = program();
        let mut backup =
            backup.arg("backup").arg(copy).arg("--data").arg(&data).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while left() == 0 && began.elapsed() < Duration::from_secs(5) && backup.try_wait().unwrap().is_none() {}
        let _ = backup.kill();
        backup.wait().unwrap();
    };
    for is_start in [false, true] {
        let mut tries = 0..20;
        while left() == 0 {
            kill(tries.next().expect("no kill came while it was copied") + 20 * usize::from(is_start));
        }
        if is_start {
            ecoute.end(Signal::SIGTERM);
            ecoute.start_again(&[]);
        } else {
            let copy = elsewhere.path().join("whole");
            assert!(run(program().arg("backup").arg(copy).arg("--data").arg(&data)).status.success());
        }
        assert_eq!(left(), 0, "{is_start}");
    }
}

/// What is exported says as much as the journal itself, wherever it is looked at.
#[test]
fn an_export_is_verified_without_the_journal() {
    let ecoute = start(&[]);
    let _bystanders = Bystanders::start(&ecoute);
    let export = audit(ecoute.data.path(), &["export"]);
    assert!(export.status.success(), "{export:?}");
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("export.jsonl");
    fs::write(&file, &export.stdout).unwrap();
    let verify = || audit(elsewhere.path(), &["verify", file.to_str().unwrap()]);
    let verified = verify();
    assert!(verified.status.success(), "{verified:?}");
    let text = String::from_utf8(export.stdout).unwrap();
    fs::write(&file, text.replacen("speaker", "spealer", 1)).unwrap();
    assert_eq!(verify().status.code(), Some(1));
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert_eq!(verify().status.code(), Some(2), "it is no export");
    let table = audit(ecoute.data.path(), &["export", "--format", "csv"]);
    assert!(String::from_utf8(table.stdout).unwrap().contains("\"listen_announced\",\"hearer\",\"speaker\""));
}

/// A part of a journal says of each row that is gone that this was said, though behind its end, and to nobody else's liking.
#[test]
fn an_export_says_which_purges_took_what_is_gone() {
    let [data, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
    let mut journal = Journal::open(data.path()).unwrap().0;
    let at = |number: u64| UNIX_EPOCH + Duration::from_secs(number);
    let entry = |number| {
        let of = Subject { commercial_id: format!("lea{}", number % 2), is_device: false };
        Entry { id: EntryId(0), at: at(number), event: Event::BroadcastPaused { of } }
    };
    (1..=9).for_each(|number| journal.append(&[&entry(number)]).unwrap());
    journal.keep_note().unwrap();
    let purge = ["purge", "--person", "lea1", "--reason", "she asked"];
    let file = elsewhere.path().join("export.jsonl");
    let export = || {
        let export =
            audit(data.path(), &["export", "--from", "1970-01-01T00:00:02Z", "--to", "1970-01-01T00:00:07Z"]);
        assert!(export.status.success(), "{export:?}");
        String::from_utf8(export.stdout).unwrap()
    };
    let verify = |text: &str| {
        fs::write(&file, text).unwrap();
        let verified = audit(elsewhere.path(), &["verify", file.to_str().unwrap()]);
        (verified.status.code(), String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap())
    };
    assert!(run(program().args(purge).arg("--data").arg(data.path())).status.success());
    // While it waits, and once it is an entry behind the last one that is shown.
    for _ in 0..2 {
        let text = export();
        assert!(text.contains("\"purge\":") && !text.contains("lea1"), "{text}");
        let (code, told) = verify(&text);
        assert!(code == Some(0) && told.contains("purged=4 signed_up_to=9"), "{told}");
        let untold: String =
            text.lines().filter(|line| !line.contains("\"purge\":")).map(|line| format!("{line}\n")).collect();
        let (code, told) = verify(&untold);
        assert!(code == Some(1) && told.contains("entry 3: it was purged, and nothing says so"), "{told}");
        let (code, told) = verify(&text.replacen("1 3 5 7 9", "1-9", 1));
        assert!(code == Some(1) && told.contains("entry 3: it was purged, and nothing says so"), "{told}");
        let row = text.lines().find(|line| line.starts_with("{\"number\":4,")).unwrap();
        let mut gone: Value = serde_json::from_str(row).unwrap();
        gone.as_object_mut().unwrap().retain(|field, _| field != "entry" && field != "salt");
        let (code, told) = verify(&text.replacen(row, &gone.to_string(), 1));
        assert!(code == Some(1) && told.contains("entry 4: it was purged, and nothing says so"), "{told}");
        journal.take_in(at(10)).unwrap();
    }
}

/// Who starts on what was changed meanwhile writes down that it is doubted.
#[test]
fn a_server_that_finds_another_end_says_so_for_good() {
    type Spoil = fn(&Path);
    const CASES: [(&str, Spoil, &str); 2] = [
        (
            "cut",
            |data| {
                let cut = "DELETE FROM entries WHERE number > 2; DELETE FROM notes";
                Connection::open(data.join("journal.db")).unwrap().execute_batch(cut).unwrap();
            },
            "the end was not signed",
        ),
        (
            "gone",
            |data| {
                // A log that was left would bring it back.
                for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
                    let _ = fs::remove_file(data.join(file));
                }
            },
            "there was a key and no journal",
        ),
    ];
    for (name, spoil, want) in CASES {
        let mut ecoute = start(&[]);
        drop(Bystanders::start(&ecoute));
        ecoute.end(Signal::SIGTERM);
        spoil(ecoute.data.path());
        // The second time there is nothing new to say.
        for _ in 0..2 {
            ecoute.start_again(&[]);
            ecoute.end(Signal::SIGTERM);
        }
        let entries = entries(ecoute.data.path());
        let doubts = entries.iter().filter(|entry| entry["event"] == "journal_doubted");
        assert_eq!(doubts.map(|entry| entry["detail"].as_str().unwrap()).collect::<Vec<_>>(), [want], "{name}");
    }
}

/// What is removed under a server that runs is not begun anew behind its back.
#[test]
fn nobody_begins_to_hear_somebody_once_the_journal_was_removed() {
    let mut ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    bystanders.others.push(Client::open(&ecoute, 2, "admin", "late"));
    bystanders.run_until(|all| all.others[0].browser.connected);
    fs::remove_file(ecoute.data.path().join("journal.db")).unwrap();
    wish(&mut bystanders);
    bystanders.run_until(|all| all.others[0].browser.messages_of("error").next().is_some());
    assert_eq!(bystanders.others[0].browser.heard.len(), 0);
    assert_eq!(journal_status(&ecoute)["cause"], "replaced");
    ecoute.wait_for_line("does not end where it did");
    assert!(!ecoute.data.path().join("journal.db").exists());
    bystanders.assert_undisturbed();
}

#[test]
fn two_servers_have_two_data_directories() {
    let ecoute = start(&[]);
    let second = run(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(ecoute.data.path()));
    assert_eq!(second.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another server has this data directory"),
        "{second:?}"
    );
}

#[test]
fn a_database_that_is_not_ours_is_left_alone() {
    let data = TempDir::new().unwrap();
    let path = data.path().join("journal.db");
    fs::write(&path, "not a database, but longer than a header of one is, which has a hundred bytes".repeat(3))
        .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = run(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no journal of ecoute"), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Whoever does something at the command line is in the journal of the server that runs, and a copy of all is as good.
#[test]
fn what_is_done_at_the_command_line_is_written_down() {
    let mut ecoute = start(&[]);
    let bystanders = Bystanders::start(&ecoute);
    drop(bystanders);
    let data = ecoute.data.path().to_owned();
    let elsewhere = TempDir::new().unwrap();
    let (copy, restored) = (elsewhere.path().join("copy"), elsewhere.path().join("data"));
    let done = |arguments: &[&str], data: &Path| {
        let output = run(program().args(arguments).arg("--data").arg(data));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["audit", "export"], &data);
    done(&["revoke", "nobody"], &data);
    let told: Value = serde_json::from_str(&done(&["export", "--person", "hearer"], &data)).unwrap();
    assert_eq!(told["listened_to"][0]["commercial_id"], "speaker");
    let report = done(&["report", "--english"], &data);
    assert!(report.contains("<td>Listenings</td><td>&lt; 5</td>") && !report.contains("hearer"), "{report}");
    let would = done(&["purge", "--person", "hearer", "--dry-run"], &data);
    assert!(would.starts_with("This would purge "), "{would}");
    done(&["backup", copy.to_str().unwrap()], &data);
    let again = run(program().args(["backup", copy.to_str().unwrap(), "--data"]).arg(&data));
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten: {again:?}");
    ecoute.signal(Signal::SIGTERM);
    ecoute.wait_for_exit(Duration::from_secs(5));
    let purged = done(&["purge", "--person", "hearer", "--reason", "she asked"], &data);
    assert!(purged.starts_with("Purged "), "{purged}");
    assert_good(&data);
    done(&["restore", copy.to_str().unwrap()], &restored);
    assert_good(&restored);
    let events =
        |data: &Path| entries(data).iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect();
    let of_server: Vec<String> = events(&data);
    for event in ["journal_exported", "report_made", "user_revoked", "person_exported", "journal_backed_up"] {
        assert!(of_server.iter().any(|other| other == event), "{event}: {of_server:?}");
    }
    let of_copy: Vec<String> = events(&restored);
    assert_eq!(of_copy.last().map(String::as_str), Some("journal_restored"), "{of_copy:?}");
    assert!(of_copy.iter().any(|event| event == "listen_started"), "{of_copy:?}");
}
