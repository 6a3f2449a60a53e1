//! What a user does at a server: the WebSocket, the token, and a session that shows which way audio would go.
//!
//! Invariant: goes on air nowhere and hears nobody.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ecoute::host::secret;
use serde_json::{Value, json};
use tungstenite::handshake::client::Response;
use tungstenite::{HandshakeError, Message, WebSocket};

use super::reach::{self, Session};
use super::report::{Finding, Report};
use super::stream::{self, Stream};
use super::visit::{Credential, Visit};
use super::{http, instant, since, unix_s, words};

/// How long an answer over the WebSocket may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Messages that a server may say before the one that is waited for.
const MESSAGES_MAX: usize = 64;

/// Looks at all that a user needs.
pub fn examine(visit: &Visit<'_>, address: SocketAddr, credential: Credential<'_>, report: &mut Report<'_>) {
    let Some(mut websocket) = examine_upgrade(visit, address, report) else { return };
    let token = match credential {
        Credential::Given(token) | Credential::Made(token) => token,
    };
    let register = json!({ "event": "register_user", "data": { "token": token, "page": "doctor" } });
    let answer = ask(&mut websocket, &register, "user_registered", visit);
    let data = match answer {
        Ok(data) => data,
        Err(Trouble::Refused(error)) => return examine_refusal(visit, address, credential, &error, report),
        Err(trouble) => return report.add(unanswered("register_user", &trouble)),
    };
    if let Credential::Given(_) = credential {
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        report.add(Finding::ok(format!("the token is good: {} ({}){}", text("id"), text("role"), life(token))));
    }
    examine_audio(visit, &mut websocket, report);
    // The server ends what it holds for us with the connection.
    let _ = websocket.close(None);
}

/// Opens the WebSocket, and says why it does not open.
pub fn examine_upgrade(
    visit: &Visit<'_>,
    address: SocketAddr,
    report: &mut Report<'_>,
) -> Option<WebSocket<Stream>> {
    let place = visit.place;
    let stream = if place.is_https {
        stream::connect_tls(address, &place.host, visit.limit).map(|(stream, _)| stream)
    } else {
        stream::connect(address, visit.limit).map(Stream::Plain)
    };
    let url = format!("{}://{}{}/ws", if place.is_https { "wss" } else { "ws" }, place.authority(), place.prefix);
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            report.add(unanswered("the WebSocket", &Trouble::Io(error)));
            return None;
        }
    };
    match tungstenite::client(url, stream) {
        Ok((websocket, _)) => {
            report.add(Finding::ok("the WebSocket opens"));
            Some(websocket)
        }
        Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            report.add(judge_upgrade(&response));
            None
        }
        Err(HandshakeError::Failure(error)) => {
            let mend = "let the proxy or firewall on the way pass WebSockets (Upgrade: websocket)";
            report.add(Finding::wrong(format!("the WebSocket does not open: {error}"), mend));
            None
        }
        Err(HandshakeError::Interrupted(_)) => {
            let mend = "let the proxy or firewall on the way pass WebSockets (Upgrade: websocket)";
            report.add(Finding::wrong("the WebSocket does not open: no answer", mend));
            None
        }
    }
}

fn judge_upgrade(response: &Response) -> Finding {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let proxy = header("Server")
        .or(header("Via"))
        .map_or_else(|| "a proxy on the way".to_owned(), |name| format!("the proxy {name}"));
    match response.status().as_u16() {
        426 => {
            let text = format!("the WebSocket does not open: {proxy} drops the Upgrade header");
            let mend = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
                        \"upgrade\";   # nginx; Caddy's reverse_proxy does it by itself";
            Finding::wrong(text, mend)
        }
        status @ 502..=504 => Finding::wrong(
            format!("the WebSocket does not open: {proxy} answers {status}"),
            "systemctl restart ecoute   # on the server; the proxy must pass on to its --listen",
        ),
        429 => {
            Finding::warning("the server has had too much from this network", "wait a minute, then: ecoute doctor")
        }
        status => Finding::wrong(
            format!("the WebSocket does not open: {proxy} answers {status}"),
            "pass /ws on to écoute like every other path   # in the proxy in front",
        ),
    }
}

