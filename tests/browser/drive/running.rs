//! The programs behind a browser. To start them takes longer than many a test, so those that no test asked anything of its
//! own serve one test after the other.
//!
//! Invariant: a test finds nothing of the one before it: its pages have a storage, a cache and permissions that end with it.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use super::Kind;
use super::chromium::{self, DevTools};
use super::firefox::{self, BiDi};
use super::kept::Kept;
use super::tools::Tools;
use crate::sound::Microphone;

/// Those that no test uses now: of each kind, language and tone no more than were used at once.
static IDLE: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// The programs of one browser.
pub struct Running {
    pub tools: Box<dyn Tools + Send>,
    _programs: Vec<Kept>,
    /// As what it may serve another test.
    plain: Option<Plain>,
}

/// What tells browsers apart that may be shared.
#[derive(PartialEq)]
struct Plain {
    kind: Kind,
    language: String,
    wav: Vec<u8>,
}

impl Running {
    /// Takes one that is idle, or starts one.
    pub fn shared(kind: Kind, microphone: &Microphone, language: &str) -> Running {
        let plain = Plain { kind, language: language.to_owned(), wav: fs::read(microphone.wav()).unwrap() };
        let mut running = take_idle(&plain).unwrap_or_else(|| {
            let started = match kind {
                Kind::Chromium => Running::chromium(microphone, language, &[]),
                Kind::Firefox => Running::firefox(microphone, language, &[]),
            };
            Running { plain: Some(plain), ..started }
        });
        running.tools.begin();
        running
    }

    pub fn chromium(microphone: &Microphone, language: &str, arguments: &[&str]) -> Running {
        let profile = TempDir::new().unwrap();
        let programs = vec![chromium::launch(profile.path(), microphone, language, arguments)];
        Running { tools: Box::new(DevTools::connect(&profile.keep())), _programs: programs, plain: None }
    }

    pub fn firefox(microphone: &Microphone, language: &str, preferences: &[(&str, Value)]) -> Running {
        let profile = TempDir::new().unwrap();
        let loudspeaker = firefox::launch_loudspeaker(profile.path());
        let programs = vec![firefox::launch(profile.path(), microphone, language, preferences), loudspeaker];
        Running { tools: Box::new(BiDi::connect(&profile.keep())), _programs: programs, plain: None }
    }

    /// Ends what a test did, and keeps the programs for another one where they may be shared.
    pub fn give_back(mut self) {
        if self.plain.is_some() {
            self.tools.end();
            idle().push(self);
        }
    }
}

fn take_idle(wanted: &Plain) -> Option<Running> {
    let mut idle = idle();
    let found = idle.iter().position(|running| running.plain.as_ref() == Some(wanted))?;
    Some(idle.swap_remove(found))
}

fn idle() -> MutexGuard<'static, Vec<Running>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}
