// A WHIP publisher or WHEP listener over werift: makes a 440 Hz tone, or writes down what it hears.
//
// Says on stdout what happens, one JSON object a line; does on stdin what it is told, one word a line: `restart`
// (ICE, by PATCH), `stop`.
"use strict";

const readline = require("node:readline");
const { parseArgs } = require("node:util");
const { MediaStreamTrack, RTCPeerConnection, RtpHeader, RtpPacket } = require("werift");
const { FRAME, isCandidate, publish, request, say, withoutUdp, writer } = require("./common.cjs");

const FRAGMENT = "application/trickle-ice-sdpfrag";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    token: { type: "string" },
    hear: { type: "string" }, // listen, and write samples into this file
    setup: { type: "string", default: "actpass" }, // the DTLS role to offer
    tcp: { type: "boolean" }, // leave the answer no candidates but those over TCP
    video: { type: "boolean" }, // offer a video section too
    trickle: { type: "boolean" }, // send candidates by PATCH, none in the offer
  },
});

// Returns the first section of an offer alone, as a fragment (RFC 8840 section 9).
function fragmentOf(sdp) {
  const lines = sdp.split("\r\n");
  const first = (name) => lines.find((line) => line.startsWith(name));
  const candidates = new Set(lines.filter(isCandidate));
  return [first("a=ice-ufrag"), first("a=ice-pwd"), first("m="), first("a=mid"), ...candidates, ""].join("\r\n");
}

function send(track) {
  return publish((frame, payload) => {
    const header = new RtpHeader({ sequenceNumber: frame & 0xffff, timestamp: frame * FRAME, marker: frame === 0 });
    track.writeRtp(new RtpPacket(header, payload));
  });
}

// Exchanges credentials and candidates, and keeps everything else of what was agreed upon (RFC 9725 section 4.3.3).
async function restart(connection, resource, answered) {
  await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }));
  const headers = { "Content-Type": FRAGMENT, "If-Match": "*" };
  const own = fragmentOf(connection.localDescription.sdp);
  const { status, headers: fields, body } = await request("PATCH", resource, options.token, own, headers);
  say("restarted", { status, headers: fields, body });
  if (status !== 200) return;
  const fragment = options.tcp ? withoutUdp(body) : body;
  const isNew = (line) => /^a=(candidate|ice-ufrag|ice-pwd):/.test(line);
  const fresh = fragment.split("\r\n").filter(isNew);
  const kept = answered.split("\r\n").filter((line) => !isNew(line));
  const sdp = kept.flatMap((line) => line.startsWith("c=") ? [line, ...fresh] : [line]).join("\r\n");
  await connection.setRemoteDescription({ type: "answer", sdp });
  // Where DTLS stands werift waits for the other end's checks, and an ICE-lite server sends none.
  await connection.iceTransports[0].start();
}

async function main() {
  const connection = new RTCPeerConnection({ iceServers: [], iceUseTcp: options.tcp, bundlePolicy: "max-bundle" });
  const track = new MediaStreamTrack({ kind: "audio" });
  const direction = options.hear ? "recvonly" : "sendonly";
  const audio = connection.addTransceiver(options.hear ? "audio" : track, { direction });
  if (options.video) connection.addTransceiver("video", { direction });
  if (options.hear) {
    const write = writer(options.hear);
    audio.onTrack.subscribe((heard) =>
      heard.onReceiveRtp.subscribe(({ header, payload }) => write(header.timestamp, payload)));
  }
  connection.connectionStateChange.subscribe((state) => {
    if (state !== "connected") return say(state);
    const pair = connection.iceTransports[0].connection.nominated;
    say(state, { transport: pair.localCandidate.transport, remote: pair.remoteAddr });
  });

  await connection.setLocalDescription(await connection.createOffer());
  const sdp = connection.localDescription.sdp.replaceAll("a=setup:actpass", `a=setup:${options.setup}`);
  const offer = options.trickle ? sdp.split("\r\n").filter((line) => !isCandidate(line)).join("\r\n") : sdp;
  const answer = await request("POST", options.url, options.token, offer, { "Content-Type": "application/sdp" });
  say("answered", answer);
  if (answer.status !== 201) process.exit(1);
  const resource = new URL(answer.headers.location, options.url);
  const answered = options.tcp ? withoutUdp(answer.body) : answer.body;
  await connection.setRemoteDescription({ type: "answer", sdp: answered });
  if (options.trickle) {
    const headers = { "Content-Type": FRAGMENT, "If-Match": answer.headers.etag };
    const { status, body } = await request("PATCH", resource, options.token, fragmentOf(sdp), headers);
    say("trickled", { status, body });
  }
  const sending = options.hear ? undefined : send(track);

  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === "restart") await restart(connection, resource, answered);
    if (line === "stop") break;
  }
  clearInterval(sending);
  const { status, body } = await request("DELETE", resource, options.token);
  say("deleted", { status, body });
  await connection.close();
  process.exit(0);
}

main();
