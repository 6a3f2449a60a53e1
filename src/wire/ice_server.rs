//! STUN and TURN servers of others, as clients are told of them: read from their URLs (RFC 7064, RFC 7065) and a file
//! with credentials, written as JSON for pages and as `Link` for clients without one (RFC 9725 §4.6).
//!
//! Not our own STUN, which is [`super::stun`]'s. Invariant: a URL that is held is one that every browser takes, since
//! one that it does not take would cost it the whole connection; no password is ever in a log or an error.

use std::fmt::{self, Write};
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::Serialize;

/// The longest URL, in bytes: a host name of DNS, and what stands around it.
pub(crate) const URL_BYTES_MAX: usize = 300;

/// The longest user name or password, in bytes (RFC 8489 §14.3).
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 508;

/// The longest file with credentials, in bytes.
pub const CREDENTIALS_BYTES_MAX: usize = 2 * CREDENTIAL_BYTES_MAX + 4;

/// One server; in JSON an `RTCIceServer`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IceServer {
    urls: String,
    #[serde(flatten)]
    credentials: Option<Credentials>,
}

/// Who clients are for a TURN server.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    username: String,
    credential: String,
}

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("write it as stun:stun.example or turn:turn.example:3478?transport=udp, without //")]
    NotIce,
    #[error("the host is missing or no host name or IP address, of which IPv6 stands in []")]
    BadHost,
    #[error("the port is no number from 1 to 65535")]
    BadPort,
    #[error("after ? stands transport=udp or transport=tcp, and for turn: and turns: only")]
    BadTransport,
    #[error("longer than {URL_BYTES_MAX} bytes")]
    TooLong,
}

/// Why a file holds no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("it has not two lines but {found}: the user name stands in the first, the password in the second")]
    NotTwoLines { found: usize },
    #[error("line {line} is empty or has more than {CREDENTIAL_BYTES_MAX} characters")]
    BadLength { line: usize },
    #[error("line {line} has other characters than printable ASCII")]
    NotPrintable { line: usize },
}

impl IceServer {
    /// Tells whether it is a TURN server, which lets nobody in without credentials.
    pub fn needs_credentials(&self) -> bool {
        self.urls.starts_with("turn")
    }

    /// Returns the URL, which is no secret.
    pub fn url(&self) -> &str {
        &self.urls
    }

    /// Takes the credentials for a TURN server; a STUN server asks for none.
    pub fn set_credentials(&mut self, credentials: &Credentials) {
        self.credentials = self.needs_credentials().then(|| credentials.clone());
    }

    /// Returns the value of an HTTP header `Link` that tells a client of it; the header stands once for each server
    /// (RFC 9725 §4.6).
    pub(crate) fn to_link(&self) -> String {
        let mut link = format!("<{}>; rel=\"ice-server\"", self.urls);
        if let Some(Credentials { username, credential }) = &self.credentials {
            for (name, value) in [("username", username), ("credential", credential)] {
                // Writing to a string can't fail.
                let _ = write!(link, "; {name}={}", Quoted(value));
            }
            link.push_str("; credential-type=\"password\"");
        }
        link
    }
}

impl FromStr for IceServer {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<IceServer, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let urls = text.to_ascii_lowercase();
        let (scheme, rest) = urls.split_once(':').ok_or(UrlError::NotIce)?;
        let is_turn = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(UrlError::NotIce),
        };
        if rest.starts_with("//") {
            return Err(UrlError::NotIce);
        }
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        if !matches!((is_turn, query), (_, None) | (true, Some("transport=udp" | "transport=tcp"))) {
            return Err(UrlError::BadTransport);
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (place, None),
        };
        if !is_host(host) {
            return Err(UrlError::BadHost);
        }
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if port.is_some_and(|port| !is_port(port)) {
            return Err(UrlError::BadPort);
        }
        Ok(IceServer { urls, credentials: None })
    }
}

impl Credentials {
    /// Reads the contents of a file: the user name, and below it the password.
    ///
    /// # Errors
    /// [`CredentialsError`], which names lines and never what stands there.
    pub fn parse(contents: &[u8]) -> Result<Credentials, CredentialsError> {
        let contents = contents.strip_suffix(b"\n").unwrap_or(contents);
        let mut lines = contents.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (Some(username), Some(password), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CredentialsError::NotTwoLines { found: contents.split(|&byte| byte == b'\n').count() });
        };
        Ok(Credentials { username: read_line(username, 1)?, credential: read_line(password, 2)? })
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A quoted string of HTTP (RFC 9110 §5.6.4).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        for char in self.0.chars() {
            if matches!(char, '"' | '\\') {
                formatter.write_char('\\')?;
            }
            formatter.write_char(char)?;
        }
        formatter.write_char('"')
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        }),
    }
}

