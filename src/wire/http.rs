//! Reads the heads of HTTP/1.1 requests and writes responses (RFC 9112), as little of both as this server needs.
//!
//! A proxy in front may read a head that is not quite one in another way than we do, and then see another request
//! than we answer (RFC 9112 §11.2): whatever could be read in two ways is refused. A body has the length that its head
//! announces; one of unknown length is refused (RFC 9112 §6.3). Fields that are not read here may hold any bytes (RFC 9110
//! §5.5): cookies of other applications are none of ours.

use std::fmt::Write as _;

use super::sniff::{self, Protocol};

/// Header lines in one request, more than any browser sends.
const HEADERS_MAX: usize = 64;

/// How much is read of what a program calls itself, in bytes.
const USER_AGENT_BYTES_MAX: usize = 200;

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
    /// What they wrote as `Host`, where the proxy writes another one.
    pub x_forwarded_host: Option<String>,
    /// What the client's program calls itself; what is not plain ASCII is left out, and what is too long.
    pub user_agent: Option<String>,
    /// Whether the client wants a table and no JSON (RFC 9110 §12.5.1).
    pub accepts_csv: bool,
    /// Whether it wants a page that stands by itself.
    pub accepts_html: bool,
    /// Whether the client takes a body that is compressed with gzip, by name (RFC 9110 §12.5.3).
    pub accepts_gzip: bool,
    /// The `Sec-WebSocket-Key` of a well-formed WebSocket upgrade (RFC 6455 §4.1).
    pub websocket_key: Option<String>,
    /// Why the request is none.
    pub no_upgrade: Option<NoUpgrade>,
    /// Whether it is HTTP/1.1, and not older.
    pub is_1_1: bool,
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
    #[error("not a well-formed request head: {0}")]
    Malformed(&'static str),
    #[error("the header {name} {fault}")]
    Header { name: &'static str, fault: Fault },
    #[error(
        "more than {bytes_max} bytes or {HEADERS_MAX} header lines; cookies of this host's other applications count"
    )]
    HeadTooLarge { bytes_max: usize },
    #[error("a body without Content-Length")]
    LengthRequired,
    #[error("a body of more than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
}

/// What is wrong with a header that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is not text in UTF-8")]
    NotText,
    #[error("comes twice")]
    Twice,
    #[error("is missing")]
    Missing,
    #[error("names no host")]
    NotHost,
    #[error("is not one plain number")]
    NotLength,
    #[error("comes with Transfer-Encoding")]
    WithCoding,
}

/// Why a request for a WebSocket opens none; a proxy in front that was not told to pass it on is behind most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUpgrade {
    #[error("the header Upgrade does not say websocket: a proxy in front must pass it on")]
    Upgrade,
    #[error("the header Connection does not say Upgrade: a proxy in front must pass it on")]
    Connection,
    #[error("it came as HTTP/1.0, which has no upgrades: a proxy in front must speak HTTP/1.1")]
    Old,
    #[error("the header Sec-WebSocket-Version is not 13")]
    Version,
    #[error("the header Sec-WebSocket-Key is missing")]
    Key,
}

impl HttpError {
    /// Returns the status that tells the client.
    pub(crate) fn status(self) -> Status {
        match self {
            HttpError::Malformed(_) | HttpError::Header { .. } => Status::BadRequest,
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
        Err(error) => return Err(HttpError::Malformed(misread(received, error))),
    };
    if has_bare_line_feed(received.get(..head_bytes).unwrap_or_default()) {
        return Err(HttpError::Malformed("a line ends without a carriage return"));
    }
    let is_1_1 = head.version == Some(1);
    let method = head.method.unwrap_or_default();
    let Target { authority, path, query } =
        split_target(method, head.path.unwrap_or_default()).ok_or(HttpError::Malformed("its target is none"))?;
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        is_1_1,
        keep_alive: is_1_1,
        ..Request::default()
    };
    let mut upgrade = Upgrade::default();
    let mut body = Body::default();
    for header in head.headers.iter() {
        read_header(&mut request, &mut upgrade, &mut body, header)?;
    }
    request.body_bytes = body.length()?;
    // RFC 9110 §10.1.1.
    request.expects_continue &= is_1_1;
    if is_1_1 && request.host.is_none() {
        return Err(HttpError::Header { name: "Host", fault: Fault::Missing });
    }
    // Where the target names a host, it is the one that counts (RFC 9112 §3.2.2).
    if let Some(authority) = authority {
        request.host = Some(authority.to_owned());
    }
    if !request.host.as_deref().is_none_or(is_host) {
        return Err(HttpError::Header { name: "Host", fault: Fault::NotHost });
    }
    match upgrade.key(is_1_1) {
        Ok(key) => request.websocket_key = Some(key),
        Err(why) => request.no_upgrade = Some(why),
    }
    Ok(Some((request, head_bytes)))
}

