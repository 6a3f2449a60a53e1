//! Two who have no part in an attack: a salesperson on air and a supervisor who hears them, over real sockets.
//!
//! The clients are those of the simulation, in real time. Invariant: every wait is bounded.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{connect, read_response, request};
use crate::support::{Ecoute, WAIT};
use stage::browser::Browser;
use stage::link::Quality;

/// How long nothing may be heard, or an answer be waited for, without the time in which the machine did other things.
const FELT: Duration = Duration::from_millis(200);

/// How often the server is asked for an answer.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// A page with its sockets.
pub struct Client {
    pub browser: Browser,
    tcp: TcpStream,
    /// `None` once the port is closed.
    udp: Option<UdpSocket>,
}

pub struct Bystanders {
    pub speaker: Client,
    pub hearer: Client,
    /// Others whose sockets are served too.
    pub others: Vec<Client>,
    /// Asks over HTTP, unless it left.
    health: Option<BufReader<TcpStream>>,
    begin: Moment,
    /// When each packet was heard.
    heard: Vec<Moment>,
    server: u32,
    /// When the server was asked last, and how many answers came over the WebSocket before.
    asked: Moment,
    answers: usize,
    is_answered: bool,
    asks: bool,
    /// How long an answer took, over HTTP and over the WebSocket.
    longest_answer: Duration,
}

/// When something happened, and how long by then the server and this thread had wanted to run while others ran.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    waited: Duration,
}

impl Moment {
    fn now(server: u32) -> Moment {
        let waited = |path: String| -> Duration {
            // Time on the processor, time in wait for it, both in ns, and how often.
            let numbers = std::fs::read_to_string(path).unwrap();
            Duration::from_nanos(numbers.split(' ').nth(1).unwrap().parse().unwrap())
        };
        let waited = waited(format!("/proc/{server}/schedstat")) + waited("/proc/thread-self/schedstat".into());
        Moment { at: Instant::now(), waited }
    }

    fn max(self, other: Moment) -> Moment {
        if self.at < other.at { other } else { self }
    }

    /// Returns how much time passed until another moment in which the machine let both run.
    fn until(self, later: Moment) -> Duration {
        (later.at - self.at).saturating_sub(later.waited - self.waited)
    }
}

impl Client {
    /// Opens a page of a role.
    pub fn open(ecoute: &Ecoute, index: u16, role: &str, id: &str) -> Client {
        let token = ecoute.token(role, id, id);
        let tcp = connect(ecoute.address).into_inner();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        let mut browser = Browser::new(index, id, udp.local_addr().unwrap(), Quality::PERFECT);
        let now = Instant::now();
        browser.register(&token, id);
        match role {
            "commercial" => browser.start_streaming(now),
            _ => browser.open_audio(now),
        }
        Client { browser, tcp, udp: Some(udp) }
    }

    /// Closes the port to which the server sends audio, as a program that crashed.
    pub fn close_port(&mut self) {
        self.udp = None;
    }

    /// Returns a second handle of the socket for audio: whoever sends on it sends under this client's address.
    pub fn port(&self) -> UdpSocket {
        self.udp.as_ref().expect("it is open").try_clone().unwrap()
    }

    /// Tells the code with which the server closed this client's WebSocket, if it did.
    pub fn closed(&self) -> Option<u16> {
        self.browser.closed
    }

    fn serve(&mut self, now: Instant) {
        let mut buffer = [0; 2000];
        loop {
            match self.tcp.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.browser.handle_bytes(now, &buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{}: {error}", self.browser.id),
            }
        }
        let bytes = self.browser.take_bytes();
        self.tcp.write_all(&bytes).unwrap();
        self.let_time_pass(now);
        while let Some((length, from)) = self.udp.as_ref().and_then(|udp| udp.recv_from(&mut buffer).ok()) {
            self.browser.handle_datagram(now, from, &buffer[..length]);
            // The library forgets packets that are not asked for before the next one.
            self.let_time_pass(now);
        }
    }

    fn let_time_pass(&mut self, now: Instant) {
        for (to, bytes) in self.browser.handle_timeout(now) {
            if let Some(udp) = &self.udp {
                udp.send_to(&bytes, to).unwrap();
            }
        }
    }
}

