//! Programs in virtual time: WHIP publishers and WHEP listeners, which speak HTTP and have no page.
//!
//! The media of a program is that of a [`Browser`](crate::browser::Browser); its requests are made each on a TCP connection of
//! its own, and what a disk holds up is waited for. Invariant: what a program knows of its session is what it was answered.

use std::net::SocketAddr;

use ecoute::keys::ConnKey;
use ecoute::token::{Revoked, Verifier};
use ecoute::wire::sdp;
use ecoute::words::Role;
use str0m::media::Direction;

use super::{SECRET, Who, World};

pub const SDP: &str = "application/sdp";
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// How long an answer may be waited for.
const ANSWER_MS_MAX: u64 = 1100;

/// Which protocol a program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Whip,
    Whep,
}

impl Kind {
    pub fn path(self, id: &str) -> String {
        match self {
            Kind::Whip => format!("/whip/{id}"),
            Kind::Whep => format!("/whep/{id}"),
        }
    }

    fn direction(self) -> Direction {
        match self {
            Kind::Whip => Direction::SendOnly,
            Kind::Whep => Direction::RecvOnly,
        }
    }
}

/// A program, and what it was answered.
#[derive(Clone, Debug)]
pub struct Program {
    pub kind: Kind,
    pub token: String,
    /// Whether nobody has to see who listens.
    pub is_device: bool,
    /// Of its last session.
    pub location: String,
    pub etag: String,
    /// Of that session's first offer, the part that answers the audio.
    answer: String,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let of_name = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        let line = self.head.lines().skip(1).find(of_name)?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("there is a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

/// A request of a program.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub token: &'a str,
    pub if_match: Option<&'a str>,
    pub content_type: &'a str,
    pub body: &'a str,
}

impl<'a> Ask<'a> {
    pub fn post(path: &'a str, token: &'a str, offer: &'a str) -> Ask<'a> {
        Ask { method: "POST", path, token, if_match: None, content_type: SDP, body: offer }
    }

    pub fn patch(path: &'a str, token: &'a str, if_match: Option<&'a str>, fragment: &'a str) -> Ask<'a> {
        Ask { method: "PATCH", path, token, if_match, content_type: FRAGMENT, body: fragment }
    }

    pub fn delete(path: &'a str, token: &'a str) -> Ask<'a> {
        Ask { method: "DELETE", path, token, if_match: None, content_type: "", body: "" }
    }

    pub fn to_http(self) -> String {
        let Ask { method, path, token, if_match, content_type, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: ecoute\r\nContent-Length: {}\r\n", body.len());
        let if_match = if_match.unwrap_or_default();
        let bearer = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
        for (name, value) in
            [("Authorization", bearer.as_str()), ("If-Match", if_match), ("Content-Type", content_type)]
        {
            if !value.is_empty() {
                head += &format!("{name}: {value}\r\n");
            }
        }
        format!("{head}\r\n{body}")
    }
}

impl World {
    /// Adds a program that has asked for nothing yet.
    pub fn program(&mut self, kind: Kind, id: &str, token: &str) -> Who {
        let who = self.add(id);
        let claims = Verifier::new(SECRET, None, Revoked::default()).verify(self.unix_s(), token);
        let program = Program {
            kind,
            token: token.to_owned(),
            is_device: claims.is_ok_and(|claims| claims.device),
            location: String::new(),
            etag: String::new(),
            answer: String::new(),
        };
        self.programs.insert(who, program);
        who
    }

    /// Adds an encoder of a salesperson, who streams.
    pub fn encoder(&mut self, id: &str) -> Who {
        let token = self.token(Role::Commercial, id, |_| {});
        self.streams(id, &token)
    }

    /// Adds a device that streams.
    pub fn device(&mut self, id: &str) -> Who {
        let token = self.token(Role::Commercial, id, |claims| claims.device = true);
        self.streams(id, &token)
    }

    /// Opens the page of whoever looks after a device.
    pub fn page_of_device(&mut self, id: &str) -> Who {
        let token = self.token(Role::Commercial, id, |claims| claims.device = true);
        self.open_with(id, &token)
    }

    /// Adds a program of a supervisor that listens to a salesperson.
    pub fn player(&mut self, id: &str, commercial_id: &str) -> Who {
        let token = self.token(Role::Admin, id, |_| {});
        let who = self.program(Kind::Whep, id, &token);
        let answer = self.post(who, commercial_id);
        assert_eq!(answer.status, 201, "{answer:?}");
        who
    }

    fn streams(&mut self, id: &str, token: &str) -> Who {
        let who = self.program(Kind::Whip, id, token);
        let answer = self.post(who, id);
        assert_eq!(answer.status, 201, "{answer:?}");
        who
    }

    /// A program begins a session, instead of one that it may have had.
    pub fn post(&mut self, who: Who, commercial_id: &str) -> Answer {
        self.post_edited(who, commercial_id, |offer| offer)
    }

