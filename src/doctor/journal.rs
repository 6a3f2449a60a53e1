//! The journal: whether it is there, can be written and has room; as its files tell, and as the server itself says.
//!
//! Invariant: nothing is written, and no lock is taken: both are the server's.

use std::net::SocketAddr;
use std::path::Path;

use ecoute::host::journal::{self, JournalError};
use ecoute::words::JournalFault;
use serde::Deserialize;
use serde_json::Value;

use super::report::{Finding, Report};
use super::stream::{self, Stream};
use super::visit::Visit;
use super::{Server, http};

/// What one entry takes, all in.
const ENTRY_BYTES: u64 = 1000;
/// With less room the months for which entries are kept don't fit.
const ROOM_BYTES: u64 = 200 << 20;
/// With less room it fails soon.
const ROOM_MIN_BYTES: u64 = 16 << 20;
/// How many files are named that have the wrong owner.
const NAMED_MAX: usize = 5;

/// Looks at the files of a server's journal; `is_running` where that server answers.
pub fn examine(server: &Server, is_running: bool, report: &mut Report<'_>) {
    let Some(place) = journal::Place::of(&server.data) else { return };
    let data = server.data.display();
    for path in place.locked_out.iter().take(NAMED_MAX) {
        let path = path.display();
        let text = format!(
            "{path} may not be written by the user of {data} ({}): nothing is written down, so nobody can listen",
            place.owner
        );
        report.add(Finding::wrong(text, format!("chown --reference={data} {path} && chmod 600 {path}")));
    }
    if place.is_read_only {
        let text = format!("the disk of {data} is read-only: nothing is written down, so nobody can listen");
        report.add(Finding::wrong(text, format!("mount -o remount,rw $(findmnt -nT {data} -o TARGET)")));
    }
    if let Some(free_bytes) = place.free_bytes {
        report.add(judge_room(free_bytes, place.bytes, &server.data));
    }
    let found = journal::inspect(&server.data);
    let is_to_come = matches!(found, Err(JournalError::Missing { .. })) && !is_running;
    report.add(match found {
        Ok(()) => Finding::ok(format!("the journal in {data} can be read")),
        Err(_) if is_to_come => Finding::ok(format!("the next start begins the journal in {data}")),
        Err(error) => judge_error(&error, &server.data),
    });
}

fn judge_room(free_bytes: u64, bytes: u64, data: &Path) -> Finding {
    let (free_mib, mib) = (free_bytes >> 20, bytes >> 20);
    let room = format!("{free_mib} MiB are free for the journal, which takes {mib} MiB");
    if free_bytes >= ROOM_BYTES {
        return Finding::ok(room);
    }
    let text =
        format!("{room}: there is room for about {} entries, then nobody can listen", free_bytes / ENTRY_BYTES);
    let mend = format!("df -h {}   # make room there, or move the directory: --data DIR", data.display());
    if free_bytes < ROOM_MIN_BYTES { Finding::wrong(text, mend) } else { Finding::warning(text, mend) }
}

fn judge_error(error: &JournalError, data: &Path) -> Finding {
    let data = data.display();
    let mend = match error {
        JournalError::Missing { .. } => {
            "ecoute doctor --data DIR   # the server's; if that was it: systemctl restart ecoute begins a new one"
                .to_owned()
        }
        JournalError::NotOurs { path }
        | JournalError::OtherTables { path }
        | JournalError::Damaged { path, .. } => {
            let path = path.display();
            format!(
                "mv {path} {path}.bad && systemctl restart ecoute   # or `ecoute restore` a copy into an empty directory"
            )
        }
        JournalError::Older { .. } => "systemctl restart ecoute   # which moves it on".to_owned(),
        JournalError::Newer { .. } => "apt install ecoute   # the newer one again".to_owned(),
        JournalError::BadKey { .. } | JournalError::NoKey { .. } => {
            format!("ecoute restore COPY --data DIR   # an empty one, in place of {data}")
        }
        JournalError::Unavailable { fault: JournalFault::NotPermitted, .. } => {
            "sudo ecoute doctor   # or as the user that the server runs as".to_owned()
        }
        JournalError::Unavailable { .. }
        | JournalError::Taken { .. }
        | JournalError::OtherEnd { .. }
        | JournalError::Busy { .. }
        | JournalError::NotEmpty { .. } => {
            format!("ls -l {data} && dmesg | tail   # what the system says of that disk")
        }
    };
    Finding::wrong(error.to_string(), mend)
}