/// Tells what is wrong with what is no head; some speak another protocol.
fn misread(received: &[u8], error: httparse::Error) -> &'static str {
    // What proxies write before the request where they were told to, in its two versions.
    if received.starts_with(b"PROXY ") || received.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return "this is the PROXY protocol, which is not spoken here: let the proxy write X-Forwarded-For";
    }
    if sniff::sniff(received.first().copied().unwrap_or_default()) == Protocol::Tls {
        return "this is TLS, and the port speaks plain HTTP";
    }
    if received.starts_with(b"PRI * HTTP/2") {
        return "this is HTTP/2, which is not spoken here";
    }
    match error {
        httparse::Error::HeaderName => "a header's name",
        httparse::Error::HeaderValue => "a header's value",
        httparse::Error::NewLine => "the end of a line",
        httparse::Error::Token => "its method or target",
        httparse::Error::Version => "its version is neither HTTP/1.1 nor HTTP/1.0",
        httparse::Error::Status | httparse::Error::TooManyHeaders => "its first line",
    }
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
    fn key(self, is_1_1: bool) -> Result<String, NoUpgrade> {
        match self {
            Upgrade { to_websocket: false, .. } => Err(NoUpgrade::Upgrade),
            Upgrade { connection: false, .. } => Err(NoUpgrade::Connection),
            _ if !is_1_1 => Err(NoUpgrade::Old),
            Upgrade { version_13: false, .. } => Err(NoUpgrade::Version),
            Upgrade { key, .. } => key.ok_or(NoUpgrade::Key),
        }
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
            Body { length: Some(_), is_coded: true } => {
                Err(HttpError::Header { name: "Content-Length", fault: Fault::WithCoding })
            }
            Body { length: None, is_coded: true } => Err(HttpError::LengthRequired),
            Body { length, is_coded: false } => Ok(length.unwrap_or(0)),
        }
    }
}

/// The headers that are read.
const READ: [&str; 19] = [
    "Host",
    "Origin",
    "If-Match",
    "If-None-Match",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Upgrade",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Key",
];

