//! Reads the heads of HTTP/1.1 requests and writes responses (RFC 9112), as little of both as this server needs.
//!
//! A proxy in front may read a head that is not quite one in another way than we do, and then see another request
//! than we answer (RFC 9112 §11.2): whatever could be read in two ways is refused. A body has the length that its head
//! announces; one of unknown length is refused (RFC 9112 §6.3).

use std::fmt::Write as _;

/// Header lines in one request, more than any browser sends.
const HEADERS_MAX: usize = 64;

/// A request: its head, and its body once that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// The path, percent-encoded as it came; the query is cut off.
    pub path: String,
    /// The query with its question mark; empty without one.
    pub query: String,
    pub host: Option<String>,
    pub origin: Option<String>,
    /// What follows `Bearer ` in `Authorization`.
    pub bearer: Option<String>,
    pub if_none_match: Option<String>,
    pub if_match: Option<String>,
    /// What the body is, in lower case and without parameters.
    pub content_type: Option<String>,
    /// All `Forwarded` lines as one list (RFC 7239), to be believed only of a proxy that is trusted.
    pub forwarded: Option<String>,
    /// All `X-Forwarded-For` lines as one list, to be believed as little.
    pub x_forwarded_for: Option<String>,
    /// By what the clients of proxies asked: `https` where they are encrypted.
    pub x_forwarded_proto: Option<String>,
    /// Whether the client takes a body that is compressed with gzip, by name (RFC 9110 §12.5.3).
    pub accepts_gzip: bool,
    /// The `Sec-WebSocket-Key` of a well-formed WebSocket upgrade (RFC 6455 §4.1).
    pub websocket_key: Option<String>,
    /// Whether the client keeps the connection for another request.
    pub keep_alive: bool,
    /// How many bytes of a body follow.
    pub body_bytes: usize,
    /// The body, once it is there.
    pub body: Vec<u8>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
}

/// Why a head can't be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("not a well-formed request head")]
    Malformed,
    #[error("more than {bytes_max} bytes or {HEADERS_MAX} header lines")]
    HeadTooLarge { bytes_max: usize },
    #[error("a body without Content-Length")]
    LengthRequired,
    #[error("a body of more than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
}

impl HttpError {
    /// Returns the status that tells the client.
    pub(crate) fn status(self) -> Status {
        match self {
            HttpError::Malformed => Status::BadRequest,
            HttpError::HeadTooLarge { .. } => Status::HeadTooLarge,
            HttpError::LengthRequired => Status::LengthRequired,
            HttpError::BodyTooLarge { .. } => Status::BodyTooLarge,
        }
    }
}

/// Reads the first request's head in `received`; `None` while it is incomplete, else it and its length in bytes.
///
/// # Errors
/// [`HttpError`], when no more bytes can make it a request.
pub fn parse_request(received: &[u8], head_bytes_max: usize) -> Result<Option<(Request, usize)>, HttpError> {
    let too_large = HttpError::HeadTooLarge { bytes_max: head_bytes_max };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_bytes = match head.parse(received) {
        Ok(httparse::Status::Complete(head_bytes)) if head_bytes <= head_bytes_max => head_bytes,
        Ok(httparse::Status::Partial) if received.len() <= head_bytes_max => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large),
        Err(_) => return Err(HttpError::Malformed),
    };
    if has_bare_line_feed(received.get(..head_bytes).unwrap_or_default()) {
        return Err(HttpError::Malformed);
    }
    let is_1_1 = head.version == Some(1);
    let method = head.method.unwrap_or_default();
    let Target { authority, path, query } =
        split_target(method, head.path.unwrap_or_default()).ok_or(HttpError::Malformed)?;
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: is_1_1,
        ..Request::default()
    };
    let mut upgrade = Upgrade::default();
    let mut body = Body::default();
    for header in head.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| HttpError::Malformed)?;
        read_header(&mut request, &mut upgrade, &mut body, header.name, value)?;
    }
    request.body_bytes = body.length()?;
    if is_1_1 && request.host.is_none() {
        return Err(HttpError::Malformed);
    }
    // Where the target names a host, it is the one that counts (RFC 9112 §3.2.2).
    if let Some(authority) = authority {
        request.host = Some(authority.to_owned());
    }
    if !request.host.as_deref().is_none_or(is_host) {
        return Err(HttpError::Malformed);
    }
    if is_1_1 && upgrade.is_complete() {
        request.websocket_key = upgrade.key;
    }
    Ok(Some((request, head_bytes)))
}

