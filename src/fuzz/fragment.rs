//! SDP fragments: what is read of them, and what is written for clients.
//!
//! Invariant: what was written reads as what it was written from.

use crate::wire::{sdp, sdpfrag};

/// Credentials that are read are ICE's and stand in the fragment; line ends, and what is left out in writing, do not
/// change what is read.
pub fn sdpfrag(bytes: &[u8]) {
    let Ok(fragment) = std::str::from_utf8(bytes) else { return };
    let written = sdpfrag::write(fragment);
    assert!(written.len() <= 2 * fragment.len() + 2, "{} from {}", written.len(), fragment.len());
    assert_eq!(sdpfrag::write(&written), written, "writing again leaves out more");

    let Ok(said) = sdpfrag::parse(fragment) else { return };
    assert!(fragment.lines().count() <= sdpfrag::FRAGMENT_LINES_MAX);
    if let Some((ufrag, pwd)) = said {
        check_credentials(fragment, ufrag, pwd);
    }
    let ends = fragment.lines().map(|line| format!("{line}\r\n")).collect::<String>();
    assert_eq!(sdpfrag::parse(&ends), Ok(said), "line ends mean something");
    let has_rejected =
        fragment.lines().any(|line| line.starts_with("m=") && line.split_whitespace().nth(1) == Some("0"));
    if !written.is_empty() && !has_rejected {
        assert_eq!(sdpfrag::parse(&written), Ok(said), "{written}");
    }
}

fn check_credentials(fragment: &str, ufrag: &str, pwd: &str) {
    assert!((4..=256).contains(&ufrag.len()) && (22..=256).contains(&pwd.len()), "{ufrag:?} {pwd:?}");
    let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    assert!(ufrag.bytes().chain(pwd.bytes()).all(is_ice), "{ufrag:?} {pwd:?}");
    let stands = |line: &str| fragment.lines().any(|found| found.trim_end() == line);
    assert!(stands(&format!("a=ice-ufrag:{ufrag}")) && stands(&format!("a=ice-pwd:{pwd}")));
    let others = ("ours", "0123456789012345678901");
    let replaced = sdp::with_credentials(fragment, others.0, others.1);
    assert_eq!(sdpfrag::parse(&replaced), Ok(Some(others)));
}
