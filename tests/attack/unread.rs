//! What happens to a server whose log nobody reads: a pipe of 64 KiB is full after some requests.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::bystanders::{Bystanders, Client};
use crate::start;
use crate::support::client::fill_log;
use crate::support::{program, run};

/// How many lines of 1 KB are more than the pipe and the queue behind it take.
const LINES: usize = 800;

fn asked_in(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("path=\"/asked/")).count()
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_tells_what_it_lost() {
    let mut ecoute = start(&["--log", "info,http=debug"]);
    let mut bystanders = Bystanders::start(&ecoute);
    let reading = Arc::clone(&ecoute.reading);
    let unread = reading.lock().unwrap();
    bystanders.run_during(|| fill_log(ecoute.address, LINES));
    let before = bystanders.hearer.browser.heard.len();
    bystanders.run_for(Duration::from_secs(2));
    let heard = bystanders.hearer.browser.heard.len() - before;
    assert!((95..=105).contains(&heard), "{heard} packets in two seconds");
    bystanders.assert_undisturbed();
    drop(unread);

    let told = ecoute.wait_for_line("log lines were lost");
    let lost: usize = told.rsplit_once("count=").unwrap().1.parse().unwrap();
    let missing = LINES - asked_in(&ecoute.lines);
    // The bystanders' own requests are among them.
    assert!((missing..missing + 100).contains(&lost) && missing > LINES / 10, "{missing} missing, {told}");
    fill_log(ecoute.address, 1);
    ecoute.wait_for_line("path=\"/asked/0/");
    bystanders.assert_undisturbed();
}

/// What lets somebody hear is in the journal, whoever reads the log.
#[test]
fn a_log_that_nobody_reads_keeps_nobody_from_hearing() {
    let ecoute = start(&["--log", "info,http=debug"]);
    let mut bystanders = Bystanders::start(&ecoute);
    bystanders.others.push(Client::open(&ecoute, 2, "admin", "late"));
    bystanders.run_until(|all| all.others[0].browser.connected);
    let reading = Arc::clone(&ecoute.reading);
    let _unread = reading.lock().unwrap();
    bystanders.run_during(|| fill_log(ecoute.address, LINES));
    let wish = json!({ "commercial_id": "speaker" });
    bystanders.others[0].browser.say("join_commercial_stream", wish);
    bystanders.run_until(|all| all.others[0].browser.heard.len() > 10);
    bystanders.assert_undisturbed();
    let shown = run(program().args(["audit", "show", "--person", "late", "--data"]).arg(ecoute.data.path()));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("listen_started"), "{shown:?}");
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_the_end_up() {
    let mut ecoute = start(&["--log", "info,http=debug"]);
    let reading = Arc::clone(&ecoute.reading);
    let _unread = reading.lock().unwrap();
    fill_log(ecoute.address, LINES);
    ecoute.signal(Signal::SIGTERM);
    assert_eq!(ecoute.wait_for_exit(Duration::from_secs(3)).0.code(), Some(0));
}

#[test]
fn nothing_is_lost_at_the_end_of_a_log_that_is_read() {
    let mut ecoute = start(&["--log", "info,http=debug"]);
    fill_log(ecoute.address, 200);
    ecoute.signal(Signal::SIGTERM);
    assert_eq!(ecoute.wait_for_exit(Duration::from_secs(3)).0.code(), Some(0));
    let (_, lines) = ecoute.output();
    assert_eq!(asked_in(&lines), 200);
    assert!(lines.last().unwrap().contains("stopped datagrams_sent="), "{:?}", lines.last());
}
