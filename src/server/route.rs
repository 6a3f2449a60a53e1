//! What a request asks for, by its method and path: the one place that knows all paths.
//!
//! Knows neither tokens nor clients. Invariant: what `Allow` and a preflight name for a path is what is served there, and
//! nothing else is.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::history::{REPORT, Whose};
use super::resources::Kind as Program;
use crate::history;
use crate::web::{self, Page};

/// The pages that links lead to.
const PEOPLES_PAGES: [&str; 2] = ["/admin", "/commercial"];

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Route<'a> {
    /// A page, or a file of one or of the client library.
    Page(&'static Page),
    /// To speak over a WebSocket from now on.
    Websocket,
    Health,
    StreamingStatus,
    /// What happened before today, or just now.
    History(Whose),
    /// A session of a program with the salesperson of this id.
    Begin(Program, Cow<'a, str>),
    /// Another way for the audio of the session of this name.
    Mend(Program, &'a str),
    /// The end of the session of this name.
    End(Program, &'a str),
    /// What stands elsewhere: at this path, with what follows it.
    Moved(String),
    /// What may be asked for here; a browser asks that before a page of another origin may (a preflight).
    Options(Options),
}

/// What may be asked for at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The methods, as `Allow` lists them.
    pub(super) allow: &'static str,
    /// What a request of a program brings.
    pub(super) accepts: Option<BodyType>,
}

/// Why a request asks for nothing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misrouted {
    NoSuchPath,
    /// Others are, which `Allow` lists.
    NotThisMethod {
        allow: &'static str,
    },
}

/// What the bodies of programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyType {
    Sdp,
    /// A part of an SDP (RFC 8840).
    Fragment,
}

impl BodyType {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            BodyType::Sdp => "application/sdp",
            BodyType::Fragment => "application/trickle-ice-sdpfrag",
        }
    }

    /// Returns the header that tells a program what to send (RFC 9725 §4.2, RFC 5789 §3.1).
    pub(super) fn accept_header(self) -> &'static str {
        match self {
            BodyType::Sdp => "Accept-Post",
            BodyType::Fragment => "Accept-Patch",
        }
    }
}

