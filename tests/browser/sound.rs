//! Makes the microphone's tone and measures what a page plays.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::drive::Page;

const SAMPLE_HZ: u32 = 48_000;

/// What a browser hears in place of a microphone, as long as this lives.
pub struct Microphone {
    folder: TempDir,
    hz: f64,
}

impl Microphone {
    /// The frequency of its tone; of a voice, about that.
    pub fn hz(&self) -> f64 {
        self.hz
    }

    /// Ten seconds that sound without a seam when they are repeated.
    pub fn wav(&self) -> PathBuf {
        self.folder.path().join("microphone.wav")
    }
}

/// A microphone that plays a tone.
///
/// Noise suppression takes it for noise, as it should, and lowers it to about a third within a second.
pub fn microphone(hz: f64) -> Microphone {
    let microphone = Microphone { folder: TempDir::new().unwrap(), hz };
    let phase = |sample: u32| f64::from(sample) / f64::from(SAMPLE_HZ) * hz * std::f64::consts::TAU;
    write_wav(&microphone.wav(), |sample| phase(sample).sin() * 0.5);
    microphone
}

/// A microphone that plays something like speech: four syllables a second, of a voice that rises and falls and speaks
/// vowels. Opus takes a pure tone for music, which it sends without in-band FEC. A Firefox plays a tone in its place.
pub fn voice() -> Microphone {
    let microphone = Microphone { folder: TempDir::new().unwrap(), hz: 120.0 };
    const VOWELS: [[f64; 3]; 4] =
        [[730.0, 1090.0, 2440.0], [270.0, 2290.0, 3010.0], [570.0, 840.0, 2410.0], [530.0, 1840.0, 2480.0]];
    let mut turns = 0.0;
    write_wav(&microphone.wav(), |sample| {
        let at = f64::from(sample) / f64::from(SAMPLE_HZ);
        let hz = 120.0 + 15.0 * (at * 0.7 * std::f64::consts::TAU).sin();
        turns += hz / f64::from(SAMPLE_HZ);
        let (syllable, within) = ((at * 4.0) as usize, (at * 4.0).fract());
        let loudness = (within / 0.9 * std::f64::consts::PI).sin().max(0.0).sqrt();
        let formants = VOWELS[syllable % VOWELS.len()];
        let harmonic = |k: u32| {
            let near = |formant: f64| (-((f64::from(k) * hz - formant) / 120.0).powi(2)).exp();
            let share = formants.map(near).iter().sum::<f64>() + 0.02;
            (turns * f64::from(k) * std::f64::consts::TAU).sin() * share / f64::from(k).sqrt()
        };
        (1..30).map(harmonic).sum::<f64>() * loudness * 0.3
    });
    microphone
}

/// Writes ten seconds, 16 bit, mono.
fn write_wav(path: &Path, mut level: impl FnMut(u32) -> f64) {
    let samples = SAMPLE_HZ * 10;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples * 2).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1u16, 1].map(u16::to_le_bytes).concat());
    wav.extend([SAMPLE_HZ, SAMPLE_HZ * 2].map(u32::to_le_bytes).concat());
    wav.extend([2u16, 16].map(u16::to_le_bytes).concat());
    wav.extend(b"data");
    wav.extend((samples * 2).to_le_bytes());
    for sample in 0..samples {
        wav.extend(((level(sample).clamp(-1.0, 1.0) * 32_000.0) as i16).to_le_bytes());
    }
    std::fs::write(path, wav).unwrap();
}

/// Runs before a page: `transport()` is what the newest connection that works sends over, `udp` or `tcp`.
pub const CONNECTIONS: &str = r"
    const connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...rest) { super(...rest); connections.push(this); }
    };
    window.transport = async () => {
        const connection = connections.findLast(({ connectionState }) => connectionState === 'connected');
        const stats = [...(await connection?.getStats())?.values() ?? []];
        const pair = stats.find(({ id }) => id === stats.find(({ type }) => type === 'transport')?.selectedCandidatePairId);
        return stats.find(({ id }) => id === pair?.remoteCandidateId)?.protocol;
    };
";

