"""A WHIP publisher or WHEP listener over GStreamer's webrtcbin: makes a 440 Hz tone, or writes down what it hears.

For Debian's own python3, whose `gi` it needs. Says on stdout what happens, one JSON object a line; does on stdin what
it is told, one word a line: `stop`.
"""

import argparse
import json
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

OPUS = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"
TONE = f"audiotestsrc is-live=true freq=440 volume=0.5 ! opusenc ! rtpopuspay pt=97 ! {OPUS} ! connection.sink_0"
HEAR = "rtpopusdepay ! opusdec plc=false ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1"


def say(event, **more):
    # In one piece: more than one thread says something.
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


class Client:
    def __init__(self, arguments):
        self.arguments = arguments
        self.resource = None
        # A lone element would be no pipeline, so what is heard gets a place to end up in.
        other = "fakesrc num-buffers=0 ! fakesink" if arguments.hear else TONE
        self.pipeline = Gst.parse_launch(f"webrtcbin name=connection bundle-policy=max-bundle {other}")
        self.connection = self.pipeline.get_by_name("connection")
        if arguments.hear:
            receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.connection.emit("add-transceiver", receive, Gst.Caps.from_string(OPUS))
            self.connection.connect("pad-added", self.on_pad)
        else:
            send = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
            self.connection.emit("get-transceiver", 0).set_property("direction", send)
        self.connection.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.connection.connect("notify::ice-gathering-state", self.on_gathering)
        self.connection.connect("notify::connection-state", self.on_connection)
        self.pipeline.set_state(Gst.State.PLAYING)

    def on_negotiation_needed(self, _):
        self.connection.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))

    def on_offer(self, promise):
        promise.wait()
        # The offer lives in the reply, and no longer.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.connection.emit("set-local-description", offer, Gst.Promise.new())

    def on_gathering(self, connection, _):
        if connection.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self.exchange, daemon=True).start()

    def exchange(self):
        offer = self.connection.get_property("local-description").sdp.as_text()
        offer = offer.replace("a=setup:actpass", f"a=setup:{self.arguments.setup}")
        status, headers, body = self.request("POST", self.arguments.url, offer, Content_Type="application/sdp")
        say("answered", status=status, headers=dict(headers), body=body)
        if status != 201:
            return
        self.resource = urljoin(self.arguments.url, headers["Location"])
        if self.arguments.tcp:
            body = "".join(line for line in body.splitlines(True)
                           if not (line.startswith("a=candidate") and " udp " in line.lower()))
        _, message = GstSdp.SDPMessage.new_from_text(body)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.connection.emit("set-remote-description", answer, Gst.Promise.new())

    def request(self, method, url, body=None, **headers):
        headers = {"Authorization": f"Bearer {self.arguments.token}",
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(url, method=method, data=body and body.encode(), headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        return answer.status, answer.headers, answer.read().decode()

    def on_connection(self, connection, _):
        say(connection.get_property("connection-state").value_nick)

    def on_pad(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        hear = Gst.parse_bin_from_description(f"{HEAR} ! filesink location={self.arguments.hear}", True)
        self.pipeline.add(hear)
        hear.sync_state_with_parent()
        pad.link(hear.get_static_pad("sink"))
        say("heard")

    def stop(self):
        status, _, body = self.request("DELETE", self.resource)
        say("deleted", status=status, body=body)
        self.pipeline.set_state(Gst.State.NULL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--hear", help="listen, and write samples into this file")
    parser.add_argument("--setup", default="actpass", help="the DTLS role to offer")
    parser.add_argument("--tcp", action="store_true", help="leave the answer no candidates but those over TCP")
    Gst.init(None)
    client = Client(parser.parse_args())
    loop = GLib.MainLoop()

    def on_line(*_):
        if sys.stdin.readline().strip() in ("stop", ""):
            client.stop()
            loop.quit()
        return True

    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, on_line)
    loop.run()


main()