/// Tells whether a line ends without a carriage return, which the parser takes for its end and others may not
/// (RFC 9112 §2.2).
fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|&byte| std::mem::replace(&mut before, byte) != b'\r' && byte == b'\n')
}

/// What a request asks for.
struct Target<'a> {
    /// The host that it names, if it does.
    authority: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

/// Reads a request's target in all its forms (RFC 9112 §3.2).
fn split_target<'a>(method: &str, target: &'a str) -> Option<Target<'a>> {
    if !target.is_ascii() || target.contains('#') {
        return None;
    }
    let (without_query, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Some(Target { authority: None, path: without_query, query });
    }
    let (scheme, rest) = without_query.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some(Target { authority: Some(authority), path: if path.is_empty() { "/" } else { path }, query })
}

/// Tells whether a text has the shape of a host, and maybe a port (RFC 3986 §3.2, without a user).
fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// What a WebSocket upgrade needs besides its key.
#[derive(Default)]
struct Upgrade {
    to_websocket: bool,
    connection: bool,
    version_13: bool,
    key: Option<String>,
}

impl Upgrade {
    fn is_complete(&self) -> bool {
        self.to_websocket && self.connection && self.version_13
    }
}

/// What a head says of the body behind it.
#[derive(Default)]
struct Body {
    length: Option<usize>,
    is_coded: bool,
}

impl Body {
    /// Two servers that read a length differently disagree on where the next request begins, so what is not plain is
    /// refused (RFC 9112 §6.3, §11.2).
    fn length(self) -> Result<usize, HttpError> {
        match self {
            Body { length: Some(_), is_coded: true } => Err(HttpError::Malformed),
            Body { length: None, is_coded: true } => Err(HttpError::LengthRequired),
            Body { length, is_coded: false } => Ok(length.unwrap_or(0)),
        }
    }
}

fn read_header(
    request: &mut Request,
    upgrade: &mut Upgrade,
    body: &mut Body,
    name: &str,
    value: &str,
) -> Result<(), HttpError> {
    let has_token = |wanted: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted));
    match name.to_ascii_lowercase().as_str() {
        "host" if request.host.is_some() => return Err(HttpError::Malformed),
        "host" => request.host = Some(value.to_owned()),
        "origin" if request.origin.is_some() => return Err(HttpError::Malformed),
        "origin" => request.origin = Some(value.to_owned()),
        "if-match" => append(&mut request.if_match, value),
        "content-type" if request.content_type.is_some() => return Err(HttpError::Malformed),
        "content-type" => {
            let kind = value.split(';').next().unwrap_or_default();
            request.content_type = Some(kind.trim().to_ascii_lowercase());
        }
        "if-none-match" => request.if_none_match = Some(value.to_owned()),
        "forwarded" => append(&mut request.forwarded, value),
        "x-forwarded-for" => append(&mut request.x_forwarded_for, value),
        "x-forwarded-proto" => append(&mut request.x_forwarded_proto, value),
        "accept-encoding" => request.accepts_gzip |= accepts(value, "gzip"),
        "authorization" if request.bearer.is_some() => return Err(HttpError::Malformed),
        "authorization" => {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if scheme.eq_ignore_ascii_case("bearer") {
                request.bearer = Some(token.trim().to_owned());
            }
        }
        "connection" => {
            upgrade.connection |= has_token("upgrade");
            request.keep_alive &= !has_token("close");
        }
        "upgrade" => upgrade.to_websocket |= has_token("websocket"),
        "sec-websocket-version" => upgrade.version_13 = value == "13",
        "sec-websocket-key" => upgrade.key = Some(value.to_owned()),
        "transfer-encoding" => body.is_coded = true,
        "content-length" if body.length.is_some() => return Err(HttpError::Malformed),
        "content-length" => body.length = Some(parse_length(value).ok_or(HttpError::Malformed)?),
        "expect" => request.expects_continue = value.eq_ignore_ascii_case("100-continue"),
        _ => {}
    }
    Ok(())
}

