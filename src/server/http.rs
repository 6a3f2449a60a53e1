//! Answers HTTP requests: health, status, the pages, the upgrade to a WebSocket, and the way to HTTPS.
//!
//! Which request asks for what is `route`'s to know; programs' are answered in `whip`. Invariant: every response says who
//! may read it, and every refusal why.

use std::sync::LazyLock;
use std::time::Instant;

use log::debug;
use serde::Serialize;

use super::Server;
use super::devices::NO_DEVICE;
use super::problem::{Form, Problem, Right};
use super::redirect::moved_to;
use super::route::{Options, Route, shown};
use crate::config::Encryption;
use crate::conn::Conn;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::path::Door;
use crate::token::Claims;
use crate::web::{self, Page};
use crate::wire::http::{Request, Response, Status};
use crate::wire::origin;
use crate::words::{Presence, Role};

/// For 30 days, which is short enough to find back from a mistake.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=2592000";

/// For a year, without asking again (RFC 8246).
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

const JSON: &str = "application/json";

/// Nothing but our own files, and the one script in the pages, runs in a page, and nobody may frame it.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src 'self' {}; style-src 'self'; img-src 'self'; connect-src 'self'; \
         manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        web::inline_script()
    )
});

impl Server {
    /// Answers one request.
    pub(super) fn on_request(&mut self, now: Instant, conn: ConnKey, request: Box<Request>, out: &mut Outbox) {
        debug!(target: "http", "request method={:?} path={:?}", request.method, shown(&request.path));
        if let Err(problem) = self.identify(now, conn, &request, out) {
            self.stats.requests_malformed += u64::from(problem.status() == Status::BadRequest);
            return self.turn_away(now, conn, Some(request), &problem);
        }
        match self.clients.get(conn).map(|client| client.ends().door) {
            Some(Door::Redirect) => return self.on_redirect_request(now, conn, &request, out),
            Some(Door::Main) | None => {}
        }
        let route = Route::parse(&request.method, &request.path);
        if self.must_encrypt(conn, route.as_ref().ok()) {
            return self.redirect(now, conn, request);
        }
        let served = match route {
            Ok(route) => self.serve(now, conn, &request, route, out),
            Err(misrouted) => Err(misrouted.into()),
        };
        if let Err(problem) = served {
            self.stats.requests_refused += u64::from(Form::at(&request.path) == Form::Document);
            self.refuse(now, conn, Some(&request), &problem);
        }
    }

