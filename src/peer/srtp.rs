//! Encrypts what a session is sent, and decrypts what it reports (RFC 3711, RFC 7714; keys by RFC 5764 §4.2).
//!
//! All three profiles that DTLS may choose. Why no key meets the same nonce twice: each session has keys of its own, ours to
//! send and the client's to open; RTP and RTCP have different ones (RFC 3711 §4.3); the nonce is made of the packet's index,
//! of 48 bits for RTP and 31 for RTCP, and [`Indexes`] and [`ControlCipher`] let no index by twice. Both are one session's,
//! for its whole life: neither a switch, nor a restart of ICE, nor a rollover of the sequence number makes them anew.
//!
//! Invariant: what sends to a client has its keys alone, and what is derived here is overwritten when it is dropped.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac, iv::FixedLength};
use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};
use zeroize::Zeroizing;

use crate::wire::rtcp;

/// What encryption adds to RTP at most, in bytes.
pub(crate) const TAG_BYTES_MAX: usize = 16;

/// What encryption adds to RTCP at most, in bytes: a tag, and the index with the bit that says that it is encrypted.
pub(super) const CONTROL_BYTES_MAX: usize = TAG_BYTES_MAX + INDEX_BYTES;

const INDEX_BYTES: usize = 4;
/// The first bit of that word (RFC 3711 §3.4).
const IS_ENCRYPTED: u32 = 1 << 31;

/// The longest key, in bytes, and how long a salt is that is shorter than this, with the zeros behind it.
const KEY_BYTES_MAX: usize = 32;
const SALT_BYTES: usize = 14;
const HMAC_KEY_BYTES: usize = 20;
const HMAC_TAG_BYTES: usize = 10;

/// What keys are derived for (RFC 3711 §4.3.2).
#[derive(Clone, Copy)]
enum Label {
    Rtp = 0,
    Rtcp = 3,
}

/// How a profile encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    /// AEAD_AES_128_GCM.
    Gcm128,
    /// AEAD_AES_256_GCM.
    Gcm256,
    /// AES128_CM_HMAC_SHA1_80.
    Counter,
}

impl Suite {
    /// Returns how long its keys and salts are, in bytes.
    fn lengths(self) -> (usize, usize) {
        match self {
            Suite::Gcm128 => (16, 12),
            Suite::Gcm256 => (32, 12),
            Suite::Counter => (16, 14),
        }
    }

    fn tag_bytes(self) -> usize {
        match self {
            Suite::Gcm128 | Suite::Gcm256 => TAG_BYTES_MAX,
            Suite::Counter => HMAC_TAG_BYTES,
        }
    }
}

/// The keys of both sides of one session, from which all others are made.
pub(crate) struct Keys {
    suite: Suite,
    ours: Master,
    clients: Master,
}

/// The master key and the master salt of one side.
struct Master {
    key: Zeroizing<Vec<u8>>,
    salt: Zeroizing<[u8; SALT_BYTES]>,
}

impl Keys {
    /// Takes what a handshake agreed upon; `is_client` tells whether we began it. Returns `None` for a profile that nobody
    /// was offered.
    pub(crate) fn new(material: &KeyingMaterial, profile: SrtpProfile, is_client: bool) -> Option<Keys> {
        let suite = match profile {
            SrtpProfile::AEAD_AES_128_GCM => Suite::Gcm128,
            SrtpProfile::AEAD_AES_256_GCM => Suite::Gcm256,
            SrtpProfile::AES128_CM_SHA1_80 => Suite::Counter,
            _ => return None,
        };
        let (key_bytes, salt_bytes) = suite.lengths();
        let side = |index: usize| {
            let key = material.get(index * key_bytes..)?.get(..key_bytes)?;
            let mut salt = Zeroizing::new([0; SALT_BYTES]);
            salt[..salt_bytes]
                .copy_from_slice(material.get(2 * key_bytes + index * salt_bytes..)?.get(..salt_bytes)?);
            Some(Master { key: Zeroizing::new(key.to_vec()), salt })
        };
        let (client, server) = (side(0)?, side(1)?);
        let (ours, clients) = if is_client { (client, server) } else { (server, client) };
        Some(Keys { suite, ours, clients })
    }

    /// Returns what encrypts the RTP of ours.
    pub(crate) fn rtp_cipher(&self) -> Option<Cipher> {
        self.ours.derive(self.suite, Label::Rtp)?.cipher(self.suite)
    }