/// Runs before a page: whatever is connected to the loudspeaker can be recorded and looked at, and still plays.
pub const TAP: &str = r"
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to, ...rest) {
        if (to instanceof AudioDestinationNode) {
            window.tap = { recorder: this.context.createMediaStreamDestination(), analyser: this.context.createAnalyser() };
            connect.call(this, window.tap.recorder);
            connect.call(this, window.tap.analyser);
        }
        return connect.call(this, to, ...rest);
    };
    window.loudness = () => {
        if (!window.tap) return 0;
        const samples = new Float32Array(1024);
        window.tap.analyser.getFloatTimeDomainData(samples);
        return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    };
    window.record = async (ms) => {
        // Firefox has no recorder without loss.
        const mimeType = ['audio/webm;codecs=pcm', ''].find((type) => MediaRecorder.isTypeSupported(type));
        const recorder = new MediaRecorder(window.tap.recorder.stream, { mimeType, audioBitsPerSecond: 256_000 });
        const parts = [];
        recorder.ondataavailable = (event) => parts.push(event.data);
        const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
        recorder.start();
        await new Promise((resolve) => setTimeout(resolve, ms));
        recorder.stop();
        await stopped;
        const bytes = await new Blob(parts).arrayBuffer();
        const sound = await new OfflineAudioContext(1, 1, 48000).decodeAudioData(bytes);
        const samples = Int16Array.from(sound.getChannelData(0), (sample) => Math.round(sample * 32767));
        const url = await new Promise((resolve) => {
            const reader = new FileReader();
            reader.onload = () => resolve(reader.result);
            reader.readAsDataURL(new Blob([samples]));
        });
        return url.slice(url.indexOf(',') + 1);
    };
";

/// What was heard.
#[derive(Debug)]
pub struct Sound {
    pub seconds: f64,
    /// The frequency of the strongest tone between 100 Hz and 2 kHz.
    pub hz: f64,
    /// Root mean square over all, of full scale.
    pub level: f64,
    /// The share of 20 ms frames that are louder than a hundredth of full scale.
    pub sounding: f64,
}

/// Records what a page plays and measures it.
pub fn listen(page: &Page<'_>, ms: u32) -> Sound {
    measure(&samples(page, &format!("record({ms})")))
}

/// Records what a page plays while something is done; returns the samples, 48,000 a second.
pub fn record_while(page: &Page<'_>, ms: u32, act: impl FnOnce()) -> Vec<f64> {
    page.evaluate(&format!("window.recorded = record({ms}); true"));
    act();
    samples(page, "window.recorded")
}

/// Returns the longest time without sound, in ms.
pub fn longest_silence_ms(samples: &[f64]) -> usize {
    let is_silent = |frame: &[f64]| level(frame) < 0.003;
    let frames: Vec<bool> = samples.chunks_exact(SAMPLE_HZ as usize / 200).map(is_silent).collect();
    frames.split(|is_silent| !is_silent).map(<[bool]>::len).max().unwrap_or(0) * 5
}

/// Reads 16-bit samples in base64, lowest byte first.
fn samples(page: &Page<'_>, recorded: &str) -> Vec<f64> {
    let recorded = page.evaluate(recorded);
    let bytes = BASE64_STANDARD.decode(recorded.as_str().expect("what was recorded is text")).unwrap();
    bytes.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_767.0).collect()
}

fn level(samples: &[f64]) -> f64 {
    (samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Measures a second of sound or more.
pub fn measure(samples: &[f64]) -> Sound {
    let frames: Vec<f64> = samples.chunks_exact(SAMPLE_HZ as usize / 50).map(level).collect();
    let sounding = frames.iter().filter(|&&level| level > 0.01).count() as f64 / frames.len() as f64;
    let seconds = samples.len() as f64 / f64::from(SAMPLE_HZ);
    Sound { seconds, hz: strongest(samples), level: level(samples), sounding }
}

/// Returns the strongest frequency by correlating a second of sound with tones one hertz apart (Goertzel).
///
/// Averages of eight samples hold all that is below 2 kHz, and cost an eighth, beside browsers that want the processor.
fn strongest(samples: &[f64]) -> f64 {
    const STEP: usize = 8;
    let second = &samples[..samples.len().min(SAMPLE_HZ as usize)];
    let second: Vec<f64> = second.chunks_exact(STEP).map(|chunk| chunk.iter().sum()).collect();
    let rate_hz = f64::from(SAMPLE_HZ) / STEP as f64;
    let power = |hz: u32| {
        let turn = 2.0 * (f64::from(hz) / rate_hz * std::f64::consts::TAU).cos();
        let (last, before) = second.iter().fold((0.0, 0.0), |(last, before), s| (s + turn * last - before, last));
        last * last + before * before - turn * last * before
    };
    let powers = (100..2000).map(|hz| (hz, power(hz)));
    let (hz, _) = powers.max_by(|(_, a), (_, b)| a.total_cmp(b)).expect("the range is not empty");
    f64::from(hz)
}
