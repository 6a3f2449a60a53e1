//! Firefox, by WebDriver BiDi, which it serves itself.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kept::Kept;
use super::tools::{Failure, Tools, WAIT, Wire};
use crate::sound::Microphone;

/// Starts a loudspeaker that nobody hears: without any, Firefox plays nothing, and its clock of sound stands still.
pub fn launch_loudspeaker(profile: &Path) -> Kept {
    let mut command = Command::new("pulseaudio");
    command.args([
        "-n",
        "--daemonize=no",
        "--use-pid-file=no",
        "--exit-idle-time=-1",
        "-L",
        "module-null-sink",
        "-L",
    ]);
    command.arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", loudspeaker(profile).display()));
    command.env("HOME", profile).env("XDG_RUNTIME_DIR", profile);
    let kept = Kept::start(&command, profile, "pulseaudio");
    let until = Instant::now() + WAIT;
    while !loudspeaker(profile).exists() {
        assert!(Instant::now() < until, "pulseaudio does not start");
        thread::sleep(Duration::from_millis(20));
    }
    kept
}

fn loudspeaker(profile: &Path) -> PathBuf {
    profile.join("loudspeaker")
}

pub fn launch(profile: &Path, microphone: &Microphone, language: &str, preferences: &[(&str, Value)]) -> Kept {
    let language = format!("{language}, {}", language.split('-').next().unwrap());
    // The fake microphone plays one tone; it reads no file.
    let own = [
        // No desktop shows notifications here; Firefox does it itself.
        ("alerts.useSystemBackend", json!(false)),
        ("intl.accept_languages", json!(language)),
        ("media.navigator.audio.fake_frequency", json!(microphone.hz() as u32)),
        ("media.navigator.permission.disabled", json!(true)),
        ("media.navigator.streams.fake", json!(true)),
        // Where its cache is slow it asks the server as well; tests count who is asked.
        ("network.http.rcwn.enabled", json!(false)),
    ];
    let mut file = String::new();
    for (name, value) in own.iter().chain(preferences) {
        writeln!(file, "user_pref(\"{name}\", {value});").unwrap();
    }
    fs::write(profile.join("user.js"), file).unwrap();
    let mut command = Command::new("firefox-esr");
    command.args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--remote-allow-system-access"]);
    command.arg("--profile").arg(profile).arg("about:blank");
    // What it writes beside the profile would be found by the next one.
    command.env("HOME", profile).env("MOZ_CRASHREPORTER_DISABLE", "1");
    command.env("PULSE_SERVER", format!("unix:{}", loudspeaker(profile).display()));
    Kept::start(&command, profile, "firefox-esr")
}

/// The preference for light or dark pages.
const SCHEME: &str = "layout.css.prefers-color-scheme.content-override";

/// Tabs are named by their browsing contexts.
pub struct BiDi {
    wire: Wire,
    /// Of pages that share a storage and permissions.
    context: String,
    /// What pages complained of: exceptions, refused loads, console errors.
    complaints: Vec<String>,
}

impl BiDi {
    /// Connects to the browser of a profile, once it has written where it listens.
    pub fn connect(profile: &Path) -> BiDi {
        let until = Instant::now() + WAIT;
        let port = loop {
            let text = fs::read_to_string(profile.join("WebDriverBiDiServer.json")).unwrap_or_default();
            if let Ok(Value::Object(server)) = serde_json::from_str(&text) {
                break server["ws_port"].clone();
            }
            assert!(Instant::now() < until, "Firefox does not start");
            thread::sleep(Duration::from_millis(20));
        };
        let wire = Wire::connect(&format!("127.0.0.1:{port}"), "/session");
        let mut tools = BiDi { wire, context: "default".to_owned(), complaints: Vec::new() };
        let wanted = json!({ "acceptInsecureCerts": true, "unhandledPromptBehavior": { "default": "accept" } });
        tools.call("session.new", json!({ "capabilities": { "alwaysMatch": wanted } }));
        tools.call("session.subscribe", json!({ "events": ["log.entryAdded"] }));
        tools
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        let id = self.wire.send(method, parameters, None);
        loop {
            let message = self.wire.read(method);
            if message["id"] == id {
                return match message["type"].as_str() {
                    Some("success") => Ok(message["result"].clone()),
                    _ => Err(message),
                };
            }
            let entry = &message["params"];
            if message["method"] == "log.entryAdded" && entry["level"] == "error" {
                self.complaints.push(entry.to_string());
            }
        }
    }

    /// Does something in the browser's own window, which may set preferences; no command of the protocol does.
    fn set_preference(&mut self, change: &str) {
        let tree = self.call("browsingContext.getTree", json!({ "maxDepth": 0, "moz:scope": "chrome" }));
        let window = tree["contexts"][0]["context"].as_str().unwrap().to_owned();
        self.evaluate(&window, &format!("Services.prefs.{change}")).unwrap();
    }

    fn act(&mut self, page: &str, source: Value) {
        self.call("input.performActions", json!({ "context": page, "actions": [source] }));
    }
}

impl Tools for BiDi {
    fn begin(&mut self) {
        self.context =
            self.call("browser.createUserContext", json!({}))["userContext"].as_str().unwrap().to_owned();
        // With what came late of the test before.
        self.complaints.clear();
    }