    /// Returns what encrypts the RTCP of ours and decrypts the client's.
    pub(crate) fn control_cipher(&self) -> Option<ControlCipher> {
        let [ours, clients] = [&self.ours, &self.clients].map(|master| master.derive(self.suite, Label::Rtcp));
        Some(ControlCipher { suite: self.suite, ours: ours?, clients: clients?, next: 0, newest: None })
    }
}

impl Master {
    /// Makes the keys of one kind of packet (RFC 3711 §4.3.1, RFC 7714 §11).
    fn derive(&self, suite: Suite, label: Label) -> Option<SessionKeys> {
        let algorithm = if self.key.len() == 16 { &cipher::AES_128 } else { &cipher::AES_256 };
        let generator = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, &self.key).ok()?).ok()?;
        let fill = |offset: u8, out: &mut [u8]| {
            let mut iv = [0; 16];
            iv[..SALT_BYTES].copy_from_slice(&*self.salt);
            iv[7] ^= label as u8 + offset;
            generator.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv))).ok().map(drop)
        };
        let (key_bytes, salt_bytes) = suite.lengths();
        let mut keys = SessionKeys::default();
        fill(0, &mut keys.key[..key_bytes])?;
        fill(1, &mut *keys.hmac)?;
        fill(2, &mut keys.salt[..salt_bytes])?;
        Some(keys)
    }
}

/// The keys of one kind of packet of one side.
#[derive(Default)]
struct SessionKeys {
    key: Zeroizing<[u8; KEY_BYTES_MAX]>,
    hmac: Zeroizing<[u8; HMAC_KEY_BYTES]>,
    salt: Zeroizing<[u8; SALT_BYTES]>,
}

impl SessionKeys {
    fn cipher(&self, suite: Suite) -> Option<Cipher> {
        let gcm = |algorithm, bytes: usize| {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &self.key[..bytes]).ok()?);
            let mut salt = [0; aead::NONCE_LEN];
            salt.copy_from_slice(&self.salt[..aead::NONCE_LEN]);
            Some(Cipher::Gcm { key, salt })
        };
        match suite {
            Suite::Gcm128 => gcm(&aead::AES_128_GCM, 16),
            Suite::Gcm256 => gcm(&aead::AES_256_GCM, 32),
            Suite::Counter => {
                let key = UnboundCipherKey::new(&cipher::AES_128, &self.key[..16]).ok()?;
                let hmac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.hmac);
                Some(Cipher::Counter(Box::new(Counter {
                    key: EncryptingKey::ctr(key).ok()?,
                    salt: *self.salt,
                    hmac,
                })))
            }
        }
    }
}

/// What encrypts and decrypts one kind of packet of one side.
pub(crate) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; aead::NONCE_LEN] },
    Counter(Box<Counter>),
}

/// AES in counter mode, and an HMAC.
pub(crate) struct Counter {
    key: EncryptingKey,
    salt: [u8; SALT_BYTES],
    hmac: hmac::Key,
}

