//! Chromium, by its DevTools protocol.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kept::Kept;
use super::tools::{Failure, Tools, WAIT, Wire};
use crate::sound::Microphone;
use crate::support::over_tls;
use crate::support::tls::shared;

pub fn launch(profile: &Path, microphone: &Microphone, language: &str, arguments: &[&str]) -> Kept {
    // It is read again each time a page opens the microphone.
    let wav = profile.join("microphone.wav");
    fs::copy(microphone.wav(), &wav).unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // Of a window of its own, and of the pages that its address bar is made of, nobody sees anything here: they were half
        // of what a test costs.
        "--no-startup-window",
        "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--remote-debugging-port=0",
    ]);
    command.arg(format!("--use-file-for-fake-audio-capture={}", wav.display()));
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.args([format!("--lang={language}"), format!("--accept-lang={language}")]);
    command.args(arguments);
    if over_tls() {
        command.arg(format!("--ignore-certificate-errors-spki-list={}", shared().key_hash()));
    }
    Kept::start(&command, profile, "chromium")
}

/// Tabs are named by the sessions that drive them.
pub struct DevTools {
    wire: Wire,
    /// Of pages that share a storage and permissions.
    context: String,
    /// What pages complained of: exceptions, refused loads, console errors.
    complaints: Vec<String>,
}

impl DevTools {
    /// Connects to the browser of a profile, once it has written where it listens.
    pub fn connect(profile: &Path) -> DevTools {
        let until = Instant::now() + WAIT;
        loop {
            let text = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                let wire = Wire::connect(&format!("127.0.0.1:{port}"), path.trim());
                let mut tools = DevTools { wire, context: String::new(), complaints: Vec::new() };
                let contexts = tools.call(None, "Target.getBrowserContexts", json!({}));
                tools.context = contexts["defaultBrowserContextId"].as_str().unwrap().to_owned();
                return tools;
            }
            assert!(Instant::now() < until, "chromium does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn call(&mut self, page: Option<&str>, method: &str, parameters: Value) -> Value {
        self.try_call(page, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, page: Option<&str>, method: &str, parameters: Value) -> Result<Value, Value> {
        let id = self.wire.send(method, parameters, page);
        loop {
            let message = self.wire.read(method);
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            self.on_event(&message);
        }
    }

    fn on_event(&mut self, message: &Value) {
        let parameters = &message["params"];
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => &parameters["exceptionDetails"],
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => &parameters["entry"],
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => parameters,
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }
}

impl Tools for DevTools {
    fn begin(&mut self) {
        let made = self.call(None, "Target.createBrowserContext", json!({}));
        self.context = made["browserContextId"].as_str().unwrap().to_owned();
        // With what came late of the test before.
        self.complaints.clear();
    }

    fn end(&mut self) {
        self.call(None, "Target.disposeBrowserContext", json!({ "browserContextId": self.context }));
    }

    fn open(&mut self, script: &str) -> String {
        let wanted = json!({ "url": "about:blank", "browserContextId": self.context });
        let target = self.call(None, "Target.createTarget", wanted);
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let page = self.call(None, "Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            self.call(Some(&page), &format!("{domain}.enable"), json!({}));
        }
        self.call(Some(&page), "Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        page
    }

    fn navigate(&mut self, page: &str, url: &str) {
        self.call(Some(page), "Page.navigate", json!({ "url": url }));
    }

    fn evaluate(&mut self, page: &str, expression: &str) -> Result<Value, Failure> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        match self.try_call(Some(page), "Runtime.evaluate", parameters) {
            Ok(answer) if answer.get("exceptionDetails").is_none() => Ok(answer["result"]["value"].clone()),
            Ok(answer) => Err(Failure::Other(answer)),
            Err(error) if error["message"] == "Inspected target navigated or closed" => Err(Failure::Navigated),
            Err(error) => Err(Failure::Other(error)),
        }
    }

    fn point_at(&mut self, page: &str, x: f64, y: f64) {
        let event = json!({ "type": "mouseMoved", "x": x, "y": y });
        self.call(Some(page), "Input.dispatchMouseEvent", event);
    }

    fn click(&mut self, page: &str, x: f64, y: f64) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call(Some(page), "Input.dispatchMouseEvent", event);
        }
    }

    fn hold(&mut self, page: &str, key: &str, repeats: usize) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => u32::from(key.to_uppercase().as_bytes()[0]),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        match key {
            "Enter" => down["text"] = json!("\r"),
            letter if letter.chars().count() == 1 => down["text"] = json!(letter),
            _ => {}
        }
        self.call(Some(page), "Input.dispatchKeyEvent", down.clone());
        down["autoRepeat"] = json!(true);
        for _ in 0..repeats {
            self.call(Some(page), "Input.dispatchKeyEvent", down.clone());
        }
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call(Some(page), "Input.dispatchKeyEvent", up);
    }

    fn reload(&mut self, page: &str) {
        self.call(Some(page), "Page.reload", json!({}));
    }

    fn close(&mut self, page: &str) {
        self.call(Some(page), "Page.close", json!({}));
    }

    fn bring_to_front(&mut self, page: &str) {
        self.call(Some(page), "Page.bringToFront", json!({}));
    }

    fn resize(&mut self, page: &str, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call(Some(page), "Emulation.setDeviceMetricsOverride", metrics);
    }

    fn screenshot(&mut self, page: &str) -> String {
        let answer = self.call(Some(page), "Page.captureScreenshot", json!({ "format": "png" }));
        answer["data"].as_str().unwrap().to_owned()
    }

    fn grant(&mut self, origin: &str, permissions: &[&str]) {
        let grant = json!({ "origin": origin, "permissions": permissions, "browserContextId": self.context });
        self.call(None, "Browser.grantPermissions", grant);
    }

    fn place_at(&mut self, page: &str, latitude: f64, longitude: f64, accuracy_m: f64) {
        let place = json!({ "latitude": latitude, "longitude": longitude, "accuracy": accuracy_m });
        self.call(Some(page), "Emulation.setGeolocationOverride", place);
    }

    fn prefer(&mut self, page: &str, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(Some(page), "Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn devtools(&mut self, page: &str, method: &str, parameters: Value) -> Value {
        self.call(Some(page), method, parameters)
    }

    fn kill(&mut self, page: &str) {
        // The answer never comes: who would give it is gone.
        self.wire.send("Page.crash", json!({}), Some(page));
    }
}
