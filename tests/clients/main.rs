//! WHIP and WHEP with WebRTC that nobody here wrote, against the real program: 440 Hz go in and must come out.
//!
//! Programs of a few lines beside this file drive the libraries; `installed.rs` fetches them once.
#![allow(clippy::disallowed_methods, reason = "clients live in real time")]

#[path = "../browser/drive/mod.rs"]
mod drive;
mod installed;
#[path = "../browser/npm.rs"]
mod npm;
mod pages;
mod program;
#[path = "../browser/sound.rs"]
mod sound;
#[path = "../support/mod.rs"]
mod support;

use std::thread;
use std::time::Duration;

use program::{Endpoint, Kind, Program};
use support::Ecoute;
use tempfile::TempDir;

/// Those that can do both. GStreamer's certificate is for RSA.
const BOTH_WAYS: [Kind; 4] = [Kind::Aiortc, Kind::Gstreamer, Kind::Libdatachannel, Kind::Werift];

/// Returns where a salesperson's device publishes, which has no page.
fn whip(ecoute: &Ecoute, id: &str) -> Endpoint {
    let mut command = support::program();
    command.args(["token", "--role", "commercial", "--device", "--id", id, "--data"]).arg(ecoute.data.path());
    let output = support::run(&mut command);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    Endpoint { url: format!("{}/whip/{id}", ecoute.url()), token, certificate: None }
}

/// Returns where a supervisor hears them.
fn whep(ecoute: &Ecoute, id: &str) -> Endpoint {
    let token = ecoute.token("admin", "paul", "Paul D.");
    Endpoint { url: format!("{}/whep/{id}", ecoute.url()), token, certificate: None }
}

/// Starts a device that publishes, and waits until it may send.
fn publish(kind: Kind, ecoute: &Ecoute, id: &str, options: &[&str]) -> Program {
    let mut publisher = kind.publish(&whip(ecoute, id), options);
    publisher.wait_until_connected();
    publisher
}

/// Starts a listener, and waits until it hears.
fn listen(kind: Kind, ecoute: &Ecoute, id: &str, options: &[&str]) -> Program {
    let mut listener = kind.listen(&whep(ecoute, id), options);
    listener.wait_until_connected();
    listener.wait_for("heard");
    listener
}

/// Publishes with one client and listens with all.
fn publish_to_all(publisher: Kind) {
    let mut ecoute = Ecoute::start();
    let publisher = publish(publisher, &ecoute, "cam", &[]);
    let mut listeners = BOTH_WAYS.map(|kind| kind.listen(&whep(&ecoute, "cam"), &[]));
    for listener in &mut listeners {
        listener.wait_until_connected();
        listener.wait_for("heard");
    }
    thread::sleep(Duration::from_secs(4));
    for listener in listeners {
        listener.stop_after_tone(3.5);
    }
    publisher.stop();
    // FFmpeg does not say whether its DELETE was heeded.
    let line = ecoute.wait_for_line("broadcast_stopped");
    assert!(line.contains("detail=\"stopped\""), "{line}");
}

#[test]
fn what_aiortc_publishes_all_hear() {
    publish_to_all(Kind::Aiortc);
}

#[test]
fn what_ffmpeg_publishes_all_hear() {
    publish_to_all(Kind::Ffmpeg);
}

#[test]
fn what_gstreamer_publishes_all_hear() {
    publish_to_all(Kind::Gstreamer);
}

/// It offers video beside audio, as OBS does, which publishes with it.
#[test]
fn what_libdatachannel_publishes_all_hear() {
    publish_to_all(Kind::Libdatachannel);
}

#[test]
fn what_werift_publishes_all_hear() {
    publish_to_all(Kind::Werift);
}

/// How long a publisher races until the numbers of its packets have begun again: the listeners' as well, which begin below a
/// quarter of all.
const RACE: Duration = Duration::from_secs(13);

/// Each decrypts by a number of which packets have the lower half alone, and has to guess right when that begins again
/// (RFC 3711 §3.3.1).
#[test]
fn all_hear_on_when_numbers_begin_again() {
    let ecoute = Ecoute::start();
    let mut publisher = publish(Kind::Aiortc, &ecoute, "cam", &[]);
    let mut listeners = BOTH_WAYS.map(|kind| listen(kind, &ecoute, "cam", &[]));
    publisher.tell("race");
    thread::sleep(RACE);
    publisher.tell("walk");
    // Decoders and what plays them find their way again.
    thread::sleep(Duration::from_secs(3));
    let before = listeners.each_ref().map(Program::heard_seconds);
    thread::sleep(Duration::from_secs(3));
    for (listener, before) in listeners.iter_mut().zip(before) {
        let heard = listener.heard_seconds() - before;
        assert!(heard > 2.5, "{:?} heard {heard} s of 3", listener.kind());
    }
    for listener in listeners {
        let samples = listener.stop_and_hear();
        let sound = sound::measure(&samples[samples.len() - 2 * 48_000..]);
        assert!((sound.hz - 440.0).abs() < 3.0 && sound.sounding > 0.95, "{sound:?}");
    }
    publisher.stop();
}

