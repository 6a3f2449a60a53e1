//! What reading and writing one message of each kind costs, at the sizes that browsers send.
//!
//! `cargo bench --bench wire`. Names end with how long the message is.

use divan::{Bencher, black_box};
use ecoute::wire::http::{Response, Status};
use ecoute::wire::sdp::Direction;
use ecoute::wire::signaling::{Commercial, Person, ServerMessage};
use ecoute::wire::websocket::Websocket;
use ecoute::wire::{classify, http, opus, rtp, sdp, signaling, stun};
use ecoute::words::Presence;
use serde_json::json;

fn main() {
    divan::main();
}

/// 32 kbit/s.
const OPUS_BYTES: usize = 80;
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What Chromium offers to hear, with one audio section.
const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:Yy4d\r\na=ice-pwd:8mT3uT9yQ1wzV7c1p0VZKq2N\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n\
    a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
    a=rtpmap:126 telephone-event/8000\r\n";

/// What Chromium sends to open the WebSocket, through a proxy that adds three lines.
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: ecoute.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Mobile Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://ecoute.example\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: fr-FR,fr;q=0.9,en;q=0.8\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ecoute.example\r\n\r\n";

/// One packet of Opus as it is on the way: header, a MID and a level, payload, tag.
fn rtp_packet() -> Vec<u8> {
    let mut packet = vec![0x90, 111, 0, 1, 0, 0, 3, 0xc0, 0xde, 0xad, 0xbe, 0xef, 0xbe, 0xde, 0, 1];
    packet.extend([0x40, b'0', 0x10, 0x9e]);
    packet.extend([7; OPUS_BYTES]);
    packet.extend([9; 16]);
    packet
}

/// One check of a browser that nominates.
fn check() -> Vec<u8> {
    let mut check = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    check.extend([5; 12]);
    let mut attribute = |kind: u16, value: &[u8]| {
        check.extend(kind.to_be_bytes());
        check.extend((value.len() as u16).to_be_bytes());
        check.extend(value);
        check.resize(check.len().next_multiple_of(4), 0);
    };
    attribute(0x0006, b"0000000100000002aBcDeFgHiJkLmNoPqRsT:Yy4d");
    attribute(0xc057, &[0, 0, 0, 10]);
    attribute(0x802a, &[3; 8]);
    attribute(0x0025, &[]);
    attribute(0x0024, &[0x6e, 0x7f, 0x1e, 0xff]);
    attribute(0x0008, &[4; 20]);
    attribute(0x8028, &[6; 4]);
    let length = (check.len() - 20) as u16;
    check[2..4].copy_from_slice(&length.to_be_bytes());
    assert!(stun::parse_binding_request(&check).is_ok_and(|check| check.use_candidate));
    check
}

/// A text of a client in one frame, masked (RFC 6455 §5.2).
fn frame(text: &str) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn offer_message() -> String {
    json!({ "event": "open_audio", "data": { "sdp": OFFER } }).to_string()
}

fn person(id: &'static str, name: &'static str) -> Person<'static> {
    Person { id, name, looks_like: None }
}

fn commercial() -> Commercial<'static> {
    Commercial {
        commercial_id: "lea.martin",
        name: "Léa Martin",
        commercial_info: None,
        state: Presence::OnAir,
        interrupted_by: None,
        is_streaming: true,
        speaking: true,
        source: None,
        listeners_count: 2,
        listeners: vec![person("paul", "Paul D."), person("ana", "Ana B.")],
        since: Some(1_795_404_391_955),
        last_seen: Some(1_795_404_391_955),
    }
}

#[divan::bench]
fn classify_rtp_of_116_bytes(bencher: Bencher<'_, '_>) {
    let packet = rtp_packet();
    assert_eq!(packet.len(), 116);
    bencher.bench_local(|| classify::classify(black_box(&packet)));
}

#[divan::bench]
fn parse_rtp_of_116_bytes(bencher: Bencher<'_, '_>) {
    let packet = rtp_packet();
    bencher.bench_local(|| rtp::parse_media(black_box(&packet)));
}