impl Cipher {
    /// Returns how long the tag is, in bytes.
    #[inline]
    pub(super) fn tag_bytes(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => TAG_BYTES_MAX,
            Cipher::Counter(_) => HMAC_TAG_BYTES,
        }
    }

    /// Encrypts one packet of RTP: `packet` begins with its header and has room for `payload` and the tag behind that.
    /// `index` is its extended sequence number, which no other packet of this cipher has or had.
    #[inline]
    pub(super) fn seal(&self, (ssrc, index): (u32, u64), payload: &[u8], packet: &mut [u8]) -> Option<()> {
        let header_bytes = packet.len().checked_sub(payload.len() + self.tag_bytes())?;
        match self {
            Cipher::Gcm { key, salt } => {
                let (header, rest) = packet.split_at_mut(header_bytes);
                let (encrypted, tag) = rest.split_at_mut(payload.len());
                let nonce = gcm_nonce(salt, ssrc, index);
                key.seal_out_of_place_scatter(nonce, Aad::from(&*header), payload, encrypted, &[], tag).ok()
            }
            Cipher::Counter(counter) => {
                let end = header_bytes + payload.len();
                packet[header_bytes..end].copy_from_slice(payload);
                counter.apply(ssrc, index, &mut packet[header_bytes..end])?;
                // What is behind the packet when it is signed is not sent (RFC 3711 §4.2).
                let rollovers = (index >> 16) as u32;
                packet[end..end + 4].copy_from_slice(&rollovers.to_be_bytes());
                let tag = hmac::sign(&counter.hmac, &packet[..end + 4]);
                packet[end..].copy_from_slice(&tag.as_ref()[..HMAC_TAG_BYTES]);
                Some(())
            }
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Cipher {
    /// Decrypts in place what [`Cipher::seal`] made, with a header of so many bytes; returns the payload.
    pub(crate) fn open<'a>(
        &self,
        (ssrc, index): (u32, u64),
        header_bytes: usize,
        packet: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        match self {
            Cipher::Gcm { key, salt } => {
                let (header, encrypted) = packet.split_at_mut_checked(header_bytes)?;
                let nonce = gcm_nonce(salt, ssrc, index);
                key.open_in_place(nonce, Aad::from(&*header), encrypted).ok().map(|payload| &*payload)
            }
            Cipher::Counter(counter) => {
                let end = packet.len().checked_sub(HMAC_TAG_BYTES).filter(|&end| end >= header_bytes)?;
                let rollovers = ((index >> 16) as u32).to_be_bytes();
                let tag = hmac::sign(&counter.hmac, &[&packet[..end], &rollovers].concat());
                let is_signed = tag.as_ref()[..HMAC_TAG_BYTES] == packet[end..];
                let payload = &mut packet[header_bytes..end];
                counter.apply(ssrc, index, payload).filter(|()| is_signed).map(|()| &*payload)
            }
        }
    }
}

/// RFC 7714 §8.1; for RTCP, whose index is below 2^31, also §9.1.
#[inline]
fn gcm_nonce(salt: &[u8; aead::NONCE_LEN], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    mix(&mut nonce[2..6], &ssrc.to_be_bytes());
    mix(&mut nonce[6..], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

#[inline]
fn mix(into: &mut [u8], bytes: &[u8]) {
    into.iter_mut().zip(bytes).for_each(|(into, byte)| *into ^= byte);
}

impl Counter {
    /// Encrypts, or decrypts (RFC 3711 §4.1.1).
    fn apply(&self, ssrc: u32, index: u64, bytes: &mut [u8]) -> Option<()> {
        let mut iv = [0; 16];
        iv[..SALT_BYTES].copy_from_slice(&self.salt);
        mix(&mut iv[4..8], &ssrc.to_be_bytes());
        mix(&mut iv[8..SALT_BYTES], &index.to_be_bytes()[2..]);
        self.key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(iv))).ok().map(drop)
    }
}

/// How many packets one key is for (RFC 3711 §9.2).
const INDEXES: u64 = 1 << 48;

/// Which indexes of a stream were used, as far as packets may still be late.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// One more than the newest; the first bit stands for that, the second for the one before it.
    next: u64,
    used: u128,
}

impl Indexes {
    /// Takes an index, if it was not used and is not so old that this is forgotten.
    #[inline]
    pub(super) fn take(&mut self, index: u64) -> bool {
        if index >= INDEXES {
            return false;
        }
        if index >= self.next {
            let step = index + 1 - self.next;
            self.used =
                u32::try_from(step).ok().and_then(|step| self.used.checked_shl(step)).unwrap_or_default() | 1;
            self.next = index + 1;
            return true;
        }
        let bit = u32::try_from(self.next - 1 - index).ok().and_then(|age| 1_u128.checked_shl(age));
        let is_new = bit.is_some_and(|bit| self.used & bit == 0);
        self.used |= bit.unwrap_or_default();
        is_new
    }
}

/// What encrypts the reports to one client, and decrypts its own.
///
/// They are rare: what AES makes of a key is not kept from one to the next.
pub(crate) struct ControlCipher {
    suite: Suite,
    ours: SessionKeys,
    clients: SessionKeys,
    /// The index of the next report of ours.
    next: u32,
    /// That of the newest of the client's: it has sent no older one since, or somebody keeps those.
    newest: Option<u32>,
}

impl ControlCipher {
    /// Encrypts a compound packet of this synchronization source, in place; the end of it may be longer. `None` once 2^31
    /// were sent (RFC 3711 §9.2).
    pub(crate) fn seal(&mut self, ssrc: u32, packet: &mut Vec<u8>) -> Option<()> {
        let (index, cipher) = (self.next, self.ours.cipher(self.suite)?);
        if index >= IS_ENCRYPTED || packet.len() < rtcp::HEADER_BYTES {
            return None;
        }
        self.next += 1;
        let word = (index | IS_ENCRYPTED).to_be_bytes();
        let (header, plain) = packet.split_at_mut(rtcp::HEADER_BYTES);
        match cipher {
            Cipher::Gcm { key, salt } => {
                let aad = Aad::from(with_index(header, word));
                let nonce = gcm_nonce(&salt, ssrc, index.into());
                let tag = key.seal_in_place_separate_tag(nonce, aad, plain).ok()?;
                packet.extend(tag.as_ref());
                packet.extend(word);
            }
            Cipher::Counter(counter) => {
                counter.apply(ssrc, index.into(), plain)?;
                packet.extend(word);
                let tag = hmac::sign(&counter.hmac, packet);
                packet.extend(&tag.as_ref()[..HMAC_TAG_BYTES]);
            }
        }
        Some(())
    }

