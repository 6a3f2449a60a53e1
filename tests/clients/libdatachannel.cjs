// A WHIP publisher or WHEP listener over libdatachannel, with which OBS sends: makes a 440 Hz tone, or writes down what
// it hears. Its offers are OBS's: no candidate in them, and a video section beside the one for audio.
//
// Says on stdout what happens, one JSON object a line; does on stdin what it is told, one word a line: `stop`.
"use strict";

const readline = require("node:readline");
const { parseArgs } = require("node:util");
const { Audio, PeerConnection, Video, cleanup, getLibraryVersion } = require("node-datachannel");
const { FRAME, isCandidate, publish, request, say, withoutUdp, writer } = require("./common.cjs");

const SSRC = 1234;
const TYPE = 111;

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    token: { type: "string" },
    hear: { type: "string" }, // listen, and write samples into this file
    tcp: { type: "boolean" }, // leave the answer no candidates but those over TCP
  },
});

function rtp(frame, payload) {
  const header = Buffer.alloc(12);
  header.writeUInt8(0x80, 0);
  header.writeUInt8(TYPE, 1);
  header.writeUInt16BE(frame & 0xffff, 2);
  header.writeUInt32BE(frame * FRAME, 4);
  header.writeUInt32BE(SSRC, 8);
  return Buffer.concat([header, payload]);
}

// Strips the header of an RTP packet (RFC 3550 section 5.1), or returns nothing for RTCP.
function payloadOf(packet) {
  if (packet.readUInt8(1) >= 192 && packet.readUInt8(1) < 224) return undefined;
  const first = packet.readUInt8(0);
  let start = 12 + 4 * (first & 0x0f);
  if (first & 0x10) start += 4 + 4 * packet.readUInt16BE(start + 2);
  return packet.subarray(start);
}

async function main() {
  const connection = new PeerConnection("client", { iceServers: [], enableIceTcp: options.tcp });
  const direction = options.hear ? "RecvOnly" : "SendOnly";
  const audio = new Audio("0", direction);
  audio.addOpusCodec(TYPE);
  if (!options.hear) audio.addSSRC(SSRC, "cname", "stream", "stream-audio");
  const track = connection.addTrack(audio);
  const video = new Video("1", direction);
  video.addH264Codec(96);
  if (!options.hear) video.addSSRC(SSRC + 1, "cname", "stream", "stream-video");
  const videoTrack = connection.addTrack(video);
  videoTrack.onClosed(() => say("video closed"));
  let sending;
  track.onOpen(() => {
    if (!options.hear) sending = publish((frame, payload) => track.sendMessageBinary(rtp(frame, payload)));
  });
  if (options.hear) {
    const write = writer(options.hear);
    track.onMessage((packet) => {
      const payload = payloadOf(packet);
      if (payload) write(packet.readUInt32BE(4), payload);
    });
  }
  connection.onStateChange((state) => {
    say(state, { version: getLibraryVersion(), transport: connection.getSelectedCandidatePair()?.local.transportType });
  });

  const gathered = new Promise((resolve) => connection.onGatheringStateChange((s) => s === "complete" && resolve()));
  connection.setLocalDescription();
  await gathered;
  const offer = connection.localDescription().sdp.split("\r\n").filter((line) => !isCandidate(line)).join("\r\n");
  const answer = await request("POST", options.url, options.token, offer, { "Content-Type": "application/sdp" });
  say("answered", answer);
  if (answer.status !== 201) process.exit(1);
  connection.setRemoteDescription(options.tcp ? withoutUdp(answer.body) : answer.body, "answer");

  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === "stop") break;
  }
  clearInterval(sending);
  const resource = new URL(answer.headers.location, options.url);
  const { status, body } = await request("DELETE", resource, options.token);
  say("deleted", { status, body });
  connection.close();
  cleanup();
  process.exit(0);
}

main();
