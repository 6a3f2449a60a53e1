//! An application of others, on an origin of its own, which embeds what écoute offers.
//!
//! Invariant: its pages are open until the test ends, each request on a thread of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::support::Ecoute;

pub struct Site {
    pub origin: String,
    app: Arc<OnceLock<App>>,
}

struct App {
    ecoute: String,
    files: Vec<(&'static str, String)>,
    backend: Option<SocketAddr>,
}

impl Site {
    /// Binds a port and answers from then on; the pages come with [`Site::serve`].
    pub fn start() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = Arc::new(OnceLock::<App>::new());
        let served = Arc::clone(&app);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let app = Arc::clone(&served);
                // Browsers open connections that they may not use: none may wait for another.
                thread::spawn(move || answer(&stream, &app));
            }
        });
        Site { origin, app }
    }

    /// Serves files by their path, `ECOUTE` in them being the server. One that begins with `<` is a page. Any other is a
    /// script, under its path and `.js`; the path itself is a page that runs it and nothing else, under a strict policy.
    pub fn serve(&self, ecoute: &Ecoute, files: Vec<(&'static str, String)>) {
        self.serve_before(ecoute, files, None);
    }

    /// Serves files before a backend, which answers under `/ecoute-token`.
    pub fn serve_before(&self, ecoute: &Ecoute, files: Vec<(&'static str, String)>, backend: Option<SocketAddr>) {
        let app = App { ecoute: ecoute.url(), files, backend };
        assert!(self.app.set(app).is_ok(), "served once");
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

fn answer(mut stream: &TcpStream, app: &OnceLock<App>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    // The rest of the head is read, so that closing is no reset.
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or("/");
    let answer = app.get().map(|app| app.answer(path)).unwrap_or_default();
    // The browser may have left.
    let _ = stream.write_all(answer.as_bytes());
}

impl App {
    fn answer(&self, path: &str) -> String {
        if let Some(backend) = self.backend.filter(|_| path == "/ecoute-token") {
            return ask(backend, path);
        }
        let file = |path: &str| self.files.iter().find(|(name, _)| *name == path).map(|(_, file)| file.as_str());
        if let Some(script) = path.strip_suffix(".js").and_then(file) {
            return self.respond("text/javascript", "", script);
        }
        match file(path) {
            Some(page) if page.starts_with('<') => self.respond("text/html", "", page),
            _ => {
                let policy = "Content-Security-Policy: default-src 'none'; img-src data:; style-src 'self'; \
                    script-src 'self' ECOUTE; connect-src ECOUTE WEBSOCKET\r\n";
                let page = format!(
                    "<!doctype html><html lang=fr><meta charset=utf-8><link rel=icon href=data:,>\
                     <meta name=viewport content='width=device-width'>\
                     <title>CRM</title><body><script type=module src={path}.js></script>"
                );
                self.respond("text/html", policy, &page)
            }
        }
    }

    fn respond(&self, kind: &str, policy: &str, body: &str) -> String {
        let place = |text: &str| {
            text.replace("ECOUTE", &self.ecoute).replace("WEBSOCKET", &self.ecoute.replacen("http", "ws", 1))
        };
        let (policy, body) = (place(policy), place(body));
        let len = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len}\r\n{policy}Connection: close\r\n\r\n{body}"
        )
    }
}

/// Returns a backend's whole answer.
fn ask(backend: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(backend).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
