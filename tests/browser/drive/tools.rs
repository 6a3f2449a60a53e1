//! What a browser is asked for, and the connection that both protocols use: JSON messages with ids over a WebSocket.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long a browser may take for anything.
pub const WAIT: Duration = Duration::from_secs(20);

/// Why an expression has no value.
#[derive(Debug)]
pub enum Failure {
    /// The page went on to another one meanwhile.
    Navigated,
    /// It threw, or the browser did not understand.
    Other(Value),
}

/// One browser's own tools. `page` is the id that [`Tools::open`] returned.
pub trait Tools {
    /// Begins anew: with no page, no storage, no permission and no complaint.
    fn begin(&mut self);
    /// Ends all that came since [`Tools::begin`].
    fn end(&mut self);
    /// Opens an empty tab in which `script` will run before anything of a page.
    fn open(&mut self, script: &str) -> String;
    fn navigate(&mut self, page: &str, url: &str);
    fn evaluate(&mut self, page: &str, expression: &str) -> Result<Value, Failure>;
    fn point_at(&mut self, page: &str, x: f64, y: f64);
    fn click(&mut self, page: &str, x: f64, y: f64);
    fn hold(&mut self, page: &str, key: &str, repeats: usize);
    fn reload(&mut self, page: &str);
    fn close(&mut self, page: &str);
    fn bring_to_front(&mut self, page: &str);
    fn resize(&mut self, page: &str, width: u32, height: u32);
    /// A PNG in base64.
    fn screenshot(&mut self, page: &str) -> String;
    fn grant(&mut self, origin: &str, permissions: &[&str]);
    fn place_at(&mut self, page: &str, latitude: f64, longitude: f64, accuracy_m: f64);
    fn prefer(&mut self, page: &str, scheme: &str);
    fn complaints(&self) -> &[String];

    fn devtools(&mut self, _page: &str, method: &str, _parameters: Value) -> Value {
        panic!("{method}: only Chromium has the DevTools protocol");
    }

    fn kill(&mut self, _page: &str) {
        panic!("only Chromium can be told to kill a page");
    }
}

/// Sends requests and reads what comes.
pub struct Wire {
    websocket: WebSocket<TcpStream>,
    next_id: u64,
}

impl Wire {
    /// Connects to a browser of this machine.
    pub fn connect(address: &str, path: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let (websocket, _) = tungstenite::client(format!("ws://{address}{path}"), stream).unwrap();
        Wire { websocket, next_id: 1 }
    }

    /// Asks for something and does not wait for the answer; returns its id.
    pub fn send(&mut self, method: &str, parameters: Value, session: Option<&str>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            request["sessionId"] = json!(session);
        }
        self.websocket.send(Message::text(request.to_string())).unwrap();
        id
    }

    /// Reads the next message: an answer, or an event.
    pub fn read(&mut self, method: &str) -> Value {
        loop {
            let message = self.websocket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}