fn examine_audio(visit: &Visit<'_>, websocket: &mut WebSocket<Stream>, report: &mut Report<'_>) {
    let Ok((ufrag, offer)) = offer() else {
        report.add(Finding::wrong("the system gives no random numbers", "ls -l /dev/urandom"));
        return;
    };
    let begin = instant();
    let test = json!({ "event": "test_connection", "data": { "sdp": offer } });
    let data = match ask(websocket, &test, "connection_test", visit) {
        Ok(data) => data,
        Err(trouble) => return report.add(unanswered("test_connection", &trouble)),
    };
    let answer = data["sdp"].as_str().unwrap_or_default();
    let session = Session::new(answer, &ufrag);
    if session.candidates().is_empty() {
        let text = "the server names no address to send media to";
        return report.add(Finding::wrong(text, "ecoute serve --public-address IP   # on the server"));
    }
    let outcomes = session.ask(visit.limit);
    log::debug!("asked candidates={} took={:?}", outcomes.len(), since(begin, instant()));
    reach::judge(&outcomes, visit.own_addresses).into_iter().for_each(|finding| report.add(finding));
}

/// The token was not taken: says why, as far as that shows from here.
fn examine_refusal(
    visit: &Visit<'_>,
    address: SocketAddr,
    credential: Credential<'_>,
    error: &Value,
    report: &mut Report<'_>,
) {
    let text = |member: &str| error[member].as_str().unwrap_or_default();
    let (code, reason, message) = (text("code"), text("reason"), text("message"));
    let again = format!("ecoute link --role ROLE --id ID --public-url {}   # on the server", visit.place.url());
    report.add(match (code, credential) {
        ("token_refused", Credential::Made(_)) if matches!(reason, "signature" | "") => Finding::wrong(
            "the server refuses a token made with the secret at hand: it runs with another one",
            "systemctl restart ecoute   # or name the right one with --data DIR or --secret-file FILE",
        ),
        ("token_refused", Credential::Given(token) | Credential::Made(token)) => {
            judge_refused(token, (reason, message), unix_s(), &again)
        }
        ("not_allowed", Credential::Given(token)) if is_monitor(visit, address, token) => Finding::warning(
            "the token is good, but a monitor's, which hears nothing: audio is not tested",
            "ECOUTE_TOKEN=… ecoute doctor --url URL   # from: ecoute token --role admin --id NAME --ttl 15m",
        ),
        ("already_open", _) => Finding::warning(
            "the token is good, but this person's page is open elsewhere: audio is not tested",
            "close that page, or use another person's token",
        ),
        ("too_many" | "draining", _) => {
            Finding::warning(format!("the server has no time: {message}"), "wait a minute, then: ecoute doctor")
        }
        _ => Finding::wrong(format!("the server refuses: {}", error["message"].as_str().unwrap_or(code)), again),
    });
}

/// Says why a token was refused, which the server says as `reason`; by how much a time is off can be read by all.
fn judge_refused(token: &str, (reason, message): (&str, &str), now_s: u64, again: &str) -> Finding {
    let Ok(claims) = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token) else {
        return Finding::wrong("the token is no token: something is missing from it, or it is a whole link", again);
    };
    let time = |name: &str| claims[name].as_f64().map(|seconds| seconds as u64);
    match (time("exp"), time("iat")) {
        (Some(exp), _) if exp <= now_s => {
            Finding::wrong(format!("the token has expired {} ago", span(now_s - exp)), again)
        }
        (_, Some(iat)) if iat > now_s => {
            let text = format!("the token was issued {} from now, by this machine's clock", span(iat - now_s));
            Finding::wrong(text, "timedatectl set-ntp true")
        }
        _ => match reason {
            // An older server does not say it.
            "" => Finding::wrong(
                "the token is refused: it was signed with another secret, or its user was revoked",
                again,
            ),
            "signature" => Finding::wrong("the token is refused: it was signed with another secret", again),
            "revoked" => Finding::wrong("the token is refused: its user was revoked", again),
            "not_yet_valid" => {
                Finding::wrong(message, "timedatectl set-ntp true   # here, and where the token was made")
            }
            _ => Finding::wrong(
                message,
                "mend what makes the tokens   # the server's log says it too: tokens_refused",
            ),
        },
    }
}

fn is_monitor(visit: &Visit<'_>, address: SocketAddr, token: &str) -> bool {
    let place = visit.place;
    let stream = if place.is_https {
        stream::connect_tls(address, &place.host, visit.limit)
            .map(|(stream, shown)| shown.verdict.ok().map(|()| stream))
    } else {
        stream::connect(address, visit.limit).map(|stream| Some(Stream::Plain(stream)))
    };
    let Ok(Some(mut stream)) = stream else { return false };
    let path = format!("{}/api/streaming/status", place.prefix);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    http::get(&mut stream, &place.authority(), &path, &bearer, visit.limit).is_ok_and(|answer| answer.status == 200)
}