/// Where a client insists on one DTLS role, the server takes the other.
#[test]
fn either_dtls_role_is_fine() {
    // At one address: what leaves on two paths makes werift's server stumble over the second copy.
    let ecoute = Ecoute::start_at("127.0.0.1:0", TempDir::new().unwrap(), &[]);
    for kind in [Kind::Aiortc, Kind::Gstreamer, Kind::Werift] {
        for (offered, answered) in [("active", "passive"), ("passive", "active"), ("actpass", "passive")] {
            let options = ["--setup", offered];
            let mut publisher = kind.publish(&whip(&ecoute, "cam"), &options);
            let connected = |program: &mut Program| {
                let answer = program.wait_for("answered");
                let sdp = answer["body"].as_str().unwrap();
                assert!(sdp.contains(&format!("a=setup:{answered}\r\n")), "{kind:?} offers {offered}: {answer}");
                program.wait_for("connected");
            };
            connected(&mut publisher);
            let mut listener = kind.listen(&whep(&ecoute, "cam"), &options);
            connected(&mut listener);
            listener.wait_for("heard");
            thread::sleep(Duration::from_millis(1500));
            listener.stop_after_tone(1.0);
            publisher.stop();
        }
    }
}

/// Networks of offices often let nothing but TCP through.
#[test]
fn a_tone_goes_in_and_comes_out_over_tcp() {
    for kind in [Kind::Gstreamer, Kind::Libdatachannel, Kind::Werift] {
        let ecoute = Ecoute::start();
        pass_tone(kind, &whip(&ecoute, "cam"), &whep(&ecoute, "cam"), &["--tcp"]);
    }
}

#[test]
fn a_tone_goes_in_and_comes_out_over_https() {
    let data = TempDir::new().unwrap();
    let certificate = data.path().join("self-signed.pem");
    let ecoute = Ecoute::start_with(data, &["--tls-self-signed"]);
    let encrypted = |endpoint: Endpoint| {
        let url = endpoint.url.replace(&ecoute.url(), &format!("https://localhost:{}", ecoute.address.port()));
        Endpoint { url, certificate: Some(certificate.clone()), ..endpoint }
    };
    for kind in BOTH_WAYS {
        pass_tone(kind, &encrypted(whip(&ecoute, "cam")), &encrypted(whep(&ecoute, "cam")), &[]);
    }
}

/// Publishes and listens with the same client.
fn pass_tone(kind: Kind, whip: &Endpoint, whep: &Endpoint, options: &[&str]) {
    let mut publisher = kind.publish(whip, options);
    publisher.wait_until_connected();
    let mut listener = kind.listen(whep, options);
    listener.wait_until_connected();
    listener.wait_for("heard");
    thread::sleep(Duration::from_secs(2));
    listener.stop_after_tone(1.5);
    publisher.stop();
}

#[test]
fn candidates_may_follow_by_patch() {
    let ecoute = Ecoute::start();
    for kind in [Kind::Aiortc, Kind::Werift] {
        let mut publisher = kind.publish(&whip(&ecoute, "cam"), &["--trickle"]);
        assert_eq!(publisher.wait_for("trickled")["status"], 204, "{kind:?}");
        publisher.wait_for("connected");
        let mut listener = kind.listen(&whep(&ecoute, "cam"), &["--trickle"]);
        assert_eq!(listener.wait_for("trickled")["status"], 204, "{kind:?}");
        listener.wait_for("heard");
        thread::sleep(Duration::from_secs(2));
        listener.stop_after_tone(1.5);
        publisher.stop();
    }
}

/// The sound goes on while both ends change their ICE credentials.
#[test]
fn ice_restarts_by_patch() {
    let ecoute = Ecoute::start();
    let mut publisher = publish(Kind::Werift, &ecoute, "cam", &[]);
    let mut listener = listen(Kind::Werift, &ecoute, "cam", &[]);
    for client in [&mut publisher, &mut listener] {
        thread::sleep(Duration::from_secs(1));
        client.tell("restart");
        assert_eq!(client.wait_for("restarted")["status"], 200);
        // The old pair may carry what comes until the new one is found, not what comes later.
        thread::sleep(Duration::from_secs(3));
    }
    listener.stop_after_tone(7.0);
    publisher.stop();
}

/// Audio works where video is offered too: as OBS does, and as browsers may.
#[test]
fn video_is_refused_and_audio_goes_on() {
    let ecoute = Ecoute::start();
    let mut publisher = Kind::Libdatachannel.publish(&whip(&ecoute, "cam"), &[]);
    let refuses_video = |client: &mut Program| {
        let answer = client.wait_for("answered");
        assert!(answer["body"].as_str().unwrap().contains("\r\nm=video 0 "), "{answer}");
        client.wait_for("connected");
    };
    refuses_video(&mut publisher);
    let mut listener = Kind::Libdatachannel.listen(&whep(&ecoute, "cam"), &[]);
    refuses_video(&mut listener);
    listener.wait_for("heard");
    thread::sleep(Duration::from_secs(2));
    listener.stop_after_tone(1.5);
    publisher.stop();
}
