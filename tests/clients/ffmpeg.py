"""A WHIP publisher: FFmpeg's own `whip` muxer, which PyAV's wheels carry, with a 440 Hz tone.

Says on stdout what happens, one JSON object a line; does on stdin what it is told, one word a line: `stop`.
"""

import argparse
import datetime
import json
import math
import sys
import tempfile
import threading
import time
from array import array
from fractions import Fraction
from pathlib import Path

import av
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RATE = 48_000
FRAME = 960


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def write_certificate(folder):
    """Writes a certificate and its key: with the GnuTLS of these wheels FFmpeg makes itself one for P-224, which
    nobody in WebRTC has to know (RFC 8827 section 6.5). Returns the options that name them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lavf")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key_format, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, key_format, plain))
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}


def publish(url, options, until):
    with av.open(url, "w", format="whip", options=options) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="stereo")
        container.start_encoding()
        say("connected", ffmpeg=av.ffmpeg_version_info)
        begin, at = time.monotonic(), 0
        turn = 2 * math.pi * 440 / RATE
        while until.is_alive():
            time.sleep(max(0, begin + at / RATE - time.monotonic()))
            samples = array("h", (round(16_000 * math.sin(turn * (n // 2))) for n in range(at * 2, (at + FRAME) * 2)))
            frame = av.AudioFrame(format="s16", layout="stereo", samples=FRAME)
            frame.planes[0].update(samples.tobytes())
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            at += FRAME


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    arguments = parser.parse_args()
    told = threading.Thread(target=sys.stdin.readline, daemon=True)
    told.start()
    with tempfile.TemporaryDirectory() as folder:
        options = {"authorization": arguments.token, **write_certificate(Path(folder))}
        publish(arguments.url, options, told)
    # The muxer tells nobody what its DELETE was answered.
    say("deleted")


main()