    fn serve(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        route: Route<'_>,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        match route {
            Route::Page(page) => self.respond_page(now, conn, request, page),
            Route::Moved(to) => self.respond_moved(now, conn, request, &to),
            Route::Health => self.respond_health(now, conn, request),
            Route::Options(options) => self.respond_options(now, conn, request, options),
            Route::Websocket => self.on_upgrade(now, conn, request)?,
            Route::StreamingStatus => self.respond_streaming_status(now, conn, request, out)?,
            Route::History(whose) => self.on_history_request(now, conn, request, whose, out)?,
            Route::Begin(kind, id) => self.on_post(now, conn, request, (kind, &id), out)?,
            Route::Mend(kind, name) => self.on_patch(now, conn, request, (kind, name), out)?,
            Route::End(kind, name) => self.on_delete(now, conn, request, (kind, name), out)?,
        }
        Ok(())
    }

    /// Tells whether a client must come back encrypted; what watches the server's health on its own machine need not.
    fn must_encrypt(&self, conn: ConnKey, route: Option<&Route<'_>>) -> bool {
        let is_required = match self.settings.encryption {
            Encryption::Optional => false,
            Encryption::Required | Encryption::Lasting => true,
        };
        let is_plain = self.clients.get(conn).is_some_and(|client| !client.is_encrypted());
        is_required && is_plain && !(matches!(route, Some(Route::Health)) && self.is_local(conn))
    }

    /// Sends a client to the same place over HTTPS, on the port that it has found: it speaks both.
    fn redirect(&mut self, now: Instant, conn: ConnKey, request: Box<Request>) {
        let Some(host) = request.host.as_deref().filter(|_| request.path.starts_with('/')) else {
            let problem = Problem::new(Status::BadRequest, "there is no host and path to come back to over HTTPS");
            return self.turn_away(now, conn, Some(request), &problem);
        };
        let location = format!("https://{host}{}{}", request.path, request.query);
        self.respond(now, conn, Some(&request), moved_to(&location));
    }

    /// Sends a browser to where what it asks for stands.
    fn respond_moved(&mut self, now: Instant, conn: ConnKey, request: &Request, to: &str) {
        let location = match to.split_once('#') {
            Some(_) => to.to_owned(),
            None => format!("{to}{}", request.query),
        };
        self.respond(now, conn, Some(request), moved_to(&location).header("Referrer-Policy", "no-referrer"));
    }

    /// Tells a client what it may ask for at a path; pages of other origins ask that first.
    fn respond_options(&mut self, now: Instant, conn: ConnKey, request: &Request, options: Options) {
        let Options { allow, accepts } = options;
        // RFC 9725 §4.2 wants 200 of its paths.
        let response = Response::new(if accepts.is_some() { Status::Ok } else { Status::NoContent })
            .header("Allow", allow)
            .header("Access-Control-Allow-Methods", allow)
            .header("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
            .header("Access-Control-Max-Age", "600");
        let response = match accepts {
            Some(body_type) => response.header(body_type.accept_header(), body_type.content_type()),
            None => response,
        };
        self.respond(now, conn, Some(request), response);
    }

    fn on_upgrade(&mut self, now: Instant, conn: ConnKey, request: &Request) -> Result<(), Problem> {
        if !self.is_allowed_origin(conn, request) {
            let problem = Problem::new(Status::Forbidden, "start the server with --allow-origin for this origin");
            return Err(problem.code("origin_refused"));
        }
        if request.websocket_key.is_none() || request.body_bytes > 0 {
            let why = request.no_upgrade.map_or_else(|| "a body comes with it".to_owned(), |why| why.to_string());
            let problem = Problem::new(Status::UpgradeRequired, format!("this path speaks WebSocket alone: {why}"));
            return Err(problem.right(Right::Websocket));
        }
        let date = self.clock.http_date(now);
        if let Some(client) = self.clients.get_mut(conn) {
            client.upgrade(now, request, &date, &self.settings.limits.conn);
        }
        let until = now + self.settings.limits.conn.register_timeout;
        self.clients.registers(conn, until, self.settings.limits.admission.registering_kept);
        Ok(())
    }

    /// Tells whether a page of this origin may talk to the server; programs send none.
    fn is_allowed_origin(&self, conn: ConnKey, request: &Request) -> bool {
        let Some(origin) = request.origin.as_deref() else { return true };
        // Where a proxy decrypts, a page's scheme says nothing.
        let is_encrypted = self.clients.get(conn).is_some_and(Conn::is_encrypted);
        // No page can write what the proxy passes on, so whatever stands there is no other page's (Fetch §2.2.2).
        let by_proxy = request.x_forwarded_host.as_deref().filter(|_| self.is_from_proxy(conn)).unwrap_or_default();
        let mut hosts = request.host.as_deref().into_iter().chain(by_proxy.split(',').map(str::trim));
        let is_own = hosts
            .any(|host| origin::scheme_at(origin, host).is_some_and(|scheme| scheme == "https" || !is_encrypted));
        is_own || self.is_named_origin(origin)
    }

    /// Tells whether pages of this origin were allowed to talk to the server.
    fn is_named_origin(&self, origin: &str) -> bool {
        let origin = origin::normal(origin);
        origin.is_some_and(|origin| self.settings.allowed_origins.contains(&origin))
    }

    fn respond_health(&mut self, now: Instant, conn: ConnKey, request: &Request) {
        let response = if self.is_draining {
            Response::new(Status::Unavailable).header("Retry-After", "5").body(JSON, br#"{"status":"draining"}"#)
        } else {
            Response::new(Status::Ok).body(JSON, br#"{"status":"ok"}"#)
        };
        self.respond(now, conn, Some(request), response.header("Cache-Control", "no-store"));
    }

    fn respond_streaming_status(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.authenticate(now, conn, request, out)?;
        if claims.role == Role::Commercial {
            return Err(Problem::new(Status::Forbidden, "only for admins and monitors"));
        }
        let body = self.streaming_status(&claims);
        let response = Response::new(Status::Ok).header("Cache-Control", "no-store").body(JSON, &body);
        self.respond(now, conn, Some(request), response);
        Ok(())
    }

    /// Returns who is on air or listened to, as far as a token allows to see, as JSON.
    fn streaming_status(&self, claims: &Claims) -> Vec<u8> {
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

        let broadcasts = self.broadcasts.iter().map(|(_, broadcast)| broadcast);
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
        serde_json::to_vec(&status).expect("our own status is JSON")
    }

    /// Returns what a request's token says.
    ///
    /// # Errors
    /// What to answer: the token is not valid, or the client's address sent too many such.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        out: &mut Outbox,
    ) -> Result<Claims, Problem> {
        let token = request.bearer.as_deref().unwrap_or_default();
        let claims = self.verifier.verify(self.unix_s(now), token).map_err(|error| {
            debug!(target: "http", "token refused conn={conn:?} error={error}");
            if self.on_token_refused(now, conn, error, out) {
                Problem::of_token(error)
            } else {
                Problem::new(Status::TooManyRequests, "too many tokens were refused: wait before the next one")
            }
        })?;
        match self.is_no_device(&claims) {
            true => Err(Problem::new(Status::Forbidden, NO_DEVICE).code("no_device")),
            false => Ok(claims),
        }
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
            .header("Cache-Control", if page.is_lasting { FOR_GOOD } else { "no-cache" })
            .header("Content-Security-Policy", &CONTENT_SECURITY_POLICY)
            // Who opened the page keeps no hold on it.
            .header("Cross-Origin-Opener-Policy", "same-origin")
            .header("Referrer-Policy", "no-referrer")
            .header("Permissions-Policy", "microphone=(self), geolocation=(self), camera=()");
        self.respond(now, conn, Some(request), response);
    }

    /// Answers why a request is refused, in the form that its path's clients read.
    pub(super) fn refuse(&mut self, now: Instant, conn: ConnKey, request: Option<&Request>, problem: &Problem) {
        let form = request.map_or(Form::Error, |request| Form::at(&request.path));
        let body = problem.body(form);
        self.respond(now, conn, request, problem.response(form, &body));
    }

    /// Answers why a client is refused, and closes; of what it asked maybe nothing could be read.
    pub(super) fn turn_away(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: Option<Box<Request>>,
        problem: &Problem,
    ) {
        let last = request.map(|request| Request { keep_alive: false, ..*request });
        self.refuse(now, conn, last.as_ref(), problem);
    }

    /// Tells whether a browser may be asked to keep to HTTPS: it would on all ports of the host, whoever serves them, so
    /// not of one that is named with a port (RFC 6797 §8.3).
    fn is_lasting(&self, conn: ConnKey, request: &Request) -> bool {
        let host = request.host.as_deref().map(|host| host.strip_suffix(":443").unwrap_or(host));
        let is_default_port = host.is_some_and(|host| !host.contains(':'));
        let is_encrypted = match self.settings.encryption {
            Encryption::Optional => self.came_encrypted(conn, request),
            // Its certificate is one that browsers do not trust.
            Encryption::Required => false,
            Encryption::Lasting => {
                self.clients.get(conn).is_some_and(Conn::is_encrypted) || self.came_encrypted(conn, request)
            }
        };
        is_default_port && is_encrypted
    }

    /// Queues a response. The conn closes after one to no request.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: Option<&Request>,
        response: Response<'_>,
    ) {
        let response = self.dressed(now, conn, request, response);
        if let Some(client) = self.clients.get_mut(conn) {
            client.respond(now, request, response, &self.settings.limits.conn);
        }
    }

    /// Returns a response with what every one carries: who else may read it, and its date, by which clients tell how wrong
    /// their clock is (RFC 9110 §6.6.1).
    pub(super) fn dressed<'a>(
        &self,
        now: Instant,
        conn: ConnKey,
        request: Option<&Request>,
        response: Response<'a>,
    ) -> Response<'a> {
        let mut response = response.header("X-Content-Type-Options", "nosniff").header("Vary", "Origin");
        if request.is_some_and(|request| self.is_lasting(conn, request)) {
            response = response.header("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY);
        }
        if let Some(origin) = request.and_then(|request| request.origin.as_deref())
            && self.is_named_origin(origin)
        {
            response = response
                .header("Access-Control-Allow-Origin", origin)
                .header("Access-Control-Allow-Credentials", "true")
                .header("Access-Control-Expose-Headers", "Location, ETag, Link");
        }
        response.header("Date", &self.clock.http_date(now))
    }
}
