//! What the program writes to its log when clients say what could forge a line, steer a terminal or give a token away.

use std::io::Write;

use nix::sys::signal::Signal;
use serde_json::json;
use tungstenite::Message;

use crate::bystanders::Bystanders;
use crate::start;
use crate::support::WAIT;
use crate::support::client::{close_code, connect, read_response, register};
use crate::support::issuer::Issuer;

/// What no line may hold as it is: controls, and what turns or hides text.
fn is_dangerous(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
}

const HOSTILE: &str = "\u{1b}[31m\u{202e}\u{200b}\u{9b}2J";

#[test]
fn nothing_that_clients_say_is_written_as_it_is() {
    let issuer = Issuer::ed_dsa();
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), issuer.pem()).unwrap();
    let mut ecoute = start(&[
        "--log=trace",
        "--token-public-key",
        keys.path().to_str().unwrap(),
        "--token-issuer=https://idp.example",
        "--token-audience=ecoute",
    ]);
    let mut bystanders = Bystanders::start(&ecoute);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let named = |name: &str| {
        let for_us = json!({ "iss": "https://idp.example", "aud": "ecoute", "sub": "paul", "role": "admin", "name": name,
            "exp": now_s + 60, "iat": now_s });
        issuer.sign(None, &for_us)
    };
    let mut tokens = Vec::new();
    bystanders.run_during(|| {
        // Header values and targets that HTTP allows to be strange.
        for line in [
            format!("GET /{HOSTILE} HTTP/1.1\r\nHost: a"),
            "GET /%0d%0a2026-01-01%1b[31m<script> HTTP/1.1\r\nHost: a".to_owned(),
            format!("GET /ws HTTP/1.1\r\nHost: a\r\nOrigin: https://{HOSTILE}"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {HOSTILE}"),
            "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{202e}\u{200b}".to_owned(),
            "G\u{202e}T / HTTP/1.1\r\nHost: a".to_owned(),
            format!("GET /{} HTTP/1.1\r\nHost: a", "x".repeat(10_000)),
        ] {
            let mut client = connect(ecoute.address);
            client.get_mut().write_all(format!("{line}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
            read_response(&mut client);
        }
        for name in
            [&format!("Paul{HOSTILE}\r\n2026 INFO forged"), "<img src=x onerror=alert(1)>", &"x".repeat(5000)]
        {
            let token = named(name);
            let (mut websocket, answer) = register(ecoute.address, &token);
            assert_eq!(answer["event"], "user_registered", "{answer}");
            assert!(!answer["data"]["name"].as_str().unwrap().chars().any(char::is_control), "{answer}");
            for reason in
                [format!("autre: {HOSTILE}"), "autre: a\r\n2026 INFO forged".to_owned(), "x".repeat(10_000)]
            {
                let wish = json!({ "commercial_id": format!("lea{HOSTILE}"), "reason": reason });
                let text = json!({ "event": "join_commercial_stream", "data": wish }).to_string();
                websocket.send(Message::text(text)).unwrap();
                let wish = json!({ "commercial_id": "speaker", "reason": reason });
                let text = json!({ "event": "join_commercial_stream", "data": wish }).to_string();
                websocket.send(Message::text(text)).unwrap();
            }
            websocket.send(Message::text(format!(r#"{{"event":"{}"}}"#, "shout".repeat(1000)))).unwrap();
            websocket.send(Message::text(format!(r#"["{}"]"#, "shout".repeat(1000)))).unwrap();
            assert_eq!(close_code(&mut websocket), 4400);
            tokens.push(token);
        }
        // A name of 10,000 characters makes a token that is too long.
        let token = named(&"x".repeat(10_000));
        let (mut websocket, answer) = register(ecoute.address, &token);
        assert_eq!(answer["data"]["code"], "token_refused");
        assert_eq!(close_code(&mut websocket), 4401);
        tokens.push(token);
    });
    bystanders.assert_undisturbed();
    ecoute.signal(Signal::SIGTERM);
    ecoute.wait_for_exit(WAIT);
    let (_, lines) = ecoute.output();
    assert!(lines.iter().any(|line| line.contains("TRACE")), "it was to be traced");
    assert!(lines.iter().any(|line| line.contains(r"path=") && line.contains("%1b")), "paths are written");
    for line in &lines {
        assert!(!line.chars().any(is_dangerous), "{line:?}");
        assert!(line.starts_with("20") && line.contains("Z "), "a forged line: {line:?}");
        let signature = |token: &String| line.contains(token.rsplit_once('.').unwrap().1);
        assert!(!line.contains("eyJ") && !tokens.iter().any(signature), "a token: {line:?}");
    }
}
