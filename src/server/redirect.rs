//! Answers at the door of plain HTTP: sends everybody to HTTPS, and shows a certificate authority what it asks for.
//!
//! A program like certbot puts a file into a directory, and the authority fetches it, to see who has the name (RFC 8555
//! §8.3). Nothing else is served here. Invariant: no name that a client wrote leads out of that directory.

use std::time::Instant;

use super::Server;
use super::problem::Problem;
use super::route::Misrouted;
use crate::config::RedirectTo;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::wire::http::{Request, Response, Status};

/// The longest name of a file for an authority, in bytes; one has 43.
const CHALLENGE_NAME_BYTES_MAX: usize = 128;

/// What the path of such a file begins with (RFC 8555 §8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

impl Server {
    /// Answers one request, after which the conn closes.
    pub(super) fn on_redirect_request(&mut self, now: Instant, conn: ConnKey, request: &Request, out: &mut Outbox) {
        match request.path.strip_prefix(CHALLENGES) {
            Some(name) if is_plain(name) => self.read_challenge(now, conn, request, name, out),
            Some(_) => self.refuse(now, conn, Some(request), &Misrouted::NoSuchPath.into()),
            None => {
                let to = self.settings.redirect.as_ref();
                match to.and_then(|to| location(request, to)) {
                    Some(location) => self.respond(now, conn, Some(request), moved_to(&location)),
                    None => {
                        let problem = Problem::new(Status::BadRequest, "there is no host to send you to");
                        self.refuse(now, conn, Some(request), &problem);
                    }
                }
            }
        }
    }

    /// Answers with what a file holds that an authority asked for; `None` where there is no such file.
    pub(super) fn respond_challenge(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        contents: Option<&[u8]>,
    ) {
        match contents {
            Some(contents) => {
                let response = Response::new(Status::Ok).body("application/octet-stream", contents);
                self.respond(now, conn, Some(request), response);
            }
            None => self.refuse(now, conn, Some(request), &Misrouted::NoSuchPath.into()),
        }
    }
}

/// Returns the answer that sends a client to where what it asks for is.
pub(super) fn moved_to(location: &str) -> Response<'static> {
    // Browsers would keep it for ever, also where HTTPS was tried and given up, or the place holds a token.
    let response = Response::new(Status::PermanentRedirect).header("Cache-Control", "no-store");
    response.header("Location", location)
}

fn location(request: &Request, to: &RedirectTo) -> Option<String> {
    let Request { path, query, .. } = request;
    if !path.starts_with('/') {
        return None;
    }
    if let Some(base) = &to.base {
        return Some(format!("{base}{path}{query}"));
    }
    let host = request.host.as_deref()?;
    // The port of this door is not the one of HTTPS.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let port = if to.port == 443 { String::new() } else { format!(":{}", to.port) };
    Some(format!("https://{name}{port}{path}{query}"))
}

/// Tells whether a name is a file's of the directory itself.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=CHALLENGE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let request = |host: Option<&str>, path: &str, query: &str| Request {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Request::default()
        };
        let to = |base: Option<&str>, port| RedirectTo { base: base.map(str::to_owned), port };
        let public = || to(Some("https://ecoute.example"), 8443);
        let cases = [
            ("default port", to(None, 443), request(Some("a.example"), "/b", "?c"), Some("https://a.example/b?c")),
            (
                "another port",
                to(None, 8443),
                request(Some("a.example:80"), "/", ""),
                Some("https://a.example:8443/"),
            ),
            ("IPv6", to(None, 443), request(Some("[2001:db8::1]"), "/", ""), Some("https://[2001:db8::1]/")),
            (
                "IPv6, port",
                to(None, 1),
                request(Some("[2001:db8::1]:80"), "/", ""),
                Some("https://[2001:db8::1]:1/"),
            ),
            ("public", public(), request(Some("evil.example"), "/x", "?y"), Some("https://ecoute.example/x?y")),
            ("public, no host", public(), request(None, "/x", ""), Some("https://ecoute.example/x")),
            ("no host", to(None, 443), request(None, "/x", ""), None),
            ("no path", to(None, 443), request(Some("a"), "*", ""), None),
        ];
        for (name, to, request, want) in cases {
            assert_eq!(location(&request, &to).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn names_of_challenges() {
        for good in ["a-B_9", "x", &"x".repeat(128)] {
            assert!(is_plain(good), "{good}");
        }
        let long = "x".repeat(129);
        for bad in ["", ".", "..", "../../secret", "..%2f..%2fsecret", "dot.ted", "folder/", "a-B_9\0", "é", &long]
        {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
