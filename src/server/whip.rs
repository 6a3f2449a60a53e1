//! WHIP and WHEP (RFC 9725, draft-ietf-wish-whep-03): requests by which programs begin, mend and end their sessions.
//!
//! What they stream and hear is under the same rules as with pages. Invariant: nothing is made or changed before the
//! rate, the token, its role and the form of a request were found good.

use std::borrow::Cow;
use std::time::Instant;

use log::info;
use percent_encoding::percent_decode_str;

use super::Server;
use super::resources::Ending;
use super::signaling::RETRY_AFTER_S;
use crate::audit::{Event, ListenRefusal, OffAir, StartedBy, Subject};
use crate::broadcast::{Source, Start, Wish};
use crate::keys::{BroadcastKey, ConnKey, ListenerKey, PeerKey, ResourceKey, Sink};
use crate::outbox::Outbox;
use crate::peer::{OfferError, Purpose, Wanted};
use crate::token::{Claims, is_valid_id};
use crate::wire::http::{Request, Response, Status};
use crate::wire::sdp::SdpError;
use crate::wire::sdpfrag;
use crate::words::REASON_DEFAULT;
use crate::words::Role;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const PROBLEM: &str = "application/problem+json";

/// When a client whose request can succeed soon should try again.
const SOON_S: u32 = 2;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The client sends.
    Whip,
    /// The client hears.
    Whep,
}

/// What a path of WHIP or WHEP names.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// Where sessions with this salesperson begin.
    Endpoint(Kind, Cow<'a, str>),
    /// The session of this name.
    Session(Kind, &'a str),
}

/// Reads a path; `None` where it is none of WHIP or WHEP.
pub(super) fn target(path: &str) -> Option<Target<'_>> {
    let (kind, rest) = match (path.strip_prefix("/whip/"), path.strip_prefix("/whep/")) {
        (Some(rest), _) => (Kind::Whip, rest),
        (None, Some(rest)) => (Kind::Whep, rest),
        (None, None) => return None,
    };
    match rest.split_once('/') {
        Some((_, name)) => Some(Target::Session(kind, name)),
        None if rest.is_empty() => None,
        None => Some(Target::Endpoint(kind, percent_decode_str(rest).decode_utf8().ok()?)),
    }
}

/// Why a request was refused (RFC 9457).
struct Problem {
    status: Status,
    detail: Cow<'static, str>,
    retry_after_s: Option<u32>,
    /// What would have been the right content type.
    accepted: Option<&'static str>,
    /// What would have been the right methods.
    allow: Option<&'static str>,
}

impl Problem {
    fn new(status: Status, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { status, detail: detail.into(), retry_after_s: None, accepted: None, allow: None }
    }

    fn retry_after_s(self, retry_after_s: u32) -> Problem {
        Problem { retry_after_s: Some(retry_after_s), ..self }
    }
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Problem {
        let status = match error {
            OfferError::TooLong { .. } => Status::BodyTooLarge,
            OfferError::Sdp(SdpError::TooLarge | SdpError::NotSdp | SdpError::NoTransport) => Status::BadRequest,
            OfferError::Sdp(
                SdpError::NotOneAudio { .. } | SdpError::NoOpus | SdpError::LongName | SdpError::WrongDirection,
            )
            | OfferError::NotRestart => Status::Unprocessable,
            OfferError::NotAcceptable => Status::BadRequest,
        };
        Problem::new(status, error.to_string())
    }
}

/// A session that was made.
struct Created {
    resource: ResourceKey,
    peer: PeerKey,
    answer: String,
}

impl Server {
    /// Answers a request of a WHIP or WHEP client.
    pub(super) fn on_whip_request(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        target: Target<'_>,
        out: &mut Outbox,
    ) {
        let answered = match (target, request.method.as_str()) {
            (Target::Endpoint(..), "OPTIONS") => {
                let response = options("POST, OPTIONS").header("Accept-Post", SDP);
                return self.respond(now, conn, request, response);
            }
            (Target::Session(..), "OPTIONS") => {
                let response = options("PATCH, DELETE, OPTIONS").header("Accept-Patch", FRAGMENT);
                return self.respond(now, conn, request, response);
            }
            (Target::Endpoint(kind, id), "POST") => self.on_post(now, conn, request, (kind, &id), out),
            (Target::Session(kind, name), "PATCH") => self.on_patch(now, conn, request, (kind, name), out),
            (Target::Session(kind, name), "DELETE") => self.on_delete(now, conn, request, (kind, name), out),
            (target, _) => {
                let allow = match target {
                    Target::Endpoint(..) => "POST, OPTIONS",
                    Target::Session(..) => "PATCH, DELETE, OPTIONS",
                };
                let problem = Problem::new(Status::MethodNotAllowed, "this method is for later versions");
                Err(Problem { allow: Some(allow), ..problem })
            }
        };
        if let Err(problem) = answered {
            self.respond_problem(now, conn, request, &problem);
        }
    }