#[divan::bench]
fn opus_duration_of_80_bytes(bencher: Bencher<'_, '_>) {
    let mut payload = [7; OPUS_BYTES];
    // Two frames of 10 ms, as code 3 counts them: the longest way (RFC 6716 §3.2.5).
    payload[..2].copy_from_slice(&[30 << 3 | 3, 2]);
    assert_eq!(opus::duration_samples(&payload), Ok(960));
    bencher.bench_local(|| opus::duration_samples(black_box(&payload)));
}

#[divan::bench]
fn parse_stun_check_of_132_bytes(bencher: Bencher<'_, '_>) {
    let check = check();
    assert_eq!(check.len(), 132);
    bencher.bench_local(|| stun::parse_binding_request(black_box(&check)).map(|check| check.use_candidate));
}

#[divan::bench]
fn parse_upgrade_of_599_bytes(bencher: Bencher<'_, '_>) {
    assert_eq!(UPGRADE.len(), 599);
    assert!(http::parse_request(UPGRADE, HEAD_BYTES_MAX).is_ok_and(|request| request.is_some()));
    bencher.bench_local(|| http::parse_request(black_box(UPGRADE), HEAD_BYTES_MAX));
}

#[divan::bench]
fn write_response_with_1_kib(bencher: Bencher<'_, '_>) {
    let body = [b'a'; 1024];
    bencher.with_inputs(|| Vec::with_capacity(4096)).bench_local_refs(|out| {
        Response::new(Status::Ok).body("application/json", black_box(&body)).write(out, false, true);
    });
}

/// A WebSocket message from the stream to its text.
#[divan::bench(args = [64, 1024, 8192])]
fn read_websocket_message_of_bytes(bencher: Bencher<'_, '_>, bytes: usize) {
    let frame = frame(&"a".repeat(bytes));
    let mut websocket = Websocket::new(MESSAGE_BYTES_MAX);
    bencher.bench_local(|| {
        websocket.push(black_box(&frame));
        let message = websocket.poll_message();
        assert!(matches!(message, Ok(Some(_))));
        message
    });
}

/// A text into the conn's queue.
#[divan::bench(args = [64, 1024, 8192])]
fn write_websocket_message_of_bytes(bencher: Bencher<'_, '_>, bytes: usize) {
    let text = "a".repeat(bytes);
    let mut websocket = Websocket::new(MESSAGE_BYTES_MAX);
    let mut out = Vec::with_capacity(2 * bytes);
    bencher.bench_local(|| {
        websocket.send_text(black_box(&text));
        websocket.take_output(&mut out);
        out.clear();
    });
}

#[divan::bench]
fn parse_ack_of_52_bytes(bencher: Bencher<'_, '_>) {
    let text = r#"{"event":"listener_ack","data":{"notice_id":123456,"told":"seen","ssrc":1234567890,"packets_sent":123456}}"#;
    assert_eq!(text.len(), 52);
    bencher.bench_local(|| signaling::parse(black_box(text)).is_ok());
}

#[divan::bench]
fn parse_offer_message_of_1144_bytes(bencher: Bencher<'_, '_>) {
    let text = offer_message();
    assert_eq!(text.len(), 1144);
    assert!(signaling::parse(&text).is_ok());
    bencher.bench_local(|| signaling::parse(black_box(&text)).is_ok());
}

#[divan::bench]
fn write_commercial_updated_of_313_bytes(bencher: Bencher<'_, '_>) {
    assert_eq!(ServerMessage::CommercialUpdated(commercial()).to_json().len(), 313);
    bencher.bench_local(|| ServerMessage::CommercialUpdated(black_box(commercial())).to_json());
}

#[divan::bench]
fn narrow_offer_of_1036_bytes(bencher: Bencher<'_, '_>) {
    assert_eq!(OFFER.len(), 1036);
    assert!(sdp::narrow_offer(OFFER, Direction::RecvOnly).is_ok());
    bencher.bench_local(|| sdp::narrow_offer(black_box(OFFER), Direction::RecvOnly));
}