/// Why there was no answer.
enum Trouble {
    /// An `error` of the server.
    Refused(Value),
    Closed(u16),
    Io(io::Error),
}

fn unanswered(what: &str, trouble: &Trouble) -> Finding {
    let text = match trouble {
        Trouble::Refused(error) => error["message"].as_str().unwrap_or("it refuses").to_owned(),
        Trouble::Closed(code) => format!("it closed the connection ({code})"),
        Trouble::Io(error) => words(error),
    };
    let mend = "systemctl restart ecoute   # on the server, then look at: journalctl -u ecoute";
    Finding::wrong(format!("the server does not answer {what}: {text}"), mend)
}

/// Says something and waits for its answer.
fn ask(
    websocket: &mut WebSocket<Stream>,
    message: &Value,
    answer: &str,
    visit: &Visit<'_>,
) -> Result<Value, Trouble> {
    let io = |error| match error {
        tungstenite::Error::Io(error) => Trouble::Io(error),
        other => Trouble::Io(io::Error::other(other)),
    };
    websocket.send(Message::text(message.to_string())).map_err(io)?;
    let until = instant() + visit.limit.left(ANSWER);
    for _ in 0..MESSAGES_MAX {
        let left = since(instant(), until).max(Duration::from_millis(1));
        websocket.get_mut().set_read_timeout(left);
        match websocket.read().map_err(io)? {
            Message::Text(text) => {
                let mut said: Value = serde_json::from_str(&text).unwrap_or_default();
                match said["event"].as_str() {
                    Some("error") => return Err(Trouble::Refused(said["data"].take())),
                    Some(event) if event == answer => return Ok(said["data"].take()),
                    Some(_) | None => {}
                }
            }
            Message::Close(frame) => return Err(Trouble::Closed(frame.map_or(1005, |frame| frame.code.into()))),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(Trouble::Io(io::ErrorKind::TimedOut.into()))
}

/// Returns a user fragment, and the offer of a session that would receive: no key stands behind its fingerprint, since
/// nothing is ever encrypted.
fn offer() -> Result<(String, String), secret::SecretError> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (ufrag, password) = (hex(&secret::random::<4>()?), hex(&secret::random::<16>()?));
    let fingerprint = secret::random::<32>()?.map(|byte| format!("{byte:02X}")).join(":");
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
         c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\n"
    );
    Ok((ufrag, offer))
}

/// Returns how long a token is good, in words, where it says so.
fn life(token: &str) -> String {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap_or_default();
    let left = claims["exp"].as_f64().and_then(|exp| (exp as u64).checked_sub(unix_s()));
    left.map_or_else(String::new, |left| format!(", for {} more", span(left)))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use ecoute::token::{self, Claims, Rights};
    use ecoute::wire::sdp::{Direction, narrow_offer};
    use ecoute::words::Role;

    use super::*;

    #[test]
    fn the_offer_is_one() {
        let (ufrag, offer) = offer().unwrap();
        assert!(narrow_offer(&offer, Direction::RecvOnly).unwrap().contains(&ufrag));
        assert_ne!(offer, super::offer().unwrap().1);
    }

    #[test]
    fn why_a_token_is_refused() {
        let claims = |exp, iat| Claims {
            sub: "lea".to_owned(),
            role: Role::Commercial,
            name: None,
            listen: None,
            device: false,
            rights: Rights::default(),
            exp,
            iat,
            nbf: None,
            after_revocation: None,
        };
        let now_s = 1_800_000_000;
        for (name, token, want) in [
            ("expired", token::mint(&[7; 32], &claims(now_s - 10_000, now_s - 20_000)), "expired 2 h ago"),
            ("future", token::mint(&[7; 32], &claims(now_s + 900, now_s + 600)), "issued 10 min from now"),
            ("in its time", token::mint(&[7; 32], &claims(now_s + 900, now_s)), "signed with another secret"),
            ("a link", "https://e/admin#t=x".to_owned(), "is no token"),
        ] {
            let found = judge_refused(&token, ("signature", ""), now_s, "again");
            assert!(found.text.contains(want), "{name}: {found:?}");
            assert!(!found.text.contains(&token), "{name}");
        }
    }
}