fn read_header(
    request: &mut Request,
    upgrade: &mut Upgrade,
    body: &mut Body,
    header: &httparse::Header<'_>,
) -> Result<(), HttpError> {
    if header.name.eq_ignore_ascii_case("User-Agent") {
        request.user_agent = Some(printable(header.value));
        return Ok(());
    }
    let Some(&name) = READ.iter().find(|name| name.eq_ignore_ascii_case(header.name)) else { return Ok(()) };
    let value = std::str::from_utf8(header.value).map_err(|_| HttpError::Header { name, fault: Fault::NotText })?;
    // Of two that differ, others may take the other one.
    let once = |is_first: bool| is_first.then_some(()).ok_or(HttpError::Header { name, fault: Fault::Twice });
    let has_token = |wanted: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted));
    match name {
        "Host" => {
            once(request.host.is_none())?;
            request.host = Some(value.to_owned());
        }
        "Origin" => {
            once(request.origin.is_none())?;
            request.origin = Some(value.to_owned());
        }
        "Content-Type" => {
            once(request.content_type.is_none())?;
            let kind = value.split(';').next().unwrap_or_default();
            request.content_type = Some(kind.trim().to_ascii_lowercase());
        }
        "Authorization" => {
            once(request.bearer.is_none())?;
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if scheme.eq_ignore_ascii_case("bearer") {
                request.bearer = Some(token.trim().to_owned());
            }
        }
        "Content-Length" => {
            once(body.length.is_none())?;
            body.length = Some(parse_length(value).ok_or(HttpError::Header { name, fault: Fault::NotLength })?);
        }
        "Sec-WebSocket-Key" => {
            once(upgrade.key.is_none())?;
            upgrade.key = Some(value.to_owned());
        }
        "Sec-WebSocket-Version" => upgrade.version_13 = value == "13",
        "Upgrade" => upgrade.to_websocket |= has_token("websocket"),
        "Connection" => {
            upgrade.connection |= has_token("upgrade");
            request.keep_alive &= !has_token("close");
        }
        "If-Match" => append(&mut request.if_match, value),
        "If-None-Match" => append(&mut request.if_none_match, value),
        "Forwarded" => append(&mut request.forwarded, value),
        "X-Forwarded-For" => append(&mut request.x_forwarded_for, value),
        "X-Forwarded-Proto" => append(&mut request.x_forwarded_proto, value),
        "X-Forwarded-Host" => append(&mut request.x_forwarded_host, value),
        "Accept" => {
            request.accepts_csv |= names_first(value, "text/csv");
            request.accepts_html |= names_first(value, "text/html");
        }
        "Accept-Encoding" => request.accepts_gzip |= accepts_gzip(value),
        "Transfer-Encoding" => body.is_coded = true,
        "Expect" => request.expects_continue = value.eq_ignore_ascii_case("100-continue"),
        _ => {}
    }
    Ok(())
}

/// Returns what can be read of a text that nobody answers for.
fn printable(value: &[u8]) -> String {
    let is_plain = |byte: &&u8| matches!(byte, b' '..=b'~');
    value.iter().filter(is_plain).take(USER_AGENT_BYTES_MAX).map(|&byte| char::from(byte)).collect()
}

