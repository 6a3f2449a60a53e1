//! What a disk that is slow, or that hangs, does to who streams, to who hears, and to who would.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bystanders::{Bystanders, Client};
use crate::support::slow_disk::SlowDisk;
use crate::support::{Ecoute, program};

/// Longer than a gate may wait, and longer than any test waits for anything.
const HANGS: Duration = Duration::from_secs(60);

fn start_on(disk: &SlowDisk) -> (Ecoute, Bystanders) {
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    disk.carry(&mut command);
    let ecoute = Ecoute::start_command(command, data);
    let mut bystanders = Bystanders::start(&ecoute);
    bystanders.others.push(Client::open(&ecoute, 2, "admin", "late"));
    bystanders.run_until(|all| all.others[0].browser.connected);
    (ecoute, bystanders)
}

fn wish(bystanders: &mut Bystanders) {
    bystanders.others[0].browser.say("join_commercial_stream", json!({ "commercial_id": "speaker" }));
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_but_who_would_begin_to_hear() {
    let disk = SlowDisk::new(Duration::ZERO);
    let (mut ecoute, mut bystanders) = start_on(&disk);
    bystanders.begin_anew();
    disk.set_delay(HANGS);
    wish(&mut bystanders);
    bystanders.run_until(|all| all.others[0].browser.messages_of("error").next().is_some());
    let told: Value = bystanders.others[0].browser.messages_of("error").next().unwrap().clone();
    assert_eq!((&told["code"], &told["commercial_id"]), (&json!("journal_unavailable"), &json!("speaker")));
    let hangs = |said: &Value| said["ok"] == false && said["cause"] == "hangs";
    bystanders.run_until(|all| {
        [&all.speaker, &all.hearer, &all.others[0]]
            .iter()
            .all(|client| client.browser.messages_of("journal_state").any(hangs))
    });
    assert!(bystanders.others[0].browser.heard.is_empty());
    bystanders.assert_undisturbed();
    ecoute.wait_for_line("its disk does not answer; nobody begins to hear anybody");
    bystanders.begin_anew();

    disk.set_delay(Duration::ZERO);
    bystanders.run_until(|all| all.speaker.browser.messages_of("journal_state").any(|said| said["ok"] == true));
    wish(&mut bystanders);
    bystanders.run_until(|all| all.others[0].browser.heard.len() > 10);
    bystanders.assert_undisturbed();
}

/// One that is slow holds a wish up by as much, and nothing else.
#[test]
fn a_slow_disk_is_felt_by_who_waits_for_it() {
    let disk = SlowDisk::new(Duration::from_millis(100));
    let (_ecoute, mut bystanders) = start_on(&disk);
    bystanders.begin_anew();
    wish(&mut bystanders);
    bystanders.run_until(|all| all.others[0].browser.heard.len() > 10);
    bystanders.assert_undisturbed();
    assert_eq!(bystanders.others[0].browser.messages_of("error").count(), 0);
}