    /// A client wants to send or to hear (RFC 9725 §4.2).
    fn on_post(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        (kind, id): (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request)?;
        let is_allowed = match kind {
            Kind::Whip => claims.role == Role::Commercial && claims.sub == id,
            Kind::Whep => is_valid_id(id) && claims.may_hear(id),
        };
        if !is_allowed {
            if kind == Kind::Whep {
                self.refuse_listening(now, &claims, (id, REASON_DEFAULT), ListenRefusal::NotThisToken, out);
            }
            return Err(Problem::new(Status::Forbidden, "your token does not allow this"));
        }
        let offer = text_of(request, SDP)?;
        if self.is_draining {
            let problem = Problem::new(Status::Unavailable, "the server restarts: come back in a moment");
            return Err(problem.retry_after_s(RETRY_AFTER_S));
        }
        let created = match kind {
            Kind::Whip => self.begin_streaming(now, &claims, offer, out)?,
            Kind::Whep => self.begin_listening(now, &claims, id, offer, out)?,
        };
        let location = format!("{}/{}", request.path, self.name_of_resource(created.resource));
        let etag = self.etag(created.peer);
        let response = Response::new(Status::Created).body(SDP, created.answer.as_bytes());
        let mut response = response.header("Location", &location).header("ETag", &etag);
        for server in &self.settings.ice_servers {
            response = response.header("Link", &server.to_link());
        }
        self.respond(now, conn, request, response);
        Ok(())
    }

    /// Takes a WHIP client's offer: the salesperson goes on air, unless a page of theirs or another client streams.
    fn begin_streaming(
        &mut self,
        now: Instant,
        claims: &Claims,
        offer: &str,
        out: &mut Outbox,
    ) -> Result<Created, Problem> {
        let source = if claims.device { Source::Device } else { Source::Encoder };
        let key = self.broadcast_for(&claims.sub).ok_or_else(no_room)?;
        let broadcast = &self.broadcasts[key];
        if broadcast.is_on_air_by_page() {
            return Err(Problem::new(Status::Conflict, "a page streams under this id: stop there first"));
        }
        if broadcast.is_on_air() && !broadcast.is_encoder_silent(now, &self.settings.limits.broadcast) {
            let problem = Problem::new(Status::Conflict, "another client streams under this id");
            return Err(problem.retry_after_s(SOON_S));
        }
        let created = self.create(now, claims, |resource| Purpose::Whip(key, resource), offer);
        let created = created.inspect_err(|_| self.forget_unseen(key))?;
        // Who may hear the one may not hear the other.
        if self.broadcasts[key].source().is_some_and(|before| *before != source) {
            self.go_off_air(now, key, OffAir::ReplacedByEncoder, out);
        }
        let broadcast = &mut self.broadcasts[key];
        if let Some(name) = &claims.name {
            broadcast.set_name(name);
        }
        let by = if broadcast.is_on_air() { StartedBy::NextEncoder } else { StartedBy::Encoder };
        let of = Subject { commercial_id: claims.sub.clone(), is_device: claims.device };
        self.note(now, Event::BroadcastStarted { of, by }, out);
        let unix_ms = self.unix_ms(now);
        let start = Start { publisher: created.peer, source, commercial_info: None };
        let (replaced, changes) =
            self.broadcasts[key].go_on_air(now, unix_ms, start, &self.settings.limits.broadcast);
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.carry_out(now, key, changes, out);
        if let Some(page) = self.broadcasts[key].page() {
            self.watch_page(now, page, out);
        }
        self.arm_levels(now);
        info!(target: "audio", "on air peer={:?}", created.peer);
        Ok(created)
    }

