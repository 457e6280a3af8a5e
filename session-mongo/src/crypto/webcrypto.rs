//! `createWebCryptoAdapter` of connect-mongo 6.
//!
//! The stored text encodes the initialisation vector, then the encrypted JSON, and with GCM the
//! tag.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use aes::Aes256;
use aes_gcm::aead::Aead;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{AesGcm, KeyInit};
use async_trait::async_trait;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use pbkdf2::pbkdf2_hmac;
use session_core::Result;
use sha2::Sha256;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{Crypto, Encoding, Key, compute, corrupt, random, secret, too_large};

const SALT: &[u8] = b"connect-mongo:webcrypto-default-salt";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(310_000).expect("it is not zero");

/// The cipher: `algorithm` and `ivLength` in `createWebCryptoAdapter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// `AES-GCM` with an `ivLength` of 12, the default.
    #[default]
    AesGcm,
    /// `AES-GCM` with an `ivLength` of 16.
    AesGcm16,
    /// `AES-CBC` with an `ivLength` of 16. It is not authenticated: an attacker who can write to
    /// the database can change the decrypted session.
    AesCbc,
}

/// The encryption of `createWebCryptoAdapter` of connect-mongo 6, with the same defaults.
///
/// The key is derived at its first use, which takes some tenths of a second, and then kept. Key and
/// secret are zeroised on drop and redacted in `Debug`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_mongo::Result<()> {
/// use session_mongo::crypto::{Crypto, Encoding, WebCrypto};
///
/// // createWebCryptoAdapter({ secret: 'the secret of both', encoding: 'hex' })
/// let crypto = WebCrypto::new("the secret of both")?.encoding(Encoding::Hex);
/// let stored = crypto.encrypt(r#"{"name":"Napoleon"}"#).await?;
/// assert_eq!(crypto.decrypt(&stored).await?, r#"{"name":"Napoleon"}"#);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct WebCrypto {
    secret: Zeroizing<Vec<u8>>,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    key: Arc<OnceCell<Key>>,
}

impl WebCrypto {
    /// Takes connect-mongo's `secret`, text or bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if it is empty.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self {
            secret: self::secret(secret.as_ref())?,
            salt: SALT.to_vec(),
            iterations: ITERATIONS,
            algorithm: Algorithm::default(),
            encoding: Encoding::default(),
            key: Arc::default(),
        })
    }

    /// Sets the cipher. connect-mongo: `algorithm` and `ivLength`; default AES-GCM and 12.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the encoding of the text. connect-mongo: `encoding`; default base64.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets the salt, text or bytes. connect-mongo: `salt`; default
    /// `connect-mongo:webcrypto-default-salt`.
    pub fn salt(mut self, salt: impl AsRef<[u8]>) -> Self {
        self.salt = salt.as_ref().to_vec();
        self.key = Arc::default();
        self
    }

    /// Sets the iterations of PBKDF2. connect-mongo: `iterations`; default 310,000.
    pub fn iterations(mut self, iterations: NonZeroU32) -> Self {
        self.iterations = iterations;
        self.key = Arc::default();
        self
    }

    async fn key(&self) -> Result<&Key> {
        let derive = || {
            let (secret, salt) = (self.secret.clone(), self.salt.clone());
            let iterations = self.iterations.get();
            compute(move || {
                let mut key = Key([0; 32]);
                pbkdf2_hmac::<Sha256>(&secret, &salt, iterations, &mut key.0);
                key
            })
        };
        self.key.get_or_try_init(derive).await
    }
}

impl Algorithm {
    /// Returns the initialisation vector and the encrypted `text`.
    fn encrypt(self, key: &Key, text: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::AesGcm => {
                let iv = random::<12>();
                let cipher = AesGcm::<Aes256, U12>::new(&key.0.into());
                [&iv, cipher.encrypt(&iv.into(), text).ok()?.as_slice()].concat()
            }
            Self::AesGcm16 => {
                let iv = random::<16>();
                let cipher = AesGcm::<Aes256, U16>::new(&key.0.into());
                [&iv, cipher.encrypt(&iv.into(), text).ok()?.as_slice()].concat()
            }
            Self::AesCbc => {
                let iv = random::<16>();
                let cipher = cbc::Encryptor::<Aes256>::new(&key.0.into(), &iv.into());
                let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(text);
                [&iv, encrypted.as_slice()].concat()
            }
        })
    }

    fn decrypt(self, key: &Key, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::AesGcm => {
                let (iv, encrypted) = bytes.split_first_chunk::<12>()?;
                let cipher = AesGcm::<Aes256, U12>::new(&key.0.into());
                cipher.decrypt(iv.into(), encrypted).ok()
            }
            Self::AesGcm16 => {
                let (iv, encrypted) = bytes.split_first_chunk::<16>()?;
                let cipher = AesGcm::<Aes256, U16>::new(&key.0.into());
                cipher.decrypt(iv.into(), encrypted).ok()
            }
            Self::AesCbc => {
                let (iv, encrypted) = bytes.split_first_chunk::<16>()?;
                let cipher = cbc::Decryptor::<Aes256>::new(&key.0.into(), iv.into());
                cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
            }
        }
    }
}

#[async_trait]
impl Crypto for WebCrypto {
    async fn encrypt(&self, text: &str) -> Result<String> {
        let encrypted = self.algorithm.encrypt(self.key().await?, text.as_bytes());
        let encrypted = encrypted.ok_or_else(|| too_large(text.len()))?;
        Ok(self.encoding.encode(&encrypted))
    }

    async fn decrypt(&self, text: &str) -> Result<String> {
        let bytes = self.encoding.decode(text).ok_or_else(corrupt)?;
        let decrypted = self.algorithm.decrypt(self.key().await?, &bytes);
        let decrypted = decrypted.ok_or_else(corrupt)?;
        String::from_utf8(decrypted).map_err(|_| corrupt())
    }
}

impl fmt::Debug for WebCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebCrypto")
            .field("algorithm", &self.algorithm)
            .field("encoding", &self.encoding)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}