/// Tells whether a list of media types names one before anything else.
fn names_first(list: &str, media_type: &str) -> bool {
    let first = list.split([',', ';']).next().unwrap_or_default();
    first.trim().eq_ignore_ascii_case(media_type)
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

/// Tells whether a list with weights (RFC 9110 §12.4.2) names gzip, by one of its two names (§8.4.1.3), and does not refuse
/// it.
fn accepts_gzip(list: &str) -> bool {
    list.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let value = weight.trim().split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(1.0);
        let name = name.trim();
        (name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip")) && weight > 0.0
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

impl Request {
    /// Returns how much memory its texts take, in bytes.
    pub fn held_bytes(&self) -> usize {
        let optional = [
            &self.host,
            &self.origin,
            &self.bearer,
            &self.if_none_match,
            &self.if_match,
            &self.content_type,
            &self.forwarded,
            &self.x_forwarded_for,
            &self.x_forwarded_proto,
            &self.x_forwarded_host,
            &self.user_agent,
            &self.websocket_key,
        ];
        let texts = [&self.method, &self.path, &self.query].into_iter().chain(optional.into_iter().flatten());
        texts.map(String::capacity).sum::<usize>() + self.body.capacity()
    }
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

    /// Appends the head of a response whose body follows in chunks.
    pub(crate) fn write_head(mut self, out: &mut Vec<u8>, keep_alive: bool) {
        if !keep_alive {
            self = self.header("Connection", "close");
        }
        self = self.header("Transfer-Encoding", "chunked");
        out.extend(self.head.as_bytes());
        out.extend(b"\r\n");
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

/// Appends a part of a body whose length was not told, and what tells that it is the last (RFC 9112 §7.1).
pub(crate) fn write_chunk(out: &mut Vec<u8>, bytes: &[u8], is_last: bool) {
    // An empty one would be the end.
    if !bytes.is_empty() {
        out.extend(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.extend(bytes);
        out.extend(b"\r\n");
    }
    if is_last {
        out.extend(b"0\r\n\r\n");
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
        let too_large = Err(Status::HeadTooLarge);
        let cases: &[(&str, &str, Result<Option<()>, Status>)] = &[
            ("nothing", "", Ok(None)),
            ("half a line", "GET /hea", Ok(None)),
            ("no empty line yet", "GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            ("complete", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(()))),
            ("too long", &long, too_large),
            ("too long and unfinished", &long[..1500], too_large),
            ("too many lines", &many, too_large),
            ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err(Status::BadRequest)),
            ("not http", "\x16\x03\x01", Err(Status::BadRequest)),
        ];
        for (name, text, want) in cases {
            let parsed = parse(text).map(|parsed| parsed.map(|_| ()));
            assert_eq!(parsed.map_err(HttpError::status), *want, "{name}");
        }
    }

    #[test]
    fn heads_that_others_may_read_in_another_way() {
        let with = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let (good, bad) = (Ok(Some(())), Err(Status::BadRequest));
        let cases: &[(&str, String, Result<Option<()>, Status>)] = &[
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
            let parsed = parse(text).map(|parsed| parsed.map(|_| ()));
            assert_eq!(parsed.map_err(HttpError::status), *want, "{name}");
        }
    }

    #[test]
    fn what_is_not_read_may_hold_any_bytes_and_what_is_read_is_text() {
        let with = |line: &[u8]| [b"GET / HTTP/1.1\r\nHost: a\r\n", line, b"\r\n\r\n"].concat();
        let parse = |bytes: &[u8]| parse_request(bytes, 1024).map(|parsed| parsed.unwrap().0);
        let others: [&[u8]; 6] = [
            b"Cookie: ville=Montr\xe9al; a=b",
            "Cookie: ville=Montréal".as_bytes(),
            b"X-Authenticated-User: Jos\xe9",
            b"User-Agent: \xfa\xff\x80",
            b"Referer: http://a/\xe9",
            b"Sec-WebSocket-Protocol: \xe9",
        ];
        for line in others {
            assert!(parse(&with(line)).is_ok(), "{}", line.escape_ascii());
        }
        for name in READ {
            let line = [name.to_ascii_lowercase().as_bytes(), b": Montr\xe9al"].concat();
            let fault = if name == "Host" { "GET / HTTP/1.1\r\n" } else { "GET / HTTP/1.1\r\nHost: a\r\n" };
            let refused = parse(&[fault.as_bytes(), &line, b"\r\n\r\n"].concat());
            assert_eq!(refused, Err(HttpError::Header { name, fault: Fault::NotText }));
        }
    }

    #[test]
    fn what_is_refused_names_what_is_wrong() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", "the header Host is missing"),
            ("GET / HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n", "the header Host comes twice"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "the header Host names no host"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                "the header Content-Length is not one plain number",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "the header Content-Length comes with Transfer-Encoding",
            ),
            (
                "GET / HTTP/1.1\nHost: a\r\n\r\n",
                "not a well-formed request head: a line ends without a carriage return",
            ),
            ("GET / HTTP/1.1\r\nA B: c\r\n\r\n", "not a well-formed request head: a header's name"),
            ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", "not a well-formed request head: a header's value"),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "not a well-formed request head: its target is none"),
            (
                "GET / HTTP/3.0\r\n\r\n",
                "not a well-formed request head: its version is neither HTTP/1.1 nor HTTP/1.0",
            ),
            (
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "not a well-formed request head: this is HTTP/2, which is not spoken here",
            ),
            (
                "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
                "not a well-formed request head: this is TLS, and the port speaks plain HTTP",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n",
                "not a well-formed request head: this is the PROXY protocol, which is not spoken here: let the proxy write \
                 X-Forwarded-For",
            ),
            (
                "\r\n\r\n\0\r\nQUIT\n!\u{11}\0\u{c}",
                "not a well-formed request head: this is the PROXY protocol, which is not spoken here: let the proxy write \
                 X-Forwarded-For",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text:?}");
        }
    }

    #[test]
    fn why_a_request_opens_no_websocket() {
        let whole = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: k\r\n";
        let cases = [
            ("a browser's", "1.1", whole.to_owned(), None),
            ("two lines of Connection", "1.1", format!("Connection: keep-alive\r\n{whole}"), None),
            ("another protocol besides", "1.1", whole.replace("WebSocket\r\n", "h2c, websocket\r\n"), None),
            (
                "extensions and protocols",
                "1.1",
                format!("{whole}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                None,
            ),
            ("no header", "1.1", String::new(), Some(NoUpgrade::Upgrade)),
            ("hop-by-hop headers lost", "1.0", "Sec-WebSocket-Key: k\r\n".into(), Some(NoUpgrade::Upgrade)),
            ("no Connection", "1.1", whole.replace("keep-alive, Upgrade", "close"), Some(NoUpgrade::Connection)),
            ("HTTP/1.0", "1.0", whole.to_owned(), Some(NoUpgrade::Old)),
            ("an old version", "1.1", whole.replace("13", "8"), Some(NoUpgrade::Version)),
            ("two versions", "1.1", whole.replace("13", "13, 8"), Some(NoUpgrade::Version)),
            ("no key", "1.1", whole.replace("-Key", "-Lock"), Some(NoUpgrade::Key)),
        ];
        for (name, version, lines, want) in cases {
            let request = parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap().unwrap().0;
            assert_eq!((request.no_upgrade, request.websocket_key.is_some()), (want, want.is_none()), "{name}");
        }
        assert!(parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{whole}Sec-WebSocket-Key: l\r\n\r\n")).is_err());
    }

    #[test]
    fn only_http_1_1_waits_for_a_word_before_its_body() {
        for (version, want) in [("1.1", true), ("1.0", false)] {
            let text =
                format!("POST / HTTP/{version}\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n");
            assert_eq!(parse(&text).unwrap().unwrap().0.expects_continue, want);
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
        let cases: &[(&str, &str, Result<usize, Status>)] = &[
            ("none", "", Ok(0)),
            ("nothing", "Content-Length: 0\r\n", Ok(0)),
            ("some", "Content-Length: 17\r\n", Ok(17)),
            ("a sign", "Content-Length: +17\r\n", Err(Status::BadRequest)),
            ("no number", "Content-Length: 1x\r\n", Err(Status::BadRequest)),
            ("empty", "Content-Length:\r\n", Err(Status::BadRequest)),
            ("beyond counting", "Content-Length: 99999999999999999999999\r\n", Err(Status::BadRequest)),
            ("a list", "Content-Length: 1, 1\r\n", Err(Status::BadRequest)),
            ("two", "Content-Length: 1\r\nContent-Length: 2\r\n", Err(Status::BadRequest)),
            ("the same twice", "Content-Length: 1\r\nContent-Length: 1\r\n", Err(Status::BadRequest)),
            ("chunks", "Transfer-Encoding: chunked\r\n", Err(Status::LengthRequired)),
            ("both", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(Status::BadRequest)),
            ("both turned", "Transfer-Encoding: x\r\nContent-Length: 0\r\n", Err(Status::BadRequest)),
        ];
        for (name, lines, want) in cases {
            let parsed = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            let parsed = parsed.map(|parsed| parsed.unwrap().0.body_bytes);
            assert_eq!(parsed.map_err(HttpError::status), *want, "{name}");
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
            ("x-gzip", true),
            ("gzip; q=0.5", true),
            ("gzip;Q=1", true),
            ("gzip ; q = 0.001", true),
            ("gzip;q=0", false),
            ("gzip;Q=0", false),
            ("gzip; q=0.000", false),
            ("gzipped", false),
            ("gzip;q=0.0", false),
            ("deflate", false),
            ("*", false),
            ("", false),
        ];
        for (list, want) in cases {
            assert_eq!(accepts_gzip(list), want, "{list}");
        }
    }
}