/// Joins the lines of one list (RFC 9110 §5.3).
fn append(list: &mut Option<String>, value: &str) {
    match list {
        Some(list) => {
            list.push(',');
            list.push_str(value);
        }
        None => *list = Some(value.to_owned()),
    }
}

/// Reads digits and nothing else: no sign, no list.
fn parse_length(value: &str) -> Option<usize> {
    value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Tells whether a list with weights (RFC 9110 §12.4.2) names a coding and does not refuse it.
fn accepts(list: &str, coding: &str) -> bool {
    list.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
        name.trim().eq_ignore_ascii_case(coding) && weight > 0.0
    })
}

/// The statuses that this server answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    Created,
    NoContent,
    NotModified,
    PermanentRedirect,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    LengthRequired,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedType,
    Unprocessable,
    UpgradeRequired,
    PreconditionRequired,
    TooManyRequests,
    HeadTooLarge,
    Unavailable,
}

impl Status {
    /// Returns the number and its reason phrase, as the status line has them.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::Created => "201 Created",
            Status::NoContent => "204 No Content",
            Status::NotModified => "304 Not Modified",
            Status::PermanentRedirect => "308 Permanent Redirect",
            Status::BadRequest => "400 Bad Request",
            Status::Unauthorized => "401 Unauthorized",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::Timeout => "408 Request Timeout",
            Status::Conflict => "409 Conflict",
            Status::LengthRequired => "411 Length Required",
            Status::PreconditionFailed => "412 Precondition Failed",
            Status::BodyTooLarge => "413 Content Too Large",
            Status::UnsupportedType => "415 Unsupported Media Type",
            Status::Unprocessable => "422 Unprocessable Content",
            Status::UpgradeRequired => "426 Upgrade Required",
            Status::PreconditionRequired => "428 Precondition Required",
            Status::TooManyRequests => "429 Too Many Requests",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// A response in the making.
#[derive(Debug)]
pub struct Response<'a> {
    status: Status,
    head: String,
    body: &'a [u8],
}

impl<'a> Response<'a> {
    /// Begins a response without a body.
    pub fn new(status: Status) -> Response<'a> {
        Response { status, head: format!("HTTP/1.1 {}\r\n", status.line()), body: &[] }
    }

    /// Adds a header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Response<'a> {
        write!(self.head, "{name}: {value}\r\n").expect("a String takes all");
        self
    }

    /// Sets the body and its type.
    pub fn body(mut self, content_type: &str, body: &'a [u8]) -> Response<'a> {
        self = self.header("Content-Type", content_type);
        self.body = body;
        self
    }

    /// Appends the response to `out`; with `head_only` the body stays away, its length does not (HEAD).
    pub fn write(mut self, out: &mut Vec<u8>, head_only: bool, keep_alive: bool) {
        if !keep_alive {
            self = self.header("Connection", "close");
        }
        // These never have a body, and a length of zero would be said of the page (RFC 9110 §8.6).
        if !matches!(self.status, Status::NoContent | Status::NotModified) {
            let length = self.body.len().to_string();
            self = self.header("Content-Length", &length);
        }
        out.extend(self.head.as_bytes());
        out.extend(b"\r\n");
        if !head_only {
            out.extend(self.body);
        }
    }
}

