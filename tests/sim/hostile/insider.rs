//! A client that signs what it likes: what no page sends, but whoever may open a session can.
//!
//! It learns the session keys from the cryptography that its own library is given (RFC 3711, RFC 7714).

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use stage::scene::is_rtcp;
use str0m::config::CryptoProvider;
use str0m::crypto::{
    AeadAes256GcmCipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm,
    SupportedAes128CmSha1_80,
};

thread_local! {
    /// The last key with which this thread's client sealed RTP, and RTCP.
    static SEALED: RefCell<[Option<Key>; 2]> = const { RefCell::new([None, None]) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    key: [u8; 32],
    salt: [u8; 12],
}

/// Returns a cryptography that tells the keys of the client that it is given to.
pub fn crypto() -> Arc<CryptoProvider> {
    SEALED.take();
    Arc::new(CryptoProvider { srtp_provider: &Telling, ..str0m::crypto::from_feature_flags() })
}

/// What the client can sign: packets once its session has sent one, reports once it has sent one.
pub struct Insider {
    rtp: Option<Key>,
    rtcp: Option<Key>,
}

impl Insider {
    pub fn new() -> Insider {
        let [rtp, rtcp] = SEALED.take();
        Insider { rtp, rtcp }
    }

    /// Signs a packet of which `header_len` bytes are the header, as the first 65,536 of a session are signed.
    pub fn seal_rtp(&self, packet: &[u8], header_len: usize) -> Vec<u8> {
        let (header, payload) = packet.split_at(header_len);
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&header[8..12]);
        nonce[10..12].copy_from_slice(&header[2..4]);
        [header, &self.rtp.expect("it sent a packet").seal(nonce, header, payload)].concat()
    }

    /// Signs a report.
    pub fn seal_rtcp(&self, report: &[u8], index: u32) -> Vec<u8> {
        let (header, rest) = report.split_at(8);
        let index = (index | 1 << 31).to_be_bytes();
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&header[4..8]);
        nonce[8..12].copy_from_slice(&index);
        nonce[8] &= 0x7f;
        let sealed = self.rtcp.expect("it sent a report").seal(nonce, &[header, &index].concat(), rest);
        [header, &sealed, &index].concat()
    }
}

impl Key {
    /// Returns the text encrypted, with its tag.
    fn seal(&self, nonce: [u8; 12], signed: &[u8], text: &[u8]) -> Vec<u8> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.key).unwrap());
        let nonce = Nonce::assume_unique_for_key(xor(nonce, self.salt));
        let mut sealed = text.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(signed), &mut sealed).unwrap();
        sealed
    }
}

fn xor(mut left: [u8; 12], right: [u8; 12]) -> [u8; 12] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

#[derive(Debug)]
struct Telling;

/// What the library has.
fn real() -> &'static dyn SrtpProvider {
    str0m::crypto::from_feature_flags().srtp_provider
}

impl SrtpProvider for Telling {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        real().aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        real().aead_aes_128_gcm()
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Telling
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        real().srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        real().srtp_aes_256_ecb_round(key, input, output);
    }
}

impl SupportedAeadAes256Gcm for Telling {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(TellingCipher { key, inner: real().aead_aes_256_gcm().create_cipher(key, encrypt) })
    }
}

#[derive(Debug)]
struct TellingCipher {
    key: [u8; 32],
    inner: Box<dyn AeadAes256GcmCipher>,
}

impl AeadAes256GcmCipher for TellingCipher {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        // What the nonce is made of besides the salt is signed (RFC 7714 sections 8.1 and 9.1).
        let mut nonce = [0; 12];
        if is_rtcp(aad) {
            nonce[2..6].copy_from_slice(&aad[4..8]);
            nonce[8..12].copy_from_slice(&aad[8..12]);
            nonce[8] &= 0x7f;
        } else {
            nonce[2..6].copy_from_slice(&aad[8..12]);
            nonce[10..12].copy_from_slice(&aad[2..4]);
        }
        let key = Key { key: self.key, salt: xor(nonce, *iv) };
        SEALED.with_borrow_mut(|sealed| {
            let before = sealed[usize::from(is_rtcp(aad))].replace(key);
            assert!(before.is_none_or(|before| before == key), "the nonce is made otherwise");
        });
        self.inner.encrypt(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.inner.decrypt(iv, aads, input, output)
    }
}