    /// Takes a WHEP client's offer: it is a listener like any other, of one salesperson who is on air.
    fn begin_listening(
        &mut self,
        now: Instant,
        claims: &Claims,
        id: &str,
        offer: &str,
        out: &mut Outbox,
    ) -> Result<Created, Problem> {
        let on_air = |key: &BroadcastKey| self.broadcasts[*key].is_on_air();
        let Some(key) = self.broadcast_of.get(id).copied().filter(on_air) else {
            return Err(Problem::new(Status::Conflict, "nobody is on air").retry_after_s(RETRY_AFTER_S));
        };
        if self.wishes_count() >= self.settings.limits.listening.wishes_max {
            self.stats.tables_full += 1;
            return Err(no_room());
        }
        if !self.hold_listening(now, &claims.sub) {
            let problem = Problem::new(Status::TooManyRequests, "too many sessions: end one of yours first");
            return Err(problem.retry_after_s(RETRY_AFTER_S));
        }
        let created = self.create(now, claims, |resource| Purpose::Whep(key, resource), offer);
        let created = created.inspect_err(|_| self.release_listening(now, &claims.sub))?;
        let listening = self.new_listening((&claims.sub, claims.shown_name()), id, REASON_DEFAULT);
        let (key_of_listener, sink) = (ListenerKey::Whep(created.resource), Sink::Peer(created.peer));
        let wish = Wish { key: key_of_listener, sink, listening };
        self.join(now, key, wish, out);
        Ok(created)
    }

    /// Makes a session and the URL that ends it, if there is room.
    fn create(
        &mut self,
        now: Instant,
        claims: &Claims,
        purpose: impl FnOnce(ResourceKey) -> Purpose,
        offer: &str,
    ) -> Result<Created, Problem> {
        if !self.take_offer_of_program(now) {
            return Err(Problem::new(Status::TooManyRequests, "too many sessions at once").retry_after_s(SOON_S));
        }
        if !self.has_room_for_peer(true, offer) {
            return Err(no_room());
        }
        let resource = self.new_resource(now, claims);
        match self.open_peer(now, purpose(resource), offer) {
            Ok((peer, answer)) => {
                self.activate(now, resource, peer);
                Ok(Created { resource, peer, answer })
            }
            Err(error) => {
                self.forget_resource(resource);
                Err(error.into())
            }
        }
    }

    /// A client tells addresses or restarts ICE (RFC 9725 §4.3).
    fn on_patch(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        named: (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request)?;
        let resource = self.resource_of(named, &claims)?;
        let peer = self.resources[resource].peer().ok_or_else(no_session)?;
        let fragment = text_of(request, FRAGMENT)?;
        let if_match = request.if_match.as_deref().ok_or_else(|| {
            Problem::new(Status::PreconditionRequired, "send the session's ETag as If-Match, or * to restart ICE")
        })?;
        let credentials =
            sdpfrag::parse(fragment).map_err(|error| Problem::new(Status::BadRequest, error.to_string()))?;
        let etag = self.etag(peer);
        if !if_match.split(',').map(str::trim).any(|tag| tag == etag || is_any(tag)) {
            return Err(Problem::new(
                Status::PreconditionFailed,
                "the session has another ETag: ICE was restarted",
            ));
        }
        let is_present = |&(ufrag, pwd): &(&str, &str)| self.peers[peer].has_credentials(ufrag, pwd);
        let Some((ufrag, pwd)) = credentials.filter(|new| !is_present(new)) else {
            self.respond(now, conn, request, Response::new(Status::NoContent));
            return Ok(());
        };
        if !self.take_offer_of_program(now) {
            return Err(Problem::new(Status::TooManyRequests, "too many restarts at once").retry_after_s(SOON_S));
        }
        let restarted = self.restart_peer(now, peer, Wanted::Credentials(ufrag, pwd), out);
        let answer = sdpfrag::write(&restarted.ok_or_else(no_session)??);
        let etag = self.etag(peer);
        let response = Response::new(Status::Ok).body(FRAGMENT, answer.as_bytes()).header("ETag", &etag);
        self.respond(now, conn, request, response);
        Ok(())
    }