/// Appends what lets a client send the body that it announced.
pub(crate) fn write_continue(out: &mut Vec<u8>) {
    out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends the answer that turns a connection into a WebSocket (RFC 6455 §4.2.2).
pub(crate) fn write_upgrade(out: &mut Vec<u8>, websocket_key: &str, date: &str) {
    let accept = tungstenite::handshake::derive_accept_key(websocket_key.as_bytes());
    out.extend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    out.extend(format!("Sec-WebSocket-Accept: {accept}\r\nDate: {date}\r\n\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(Request, usize)>, HttpError> {
        parse_request(text.as_bytes(), 1024)
    }

    #[test]
    fn reads_a_request_and_leaves_the_next() {
        let text = "GET /health?x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: bearer  t.o.k \r\n\r\nGET";
        let (request, head_bytes) = parse(text).unwrap().unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/health", "?x=1"));
        assert_eq!(request.bearer.as_deref(), Some("t.o.k"));
        assert!(request.keep_alive && request.body_bytes == 0);
        assert_eq!(head_bytes, text.len() - 3);
    }

    #[test]
    fn heads_that_are_cut_large_or_wrong() {
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(2000));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        let too_large = Err(HttpError::HeadTooLarge { bytes_max: 1024 });
        let cases: &[(&str, &str, Result<Option<()>, HttpError>)] = &[
            ("nothing", "", Ok(None)),
            ("half a line", "GET /hea", Ok(None)),
            ("no empty line yet", "GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            ("complete", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(()))),
            ("too long", &long, too_large),
            ("too long and unfinished", &long[..1500], too_large),
            ("too many lines", &many, too_large),
            ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err(HttpError::Malformed)),
            ("not http", "\x16\x03\x01", Err(HttpError::Malformed)),
        ];
        for (name, text, want) in cases {
            assert_eq!(parse(text).map(|parsed| parsed.map(|_| ())), *want, "{name}");
        }
    }

    #[test]
    fn heads_that_others_may_read_in_another_way() {
        let with = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let (good, bad) = (Ok(Some(())), Err(HttpError::Malformed));
        let cases: &[(&str, String, Result<Option<()>, HttpError>)] = &[
            ("an empty line before", format!("\r\n{}", with("")), good),
            ("a bare line feed before", format!("\n{}", with("")), bad),
            ("a bare line feed after the first line", "GET / HTTP/1.1\nHost: a\r\n\r\n".into(), bad),
            ("a bare line feed after a header", with("A: b\n"), bad),
            ("a bare line feed before the end", "GET / HTTP/1.1\r\nHost: a\n\r\n".into(), bad),
            ("a bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n".into(), bad),
            ("only bare line feeds", "GET / HTTP/1.1\nHost: a\n\n".into(), bad),
            ("a bare carriage return in a value", with("A: b\rc\r\n"), bad),
            ("a bare carriage return after a header", with("A: b\rB: c\r\n"), bad),
            ("a bare carriage return in the first line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
            ("two carriage returns", with("A: b\r\r\n"), bad),
            ("a folded line", with("A: b\r\n c\r\n"), bad),
            ("a line folded by a tab", with("A: b\r\n\tc\r\n"), bad),
            ("a first header with space before", "GET / HTTP/1.1\r\n Host: a\r\n\r\n".into(), bad),
            ("a space before the colon", with("A : b\r\n"), bad),
            ("a space in a name", with("A B: b\r\n"), bad),
            ("no name", with(": b\r\n"), bad),
            ("no colon", with("A\r\n"), bad),
            ("a name with other letters", with("É: b\r\n"), bad),
            ("NUL in a value", with("A: b\0c\r\n"), bad),
            ("NUL in a name", with("A\0: b\r\n"), bad),
            ("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
            ("an escape in a value", with("A: \u{1b}[31m\r\n"), bad),
            ("two spaces in the first line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
            ("a tab in the first line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
            ("a space behind the first line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), bad),
            ("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
            ("no version", "GET /\r\nHost: a\r\n\r\n".into(), bad),
            ("another version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), bad),
            ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), bad),
            ("no host", "GET / HTTP/1.1\r\n\r\n".into(), bad),
            ("no host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into(), good),
            ("two hosts", with("host: a\r\n"), bad),
            ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), bad),
            ("a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), bad),
            ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), bad),
            ("a host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".into(), bad),
            ("a host with a port", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n".into(), good),
            ("one origin", with("Origin: http://a\r\n"), good),
            ("two origins", with("Origin: http://a\r\norigin: http://b\r\n"), bad),
            ("two tokens", with("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), bad),
        ];
        for (name, text, want) in cases {
            assert_eq!(parse(text).map(|parsed| parsed.map(|_| ())), *want, "{name}");
        }
    }

    #[test]
    fn targets_in_all_their_forms() {
        let cases = [
            ("GET", "/a?b", Some(("here", "/a"))),
            ("GET", "//a", Some(("here", "//a"))),
            ("GET", "http://there/a?b", Some(("there", "/a"))),
            ("GET", "HTTPS://there:1", Some(("there:1", "/"))),
            ("GET", "http://there?b=http://elsewhere/", Some(("there", "/"))),
            ("GET", "http://", None),
            ("GET", "http://user@there/", None),
            ("GET", "ftp://there/a", None),
            ("GET", "a/b", None),
            ("GET", "here:443", None),
            ("CONNECT", "here:443", None),
            ("OPTIONS", "*", Some(("here", "*"))),
            ("GET", "*", None),
            ("GET", "/a#b", None),
            ("GET", "/é", None),
            ("GET", "/%C3%A9", Some(("here", "/%C3%A9"))),
        ];
        for (method, target, want) in cases {
            let parsed = parse(&format!("{method} {target} HTTP/1.1\r\nHost: here\r\n\r\n"));
            let parsed = parsed.ok().flatten().map(|(request, _)| (request.host.unwrap(), request.path));
            let parsed = parsed.as_ref().map(|(host, path)| (host.as_str(), path.as_str()));
            assert_eq!(parsed, want, "{method} {target}");
        }
    }

    #[test]
    fn the_longest_head_and_one_byte_more() {
        let of = |len: usize| {
            let without = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(len - without))
        };
        let too_large = Err(HttpError::HeadTooLarge { bytes_max: 1024 });
        let read = |text: &str| parse(text).map(|parsed| parsed.map(|(_, head_bytes)| head_bytes));
        assert_eq!(read(&of(1024)), Ok(Some(1024)));
        assert_eq!(read(&format!("{}GET /", of(1024))), Ok(Some(1024)), "more behind it is another's");
        assert_eq!(read(&of(1024)[..1023]), Ok(None));
        assert_eq!(read(&of(1025)), too_large);
        assert_eq!(read(&of(1025)[..1024]), Ok(None));
    }

    #[test]
    fn keep_alive_and_upgrades() {
        let request = |lines: &str| parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).unwrap().unwrap().0;
        assert!(!request("Connection: Close\r\n").keep_alive);
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().0.keep_alive);
        let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n";
        assert_eq!(request(upgrade).websocket_key, None, "no version");
        let complete = format!("{upgrade}Sec-WebSocket-Version: 13\r\n");
        assert_eq!(request(&complete).websocket_key.as_deref(), Some("k"));
        let old = parse(&format!("GET / HTTP/1.0\r\n{complete}\r\n")).unwrap().unwrap().0;
        assert_eq!(old.websocket_key, None, "HTTP/1.0 has no upgrades (RFC 9110 §7.8)");
    }

    #[test]
    fn a_body_has_one_plain_length() {
        let cases: &[(&str, &str, Result<usize, HttpError>)] = &[
            ("none", "", Ok(0)),
            ("nothing", "Content-Length: 0\r\n", Ok(0)),
            ("some", "Content-Length: 17\r\n", Ok(17)),
            ("a sign", "Content-Length: +17\r\n", Err(HttpError::Malformed)),
            ("no number", "Content-Length: 1x\r\n", Err(HttpError::Malformed)),
            ("empty", "Content-Length:\r\n", Err(HttpError::Malformed)),
            ("beyond counting", "Content-Length: 99999999999999999999999\r\n", Err(HttpError::Malformed)),
            ("a list", "Content-Length: 1, 1\r\n", Err(HttpError::Malformed)),
            ("two", "Content-Length: 1\r\nContent-Length: 2\r\n", Err(HttpError::Malformed)),
            ("the same twice", "Content-Length: 1\r\nContent-Length: 1\r\n", Err(HttpError::Malformed)),
            ("chunks", "Transfer-Encoding: chunked\r\n", Err(HttpError::LengthRequired)),
            ("both", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(HttpError::Malformed)),
            ("both turned", "Transfer-Encoding: x\r\nContent-Length: 0\r\n", Err(HttpError::Malformed)),
        ];
        for (name, lines, want) in cases {
            let parsed = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            assert_eq!(parsed.map(|parsed| parsed.unwrap().0.body_bytes), *want, "{name}");
        }
    }

    #[test]
    fn responses_announce_their_length() {
        let mut out = Vec::new();
        Response::new(Status::Ok).body("text/plain", b"hello").write(&mut out, true, false);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
        );
        let mut out = Vec::new();
        Response::new(Status::NoContent).write(&mut out, false, true);
        assert_eq!(String::from_utf8(out).unwrap(), "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn gzip_is_taken_by_name_only() {
        let cases = [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("deflate", false),
            ("*", false),
            ("", false),
        ];
        for (list, want) in cases {
            assert_eq!(accepts(list, "gzip"), want, "{list}");
        }
    }
}
