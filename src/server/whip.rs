//! WHIP and WHEP (RFC 9725, draft-ietf-wish-whep-03): requests by which programs begin, mend and end their sessions.
//!
//! What they stream and hear is under the same rules as with pages. Invariant: nothing is made or changed before the
//! rate, the token, its role and the form of a request were found good.

use std::borrow::Cow;
use std::time::Instant;

use log::info;

use super::Server;
use super::problem::{Problem, Right};
use super::resources::{Ending, Kind, Resource};
use super::route::BodyType;
use crate::audit::{Event, ListenRefusal, OffAir, StartedBy, Subject};
use crate::broadcast::{Source, Start};
use crate::config::PLACES_OF_PROGRAM;
use crate::keys::{BroadcastKey, Client, ConnKey, PeerKey, ResourceKey};
use crate::outbox::Outbox;
use crate::peer::{PeerRole, Wanted};
use crate::token::{Claims, is_valid_id};
use crate::wire::http::{Request, Response, Status};
use crate::wire::sdpfrag;
use crate::words::{REASON_DEFAULT, Role};

/// When a client whose request can succeed soon should try again.
pub(super) const SOON_S: u32 = 2;

/// A session that was made.
pub(super) struct Created {
    pub(super) resource: ResourceKey,
    pub(super) peer: PeerKey,
    pub(super) answer: String,
}

impl Server {
    /// A client wants to send or to hear (RFC 9725 §4.2).
    pub(super) fn on_post(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        (kind, id): (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request, out)?;
        let is_allowed = match kind {
            Kind::Whip => claims.role == Role::Commercial && claims.sub == id,
            Kind::Whep => is_valid_id(id) && claims.may_hear(id),
        };
        if !self.quotas.act(now, &claims.sub, &mut self.stats) {
            return Err(Problem::new(Status::TooManyRequests, "too many sessions: wait").retry_after_s(SOON_S));
        }
        if !is_allowed {
            if kind == Kind::Whep {
                self.refuse_listening(now, &claims, (id, REASON_DEFAULT), ListenRefusal::NotThisToken, out);
            }
            return Err(Problem::new(Status::Forbidden, "your token does not allow this"));
        }
        let offer = &*text_of(request, BodyType::Sdp)?;
        if self.is_draining {
            return Err(Problem::new(Status::Unavailable, "the server restarts: come back in a moment"));
        }
        if !*self.serves_programs.get_or_insert_with(|| (self.settings.can_serve_programs)(now)) {
            let detail = "the server's OpenSSL can't serve programs: `ecoute doctor` there says what mends it";
            return Err(Problem::new(Status::Unavailable, detail));
        }
        if kind == Kind::Whep {
            self.check_journal(now)?;
        }
        let created = match kind {
            Kind::Whip => self.begin_streaming(now, &claims, offer, out)?,
            Kind::Whep => self.begin_listening(now, &claims, id, offer, out)?,
        };
        match kind {
            Kind::Whip => {
                self.respond_created(now, (conn, request), created.resource, &created.answer);
                Ok(())
            }
            Kind::Whep => self.await_announcement(now, (conn, request), created),
        }
    }

    /// Answers that a session was made, and where it is.
    pub(super) fn respond_created(
        &mut self,
        now: Instant,
        (conn, request): (ConnKey, &Request),
        resource: ResourceKey,
        answer: &str,
    ) {
        let location = format!("{}/{}", request.path.trim_end_matches('/'), self.name_of_resource(resource));
        let peer = self.resources.get(resource).and_then(Resource::peer);
        let etag = peer.map(|peer| self.etag(peer)).unwrap_or_default();
        let response = Response::new(Status::Created).body(BodyType::Sdp.content_type(), answer.as_bytes());
        let mut response = response.header("Location", &location).header("ETag", &etag);
        for server in &self.settings.ice_servers {
            response = response.header("Link", &server.to_link());
        }
        self.respond(now, conn, Some(request), response);
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
        let created = self.create(now, claims, (Kind::Whip, key), offer);
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
        let name = claims.name.as_deref().map(Box::from);
        self.note(now, Event::BroadcastStarted { of, by, name }, out);
        let unix_ms = self.unix_ms(now);
        let start = Start { publisher: created.peer, source, commercial_info: None };
        let (replaced, changes) =
            self.broadcasts[key].go_on_air(now, unix_ms, start, &self.settings.limits.broadcast);
        if let Some(replaced) = replaced {
            self.close_peer(now, replaced, out);
        }
        self.carry_out(now, key, changes, out);
        if let Some(page) = self.broadcasts[key].page() {
            self.watch_page(now, page);
        }
        info!(target: "audio", "on air peer={:?}", created.peer);
        Ok(created)
    }

    /// Makes a session and the URL that ends it, if there is room.
    pub(super) fn create(
        &mut self,
        now: Instant,
        claims: &Claims,
        (kind, broadcast): (Kind, BroadcastKey),
        offer: &str,
    ) -> Result<Created, Problem> {
        if !self.quotas.offer_of_program(now, &mut self.stats) {
            return Err(Problem::new(Status::TooManyRequests, "too many sessions at once").retry_after_s(SOON_S));
        }
        if !self.has_room_for_peer(PLACES_OF_PROGRAM, offer) {
            return Err(no_room());
        }
        let resource = self.new_resource(now, claims);
        let role = match kind {
            Kind::Whip => PeerRole::Publish(broadcast),
            Kind::Whep => PeerRole::Listen,
        };
        match self.open_peer(now, (role, Client::Program(resource)), offer) {
            Ok((peer, answer)) => {
                self.activate(now, resource, peer, broadcast);
                Ok(Created { resource, peer, answer })
            }
            Err(error) => {
                self.forget_resource(resource);
                Err(Problem::of_offer(error, offer))
            }
        }
    }

