// What both programs of Node.js do: say what happens, ask the server, make the tone, write down what is heard.
"use strict";

const fs = require("node:fs");
const OpusScript = require("opusscript");

const RATE = 48_000;
const FRAME = 960;

exports.FRAME = FRAME;
exports.say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
exports.isCandidate = (line) => /^a=(candidate|end-of-candidates)/.test(line);
exports.withoutUdp = (sdp) => sdp.replace(/^a=candidate:\S+ \d+ udp .*\r\n/gim, "");

exports.request = async (method, url, token, body, headers) => {
  const answer = await fetch(url, { method, body, headers: { Authorization: `Bearer ${token}`, ...headers } });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
};

// Sends 440 Hz as Opus, a packet every 20 ms; returns the timer.
exports.publish = (send) => {
  const opus = new OpusScript(RATE, 1, OpusScript.Application.AUDIO);
  const begin = performance.now();
  let frame = 0;
  return setInterval(() => {
    for (; frame * 20 <= performance.now() - begin; frame += 1) {
      const samples = Int16Array.from({ length: FRAME }, (_, n) =>
        16_000 * Math.sin((frame * FRAME + n) * 440 * 2 * Math.PI / RATE));
      send(frame, opus.encode(Buffer.from(samples.buffer), FRAME));
    }
  }, 5);
};

// Returns what writes 16-bit mono samples, each at the place that its RTP timestamp gives it: what is lost stays silent.
exports.writer = (path) => {
  const opus = new OpusScript(RATE, 1, OpusScript.Application.AUDIO);
  const file = fs.openSync(path, "w");
  let first;
  return (timestamp, payload) => {
    if (first === undefined) {
      first = timestamp;
      exports.say("heard");
    }
    const at = ((timestamp - first) | 0) * 2;
    if (at < 0 || payload.length === 0) return;
    const samples = opus.decode(payload);
    fs.writeSync(file, samples, 0, samples.length, at);
  };
};
