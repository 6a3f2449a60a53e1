//! Why a request is refused, and what its client is told: one type for all refusals, in two forms.
//!
//! Knows no clients: the server answers with it. Invariant: a 401 says how to be let in, a 429 and a 503 when to try
//! again.

use std::borrow::Cow;

use super::route::{self, BodyType, Misrouted};
use crate::peer::OfferError;
use crate::token::TokenError;
use crate::wire::http::{HttpError, Response, Status};
use crate::wire::sdp::{Refused, SdpError};

/// When a client that found no room should try again, in seconds.
pub(super) const RETRY_AFTER_S: u32 = 10;

/// The codes that are not just the status in words.
const CODES: [(Status, &str); 3] = [
    (Status::Unauthorized, "token_refused"),
    (Status::Forbidden, "not_allowed"),
    (Status::TooManyRequests, "too_many"),
];

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: Status,
    /// What readers of JSON go by, where it is not just the status in words.
    code: Option<&'static str>,
    detail: Cow<'static, str>,
    /// Why a token was refused.
    token: Option<TokenError>,
    retry_after_s: Option<u32>,
    right: Option<Right>,
}

/// What would have been right.
#[derive(Clone, Copy, Debug)]
pub(super) enum Right {
    /// Another method, one of these.
    Methods(&'static str),
    /// Another kind of body.
    Body(BodyType),
    /// The same over a WebSocket.
    Websocket,
}

/// How a refusal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"error": {"code", "message"}}`.
    Error,
    /// A problem document (RFC 9457), for programs that stream or hear.
    Document,
}

impl Form {
    /// Returns the form for whoever asks for a path.
    pub(super) fn at(path: &str) -> Form {
        if route::is_of_program(path) { Form::Document } else { Form::Error }
    }

    fn content_type(self) -> &'static str {
        match self {
            Form::Error => "application/json",
            Form::Document => "application/problem+json",
        }
    }
}

impl Problem {
    /// Returns a problem; one that passes by itself says when to try again.
    pub(super) fn new(status: Status, detail: impl Into<Cow<'static, str>>) -> Problem {
        let code = CODES.iter().find(|(of, _)| *of == status).map(|(_, code)| *code);
        let passes = matches!(status, Status::TooManyRequests | Status::Unavailable);
        let retry_after_s = passes.then_some(RETRY_AFTER_S);
        Problem { status, code, detail: detail.into(), token: None, retry_after_s, right: None }
    }

    /// Returns the problem of a token that is refused, as much of it as its bearer is told.
    pub(super) fn of_token(why: TokenError) -> Problem {
        let detail = match why {
            TokenError::None => "send a token as Authorization: Bearer".to_owned(),
            why => format!("the token is refused: {}", why.told()),
        };
        Problem { token: Some(why), ..Problem::new(Status::Unauthorized, detail) }
    }

    /// Says what readers of JSON go by.
    pub(super) fn code(self, code: &'static str) -> Problem {
        Problem { code: Some(code), ..self }
    }

    /// Says when to try again, in seconds.
    pub(super) fn retry_after_s(self, retry_after_s: u32) -> Problem {
        Problem { retry_after_s: Some(retry_after_s), ..self }
    }