    /// The same, with an offer that is not quite the library's.
    pub fn post_edited(&mut self, who: Who, commercial_id: &str, edit: impl FnOnce(String) -> String) -> Answer {
        let kind = self.programs[&who].kind;
        let now = self.now;
        let made = self.browsers[who].make_offer(now, kind.direction());
        let mid = made.lines().find_map(|line| line.strip_prefix("a=mid:")).expect("it has a name").to_owned();
        let offer = edit(made);
        let path = kind.path(commercial_id);
        let answer = self.ask(who, |token, _| Ask::post(&path, token, &offer).to_http());
        if answer.status == 201 {
            let audio = audio_of(&answer.body, &mid);
            self.browsers[who].accept_answer(now, &audio);
            let [location, etag] = ["Location", "ETag"].map(|name| answer.header(name).expect(name).to_owned());
            let program = self.programs.get_mut(&who).expect("a program");
            (program.location, program.etag, program.answer) = (location, etag, audio);
            let token = program.token.clone();
            self.browsers[who].tokens.push(token);
        } else {
            self.browsers[who].vanish();
        }
        answer
    }

    /// A program tells of its addresses, or restarts ICE, with any fragment.
    pub fn patch(&mut self, who: Who, if_match: Option<&str>, fragment: &str) -> Answer {
        self.ask(who, |token, location| Ask::patch(location, token, if_match, fragment).to_http())
    }

    /// A program restarts ICE.
    pub fn restart(&mut self, who: Who, if_match: &str) -> Answer {
        let offer = self.browsers[who].restart_offer().expect("there is a session");
        let answer = self.try_restart(who, Some(if_match), &fragment_of(&offer));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// The same with any precondition, whatever comes of it.
    pub fn try_restart(&mut self, who: Who, if_match: Option<&str>, fragment: &str) -> Answer {
        let answer = self.patch(who, if_match, fragment);
        if answer.status != 200 {
            self.browsers[who].forget_offer();
            return answer;
        }
        assert_eq!(answer.header("Content-Type"), Some(FRAGMENT));
        let (ufrag, pwd) = sdp::credentials(&answer.body).expect("there are credentials");
        let program = self.programs.get_mut(&who).expect("a program");
        program.etag = answer.header("ETag").expect("a new entity-tag").to_owned();
        let whole = sdp::with_credentials(&program.answer, ufrag, pwd);
        let now = self.now;
        self.browsers[who].accept_answer(now, &whole);
        answer
    }

    /// A program ends its session; its media goes on until it notices.
    pub fn delete(&mut self, who: Who) -> Answer {
        self.ask(who, |token, location| Ask::delete(location, token).to_http())
    }

    /// Makes a request of a program's address, with its token and the path of its session.
    pub fn ask(&mut self, who: Who, request: impl FnOnce(&str, &str) -> String) -> Answer {
        let program = &self.programs[&who];
        let request = request(&program.token, &program.location);
        let remote = self.office.unwrap_or(self.browsers[who].address);
        self.ask_from(remote, &request)
    }

    /// Makes a request of any address.
    pub fn ask_from(&mut self, remote: SocketAddr, request: &str) -> Answer {
        let conn = self.knock(remote).expect("there is room");
        let answer = self.ask_on(conn, request);
        self.hang_up(conn);
        answer
    }

    /// Makes a request on a TCP connection that there is.
    pub fn ask_on(&mut self, conn: ConnKey, request: &str) -> Answer {
        let mut answer = self.send_bytes(conn, request.as_bytes());
        for _ in 0..ANSWER_MS_MAX {
            if !answer.is_empty() {
                break;
            }
            self.run_ms(1);
            answer = String::from_utf8_lossy(&self.pull(conn, usize::MAX)).into_owned();
        }
        Answer::parse(answer.as_bytes())
    }

    pub fn is_program(&self, who: Who) -> bool {
        self.programs.contains_key(&who)
    }

    pub fn is_whip(&self, who: Who) -> bool {
        self.programs[&who].kind == Kind::Whip
    }

    pub fn etag(&self, who: Who) -> String {
        self.programs[&who].etag.clone()
    }

    pub fn location(&self, who: Who) -> String {
        self.programs[&who].location.clone()
    }
}

/// Returns what of an offer a client writes to restart ICE (RFC 9725 §4.3.3).
pub fn fragment_of(offer: &str) -> String {
    let of_ice = ["a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=group:", "m=", "a=mid:"];
    let lines = offer.lines().filter(|line| of_ice.iter().any(|prefix| line.starts_with(prefix)));
    lines.map(|line| format!("{line}\r\n")).collect()
}

/// Returns an answer without the sections that it rejects, which the library never offered, and with the group and the
/// name that it always offers.
fn audio_of(answer: &str, mid: &str) -> String {
    let mut is_rejected = false;
    let mut kept = String::new();
    for line in answer.lines() {
        if line.starts_with("m=") {
            if !answer.contains("a=group:BUNDLE") && !kept.contains("m=") {
                kept += &format!("a=group:BUNDLE {mid}\r\n");
            }
            is_rejected = line.split(' ').nth(1) == Some("0");
        }
        if !is_rejected {
            // The library knows one profile.
            let profile = line.split(' ').nth(2).filter(|_| line.starts_with("m="));
            kept += &profile.map_or(line.to_owned(), |profile| line.replace(profile, "UDP/TLS/RTP/SAVPF"));
            kept += "\r\n";
            if line.starts_with("c=") && !answer.contains("a=mid:") {
                kept += &format!("a=mid:{mid}\r\n");
            }
        }
    }
    kept
}
