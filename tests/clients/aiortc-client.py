"""A WHIP publisher or WHEP listener over aiortc: makes a 440 Hz tone, or writes down what it hears.

Says on stdout what happens, one JSON object a line; does on stdin what it is told, one word a line: `race` through the
numbers of packets as if most were lost, `walk` again, `stop`.
"""

import argparse
import asyncio
import json
import math
import sys
import time
import urllib.error
import urllib.request
from array import array
from fractions import Fraction
from urllib.parse import urljoin

from aiortc import rtcrtpsender
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler

RATE = 48_000
FRAME = 960
# The step from one packet's number to the next one's.
STEPS = {"walk": 1, "race": 100}


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self.begin = None
        self.at = 0

    async def recv(self):
        self.begin = self.begin or time.monotonic()
        await asyncio.sleep(max(0, self.begin + self.at / RATE - time.monotonic()))
        turn = 2 * math.pi * 440 / RATE
        samples = array("h", (round(16_000 * math.sin(turn * n)) for n in range(self.at, self.at + FRAME)))
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, Fraction(1, RATE)
        self.at += FRAME
        return frame


async def write_down(track, path):
    """Writes 16-bit mono samples, each at the place that its RTP timestamp gives it: what is lost stays silent."""
    mono = AudioResampler(format="s16", layout="mono", rate=RATE)
    first = None
    with open(path, "wb") as file:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if first is None:
                first = frame.pts
                say("heard")
            file.seek((frame.pts - first) * 2)
            for part in mono.resample(frame):
                file.write(bytes(part.planes[0])[: part.samples * 2])
            file.flush()


class Endpoint:
    def __init__(self, arguments):
        self.url, self.token = arguments.url, arguments.token

    async def request(self, method, url, body=None, **headers):
        headers = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(url, method=method, data=body and body.encode(), headers=headers)

        def ask():
            try:
                return urllib.request.urlopen(request, timeout=10)
            except urllib.error.HTTPError as refusal:
                return refusal

        answer = await asyncio.to_thread(ask)
        return answer.status, answer.headers, answer.read().decode()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--hear", help="listen, and write samples into this file")
    parser.add_argument("--setup", default="actpass", help="the DTLS role to offer")
    parser.add_argument("--trickle", action="store_true", help="send candidates by PATCH, none in the offer")
    arguments = parser.parse_args()
    endpoint = Endpoint(arguments)

    connection = RTCPeerConnection()
    direction = "recvonly" if arguments.hear else "sendonly"
    connection.addTransceiver("audio" if arguments.hear else Tone(), direction=direction)
    writing = []
    if arguments.hear:
        connection.on("track", lambda track: track.kind == "audio" and writing.append(
            asyncio.ensure_future(write_down(track, arguments.hear))))
    connection.on("connectionstatechange", lambda: say(connection.connectionState))

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.replace("a=setup:actpass", f"a=setup:{arguments.setup}")
    lines = offer.splitlines(keepends=True)
    candidates = [line for line in lines if line.startswith(("a=candidate", "a=end-of-candidates"))]
    if arguments.trickle:
        offer = "".join(line for line in lines if line not in candidates)
    status, headers, answer = await endpoint.request("POST", arguments.url, offer, Content_Type="application/sdp")
    say("answered", status=status, headers=dict(headers), body=answer)
    if status != 201:
        return
    resource, etag = urljoin(arguments.url, headers["Location"]), headers["ETag"]
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    if arguments.trickle:
        credentials = [line for line in lines if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
        section = next(line for line in lines if line.startswith("m="))
        mid = next(line for line in lines if line.startswith("a=mid"))
        fragment = "".join([*credentials, section, mid, *candidates])
        kind = "application/trickle-ice-sdpfrag"
        status, _, body = await endpoint.request("PATCH", resource, fragment, Content_Type=kind, If_Match=etag)
        say("trickled", status=status, body=body)

    while line := await asyncio.to_thread(sys.stdin.readline):
        word = line.strip()
        if word == "stop":
            break
        if step := STEPS.get(word):
            rtcrtpsender.uint16_add = lambda number, _, step=step: (number + step) & 0xFFFF
    status, _, body = await endpoint.request("DELETE", resource)
    say("deleted", status=status, body=body)
    await connection.close()
    await asyncio.gather(*writing)


asyncio.run(main())
