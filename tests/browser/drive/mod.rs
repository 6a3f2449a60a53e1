//! Drives real, headless browsers as a person would: pages, clicks, keys, screenshots.
//!
//! Chromium speaks its DevTools protocol, Firefox WebDriver BiDi; a test sees neither. Invariant: every wait is bounded, no
//! test finds anything of another, and no browser outlives the test program.

#![allow(dead_code, reason = "each program uses a part of it")]

mod chromium;
mod firefox;
mod kept;
mod running;
mod tools;

use std::cell::{RefCell, RefMut};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::sound::Microphone;
use running::Running;
use tools::{Failure, Tools, WAIT};

/// Finds an element through shadow roots: `outer >>> inner`; forgets what a click is aimed at once it came.
const DEEP: &str = "window.deep = (selector) => selector.split(' >>> ')
    .reduce((place, part) => (place?.shadowRoot ?? place)?.querySelector(part), document);
    addEventListener('click', (event) => { if (event.composedPath().includes(window.target)) window.target = null; }, true);";

/// Answers what the salesperson's page asks before it first goes on air, where it has a storage: no notifications.
const ANSWERED: &str = "try { localStorage.setItem('ecoute.hidden_asked', '1'); } catch {}";

/// What a page says, inside its shadow roots too.
const VISIBLE_TEXT: &str = "[document.body, ...document.querySelectorAll('*')].map((element) =>
    element === document.body ? element.innerText : [...element.shadowRoot?.children ?? []].map((e) => e.innerText)).flat().join(' / ')";

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
}

impl Kind {
    /// The one that the run is for: Chromium, unless `ECOUTE_TEST_BROWSER` says `firefox`.
    pub fn of_run() -> Kind {
        match std::env::var("ECOUTE_TEST_BROWSER").as_deref() {
            Ok("firefox") => Kind::Firefox,
            Ok(other) if other != "chromium" => panic!("ECOUTE_TEST_BROWSER is {other}, not chromium or firefox"),
            _ => Kind::Chromium,
        }
    }
}

/// A browser without a past, of which nothing is left when this is dropped.
pub struct Browser {
    pub kind: Kind,
    /// None once it is dropped.
    running: Option<RefCell<Running>>,
}

/// One tab.
pub struct Page<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    /// Starts the browser of the run, which speaks `language` and hears `microphone`. Its pages are as in a private window.
    pub fn start(microphone: &Microphone, language: &str) -> Browser {
        Browser::start_kind(Kind::of_run(), microphone, language)
    }

    /// Starts a browser of that kind.
    pub fn start_kind(kind: Kind, microphone: &Microphone, language: &str) -> Browser {
        Browser::of(kind, Running::shared(kind, microphone, language))
    }

    /// Starts the browser of the run where pages of `origin` are as good as over HTTPS.
    pub fn trusting(origin: &str, microphone: &Microphone, language: &str) -> Browser {
        Browser::trusting_kind(Kind::of_run(), origin, microphone, language)
    }

    /// Starts a browser of that kind where pages of `origin` are as good as over HTTPS.
    pub fn trusting_kind(kind: Kind, origin: &str, microphone: &Microphone, language: &str) -> Browser {
        match kind {
            Kind::Chromium => {
                let trusted = format!("--unsafely-treat-insecure-origin-as-secure={origin}");
                Browser::chromium(microphone, language, &[&trusted])
            }
            Kind::Firefox => {
                let host = origin.trim_start_matches("http://").rsplit_once(':').map_or(origin, |(host, _)| host);
                let host = json!(host.trim_matches(['[', ']']));
                Browser::firefox(microphone, language, &[("dom.securecontext.allowlist", host)])
            }
        }
    }

    /// Starts a Chromium with more arguments, which is the test's own, as are its profile and first window.
    pub fn chromium(microphone: &Microphone, language: &str, arguments: &[&str]) -> Browser {
        Browser::of(Kind::Chromium, Running::chromium(microphone, language, arguments))
    }

    /// Starts a Firefox with more preferences, which is the test's own.
    pub fn firefox(microphone: &Microphone, language: &str, preferences: &[(&str, Value)]) -> Browser {
        Browser::of(Kind::Firefox, Running::firefox(microphone, language, preferences))
    }

    fn of(kind: Kind, running: Running) -> Browser {
        Browser { kind, running: Some(RefCell::new(running)) }
    }

    /// Opens a tab on an address.
    pub fn open(&self, url: &str) -> Page<'_> {
        self.open_prepared(url, "")
    }

    /// Opens a tab in which `script` runs before anything of the page, and `deep(selector)` finds elements as
    /// [`Page::click`] does.
    pub fn open_prepared(&self, url: &str, script: &str) -> Page<'_> {
        let id = self.running().tools.open(&format!("{DEEP}{ANSWERED}{script}"));
        let page = Page { browser: self, id };
        page.resize(1280, 800);
        page.navigate(url);
        page
    }

    /// Returns what pages complained of until now.
    pub fn complaints(&self) -> Vec<String> {
        self.running().tools.complaints().to_vec()
    }

    /// Lets pages of an origin do what people would be asked for, by the names of DevTools, and nothing else of it.
    pub fn grant(&self, origin: &str, permissions: &[&str]) {
        self.running().tools.grant(origin, permissions);
    }

    fn running(&self) -> RefMut<'_, Running> {
        self.running.as_ref().expect("it is taken by `drop` alone").borrow_mut()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let running = self.running.take().expect("it is dropped once").into_inner();
        // What a failed test leaves may be in any state.
        if !thread::panicking() {
            running.give_back();
        }
    }
}