    /// A client tells addresses or restarts ICE (RFC 9725 §4.3).
    pub(super) fn on_patch(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        named: (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request, out)?;
        let resource = self.resource_of(named, &claims)?;
        let peer = self.resources[resource].peer().ok_or_else(no_session)?;
        let fragment = &*text_of(request, BodyType::Fragment)?;
        let credentials =
            sdpfrag::parse(fragment).map_err(|error| Problem::new(Status::BadRequest, error.to_string()))?;
        let is_present = |&(ufrag, pwd): &(&str, &str)| {
            self.peers.get(peer).is_some_and(|peer| peer.has_credentials(ufrag, pwd))
        };
        let new = credentials.filter(|said| !is_present(said));
        match request.if_match.as_deref() {
            Some(if_match) => self.check_etag(peer, if_match)?,
            // Some trickle without: what names the present credentials is about no other session's ICE.
            None if credentials.is_some() && new.is_none() => {}
            None => {
                let detail = "send the session's ETag as If-Match, or * to restart ICE";
                return Err(Problem::new(Status::PreconditionRequired, detail));
            }
        }
        let Some((ufrag, pwd)) = new else {
            self.respond(now, conn, Some(request), Response::new(Status::NoContent));
            return Ok(());
        };
        if !self.quotas.offer_of_program(now, &mut self.stats) {
            return Err(Problem::new(Status::TooManyRequests, "too many restarts at once").retry_after_s(SOON_S));
        }
        let restarted = self.restart_peer(now, peer, Wanted::Credentials(ufrag, pwd), out);
        let restarted = restarted.ok_or_else(no_session)?.map_err(|error| Problem::of_offer(error, fragment))?;
        let answer = sdpfrag::renamed(sdpfrag::write(&restarted), fragment);
        let etag = self.etag(peer);
        let response = Response::new(Status::Ok)
            .body(BodyType::Fragment.content_type(), answer.as_bytes())
            .header("ETag", &etag);
        self.respond(now, conn, Some(request), response);
        Ok(())
    }

    /// A client ends its session; the entity-tag is of no matter here (RFC 9725 §4.2).
    pub(super) fn on_delete(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        named: (Kind, &str),
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.requester(now, conn, request, out)?;
        let key = self.resource_of(named, &claims)?;
        self.end_session(now, key, out);
        self.respond(now, conn, Some(request), Response::new(Status::Ok));
        Ok(())
    }

    /// Ends a session as its client wants it, and forgets its URL.
    pub(super) fn end_session(&mut self, now: Instant, key: ResourceKey, out: &mut Outbox) {
        let resource = self.resources.get(key).filter(|resource| resource.kind() == Kind::Whep);
        if let Some(broadcast) = resource.and_then(Resource::broadcast) {
            self.leave(now, broadcast, Client::Program(key), None, out);
        }
        self.end_resource(now, key, Ending::Stopped, out);
        self.forget_resource(key);
    }

    /// Returns what the token of a request says that may be made.
    fn requester(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        out: &mut Outbox,
    ) -> Result<Claims, Problem> {
        let claims = self.authenticate(now, conn, request, out)?;
        if !self.may_request(now, conn, &claims.sub) {
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

    /// Refuses what is about an ICE that was restarted since.
    fn check_etag(&self, peer: PeerKey, if_match: &str) -> Result<(), Problem> {
        let etag = self.etag(peer);
        match if_match.split(',').map(str::trim).any(|tag| tag == etag || is_any(tag)) {
            true => Ok(()),
            false => {
                let detail = "the session has another ETag: ICE was restarted";
                Err(Problem::new(Status::PreconditionFailed, detail))
            }
        }
    }

    /// Returns the entity-tag of a session's ICE, which each restart changes (RFC 9725 §4.3.1).
    fn etag(&self, peer: PeerKey) -> String {
        self.peers.get(peer).map(|peer| format!("\"{}\"", peer.ufrag())).unwrap_or_default()
    }
}

/// Returns the body of a request that has this type.
fn text_of(request: &Request, body_type: BodyType) -> Result<Cow<'_, str>, Problem> {
    let content_type = body_type.content_type();
    if request.content_type.as_deref() != Some(content_type) {
        let problem = Problem::new(Status::UnsupportedType, format!("send {content_type}"));
        return Err(problem.right(Right::Body(body_type)));
    }
    // A title may be in any charset (RFC 8866 §6.10); what is read of it is ASCII.
    Ok(String::from_utf8_lossy(&request.body))
}

/// Tells whether an entity-tag stands for any, as clients write it who restart ICE; some quote it.
fn is_any(tag: &str) -> bool {
    matches!(tag, "*" | "\"*\"")
}

pub(super) fn no_room() -> Problem {
    Problem::new(Status::Unavailable, "no room for another session: try again later")
}

fn no_session() -> Problem {
    Problem::new(Status::NotFound, "there is no such session")
}
