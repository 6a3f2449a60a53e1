//! Answers HTTP requests: health, status, the pages, the upgrade to a WebSocket, and the way to HTTPS.

use std::time::Instant;

use log::debug;
use serde::Serialize;

use super::redirect::to_https;
use super::signaling::RETRY_AFTER_S;
use super::{Server, whip};
use crate::config::Encryption;
use crate::conn::Conn;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::path::Door;
use crate::token::Claims;
use crate::web::{self, Page};
use crate::wire::http::{Request, Response, Status};
use crate::words::Presence;
use crate::words::Role;

/// For 30 days, which is short enough to find back from a mistake.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=2592000";

const JSON: &str = "application/json";

/// Nothing but our own files runs in a page, and nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Server {
    /// Answers one request.
    pub(super) fn on_request(&mut self, now: Instant, conn: ConnKey, request: &Request, out: &mut Outbox) {
        debug!(target: "http", "request method={:?} path={:?}", request.method, request.path);
        if let Err(status) = self.identify(now, conn, request) {
            self.stats.requests_malformed += u64::from(status == Status::BadRequest);
            return self.respond_status(now, conn, status);
        }
        match self.conns.get(conn).map(|client| client.ends().door) {
            Some(Door::Redirect) => return self.on_redirect_request(now, conn, request, out),
            Some(Door::Main) | None => {}
        }
        if self.must_encrypt(conn, request) {
            return self.redirect(now, conn, request);
        }
        if let Some(target) = whip::target(&request.path) {
            return self.on_whip_request(now, conn, request, target, out);
        }
        if request.method == "OPTIONS" {
            let preflight = Response::new(Status::NoContent)
                .header("Access-Control-Allow-Methods", "GET")
                .header("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
                .header("Access-Control-Max-Age", "600");
            return self.respond(now, conn, request, preflight);
        }
        if let Some(page) = web::find(&request.path) {
            return match request.method.as_str() {
                "GET" | "HEAD" => self.respond_page(now, conn, request, page),
                _ => self.refuse_method(now, conn, request),
            };
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/ws") => self.on_upgrade(now, conn, request),
            ("GET" | "HEAD", "/health") => self.respond_health(now, conn, request),
            ("GET" | "HEAD", "/api/streaming/status") => self.respond_streaming_status(now, conn, request),
            (_, "/ws" | "/health" | "/api/streaming/status") => self.refuse_method(now, conn, request),
            _ => self.refuse(now, conn, request, Status::NotFound, "not_found", "there is nothing here"),
        }
    }

    /// Takes it that the shell decrypts what a TCP client sends, from its next byte on.
    pub fn handle_secured(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.now = now;
        if let Some(client) = self.conns.get_mut(conn) {
            client.secured(now, &self.settings.limits.conn);
        }
        self.settle_conn(conn, out);
    }

    /// Takes it that TLS holds so many bytes of a client in the shell, on their way in or out: they count like what the
    /// conn itself has buffered.
    pub fn handle_tls_bytes(&mut self, now: Instant, conn: ConnKey, bytes: usize) {
        self.now = now;
        if let Some(client) = self.conns.get_mut(conn) {
            client.set_tls_bytes(bytes);
        }
        self.reckon(conn);
    }

    /// Tells whether a client must come back encrypted; what watches the server's health on its own machine need not.
    fn must_encrypt(&self, conn: ConnKey, request: &Request) -> bool {
        let is_required = match self.settings.encryption {
            Encryption::Optional => false,
            Encryption::Required | Encryption::Lasting => true,
        };
        let is_plain = self.conns.get(conn).is_some_and(|client| !client.is_encrypted());
        is_required && is_plain && !(request.path == "/health" && self.is_local(conn))
    }

    /// Sends a client to the same place over HTTPS, on the port that it has found: it speaks both.
    fn redirect(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        let Some(host) = request.host.as_deref().filter(|_| request.path.starts_with('/')) else {
            return self.respond_status(now, conn, Status::BadRequest);
        };
        let location = format!("https://{host}{}{}", request.path, request.query);
        self.respond(now, conn, request, to_https(&location));
    }

    /// Answers with a status alone and closes.
    pub(super) fn respond_status(&mut self, now: Instant, conn: ConnKey, status: Status) {
        self.answer(now, conn, None, with_retry(Response::new(status), status));
    }

    /// Queues a response with its date, by which clients tell how wrong their clock is (RFC 9110 §6.6.1).
    pub(super) fn answer(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: Option<&Request>,
        response: Response<'_>,
    ) {
        let date = self.clock.http_date(now);
        if let Some(client) = self.conns.get_mut(conn) {
            client.respond(now, request, response.header("Date", &date), &self.settings.limits.conn);
        }
    }

    fn on_upgrade(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        if !self.is_allowed_origin(conn, request) {
            let text = "start the server with --allow-origin for this origin";
            return self.refuse(now, conn, request, Status::Forbidden, "origin_refused", text);
        }
        let Some(key) = request.websocket_key.as_deref().filter(|_| request.body_bytes == 0) else {
            let response = Response::new(Status::UpgradeRequired).header("Upgrade", "websocket");
            return self.respond(now, conn, request, response);
        };
        let date = self.clock.http_date(now);
        if let Some(client) = self.conns.get_mut(conn) {
            client.upgrade(now, key, &date, &self.settings.limits.conn);
        }
    }

    /// Tells whether a page of this origin may talk to the server; programs send none.
    fn is_allowed_origin(&self, conn: ConnKey, request: &Request) -> bool {
        let Some(origin) = request.origin.as_deref() else { return true };
        // Where a proxy decrypts, a page's scheme says nothing.
        let is_encrypted = self.conns.get(conn).is_some_and(Conn::is_encrypted);
        let own = origin.split_once("://").filter(|(scheme, _)| *scheme == "https" || !is_encrypted);
        let is_own = own.is_some_and(|(_, authority)| Some(authority) == request.host.as_deref());
        is_own || self.settings.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    fn respond_health(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        let response = if self.is_draining {
            Response::new(Status::Unavailable).header("Retry-After", "5").body(JSON, br#"{"status":"draining"}"#)
        } else {
            Response::new(Status::Ok).body(JSON, br#"{"status":"ok"}"#)
        };
        self.respond(now, conn, request, response.header("Cache-Control", "no-store"));
    }

    fn respond_streaming_status(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        #[derive(Serialize)]
        struct StreamingStatus<'a> {
            active_commercials: usize,
            total_listeners: usize,
            #[serde(serialize_with = "as_map")]
            commercial_details: Vec<(&'a str, Details)>,
        }
        #[derive(Serialize)]
        struct Details {
            listeners_count: usize,
            is_streaming: bool,
            paused: bool,
        }
        fn as_map<S: serde::Serializer>(rows: &[(&str, Details)], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(rows.iter().map(|(id, details)| (id, details)))
        }

        let claims = match self.authenticate(now, conn, request) {
            Ok(claims) => claims,
            Err((status, text)) => {
                let code = if status == Status::Unauthorized { "token_refused" } else { "too_many" };
                return self.refuse(now, conn, request, status, code, text);
            }
        };
        if claims.role == Role::Commercial {
            let text = "only for admins and monitors";
            return self.refuse(now, conn, request, Status::Forbidden, "not_allowed", text);
        }
        let broadcasts = self.broadcast_of.values().map(|&key| &self.broadcasts[key]);
        let visible =
            broadcasts.filter(|broadcast| claims.role == Role::Monitor || claims.may_hear(broadcast.id()));
        let rows: Vec<(&str, Details)> = visible
            .filter(|broadcast| broadcast.is_on_air() || broadcast.listeners_count() > 0)
            .map(|broadcast| {
                let is_streaming = broadcast.is_on_air();
                let listeners_count = broadcast.listeners_count();
                (
                    broadcast.id(),
                    Details { listeners_count, is_streaming, paused: broadcast.presence() == Presence::Paused },
                )
            })
            .collect();
        let status = StreamingStatus {
            active_commercials: rows.iter().filter(|(_, details)| details.is_streaming).count(),
            total_listeners: rows.iter().map(|(_, details)| details.listeners_count).sum(),
            commercial_details: rows,
        };
        let body = serde_json::to_vec(&status).expect("our own status is JSON");
        let response = Response::new(Status::Ok).header("Cache-Control", "no-store").body(JSON, &body);
        self.respond(now, conn, request, response);
    }

    /// Returns what a request's token says.
    ///
    /// # Errors
    /// The status and the words to answer with.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
    ) -> Result<Claims, (Status, &'static str)> {
        let token = request.bearer.as_deref().unwrap_or_default();
        self.verifier.verify(self.unix_s(now), token).map_err(|error| {
            debug!(target: "http", "token refused conn={conn:?} error={error}");
            if self.on_token_refused(now, conn) {
                (Status::Unauthorized, "send a valid token as Authorization: Bearer")
            } else {
                (Status::TooManyRequests, "too many tokens were refused: wait before the next one")
            }
        })
    }

    fn respond_page(&mut self, now: Instant, conn: ConnKey, request: &Request, page: &'static Page) {
        let known = request.if_none_match.as_deref().unwrap_or_default();
        let form = if request.accepts_gzip { &page.gzip } else { &page.plain };
        let is_known =
            known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == form.etag || tag.trim() == "*");
        let response = match is_known {
            true => Response::new(Status::NotModified),
            false if request.accepts_gzip => {
                Response::new(Status::Ok).body(page.content_type, &form.content).header("Content-Encoding", "gzip")
            }
            false => Response::new(Status::Ok).body(page.content_type, &form.content),
        };
        let response = response
            .header("ETag", &form.etag)
            .header("Vary", "Accept-Encoding")
            .header("Cache-Control", "no-cache")
            .header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .header("Referrer-Policy", "no-referrer")
            .header("Permissions-Policy", "microphone=(self), geolocation=(self), camera=()");
        self.respond(now, conn, request, response);
    }

    fn refuse_method(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        let allow = if request.path == "/ws" { "GET" } else { "GET, HEAD" };
        let response = Response::new(Status::MethodNotAllowed).header("Allow", allow);
        self.respond(now, conn, request, response);
    }

    fn refuse(&mut self, now: Instant, conn: ConnKey, request: &Request, status: Status, code: &str, text: &str) {
        let body = serde_json::json!({ "error": { "code": code, "message": text } }).to_string();
        let mut response = with_retry(Response::new(status).body(JSON, body.as_bytes()), status);
        if status == Status::Unauthorized {
            response = response.header("WWW-Authenticate", "Bearer");
        }
        self.respond(now, conn, request, response);
    }

    /// Tells whether a browser may be asked to keep to HTTPS: it would on all ports of the host, whoever serves them, so
    /// not of one that is named with a port (RFC 6797 §8.3).
    fn is_lasting(&self, conn: ConnKey, request: &Request) -> bool {
        let is_encrypted = self.conns.get(conn).is_some_and(Conn::is_encrypted);
        let is_default_port = request.host.as_deref().is_some_and(|host| !host.contains(':'));
        self.settings.encryption == Encryption::Lasting && is_encrypted && is_default_port
    }

    /// Adds what every response carries.
    pub(super) fn respond(&mut self, now: Instant, conn: ConnKey, request: &Request, response: Response<'_>) {
        let mut response = response.header("X-Content-Type-Options", "nosniff").header("Vary", "Origin");
        if self.is_lasting(conn, request) {
            response = response.header("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY);
        }
        if let Some(origin) = request.origin.as_deref()
            && self.settings.allowed_origins.iter().any(|allowed| allowed == origin)
        {
            response = response
                .header("Access-Control-Allow-Origin", origin)
                .header("Access-Control-Allow-Credentials", "true")
                .header("Access-Control-Expose-Headers", "Location, ETag, Link");
        }
        self.answer(now, conn, Some(request), response);
    }
}

/// Returns the answer where there is none for now; the conn may live on.
pub(super) fn come_back_later() -> Response<'static> {
    Response::new(Status::Unavailable).header("Retry-After", "1")
}

/// Adds when to try again to a status that asks for it (RFC 6585 §4).
fn with_retry(response: Response<'_>, status: Status) -> Response<'_> {
    match status {
        Status::TooManyRequests => response.header("Retry-After", &RETRY_AFTER_S.to_string()),
        _ => response,
    }
}
