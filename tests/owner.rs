//! What root does in the directory of a service that somebody has taken over: no more than its owner could.
//!
//! Only root can try it; elsewhere there is nothing to lose. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use ecoute::audit::{Entry, EntryId, Event, Subject};
use ecoute::host::journal::Journal;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use support::{program, run};
use tempfile::TempDir;

/// A user whom nobody has.
const SERVICE: u32 = 64_123;

/// What only root may read, and nobody may change; long enough for a secret.
const OF_ROOT: &str = "what root alone may read, of 32 bytes and more";

/// The data directory of a service, below one that root alone may pass, and a file of root beside it.
struct Place {
    root: TempDir,
    data: PathBuf,
}

impl Place {
    /// Returns none where the test may not make what belongs to others.
    fn new() -> Option<Place> {
        if !geteuid().is_root() {
            return None;
        }
        let root = TempDir::new().unwrap();
        let data = root.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(root.path().join("victim"), OF_ROOT).unwrap();
        for path in [root.path().to_owned(), root.path().join("victim")] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        let place = Place { root, data };
        place.give(&place.data);
        place.write("secret", "9f2c4e81b7d0635a9f8e12c4d7b60a35");
        Some(place)
    }

    fn victim(&self) -> PathBuf {
        self.root.path().join("victim")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// Gives what stands there to the service.
    fn give(&self, path: &Path) {
        chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }

    fn write(&self, name: &str, contents: &str) {
        fs::write(self.at(name), contents).unwrap();
        self.give(&self.at(name));
    }

    fn pipe(&self, name: &str) {
        mkfifo(&self.at(name), Mode::S_IRWXU).unwrap();
        self.give(&self.at(name));
    }

    fn is_of_service(&self, name: &str) -> bool {
        let found = fs::symlink_metadata(self.at(name)).unwrap();
        found.is_file() && (found.uid(), found.gid(), found.mode() & 0o7777) == (SERVICE, SERVICE, 0o600)
    }

    fn ecoute(&self, arguments: &[&str]) -> Output {
        run(program().args(arguments).arg("--data").arg(&self.data))
    }

    fn assert_unharmed(&self, name: &str) {
        assert_eq!(fs::read_to_string(self.victim()).unwrap(), OF_ROOT, "{name}");
        assert_eq!(fs::metadata(self.victim()).unwrap().uid(), 0, "{name}");
    }
}

#[test]
fn a_revocation_follows_nothing_and_waits_for_nobody() {
    let Some(place) = Place::new() else { return };
    let revoke = |name: &str, works: bool| {
        let output = place.ecoute(&["revoke", "lea"]);
        assert_eq!(output.status.success(), works, "{name}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).contains(place.at("revoked").to_str().unwrap());
        assert_eq!(told, !works, "{name}: {output:?}");
        place.assert_unharmed(name);
        if works {
            assert!(place.is_of_service("revoked"), "{name}");
            assert!(fs::read_to_string(place.at("revoked")).unwrap().starts_with("lea "), "{name}");
        }
        fs::remove_file(place.at("revoked")).unwrap();
    };
    revoke("plain", true);
    symlink(place.victim(), place.at("revoked")).unwrap();
    revoke("a link to what root may read", false);
    place.pipe("revoked");
    revoke("a pipe", false);
    symlink(place.victim(), place.at(".revoked-new")).unwrap();
    revoke("a link where the new list is made", true);
    place.pipe(".revoked-new");
    revoke("a pipe where the new list is made", true);
    fs::write(place.at("revoked"), "").unwrap();
    revoke("a file of root", true);
    fs::write(place.at("revoked"), "").unwrap();
    chown(place.at("revoked"), Some(SERVICE + 1), None).unwrap();
    revoke("a file of a third person", false);
    let lock = File::open(&place.data).unwrap();
    lock.lock().unwrap();
    fs::write(place.at("revoked"), "").unwrap();
    revoke("who keeps the lock", false);
}

#[test]
fn what_root_does_is_handed_in_with_the_key_of_the_service_and_leaves_nothing_of_root() {
    let Some(place) = Place::new() else { return };
    // SQLite asks for each directory on the way.
    fs::set_permissions(place.root.path(), Permissions::from_mode(0o711)).unwrap();
    let at = UNIX_EPOCH + Duration::from_secs(7);
    let write = |place: &Place| {
        let (mut journal, problem) = Journal::open(&place.data).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        let of = Subject { commercial_id: "lea".into(), is_device: false };
        journal.append(&[&Entry { id: EntryId(0), at, event: Event::BroadcastPaused { of } }]).unwrap();
        journal.close();
        fs::read_dir(&place.data).unwrap().for_each(|file| place.give(&file.unwrap().path()));
    };
    write(&place);
    let copy = place.root.path().join("copy");
    let commands: [&[&str]; 6] = [
        &["audit", "show"],
        &["report"],
        &["export", "--person", "lea"],
        &["revoke", "paul"],
        &["backup", copy.to_str().unwrap()],
        &["purge", "--person", "lea", "--reason", "she asked"],
    ];
    for command in commands {
        let done = place.ecoute(command);
        assert!(done.status.success(), "{command:?}: {done:?}");
        for file in fs::read_dir(&place.data).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().uid(), SERVICE, "{command:?}: {:?}", file.path());
        }
    }
    write(&place);
    let shown = String::from_utf8(place.ecoute(&["audit", "show"]).stdout).unwrap();
    for event in
        ["journal_shown", "report_made", "person_exported", "user_revoked", "journal_backed_up", "person_purged"]
    {
        assert!(shown.contains(&format!("\"event\":\"{event}\",\"actor\":\"uid=0 ")), "{event}: {shown}");
    }
    assert!(!shown.contains("hand_in_refused"), "{shown}");
    // Where the key leads to what root alone may read, or to nobody, it is none.
    fs::remove_file(place.at("journal.key")).unwrap();
    symlink(place.victim(), place.at("journal.key")).unwrap();
    assert!(!place.ecoute(&["report"]).status.success(), "a link to what root may read");
    fs::remove_file(place.at("journal.key")).unwrap();
    place.pipe("journal.key");
    assert!(!place.ecoute(&["report"]).status.success(), "a pipe");
    place.assert_unharmed("the key");
}