    /// A client ends its session; the entity-tag is of no matter here (RFC 9725 §4.2).
    fn on_delete(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        named: (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request)?;
        let key = self.resource_of(named, &claims)?;
        let peer = self.resources[key].peer().and_then(|peer| self.peers.get(peer));
        if let Some(Purpose::Whep(broadcast, _)) = peer.map(|peer| peer.purpose()) {
            self.leave(now, broadcast, ListenerKey::Whep(key), None, out);
        }
        self.end_resource(now, key, Ending::Stopped, out);
        self.forget_resource(key);
        self.respond(now, conn, request, Response::new(Status::Ok));
        Ok(())
    }

    /// Returns what the token of a request says that may be made.
    fn requester(&mut self, now: Instant, conn: ConnKey, request: &Request) -> Result<Claims, Problem> {
        let claims = self.authenticate(now, conn, request).map_err(|(status, detail)| {
            let retry_after_s = (status == Status::TooManyRequests).then_some(RETRY_AFTER_S);
            Problem { retry_after_s, ..Problem::new(status, detail) }
        })?;
        if !self.take_request(now, conn, &claims.sub) {
            return Err(Problem::new(Status::TooManyRequests, "too many requests: wait").retry_after_s(SOON_S));
        }
        Ok(claims)
    }

    /// Returns the resource that a request names, if it is its user's.
    fn resource_of(&self, (kind, name): (Kind, &str), claims: &Claims) -> Result<ResourceKey, Problem> {
        let key = self.resource_of_name(name).filter(|&key| self.resources[key].kind() == kind);
        let key = key.ok_or_else(no_session)?;
        match self.resources[key].is_of(claims) {
            true => Ok(key),
            false => Err(Problem::new(Status::Forbidden, "this session is another user's")),
        }
    }

    /// Returns the entity-tag of a session's ICE, which each restart changes (RFC 9725 §4.3.1).
    fn etag(&self, peer: PeerKey) -> String {
        self.peers.get(peer).map(|peer| format!("\"{}\"", peer.ufrag())).unwrap_or_default()
    }

    fn respond_problem(&mut self, now: Instant, conn: ConnKey, request: &Request, problem: &Problem) {
        self.stats.requests_refused += 1;
        let (number, title) = problem.status.line().split_once(' ').unwrap_or_default();
        let number: u16 = number.parse().unwrap_or_default();
        let body = serde_json::json!({
            "type": "about:blank", "title": title, "status": number, "detail": problem.detail,
        });
        let body = body.to_string();
        let mut response = Response::new(problem.status).body(PROBLEM, body.as_bytes());
        if problem.status == Status::Unauthorized {
            response = response.header("WWW-Authenticate", "Bearer");
        }
        if let Some(accepted) = problem.accepted {
            let name = if accepted == FRAGMENT { "Accept-Patch" } else { "Accept-Post" };
            response = response.header("Accept", accepted).header(name, accepted);
        }
        if let Some(allow) = problem.allow {
            response = response.header("Allow", allow);
        }
        if let Some(retry_after_s) = problem.retry_after_s {
            response = response.header("Retry-After", &retry_after_s.to_string());
        }
        self.respond(now, conn, request, response);
    }
}

/// Begins the answer to what asks for the methods (RFC 9725 §4.2 wants 200).
fn options(allow: &str) -> Response<'static> {
    Response::new(Status::Ok)
        .header("Allow", allow)
        .header("Access-Control-Allow-Methods", allow)
        .header("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
        .header("Access-Control-Max-Age", "600")
}

/// Returns the body of a request that has this type.
fn text_of<'a>(request: &'a Request, content_type: &'static str) -> Result<&'a str, Problem> {
    if request.content_type.as_deref() != Some(content_type) {
        let problem = Problem::new(Status::UnsupportedType, format!("send {content_type}"));
        return Err(Problem { accepted: Some(content_type), ..problem });
    }
    std::str::from_utf8(&request.body).map_err(|_| Problem::new(Status::BadRequest, "the body is no text"))
}

/// Tells whether an entity-tag stands for any, as clients write it who restart ICE; some quote it.
fn is_any(tag: &str) -> bool {
    matches!(tag, "*" | "\"*\"")
}

fn no_room() -> Problem {
    Problem::new(Status::Unavailable, "no room for another session: try again later").retry_after_s(RETRY_AFTER_S)
}

fn no_session() -> Problem {
    Problem::new(Status::NotFound, "there is no such session")
}