/// Asks the server how its journal is; whoever may not know is told nothing.
pub fn examine_status(visit: &Visit<'_>, address: SocketAddr, token: &str, report: &mut Report<'_>) {
    let place = visit.place;
    let stream = match place.is_https {
        true => stream::connect_tls(address, &place.host, visit.limit).map(|(stream, _)| stream),
        false => stream::connect(address, visit.limit).map(Stream::Plain),
    };
    // It was taken over the WebSocket.
    let authorization = format!("Authorization: Bearer {}\r\n", token.trim_ascii());
    let path = format!("{}/api/streaming/status", place.prefix);
    let answer = stream
        .and_then(|mut stream| http::get(&mut stream, &place.authority(), &path, &authorization, visit.limit));
    let status = answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
    if let Some(finding) = status.and_then(|status| judge_status(&status["journal"])) {
        report.add(finding);
    }
}

fn judge_status(journal: &Value) -> Option<Finding> {
    if journal["ok"].as_bool()? {
        let (entries, lag_ms) = (&journal["entries"], &journal["lag_ms"]);
        return Some(Finding::ok(format!("the journal is written, {lag_ms} ms behind; entries so far: {entries}")));
    }
    // A newer server may know more.
    let fault = JournalFault::deserialize(&journal["cause"]).unwrap_or(JournalFault::Other);
    let mend = match fault {
        JournalFault::DiskFull => "df -h DIR   # on the server, of its --data: make room, and it goes on by itself",
        JournalFault::NotPermitted => "ls -la DIR   # on the server, of its --data: mount it writable, or chown it",
        JournalFault::Hangs => "dmesg | tail   # on the server: its disk does not answer",
        JournalFault::Damaged | JournalFault::Replaced => {
            "systemctl restart ecoute   # on the server; it says what it found, and what to do"
        }
        JournalFault::Other => "journalctl -u ecoute   # on the server",
    };
    let text = format!("nobody can begin to listen: the journal can't be written: {}", fault.words());
    Some(Finding::wrong(text, mend))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn room_at_its_edges() {
        let data = Path::new("/data");
        for (mib, verdict) in
            [(200, Verdict::Ok), (199, Verdict::Warning), (16, Verdict::Warning), (15, Verdict::Wrong)]
        {
            let finding = judge_room(mib << 20, 3 << 20, data);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.text.starts_with(&format!("{mib} MiB are free for the journal, which takes 3 MiB")));
        }
    }

    #[test]
    fn what_the_server_says_is_said() {
        let good = judge_status(&json!({ "ok": true, "entries": 7, "lag_ms": 3 })).unwrap();
        assert_eq!(good.verdict, Verdict::Ok);
        assert!(good.text.ends_with("3 ms behind; entries so far: 7"), "{good:?}");
        for (cause, words, mend) in [
            ("disk_full", "its disk is full", "df -h"),
            ("not_permitted", "its disk is read-only, or its files may not be written", "ls -la"),
            ("hangs", "its disk does not answer", "dmesg"),
            ("replaced", "it was changed or replaced", "systemctl restart ecoute"),
            ("of later times", "the server's log says why", "journalctl"),
        ] {
            let bad = judge_status(&json!({ "ok": false, "cause": cause })).unwrap();
            assert_eq!(bad.verdict, Verdict::Wrong);
            assert!(bad.text.contains(words) && bad.mend.unwrap().starts_with(mend), "{cause}");
        }
        assert_eq!(judge_status(&Value::Null), None, "an older server");
    }
}
