//! Runs WHIP publishers and WHEP listeners that are built on other people's WebRTC, as children of a test.
//!
//! Invariant: every wait is bounded, and no child outlives its [`Program`].

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::installed::{node_modules, python};
use crate::sound;

/// How long a client may take for anything.
const WAIT: Duration = Duration::from_secs(20);

/// Whose WebRTC a program is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In Python, over OpenSSL.
    Aiortc,
    /// FFmpeg's `whip` muxer, as PyAV's wheels carry it. Publishes only.
    Ffmpeg,
    /// `webrtcbin`, over libnice, with a certificate for RSA.
    Gstreamer,
    /// In C++, with which OBS publishes; always offers video too.
    Libdatachannel,
    /// In TypeScript, from the first byte of DTLS on.
    Werift,
}

/// Where a client goes, and as whom.
pub struct Endpoint {
    pub url: String,
    pub token: String,
    /// The server's certificate where nobody else vouches for it, in PEM.
    pub certificate: Option<PathBuf>,
}

/// A running client.
pub struct Program {
    kind: Kind,
    child: Child,
    stdin: ChildStdin,
    events: Receiver<Value>,
    /// All that it said until now; what is no event is text.
    said: Vec<Value>,
    /// Of that, what nobody waited for yet.
    pending: Vec<Value>,
    /// Where it writes what it hears, if it listens.
    heard: Option<TempDir>,
}

impl Kind {
    /// Starts a publisher of 440 Hz at a WHIP endpoint.
    pub fn publish(self, endpoint: &Endpoint, options: &[&str]) -> Program {
        Program::start(self, self.command(endpoint, options), None)
    }

    /// Starts a listener at a WHEP endpoint.
    pub fn listen(self, endpoint: &Endpoint, options: &[&str]) -> Program {
        let folder = TempDir::new().unwrap();
        let mut command = self.command(endpoint, options);
        command.arg("--hear").arg(folder.path().join("heard.pcm"));
        Program::start(self, command, Some(folder))
    }

    fn command(self, endpoint: &Endpoint, options: &[&str]) -> Command {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
        let mut command = match self {
            Kind::Aiortc => interpreter(python(), script("aiortc-client.py")),
            Kind::Ffmpeg => interpreter(python(), script("ffmpeg.py")),
            // Debian's Python alone finds Debian's GStreamer.
            Kind::Gstreamer => interpreter("/usr/bin/python3", script("gstreamer.py")),
            Kind::Libdatachannel => interpreter("node", script("libdatachannel.cjs")),
            Kind::Werift => interpreter("node", script("werift.cjs")),
        };
        command.env("NODE_PATH", node_modules()).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(certificate) = &endpoint.certificate {
            command.env("SSL_CERT_FILE", certificate).env("NODE_EXTRA_CA_CERTS", certificate);
        }
        command.args(["--url", &endpoint.url, "--token", &endpoint.token]).args(options);
        command
    }
}

impl Program {
    fn start(kind: Kind, mut command: Command, heard: Option<TempDir>) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, events) = channel();
        send_lines(child.stdout.take().unwrap(), sender.clone());
        send_lines(child.stderr.take().unwrap(), sender);
        let stdin = child.stdin.take().unwrap();
        Program { kind, child, stdin, events, said: Vec::new(), pending: Vec::new(), heard }
    }

    /// Returns the first event of a name that was not waited for yet; panics if it does not come.
    pub fn wait_for(&mut self, name: &str) -> Value {
        let until = Instant::now() + WAIT;
        loop {
            if let Some(place) = self.pending.iter().position(|said| said["event"] == name) {
                return self.pending.remove(place);
            }
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(said) => self.keep(said),
                Err(_) => panic!("{:?} does not say {name:?}; it said {:#?}", self.kind, self.said),
            }
        }
    }

    /// Waits until the server has accepted the offer and media may flow.
    pub fn wait_until_connected(&mut self) -> Value {
        if self.kind != Kind::Ffmpeg {
            let answered = self.wait_for("answered");
            assert_eq!(answered["status"], 201, "{:?}: {answered}", self.kind);
        }
        self.wait_for("connected")
    }

    /// Tells whether it has said an event until now.
    pub fn has_said(&mut self, name: &str) -> bool {
        while let Ok(said) = self.events.try_recv() {
            self.keep(said);
        }
        self.said.iter().any(|said| said["event"] == name)
    }

    fn keep(&mut self, said: Value) {
        self.said.push(said.clone());
        self.pending.push(said);
    }

    pub fn tell(&mut self, word: &str) {
        writeln!(self.stdin, "{word}")
            .unwrap_or_else(|_| panic!("{:?} ended; it said {:#?}", self.kind, self.said));
    }

    /// Ends the session and the program in order: the DELETE is answered with 200.
    pub fn stop(mut self) -> Option<TempDir> {
        self.tell("stop");
        let deleted = self.wait_for("deleted");
        // FFmpeg tells nobody what was answered.
        if self.kind != Kind::Ffmpeg {
            assert_eq!(deleted["status"], 200, "{:?}: {deleted}", self.kind);
        }
        let until = Instant::now() + WAIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "{:?} does not end", self.kind);
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{:?}: {status}; it said {:#?}", self.kind, self.said);
        self.heard.take()
    }

    /// Ends a listener and returns what it heard, 48,000 samples a second.
    pub fn stop_and_hear(self) -> Vec<f64> {
        let folder = self.stop().expect("it listens");
        let bytes = fs::read(folder.path().join("heard.pcm")).unwrap();
        bytes.chunks_exact(2).map(|two| f64::from(i16::from_le_bytes([two[0], two[1]])) / 32_767.0).collect()
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns how many seconds it has heard until now.
    pub fn heard_seconds(&self) -> f64 {
        let path = self.heard.as_ref().expect("it listens").path().join("heard.pcm");
        fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 2.0 / 48_000.0)
    }

    /// Ends a listener that has heard a tone of 440 Hz for so many seconds or more, and nothing but that.
    pub fn stop_after_tone(self, seconds: f64) {
        let kind = self.kind;
        let samples = self.stop_and_hear();
        // An Opus decoder needs some packets to find its level.
        let samples = samples.get(4800..).unwrap_or_default();
        let heard = samples.len() as f64 / 48_000.0;
        assert!(heard >= seconds, "{kind:?} heard {heard} s");
        let sound = sound::measure(samples);
        assert!((sound.hz - 440.0).abs() < 3.0, "{kind:?}: {sound:?}");
        assert!(sound.level > 0.2, "{kind:?}: {sound:?}");
        assert!(sound.sounding > 0.98, "{kind:?}: {sound:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interpreter(program: impl AsRef<OsStr>, script: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.arg(script);
    command
}

fn send_lines(source: impl Read + Send + 'static, sender: Sender<Value>) {
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let said = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if sender.send(said).is_err() {
                break;
            }
        }
    });
}
