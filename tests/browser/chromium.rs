//! Drives a real, headless Chromium over its DevTools protocol, as a person would: pages, clicks, keys, screenshots.
//!
//! Invariant: every wait is bounded, and no browser outlives its [`Chromium`].

#![allow(dead_code, reason = "each program uses a part of it")]

use std::cell::RefCell;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::support::over_tls;
use crate::support::tls::shared;

/// How long a browser may take for anything.
const WAIT: Duration = Duration::from_secs(20);

/// Finds an element through shadow roots: `outer >>> inner`.
const DEEP: &str = "window.deep = (selector) => selector.split(' >>> ')
    .reduce((place, part) => (place?.shadowRoot ?? place)?.querySelector(part), document);";

/// Answers what the salesperson's page asks before it first goes on air, where it has a storage: no notifications.
const ANSWERED: &str = "try { localStorage.setItem('ecoute.hidden_asked', '1'); } catch {}";

/// What a page says, inside its shadow roots too.
const VISIBLE_TEXT: &str = "[document.body, ...document.querySelectorAll('*')].map((element) =>
    element === document.body ? element.innerText : [...element.shadowRoot?.children ?? []].map((e) => e.innerText)).flat().join(' / ')";

/// A running browser with an empty profile.
pub struct Chromium {
    child: Child,
    _profile: TempDir,
    tools: RefCell<Tools>,
}

/// One tab.
pub struct Page<'a> {
    browser: &'a Chromium,
    session: String,
}

struct Tools {
    websocket: WebSocket<TcpStream>,
    next_id: u64,
    /// What pages complained of: exceptions, refused loads, console errors.
    complaints: Vec<String>,
}

impl Chromium {
    /// Starts a browser that speaks `language` and whose microphone plays a WAV file in a loop.
    pub fn start(microphone: &Path, language: &str) -> Chromium {
        Chromium::start_with(microphone, language, &[])
    }

    /// Starts one with more arguments.
    pub fn start_with(microphone: &Path, language: &str, arguments: &[&str]) -> Chromium {
        let profile = TempDir::new().unwrap();
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
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--use-file-for-fake-audio-capture={}", microphone.display()));
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.args([format!("--lang={language}"), format!("--accept-lang={language}")]);
        command.args(arguments);
        if over_tls() {
            command.arg(format!("--ignore-certificate-errors-spki-list={}", shared().key_hash()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("chromium is installed (apt-get install chromium)");
        let tools = RefCell::new(Tools::connect(profile.path()));
        Chromium { child, _profile: profile, tools }
    }

    /// Opens a tab on an address.
    pub fn open(&self, url: &str) -> Page<'_> {
        self.open_prepared(url, "")
    }

    /// Opens a tab in which `script` runs before anything of the page, and `deep(selector)` finds elements as
    /// [`Page::click`] does.
    pub fn open_prepared(&self, url: &str, script: &str) -> Page<'_> {
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        let page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.resize(1280, 800);
        page.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": format!("{DEEP}{ANSWERED}{script}") }),
        );
        page.call("Page.navigate", json!({ "url": url }));
        page
    }

    /// Returns what pages complained of until now.
    pub fn complaints(&self) -> Vec<String> {
        self.tools.borrow().complaints.clone()
    }

    /// Lets pages of an origin do what people would be asked for.
    pub fn grant(&self, origin: &str, permissions: &[&str]) {
        self.call(None, "Browser.grantPermissions", json!({ "origin": origin, "permissions": permissions }));
    }

    fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.try_call(session, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&self, session: Option<&str>, method: &str, parameters: Value) -> Result<Value, Value> {
        self.tools.borrow_mut().call(session, method, parameters)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page<'_> {
    /// Returns what a JavaScript expression is, waiting for a promise.
    pub fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
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
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells whether an expression is true; on the way from one page to the next nothing is.
    fn is_so(&self, expression: &str) -> bool {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        match self.browser.try_call(Some(&self.session), "Runtime.evaluate", parameters) {
            Ok(answer) => answer["result"]["value"] == true,
            Err(error) if error["message"] == "Inspected target navigated or closed" => false,
            Err(error) => panic!("{expression}: {error}"),
        }
    }

    /// Clicks in the middle of an element, as a finger would; `outer >>> inner` is inside the shadow root of `outer`.
    pub fn click(&self, selector: &str) {
        self.wait_for(&format!("deep('{selector}')?.checkVisibility()"));
        let middle = format!(
            "(() => {{ const e = deep('{selector}'); e.scrollIntoView({{ block: 'center' }});
              const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let middle = self.evaluate(&middle);
        for kind in ["mousePressed", "mouseReleased"] {
            let (x, y) = (&middle[0], &middle[1]);
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses one key, as a keyboard would: a letter, or a name such as `ArrowDown`.
    pub fn press(&self, key: &str) {
        self.hold(key, 0);
    }

    /// Presses a key so long that it repeats so often.
    pub fn hold(&self, key: &str, repeats: usize) {
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
        self.call("Input.dispatchKeyEvent", down.clone());
        down["autoRepeat"] = json!(true);
        for _ in 0..repeats {
            self.call("Input.dispatchKeyEvent", down.clone());
        }
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    pub fn reload(&self) {
        self.evaluate("window.beforeReload = true");
        self.call("Page.reload", json!({}));
        self.wait_for("!window.beforeReload && document.readyState === 'complete'");
    }

    pub fn close(&self) {
        self.call("Page.close", json!({}));
    }

    /// Ends the page's process as a phone that runs out of memory does: without a word.
    pub fn kill(&self) {
        // The answer never comes: who would give it is gone.
        self.browser.tools.borrow_mut().send(Some(&self.session), "Page.crash", json!({}));
    }

    pub fn bring_to_front(&self) {
        self.call("Page.bringToFront", json!({}));
    }

    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Saves what the page looks like as a PNG.
    pub fn screenshot(&self, path: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        fs::write(path, decode_base64(answer["data"].as_str().unwrap())).unwrap();
    }

    /// Shows the page as someone sees it who prefers `"light"` or `"dark"`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Calls the DevTools protocol for this tab.
    pub fn call(&self, method: &str, parameters: Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }
}

impl Tools {
    /// Connects to the browser of a profile, once it has written where it listens.
    fn connect(profile: &Path) -> Tools {
        let until = Instant::now() + WAIT;
        let (port, path) = loop {
            let text = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                break (port.to_owned(), path.trim().to_owned());
            }
            assert!(Instant::now() < until, "chromium does not start");
            thread::sleep(Duration::from_millis(20));
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let (websocket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        Tools { websocket, next_id: 1, complaints: Vec::new() }
    }

    fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Result<Value, Value> {
        let id = self.send(session, method, parameters);
        loop {
            let message = self.websocket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            self.on_event(&message);
        }
    }

    /// Asks for something and does not wait for the answer; returns its id.
    fn send(&mut self, session: Option<&str>, method: &str, parameters: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            request["sessionId"] = json!(session);
        }
        self.websocket.send(Message::text(request.to_string())).unwrap();
        id
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

/// Decodes standard base64 (RFC 4648 §4), as DevTools sends it.
fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').map(digit).collect();
    let decode = |four: &[u8]| {
        let bits = four.iter().fold(0u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(decode).collect()
}