impl Page<'_> {
    /// Goes to another address.
    pub fn navigate(&self, url: &str) {
        self.tools(|tools, id| tools.navigate(id, url));
    }

    /// Returns what a JavaScript expression is, waiting for a promise.
    pub fn evaluate(&self, expression: &str) -> Value {
        match self.tools(|tools, id| tools.evaluate(id, expression)) {
            Ok(value) => value,
            Err(failure) => panic!("{expression}: {failure:?}"),
        }
    }

    /// Waits until a JavaScript expression is true.
    pub fn wait_for(&self, expression: &str) {
        let until = Instant::now() + WAIT;
        // While a page loads, what is asked for is not there yet.
        let is_so = format!("(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()");
        while !self.is_so(&is_so) {
            if Instant::now() > until {
                let text = self.evaluate(VISIBLE_TEXT);
                panic!("{expression} is not so; complaints {:?}; the page says {text}", self.browser.complaints());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells whether an expression is true; on the way from one page to the next nothing is.
    fn is_so(&self, expression: &str) -> bool {
        match self.tools(|tools, id| tools.evaluate(id, expression)) {
            Ok(value) => value == true,
            Err(Failure::Navigated) => false,
            Err(failure) => panic!("{expression}: {failure:?}"),
        }
    }

    /// Clicks in the middle of an element, as a finger would; `outer >>> inner` is inside the shadow root of `outer`.
    /// Where it moves away from under the finger, once more.
    pub fn click(&self, selector: &str) {
        self.wait_for(&format!("deep('{selector}')?.checkVisibility()"));
        let aim = format!(
            "(() => {{ window.target = deep('{selector}'); target.scrollIntoView({{ block: 'center' }});
              const r = target.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        for _ in 0..3 {
            let at = self.evaluate(&aim);
            self.tools(|tools, id| tools.click(id, at[0].as_f64().unwrap(), at[1].as_f64().unwrap()));
            if self.was_clicked(&at) {
                return;
            }
        }
        panic!("{selector} can't be clicked: something covers it");
    }

    /// Tells whether what was aimed at had its click, or can't have one, as it is disabled or gone. Firefox says up to 140 ms
    /// before that it was done, and a busy browser seconds: only what is not there any more is missed.
    fn was_clicked(&self, at: &Value) -> bool {
        let is_missed = format!(
            "(() => {{ const found = target.getRootNode().elementFromPoint(...{at}); return found !== target && !target.contains(found); }})()"
        );
        let begin = Instant::now();
        while self.is_so("Boolean(window.target)") {
            if begin.elapsed() > Duration::from_secs(1) {
                if self.is_so("target.disabled || !target.isConnected") {
                    return true;
                }
                if self.is_so(&is_missed) || begin.elapsed() > WAIT {
                    return false;
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Moves the mouse to a place of the page.
    pub fn point_at(&self, x: f64, y: f64) {
        self.tools(|tools, id| tools.point_at(id, x, y));
    }

    /// Presses one key, as a keyboard would: a letter, or a name such as `ArrowDown`.
    pub fn press(&self, key: &str) {
        self.hold(key, 0);
    }

    /// Presses a key so long that it repeats so often.
    pub fn hold(&self, key: &str, repeats: usize) {
        self.tools(|tools, id| tools.hold(id, key, repeats));
    }

    pub fn reload(&self) {
        self.evaluate("window.beforeReload = true");
        self.tools(|tools, id| tools.reload(id));
        self.wait_for("!window.beforeReload && document.readyState === 'complete'");
    }

    pub fn close(&self) {
        self.tools(|tools, id| tools.close(id));
    }

    pub fn bring_to_front(&self) {
        self.tools(|tools, id| tools.bring_to_front(id));
    }

    pub fn resize(&self, width: u32, height: u32) {
        self.tools(|tools, id| tools.resize(id, width, height));
    }

    /// Saves what the page looks like as a PNG.
    pub fn screenshot(&self, path: &Path) {
        let png = self.tools(|tools, id| tools.screenshot(id));
        fs::write(path, BASE64_STANDARD.decode(png).unwrap()).unwrap();
    }

    /// Calls the DevTools protocol for this tab, which only Chromium has.
    pub fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.tools(|tools, id| tools.devtools(id, method, parameters))
    }

    /// Ends the page's process as a phone that runs out of memory does: without a word. Only Chromium can.
    pub fn kill(&self) {
        self.tools(|tools, id| tools.kill(id));
    }

    /// Shows the page as someone sees it who prefers `"light"` or `"dark"`.
    pub fn prefer(&self, scheme: &str) {
        self.tools(|tools, id| tools.prefer(id, scheme));
    }

    /// Lets the page find itself at a place, in degrees.
    pub fn place_at(&self, latitude: f64, longitude: f64, accuracy_m: f64) {
        self.tools(|tools, id| tools.place_at(id, latitude, longitude, accuracy_m));
    }

    fn tools<T>(&self, act: impl FnOnce(&mut dyn Tools, &str) -> T) -> T {
        act(&mut *self.browser.running().tools, &self.id)
    }
}