impl Bystanders {
    /// Returns once one hears the other.
    pub fn start(ecoute: &Ecoute) -> Bystanders {
        let now = Moment::now(ecoute.child.id());
        let mut bystanders = Bystanders {
            speaker: Client::open(ecoute, 0, "commercial", "speaker"),
            hearer: Client::open(ecoute, 1, "admin", "hearer"),
            others: Vec::new(),
            health: Some(connect(ecoute.address)),
            begin: now,
            heard: Vec::new(),
            server: ecoute.child.id(),
            asked: now,
            answers: 0,
            is_answered: false,
            asks: true,
            longest_answer: Duration::ZERO,
        };
        bystanders.run_until(|all| all.speaker.browser.connected && all.hearer.browser.connected);
        let wish = json!({ "commercial_id": "speaker" });
        bystanders.hearer.browser.say("join_commercial_stream", wish);
        bystanders.run_until(|all| all.hearer.browser.heard.len() > 10);
        bystanders.begin_anew();
        bystanders.ask();
        bystanders
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    pub fn run_until(&mut self, is_so: impl Fn(&Bystanders) -> bool) {
        let end = Instant::now() + WAIT;
        while !is_so(self) {
            assert!(Instant::now() < end, "not in time");
            self.turn();
        }
    }

    /// Goes on while something else happens.
    pub fn run_during<T: Send>(&mut self, what: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let other = scope.spawn(what);
            while !other.is_finished() {
                self.turn();
            }
            other.join().unwrap()
        })
    }

    /// Asserts that since the beginning every packet arrived, without a gap that anybody would hear, and every answer.
    pub fn assert_undisturbed(&mut self) {
        self.run_for(FELT / 2);
        self.assert_heard_all();
        let gap = self.longest_gap();
        assert!(gap < FELT, "nothing heard for {gap:?}");
        assert!(self.answers > 0 && self.longest_answer < FELT, "an answer took {:?}", self.longest_answer);
    }

    /// Asserts that no packet was lost and that both are still there.
    pub fn assert_heard_all(&self) {
        assert_eq!((self.speaker.closed(), self.hearer.closed()), (None, None));
        let heard = &self.hearer.browser.heard;
        let made = heard.last().unwrap().counter - heard.first().unwrap().counter + 1;
        let missing: Vec<u32> = heard.windows(2).flat_map(|pair| pair[0].counter + 1..pair[1].counter).collect();
        assert_eq!(missing, [0; 0], "missing of {made}");
        let silent = self.since(*self.heard.last().unwrap());
        assert!(silent < FELT, "nothing heard for {silent:?}");
    }

    /// Stops asking for answers that can't come.
    pub fn stop_asking(&mut self) {
        self.asks = false;
    }

    pub fn longest_gap(&self) -> Duration {
        let now = Moment::now(self.server);
        let times: Vec<Moment> = self.heard.iter().chain([&now]).map(|heard| heard.max(self.begin)).collect();
        times.windows(2).map(|pair| pair[0].until(pair[1])).max().unwrap_or(Duration::MAX)
    }

    /// Closes the conn that belongs to no user.
    pub fn leave_http(&mut self) {
        self.health = None;
    }

    /// Forgets what was felt until now.
    pub fn begin_anew(&mut self) {
        self.begin = Moment::now(self.server);
        self.longest_answer = Duration::ZERO;
    }

    fn since(&self, moment: Moment) -> Duration {
        moment.until(Moment::now(self.server))
    }

    /// Asks for an answer over HTTP, and for one over the WebSocket.
    fn ask(&mut self) {
        self.asked = Moment::now(self.server);
        self.is_answered = false;
        self.hearer.browser.say("ping", json!({ "t": 1 }));
        if let Some(health) = &mut self.health {
            health.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
            assert_eq!(read_response(health).0, 200);
            self.longest_answer = self.longest_answer.max(self.since(self.asked));
        }
    }

    fn turn(&mut self) {
        for client in [&mut self.speaker, &mut self.hearer].into_iter().chain(&mut self.others) {
            client.serve(Instant::now());
        }
        if self.heard.len() < self.hearer.browser.heard.len() {
            self.heard.resize(self.hearer.browser.heard.len(), Moment::now(self.server));
        }
        let answers = self.hearer.browser.messages_of("pong").count();
        if answers > self.answers {
            self.answers = answers;
            self.longest_answer = self.longest_answer.max(self.since(self.asked));
            self.is_answered = true;
        }
        if self.asks && self.is_answered && self.asked.at.elapsed() > ASK_INTERVAL {
            self.ask();
        }
        thread::sleep(Duration::from_millis(1));
    }
}