impl<'a> Route<'a> {
    /// Reads what a request asks for.
    ///
    /// # Errors
    /// [`Misrouted`], when nothing is served at that path, or not by that method.
    pub(super) fn parse(method: &str, path: &'a str) -> Result<Route<'a>, Misrouted> {
        let place = Place::at(path).ok_or(Misrouted::NoSuchPath)?;
        let allow = place.allow();
        match (method, place) {
            ("OPTIONS", place) => Ok(Route::Options(Options { allow, accepts: place.accepts() })),
            ("GET" | "HEAD", Place::Page(page)) => Ok(Route::Page(page)),
            ("GET" | "HEAD", Place::Moved(to)) => Ok(Route::Moved(to)),
            ("GET" | "HEAD", Place::Health) => Ok(Route::Health),
            ("GET" | "HEAD", Place::StreamingStatus) => Ok(Route::StreamingStatus),
            ("GET", Place::History(whose)) => Ok(Route::History(whose)),
            ("GET", Place::Websocket) => Ok(Route::Websocket),
            ("POST", Place::Endpoint(kind, id)) => Ok(Route::Begin(kind, id)),
            ("PATCH", Place::Session(kind, name)) => Ok(Route::Mend(kind, name)),
            ("DELETE", Place::Session(kind, name)) => Ok(Route::End(kind, name)),
            (
                _,
                Place::Server
                | Place::Page(_)
                | Place::Moved(_)
                | Place::Websocket
                | Place::Health
                | Place::StreamingStatus
                | Place::History(_)
                | Place::Endpoint(..)
                | Place::Session(..),
            ) => Err(Misrouted::NotThisMethod { allow }),
        }
    }
}

/// Tells whether programs that stream or hear ask for such a path, whatever stands there.
pub(super) fn is_of_program(path: &str) -> bool {
    split_program(path).is_some()
}

/// What stands at a path.
enum Place<'a> {
    /// The server as a whole (RFC 9110 §9.3.7).
    Server,
    Page(&'static Page),
    /// What people and their mail programs make of the path of a page.
    Moved(String),
    Websocket,
    Health,
    StreamingStatus,
    History(Whose),
    /// Where sessions with the salesperson of this id begin.
    Endpoint(Program, Cow<'a, str>),
    /// The session of this name.
    Session(Program, &'a str),
}

impl<'a> Place<'a> {
    fn at(path: &'a str) -> Option<Place<'a>> {
        match path {
            "*" => Some(Place::Server),
            "/ws" => Some(Place::Websocket),
            "/health" => Some(Place::Health),
            "/api/streaming/status" => Some(Place::StreamingStatus),
            "/api/history/broadcasts" => Some(Place::History(Whose::Others(history::Kind::Broadcasts))),
            "/api/history/listenings" => Some(Place::History(Whose::Others(history::Kind::Listenings))),
            REPORT => Some(Place::History(Whose::Report)),
            "/api/me/listenings" => Some(Place::History(Whose::Own)),
            _ => match split_program(path) {
                Some((kind, rest)) => Place::of_program(kind, rest),
                None => web::find(path).map(Place::Page).or_else(|| moved(path).map(Place::Moved)),
            },
        }
    }

    fn of_program(kind: Program, rest: &'a str) -> Option<Place<'a>> {
        // Whoever types an address ends it so, and not all programs follow when they are sent elsewhere.
        let rest = rest.strip_suffix('/').filter(|id| !id.contains('/')).unwrap_or(rest);
        match rest.split_once('/') {
            Some((_, name)) => Some(Place::Session(kind, name)),
            None if rest.is_empty() => None,
            None => Some(Place::Endpoint(kind, percent_decode_str(rest).decode_utf8().ok()?)),
        }
    }

    fn allow(&self) -> &'static str {
        match self {
            Place::Server => "OPTIONS",
            Place::Page(_) | Place::Moved(_) | Place::Health | Place::StreamingStatus => "GET, HEAD",
            Place::Websocket => "GET",
            Place::History(_) => "GET, OPTIONS",
            Place::Endpoint(..) => "POST, OPTIONS",
            Place::Session(..) => "PATCH, DELETE, OPTIONS",
        }
    }

    fn accepts(&self) -> Option<BodyType> {
        match self {
            Place::Endpoint(..) => Some(BodyType::Sdp),
            Place::Session(..) => Some(BodyType::Fragment),
            Place::Server
            | Place::Page(_)
            | Place::Moved(_)
            | Place::Websocket
            | Place::Health
            | Place::StreamingStatus
            | Place::History(_) => None,
        }
    }
}

/// Returns where somebody wants to go who asks for `/admin/`, or for a link whose `#` a mail program wrote as `%23`: its
/// token belongs into the fragment, and whatever followed the link in its sentence does not.
fn moved(path: &str) -> Option<String> {
    let page = PEOPLES_PAGES.into_iter().find(|page| path.starts_with(page))?;
    let rest = &path[page.len()..];
    if rest == "/" {
        return Some(page.to_owned());
    }
    // A program behind another one writes `%2523`.
    let once = percent_decode_str(rest).decode_utf8().ok()?;
    let twice = percent_decode_str(&once).decode_utf8().ok()?;
    let token = twice.strip_prefix('/').unwrap_or(&twice).strip_prefix("#t=")?;
    let is_of_token = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
    let token: String = token.chars().take_while(is_of_token).collect();
    Some(format!("{page}#t={token}"))
}

/// Returns a path as it may be logged: without the token of such a link.
pub(super) fn shown(path: &str) -> &str {
    let sharp = ["%23", "%25"].into_iter().filter_map(|written| path.find(written)).min();
    &path[..sharp.unwrap_or(path.len())]
}

/// Returns which of the two protocols a path is of, and what follows.
fn split_program(path: &str) -> Option<(Program, &str)> {
    let of = |prefix, kind| path.strip_prefix(prefix).map(|rest| (kind, rest));
    of("/whip/", Program::Whip).or_else(|| of("/whep/", Program::Whep))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request comes to, in words.
    fn routed(method: &str, path: &str) -> String {
        match Route::parse(method, path) {
            Ok(Route::Page(page)) => format!("page {}", page.path),
            Ok(Route::Moved(to)) => format!("moved {to}"),
            Ok(Route::Websocket) => "websocket".into(),
            Ok(Route::Health) => "health".into(),
            Ok(Route::StreamingStatus) => "status".into(),
            Ok(Route::History(whose)) => format!("history {whose:?}"),
            Ok(Route::Begin(kind, id)) => format!("begin {kind:?} {id}"),
            Ok(Route::Mend(kind, name)) => format!("mend {kind:?} {name}"),
            Ok(Route::End(kind, name)) => format!("end {kind:?} {name}"),
            Ok(Route::Options(Options { allow, accepts: None })) => format!("options {allow}"),
            Ok(Route::Options(Options { allow, accepts: Some(body) })) => {
                format!("options {allow}: {}", body.content_type())
            }
            Err(Misrouted::NoSuchPath) => "no such path".into(),
            Err(Misrouted::NotThisMethod { allow }) => format!("only {allow}"),
        }
    }

    #[test]
    fn each_request_asks_for_one_thing() {
        let module = web::module("/ecoute-client.js");
        let cases: &[(&str, &str, &str)] = &[
            ("GET", "/", "page /"),
            ("HEAD", "/admin", "page /admin"),
            ("GET", "/ecoute.js", "page /ecoute.js"),
            ("POST", "/admin", "only GET, HEAD"),
            ("OPTIONS", "/page.css", "options GET, HEAD"),
            // Modules have addresses of their version alone.
            ("GET", "/ecoute-client.js", "no such path"),
            ("GET", "/0123456789abcdef/ecoute-client.js", "no such path"),
            ("GET", &module, &format!("page {module}")),
            ("GET", &module[1..], "no such path"),
            ("GET", "/admin/", "moved /admin"),
            ("HEAD", "/commercial/", "moved /commercial"),
            ("POST", "/admin/", "only GET, HEAD"),
            ("GET", "/administration/", "no such path"),
            ("GET", "/admin/x", "no such path"),
            ("GET", "/ecoute.js/", "no such path"),
            ("GET", "/commercial%23t=aB-_.c.d", "moved /commercial#t=aB-_.c.d"),
            ("GET", "/commercial/%23t%3Da.b.c", "moved /commercial#t=a.b.c"),
            ("GET", "/admin%2523t%253Da.b.c%2529.", "moved /admin#t=a.b.c"),
            ("GET", "/admin%23t=a%0d%0aSet-Cookie:b", "moved /admin#t=a"),
            ("GET", "/admin%23", "no such path"),
            ("GET", "/%23t=a.b.c", "no such path"),
            ("GET", "/admin%23t=%ff", "no such path"),
            ("OPTIONS", "/nothing", "no such path"),
            ("GET", "", "no such path"),
            ("OPTIONS", "*", "options OPTIONS"),
            ("GET", "/ws", "websocket"),
            ("HEAD", "/ws", "only GET"),
            ("OPTIONS", "/ws", "options GET"),
            ("GET", "/health", "health"),
            ("HEAD", "/health", "health"),
            ("get", "/health", "only GET, HEAD"),
            ("PUT", "/api/streaming/status", "only GET, HEAD"),
            ("GET", "/api/history/broadcasts", "history Others(Broadcasts)"),
            ("GET", "/api/history/listenings", "history Others(Listenings)"),
            ("GET", "/api/me/listenings", "history Own"),
            ("GET", "/api/report", "history Report"),
            ("POST", "/api/report", "only GET, OPTIONS"),
            ("HEAD", "/api/me/listenings", "only GET, OPTIONS"),
            ("GET", "/api/me/listenings/", "no such path"),
            ("GET", "/api/streaming/status", "status"),
            ("POST", "/whip/lea", "begin Whip lea"),
            ("POST", "/whep/%6c%65a", "begin Whep lea"),
            ("POST", "/whip/l%2Fa", "begin Whip l/a"),
            ("GET", "/whip/lea", "only POST, OPTIONS"),
            ("OPTIONS", "/whep/lea", "options POST, OPTIONS: application/sdp"),
            ("POST", "/whip/%ff", "no such path"),
            ("POST", "/whip/", "no such path"),
            ("POST", "/whip", "no such path"),
            ("POST", "/WHIP/lea", "no such path"),
            ("POST", "/whip%2Flea", "no such path"),
            ("PATCH", "/whip/lea/12", "mend Whip 12"),
            ("DELETE", "/whep/lea/12", "end Whep 12"),
            ("DELETE", "/whep/lea/", "only POST, OPTIONS"),
            ("POST", "/whep/lea/", "begin Whep lea"),
            ("OPTIONS", "/whip/lea/", "options POST, OPTIONS: application/sdp"),
            ("POST", "/whip//", "no such path"),
            ("POST", "/whip/lea//", "only PATCH, DELETE, OPTIONS"),
            ("DELETE", "/whip/lea/12/", "end Whip 12/"),
            ("DELETE", "/whep/lea/1/2", "end Whep 1/2"),
            ("POST", "/whip/lea/12", "only PATCH, DELETE, OPTIONS"),
            ("OPTIONS", "/whip/lea/12", "options PATCH, DELETE, OPTIONS: application/trickle-ice-sdpfrag"),
        ];
        for (method, path, want) in cases {
            assert_eq!(routed(method, path), *want, "{method} {path}");
        }
    }

    #[test]
    fn what_is_allowed_is_served_and_nothing_else() {
        let pages = web::all().iter().map(|page| page.path.as_str());
        for path in pages.chain(["*", "/ws", "/health", "/api/streaming/status", "/whip/lea", "/whep/lea/12"]) {
            let Ok(Route::Options(Options { allow, .. })) = Route::parse("OPTIONS", path) else { panic!("{path}") };
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
                let is_named = allow.split(", ").any(|named| named == method);
                let is_served = Route::parse(method, path).is_ok();
                assert_eq!(is_served, is_named, "{method} {path}");
                let refused = Route::parse(method, path).err();
                assert!(refused.is_none_or(|why| why == Misrouted::NotThisMethod { allow }), "{method} {path}");
            }
        }
    }

    #[test]
    fn no_token_is_logged() {
        let cases = [
            ("/admin%23t=secret", "/admin"),
            ("/admin%2523t%253Dsecret", "/admin"),
            ("/admin%23%74=secret", "/admin"),
            ("/x%23t%3dsecret", "/x"),
            ("/whip/team123t/7", "/whip/team123t/7"),
            ("/whip/lea", "/whip/lea"),
        ];
        for (path, want) in cases {
            assert_eq!(shown(path), want, "{path}");
        }
    }

    #[test]
    fn paths_of_programs_are_known_whatever_stands_there() {
        let of_programs = ["/whip/lea", "/whep/", "/whip/%ff", "/whep/lea/12"];
        assert!(of_programs.into_iter().all(is_of_program));
        let others = ["/whip", "/ws", "/", "*", "/a/whip/lea"];
        assert!(!others.into_iter().any(is_of_program));
    }
}