    fn end(&mut self) {
        self.call("browser.removeUserContext", json!({ "userContext": self.context }));
        self.set_preference(&format!("clearUserPref('{SCHEME}')"));
    }

    fn open(&mut self, script: &str) -> String {
        let wanted = json!({ "type": "tab", "userContext": self.context });
        let page = self.call("browsingContext.create", wanted)["context"].as_str().unwrap().to_owned();
        // The empty page that a tab begins with is none of the test's.
        let function = format!("() => {{ if (self.origin === 'null') return; {script} }}");
        self.call("script.addPreloadScript", json!({ "functionDeclaration": function, "contexts": [page] }));
        page
    }

    fn navigate(&mut self, page: &str, url: &str) {
        self.call("browsingContext.navigate", json!({ "context": page, "url": url, "wait": "none" }));
    }

    fn evaluate(&mut self, page: &str, expression: &str) -> Result<Value, Failure> {
        let target = json!({ "context": page });
        let parameters = json!({ "expression": expression, "target": target, "awaitPromise": true });
        match self.try_call("script.evaluate", parameters) {
            Ok(answer) if answer["type"] == "success" => Ok(plain(&answer["result"])),
            Ok(answer) => Err(Failure::Other(answer)),
            // What was asked went with the page that was asked.
            Err(error) if error["error"] == "no such frame" || error.to_string().contains("AbortError") => {
                Err(Failure::Navigated)
            }
            Err(error) => Err(Failure::Other(error)),
        }
    }

    fn point_at(&mut self, page: &str, x: f64, y: f64) {
        let moved = json!({ "type": "pointerMove", "x": x.round(), "y": y.round() });
        self.act(page, json!({ "type": "pointer", "id": "mouse", "actions": [moved] }));
    }

    fn click(&mut self, page: &str, x: f64, y: f64) {
        let actions = json!([
            { "type": "pointerMove", "x": x.round(), "y": y.round() },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.act(page, json!({ "type": "pointer", "id": "mouse", "actions": actions }));
    }

    fn hold(&mut self, page: &str, key: &str, repeats: usize) {
        // Keys without a character have one of WebDriver's own (WebDriver §17.4.2).
        let value = match key {
            "Enter" => "\u{e007}",
            "Tab" => "\u{e004}",
            "Escape" => "\u{e00c}",
            "Home" => "\u{e011}",
            "ArrowLeft" => "\u{e012}",
            "ArrowUp" => "\u{e013}",
            "ArrowRight" => "\u{e014}",
            "ArrowDown" => "\u{e015}",
            letter => letter,
        };
        let down = json!({ "type": "keyDown", "value": value });
        let mut actions = vec![down; repeats + 1];
        actions.push(json!({ "type": "keyUp", "value": value }));
        self.act(page, json!({ "type": "key", "id": "keyboard", "actions": actions }));
    }

    fn reload(&mut self, page: &str) {
        self.call("browsingContext.reload", json!({ "context": page, "wait": "none" }));
    }

    fn close(&mut self, page: &str) {
        self.call("browsingContext.close", json!({ "context": page }));
    }

    fn bring_to_front(&mut self, page: &str) {
        self.call("browsingContext.activate", json!({ "context": page }));
    }

    fn resize(&mut self, page: &str, width: u32, height: u32) {
        let viewport = json!({ "width": width, "height": height });
        self.call("browsingContext.setViewport", json!({ "context": page, "viewport": viewport }));
    }

    fn screenshot(&mut self, page: &str) -> String {
        self.call("browsingContext.captureScreenshot", json!({ "context": page }))["data"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn grant(&mut self, origin: &str, permissions: &[&str]) {
        // The fake microphone asks nobody, and a click may write to the clipboard.
        for name in ["geolocation", "notifications"] {
            let state = if permissions.contains(&name) { "granted" } else { "denied" };
            let permission = json!({
                "descriptor": { "name": name }, "origin": origin, "state": state, "userContext": self.context,
            });
            self.call("permissions.setPermission", permission);
        }
    }

    fn place_at(&mut self, page: &str, latitude: f64, longitude: f64, accuracy_m: f64) {
        let coordinates = json!({ "latitude": latitude, "longitude": longitude, "accuracy": accuracy_m });
        let place = json!({ "contexts": [page], "coordinates": coordinates });
        self.call("emulation.setGeolocationOverride", place);
    }

    fn prefer(&mut self, _page: &str, scheme: &str) {
        self.set_preference(&format!("setIntPref('{SCHEME}', {})", u32::from(scheme == "light")));
    }

    fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

/// Returns a remote value (WebDriver BiDi §7.7.2.9) as what `JSON.stringify` would have made of it.
fn plain(value: &Value) -> Value {
    let inner = &value["value"];
    match value["type"].as_str() {
        Some("string" | "boolean" | "number" | "date") if !is_special(value) => inner.clone(),
        Some("array") => inner.as_array().into_iter().flatten().map(plain).collect(),
        Some("object") => {
            let pairs = inner.as_array().into_iter().flatten();
            pairs.map(|pair| (pair[0].as_str().unwrap_or_default().to_owned(), plain(&pair[1]))).collect()
        }
        _ => Value::Null,
    }
}

/// `NaN`, `Infinity` and the like are numbers with a word for a value.
fn is_special(value: &Value) -> bool {
    value["type"] == "number" && !value["value"].is_number()
}
