//! One HTTP request and its answer, as much of both as the checks need.
//!
//! Invariant: an answer is read up to [`ANSWER_BYTES_MAX`], and no longer than the checks may take.

use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

use super::stream::Stream;
use super::{Limit, instant, wall};

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long it may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Header lines in one answer.
const HEADERS_MAX: usize = 128;

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub took: Duration,
    /// When it came, by this machine's clock.
    at: Option<SystemTime>,
}

impl Answer {
    /// Returns a header's value; of several the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns by how many seconds the server's clock is ahead of this machine's, to the second, where it tells.
    pub fn skew_s(&self) -> Option<i64> {
        let date = httpdate::parse_http_date(self.header("Date")?).ok()?;
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Some(seconds(date) as i64 - seconds(self.at?) as i64)
    }
}

/// Asks for a path; `headers` are whole lines.
pub fn get(stream: &mut Stream, authority: &str, path: &str, headers: &str, limit: Limit) -> io::Result<Answer> {
    let (begin, sent_at) = (instant(), wall());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: ecoute-doctor\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let until = begin + limit.left(ANSWER);
    let mut received = Vec::new();
    let mut answer: Option<(Answer, usize)> = None;
    loop {
        if answer.is_none() {
            answer = parse_head(&received)?;
        }
        if let Some((answer, head_bytes)) = &mut answer {
            let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
            let has_all = length.is_some_and(|length: usize| received.len() - *head_bytes >= length);
            let took = instant().saturating_duration_since(begin);
            if has_all || received.len() >= ANSWER_BYTES_MAX {
                return Ok(finish(std::mem::take(answer), &received[*head_bytes..], took, sent_at));
            }
        }
        let left = until.saturating_duration_since(instant());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(left);
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => received.extend(&bytes[..len]),
            // Many close without a TLS goodbye.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && answer.is_some() => break,
            Err(error) => return Err(error),
        }
    }
    let (answer, head_bytes) = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
    let took = instant().saturating_duration_since(begin);
    Ok(finish(answer, &received[head_bytes..], took, sent_at))
}

fn finish(answer: Answer, body: &[u8], took: Duration, sent_at: SystemTime) -> Answer {
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
    let body = body.get(..length.unwrap_or(body.len())).unwrap_or(body);
    Answer { body: body.to_vec(), took, at: Some(sent_at + took / 2), ..answer }
}

fn parse_head(received: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_bytes = match head.parse(received) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "that is no HTTP")),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let answer = Answer { status: head.code.unwrap_or_default(), headers, ..Answer::default() };
    Ok(Some((answer, head_bytes)))
}