    /// Says what would have been right.
    pub(super) fn right(self, right: Right) -> Problem {
        Problem { right: Some(right), ..self }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Returns the text of an answer.
    pub(super) fn body(&self, form: Form) -> String {
        let (number, title) = self.status.line().split_once(' ').unwrap_or_default();
        let body = match form {
            Form::Error => {
                let code = self.code.map_or_else(|| title.to_lowercase().replace(' ', "_"), str::to_owned);
                let mut body = serde_json::json!({ "error": { "code": code, "message": self.detail } });
                if let Some(why) = self.token {
                    body["error"]["reason"] = why.code().into();
                }
                body
            }
            Form::Document => {
                let number: u16 = number.parse().unwrap_or_default();
                let mut body = serde_json::json!({
                    "type": "about:blank", "title": title, "status": number, "detail": self.detail,
                });
                if let Some(code) = self.code {
                    body["code"] = code.into();
                }
                if let Some(why) = self.token {
                    body["reason"] = why.code().into();
                }
                body
            }
        };
        body.to_string()
    }

    /// Returns what token would be let in (RFC 6750 §3): who sent none is told of no error.
    fn challenge(&self) -> Option<Cow<'static, str>> {
        match (self.status, self.token) {
            (Status::Unauthorized, None | Some(TokenError::None)) => Some("Bearer".into()),
            (Status::Unauthorized, Some(why)) => {
                let (error, described) = ("Bearer error=\"invalid_token\"", why.told().to_string());
                // A quote and what escapes it have no place in a description.
                Some(format!("{error}, error_description=\"{}\"", described.replace(['"', '\\'], "'")).into())
            }
            (Status::Forbidden, _) if self.code == Some("not_allowed") => {
                Some("Bearer error=\"insufficient_scope\"".into())
            }
            (_, _) => None,
        }
    }

    /// Begins the answer whose text is `body`.
    pub(super) fn response<'a>(&self, form: Form, body: &'a str) -> Response<'a> {
        let mut response = Response::new(self.status).body(form.content_type(), body.as_bytes());
        if let Some(challenge) = self.challenge() {
            response = response.header("WWW-Authenticate", &challenge);
        }
        response = match self.right {
            Some(Right::Methods(allow)) => response.header("Allow", allow),
            Some(Right::Body(body_type)) => {
                let content_type = body_type.content_type();
                response.header("Accept", content_type).header(body_type.accept_header(), content_type)
            }
            // RFC 9110 §7.8, RFC 6455 §4.4.
            Some(Right::Websocket) => response
                .header("Upgrade", "websocket")
                .header("Connection", "Upgrade")
                .header("Sec-WebSocket-Version", "13"),
            None => response,
        };
        match self.retry_after_s {
            Some(seconds) => response.header("Retry-After", &seconds.to_string()),
            None => response,
        }
    }
}

/// Returns the problem of a request that may well be answered in a moment.
pub(super) fn come_back_later(detail: &'static str) -> Problem {
    Problem::new(Status::Unavailable, detail).retry_after_s(1)
}

impl From<Misrouted> for Problem {
    fn from(why: Misrouted) -> Problem {
        match why {
            Misrouted::NoSuchPath => Problem::new(Status::NotFound, "there is nothing here"),
            Misrouted::NotThisMethod { allow } => {
                let problem = Problem::new(Status::MethodNotAllowed, "this method is not for this path");
                problem.right(Right::Methods(allow))
            }
        }
    }
}

impl From<HttpError> for Problem {
    fn from(error: HttpError) -> Problem {
        Problem::new(error.status(), error.to_string())
    }
}