#[test]
fn tokens_are_signed_with_what_the_service_may_read() {
    let Some(place) = Place::new() else { return };
    let mint = |arguments: &[&str]| {
        place.ecoute(&[&["token", "--role", "admin", "--id", "paul"], arguments].concat()).status.success()
    };
    assert!(mint(&[]));
    fs::remove_file(place.at("secret")).unwrap();
    symlink(place.victim(), place.at("secret")).unwrap();
    assert!(!mint(&[]), "a link to what root alone may read");
    fs::remove_file(place.at("secret")).unwrap();
    place.pipe("secret");
    assert!(!mint(&[]), "a pipe");
    let victim = place.victim();
    assert!(mint(&["--secret-file", victim.to_str().unwrap()]), "root says so itself");
    place.pipe("revoked");
    assert!(mint(&["--secret-file", victim.to_str().unwrap()]), "the list is a pipe");
    place.assert_unharmed("tokens");
}

#[test]
fn a_certificate_is_handed_over_and_goes_nowhere_else() {
    let Some(place) = Place::new() else { return };
    let lineage = TempDir::new().unwrap();
    for name in ["fullchain", "privkey"] {
        fs::write(lineage.path().join(format!("{name}.pem")), name).unwrap();
        fs::set_permissions(lineage.path().join(format!("{name}.pem")), Permissions::from_mode(0o600)).unwrap();
    }
    let deploy = |name: &str, works: bool| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/certbot-deploy");
        let mut command = Command::new("sh");
        command.arg(script).env("ECOUTE_DATA", &place.data).env("RENEWED_LINEAGE", lineage.path());
        let output = run(&mut command);
        assert_eq!(output.status.success(), works, "{name}: {output:?}");
        place.assert_unharmed(name);
        if works {
            for name in ["fullchain", "privkey"] {
                assert!(place.is_of_service(&format!("tls/{name}.pem")), "{name}");
                assert_eq!(fs::read_to_string(place.at(&format!("tls/{name}.pem"))).unwrap(), name);
                assert!(!place.at(&format!("tls/{name}.new")).exists());
            }
        }
    };
    deploy("plain", true);
    deploy("again", true);
    fs::remove_file(place.at("tls/privkey.pem")).unwrap();
    symlink(place.victim(), place.at("tls/privkey.pem")).unwrap();
    deploy("a link where the key goes", true);
    symlink(place.victim(), place.at("tls/privkey.new")).unwrap();
    deploy("a link where the new key is made", true);
    place.pipe("tls/fullchain.new");
    deploy("a pipe", true);
    fs::remove_dir_all(place.at("tls")).unwrap();
    let of_root = place.root.path().join("of-root");
    fs::create_dir(&of_root).unwrap();
    symlink(&of_root, place.at("tls")).unwrap();
    deploy("a link to a directory of root", false);
    assert_eq!(fs::read_dir(&of_root).unwrap().count(), 0);
}