    /// Decrypts a compound packet of the client's, in place; `None` where it is not the client's, or not newer than the last
    /// one.
    pub(crate) fn open<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let cipher = self.clients.cipher(self.suite)?;
        let ssrc = u32::from_be_bytes(packet.get(4..rtcp::HEADER_BYTES)?.try_into().ok()?);
        let trailer = INDEX_BYTES + self.suite.tag_bytes();
        let end = packet.len().checked_sub(trailer).filter(|&end| end >= rtcp::HEADER_BYTES)?;
        let at = match self.suite {
            Suite::Gcm128 | Suite::Gcm256 => packet.len() - INDEX_BYTES,
            Suite::Counter => end,
        };
        let word: [u8; INDEX_BYTES] = packet[at..at + INDEX_BYTES].try_into().ok()?;
        let index = u32::from_be_bytes(word).checked_sub(IS_ENCRYPTED)?;
        if self.newest.is_some_and(|newest| index <= newest) {
            return None;
        }
        let (header, rest) = packet.split_at_mut(rtcp::HEADER_BYTES);
        let plain_bytes = end - rtcp::HEADER_BYTES;
        match cipher {
            Cipher::Gcm { key, salt } => {
                let aad = Aad::from(with_index(header, word));
                let encrypted = &mut rest[..plain_bytes + TAG_BYTES_MAX];
                key.open_in_place(gcm_nonce(&salt, ssrc, index.into()), aad, encrypted).ok()?;
            }
            Cipher::Counter(counter) => {
                let signed = &packet[..end + INDEX_BYTES];
                let tag = hmac::sign(&counter.hmac, signed);
                let given = &packet[end + INDEX_BYTES..];
                constant_time::verify_slices_are_equal(&tag.as_ref()[..HMAC_TAG_BYTES], given).ok()?;
                counter.apply(ssrc, index.into(), &mut packet[rtcp::HEADER_BYTES..end])?;
            }
        }
        self.newest = Some(index);
        Some(&packet[..end])
    }
}