fn read_line(line: &[u8], number: usize) -> Result<String, CredentialsError> {
    if line.is_empty() || line.len() > CREDENTIAL_BYTES_MAX {
        return Err(CredentialsError::BadLength { line: number });
    }
    // A header holds nothing else that all clients read alike.
    if !line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(CredentialsError::NotPrintable { line: number });
    }
    Ok(line.iter().map(|&byte| char::from(byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let long = format!("stun:{}", "a".repeat(URL_BYTES_MAX - 4));
        let cases: &[(&str, Result<&str, UrlError>)] = &[
            ("stun:stun.example", Ok("stun:stun.example")),
            ("STUN:Stun.Example:3478", Ok("stun:stun.example:3478")),
            ("stuns:stun.example:5349", Ok("stuns:stun.example:5349")),
            ("turn:192.0.2.1:3478?transport=udp", Ok("turn:192.0.2.1:3478?transport=udp")),
            ("turns:turn.example?transport=tcp", Ok("turns:turn.example?transport=tcp")),
            ("turn:[2001:db8::1]:65535", Ok("turn:[2001:db8::1]:65535")),
            ("turn:[2001:db8::1]", Ok("turn:[2001:db8::1]")),
            ("stun.example", Err(UrlError::NotIce)),
            ("https://stun.example", Err(UrlError::NotIce)),
            ("stun://stun.example", Err(UrlError::NotIce)),
            ("", Err(UrlError::NotIce)),
            ("stun:", Err(UrlError::BadHost)),
            ("stun::3478", Err(UrlError::BadHost)),
            ("stun:a..b", Err(UrlError::BadHost)),
            ("stun:a b", Err(UrlError::BadHost)),
            ("stun:a>b", Err(UrlError::BadHost)),
            ("stun:é", Err(UrlError::BadHost)),
            ("turn:user@turn.example", Err(UrlError::BadHost)),
            ("turn:2001:db8::1", Err(UrlError::BadHost)),
            ("turn:[2001:db8::g]", Err(UrlError::BadHost)),
            ("stun:a:", Err(UrlError::BadPort)),
            ("stun:a:0", Err(UrlError::BadPort)),
            ("stun:a:+1", Err(UrlError::BadPort)),
            ("stun:a:65536", Err(UrlError::BadPort)),
            ("stun:a?transport=udp", Err(UrlError::BadTransport)),
            ("turn:a?transport=sctp", Err(UrlError::BadTransport)),
            ("turn:a?", Err(UrlError::BadTransport)),
            (&long, Err(UrlError::TooLong)),
        ];
        for (url, want) in cases {
            let got = url.parse::<IceServer>().map(|server| server.urls);
            assert_eq!(got.as_deref().map_err(|error| *error), *want, "{url}");
        }
        assert!(format!("stun:{}", "a".repeat(URL_BYTES_MAX - 5)).parse::<IceServer>().is_ok());
    }

    #[test]
    fn credentials() {
        let long = "a".repeat(CREDENTIAL_BYTES_MAX);
        let longer = format!("a\n{long}a\n");
        let longest = format!("{long}\r\n{long}\r\n");
        assert_eq!(longest.len(), CREDENTIALS_BYTES_MAX);
        let pair = |username: &str, credential: &str| {
            Ok(Credentials { username: username.into(), credential: credential.into() })
        };
        let cases: &[(&str, &[u8], Result<Credentials, CredentialsError>)] = &[
            ("two lines", b"paul\nse cret\n", pair("paul", "se cret")),
            ("no last line end", b"paul\nsecret", pair("paul", "secret")),
            ("of Windows", b"paul\r\nsecret\r\n", pair("paul", "secret")),
            ("longest", longest.as_bytes(), pair(&long, &long)),
            ("empty", b"", Err(CredentialsError::NotTwoLines { found: 1 })),
            ("one line", b"paul:secret\n", Err(CredentialsError::NotTwoLines { found: 1 })),
            ("three lines", b"turn.example\npaul\nsecret\n", Err(CredentialsError::NotTwoLines { found: 3 })),
            ("no name", b"\nsecret\n", Err(CredentialsError::BadLength { line: 1 })),
            ("no password", b"paul\n\n", Err(CredentialsError::BadLength { line: 2 })),
            ("too long", longer.as_bytes(), Err(CredentialsError::BadLength { line: 2 })),
            ("a tab", b"paul\ta\nsecret\n", Err(CredentialsError::NotPrintable { line: 1 })),
            ("a return", b"paul\nse\rcret\n", Err(CredentialsError::NotPrintable { line: 2 })),
            ("no ASCII", "paul\nséc\n".as_bytes(), Err(CredentialsError::NotPrintable { line: 2 })),
        ];
        for (name, contents, want) in cases {
            assert_eq!(Credentials::parse(contents), *want, "{name}");
        }
    }

    #[test]
    fn what_clients_are_told() {
        let credentials = Credentials::parse(b"paul\nse\"cr\\et\n").unwrap();
        let cases = [
            ("stun:stun.example", r#"{"urls":"stun:stun.example"}"#, r#"<stun:stun.example>; rel="ice-server""#),
            (
                "turn:turn.example?transport=udp",
                r#"{"urls":"turn:turn.example?transport=udp","username":"paul","credential":"se\"cr\\et"}"#,
                r#"<turn:turn.example?transport=udp>; rel="ice-server"; username="paul"; credential="se\"cr\\et"; credential-type="password""#,
            ),
        ];
        for (url, json, link) in cases {
            let mut server: IceServer = url.parse().unwrap();
            server.set_credentials(&credentials);
            assert_eq!(serde_json::to_string(&server).unwrap(), json);
            assert_eq!(server.to_link(), link);
            assert!(!format!("{server:?}{credentials:?}").contains("cr"), "{server:?}");
        }
    }
}