impl Problem {
    /// Returns why an offer is refused, or a part of one that restarts ICE.
    pub(super) fn of_offer(error: OfferError, offer: &str) -> Problem {
        let status = match error {
            OfferError::TooLong { .. } => Status::BodyTooLarge,
            OfferError::Sdp(Refused { why, .. }) => match why {
                SdpError::TooLarge
                | SdpError::NotSdp
                | SdpError::NotALine
                | SdpError::PayloadType
                | SdpError::Missing { .. }
                | SdpError::Credentials
                | SdpError::Fingerprint
                | SdpError::BadName
                | SdpError::SecondName => Status::BadRequest,
                SdpError::NotOneAudio { .. }
                | SdpError::Profile
                | SdpError::NoOpus
                | SdpError::Lite
                | SdpError::LongName
                | SdpError::WrongDirection => Status::Unprocessable,
            },
            OfferError::NotRestart => Status::Unprocessable,
            OfferError::NotAcceptable => Status::BadRequest,
        };
        Problem::new(status, error.in_words(offer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer as a client gets it.
    fn written(problem: &Problem, form: Form) -> String {
        let body = problem.body(form);
        let mut out = Vec::new();
        problem.response(form, &body).write(&mut out, false, true);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_forms_say_what_is_wrong() {
        let cases: &[(&str, Problem, &str, &str)] = &[
            ("token", Problem::new(Status::Unauthorized, "no"), "token_refused", "WWW-Authenticate: Bearer"),
            (
                "expired",
                Problem::of_token(TokenError::Expired),
                "token_refused",
                "WWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"expired\"",
            ),
            (
                "unsigned",
                Problem::of_token(TokenError::NoSuchKey),
                "token_refused",
                "WWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"not signed with a key of this server, \
                 or cut off\"",
            ),
            ("no token", Problem::of_token(TokenError::None), "token_refused", "WWW-Authenticate: Bearer"),
            (
                "role",
                Problem::new(Status::Forbidden, "no"),
                "not_allowed",
                "WWW-Authenticate: Bearer error=\"insufficient_scope\"",
            ),
            ("origin", Problem::new(Status::Forbidden, "no").code("origin_refused"), "origin_refused", ""),
            ("path", Problem::from(Misrouted::NoSuchPath), "not_found", ""),
            ("method", Misrouted::NotThisMethod { allow: "GET" }.into(), "method_not_allowed", "Allow: GET"),
            ("too many", Problem::new(Status::TooManyRequests, "no"), "too_many", "Retry-After: 10"),
            ("no room", Problem::new(Status::Unavailable, "no"), "service_unavailable", "Retry-After: 10"),
            ("soon", Problem::new(Status::Conflict, "no").retry_after_s(2), "conflict", "Retry-After: 2"),
            ("sooner", Problem::new(Status::TooManyRequests, "no").retry_after_s(1), "too_many", "Retry-After: 1"),
            (
                "type",
                Problem::new(Status::UnsupportedType, "no").right(Right::Body(BodyType::Fragment)),
                "unsupported_media_type",
                "Accept-Patch: application/trickle-ice-sdpfrag",
            ),
            (
                "protocol",
                Problem::new(Status::UpgradeRequired, "no").right(Right::Websocket),
                "upgrade_required",
                "Upgrade: websocket",
            ),
            ("body", HttpError::BodyTooLarge { bytes_max: 9 }.into(), "content_too_large", ""),
        ];
        for (name, problem, code, header) in cases {
            let error = written(problem, Form::Error);
            assert!(error.contains("\r\nContent-Type: application/json\r\n"), "{name}: {error}");
            let code = format!("\r\n\r\n{{\"error\":{{\"code\":\"{code}\",\"message\":\"");
            assert!(error.contains(&code), "{name}: {error}");
            let document = written(problem, Form::Document);
            assert!(document.contains("\r\nContent-Type: application/problem+json\r\n"), "{name}: {document}");
            let (_, body) = document.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(format!("{} {}", body["status"], body["title"].as_str().unwrap()), problem.status.line());
            assert_eq!(body["detail"], *problem.detail, "{name}");
            assert_eq!(body["code"].as_str(), problem.code, "{name}");
            for answer in [error, document] {
                let head = answer.split("\r\n\r\n").next().unwrap();
                assert!(head.starts_with(&format!("HTTP/1.1 {}\r\n", problem.status.line())), "{name}: {answer}");
                assert!(
                    header.is_empty() || format!("{head}\r\n").contains(&format!("\r\n{header}\r\n")),
                    "{name}: {answer}"
                );
                assert_eq!(head.contains("Retry-After"), header.starts_with("Retry-After"), "{name}: {answer}");
                assert_eq!(
                    head.contains("WWW-Authenticate"),
                    header.starts_with("WWW-Authenticate"),
                    "{name}: {answer}"
                );
            }
        }
    }
}