/// What is signed besides what is encrypted (RFC 7714 §9.2).
fn with_index(header: &[u8], word: [u8; INDEX_BYTES]) -> [u8; rtcp::HEADER_BYTES + INDEX_BYTES] {
    let mut signed = [0; rtcp::HEADER_BYTES + INDEX_BYTES];
    signed[..rtcp::HEADER_BYTES].copy_from_slice(header);
    signed[rtcp::HEADER_BYTES..].copy_from_slice(&word);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn session_keys(key: &[u8], salt: &[u8]) -> SessionKeys {
        let mut keys = SessionKeys::default();
        keys.key[..key.len()].copy_from_slice(key);
        keys.salt[..salt.len()].copy_from_slice(salt);
        keys
    }

    /// Returns the keys of two sides of one session.
    fn pair(profile: SrtpProfile) -> [Keys; 2] {
        let material: Vec<u8> =
            (0..profile.keying_material_len() as u8).map(|byte| byte.wrapping_mul(91)).collect();
        let material = KeyingMaterial::new(&material);
        [true, false].map(|is_client| Keys::new(&material, profile, is_client).unwrap())
    }

    const PROFILES: [SrtpProfile; 3] =
        [SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AES128_CM_SHA1_80];

    /// RFC 3711 appendix B.3.
    #[test]
    fn derives_the_keys_of_the_rfc() {
        let mut salt = Zeroizing::new([0; SALT_BYTES]);
        salt.copy_from_slice(&bytes("0EC675AD498AFEEBB6960B3AABE6"));
        let master = Master { key: Zeroizing::new(bytes("E1F97A0D3E018BE0D64FA32C06DE4139")), salt };
        let keys = master.derive(Suite::Counter, Label::Rtp).unwrap();
        assert_eq!(keys.key[..16], bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.hmac[..], bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    /// RFC 3711 appendix B.2: the key stream of a session key and a session salt.
    #[test]
    fn encrypts_as_the_rfc_does_in_counter_mode() {
        let keys = session_keys(&bytes("2B7E151628AED2A6ABF7158809CF4F3C"), &bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let Some(Cipher::Counter(counter)) = keys.cipher(Suite::Counter) else { panic!("another cipher") };
        let mut stream = [0; 32];
        counter.apply(0, 0, &mut stream).unwrap();
        assert_eq!(stream[..], bytes("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"));
    }

    /// RFC 7714 §16.1.1 and §17.1.
    #[test]
    fn encrypts_as_the_rfc_does_in_galois_counter_mode() {
        let keys = || session_keys(&bytes("000102030405060708090a0b0c0d0e0f"), &bytes("517569642070726f2071756f"));
        let (header, payload) = (bytes("8040f17b8041f8d35501a0b2"), b"Gallia est omnis divisa in partes tres");
        let mut packet = [&header[..], &[0; 38 + 16]].concat();
        keys().cipher(Suite::Gcm128).unwrap().seal((0x5501_a0b2, 0xf17b), payload, &mut packet).unwrap();
        let encrypted = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
            899d7f27beb16a9152cf765ee4390cce";
        assert_eq!(packet, [header, bytes(encrypted)].concat());

        let mut report = bytes(
            "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        );
        let encrypted = bytes(
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b
             c84aa45896cf4d2fc5abf87245d9eade800005d4",
        );
        let mut control =
            ControlCipher { suite: Suite::Gcm128, ours: keys(), clients: keys(), next: 0x5d4, newest: None };
        let plain = report.clone();
        control.seal(0x4d61_7273, &mut report).unwrap();
        assert_eq!(report, encrypted);
        assert_eq!(control.open(&mut report).unwrap(), plain);
    }

    #[test]
    fn what_one_side_encrypts_the_other_decrypts_once() {
        for profile in PROFILES {
            let [mut ours, mut clients] = pair(profile).map(|keys| keys.control_cipher().unwrap());
            let plain: Vec<u8> = (0..60).collect();
            let mut sealed = Vec::new();
            for _ in 0..3 {
                let mut packet = plain.clone();
                ours.seal(0x0405_0607, &mut packet).unwrap();
                assert!(
                    packet.len() <= plain.len() + CONTROL_BYTES_MAX && packet[8..60] != plain[8..],
                    "{profile:?}"
                );
                sealed.push(packet);
            }
            assert_ne!(sealed[0][8..60], sealed[1][8..60], "{profile:?}: another index");
            for at in 0..sealed[1].len() {
                let mut broken = sealed[1].clone();
                broken[at] ^= 1;
                assert!(clients.open(&mut broken).is_none(), "{profile:?}: byte {at}");
            }
            for cut in 0..sealed[1].len() {
                assert!(clients.open(&mut sealed[1][..cut].to_vec()).is_none(), "{profile:?}: cut to {cut}");
            }
            let mut opened = |index: usize| clients.open(&mut sealed[index].clone()).map(<[u8]>::to_vec);
            let got = [1, 1, 0, 2].map(&mut opened);
            assert_eq!(got, [Some(plain.clone()), None, None, Some(plain.clone())], "{profile:?}");
            assert!(ours.open(&mut sealed[2].clone()).is_none(), "{profile:?}: it is our own");
        }
    }

    #[test]
    fn reports_end_before_their_index_comes_again() {
        let mut control = pair(PROFILES[0])[0].control_cipher().unwrap();
        control.next = IS_ENCRYPTED - 1;
        assert_eq!(control.seal(1, &mut vec![0; 8]), Some(()));
        assert_eq!(control.seal(1, &mut vec![0; 8]), None);
    }

    #[test]
    fn an_index_is_taken_once() {
        let mut indexes = Indexes::default();
        for (index, want) in [
            (5, true),
            (5, false),
            (4, true),
            (4, false),
            (0, true),
            (130, true),
            (130, false),
            (3, true),
            (2, false),
            (131, true),
            (4, false),
            (1000, true),
            (872, false),
            (873, true),
            (873, false),
            (1 << 40, true),
            (1000, false),
            ((1 << 40) - 1, true),
            (1 << 40, false),
            (INDEXES - 1, true),
            (INDEXES, false),
        ] {
            assert_eq!(indexes.take(index), want, "{index}");
        }
    }

    #[test]
    fn the_indexes_of_a_rollover_have_nonces_of_their_own() {
        for profile in PROFILES {
            let cipher = pair(profile)[0].rtp_cipher().unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for index in [0, 1, 0xffff, 0x1_0000, 0x1_0001, 0x1_ffff, 0xffff_ffff, 0x1_0000_0000, (1 << 48) - 1] {
                let mut packet = vec![0; 12 + 20 + cipher.tag_bytes()];
                cipher.seal((7, index), &[0; 20], &mut packet).unwrap();
                assert!(seen.insert(packet), "{profile:?}: {index:#x}");
            }
            assert!(cipher.seal((7, 2), &[0; 20], &mut [0; 12]).is_none(), "no room");
        }
    }
}
