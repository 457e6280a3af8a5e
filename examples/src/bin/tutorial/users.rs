//! The two users of the site, and their passwords.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// Who may sign in, and by which password. The site's pages tell, for it is a tutorial.
pub(crate) const USERS: [(&str, &str); 2] =
    [("ada", "analytical engine"), ("bob", "built of cardboard")];

/// The fewest characters of a password that is all a user needs (NIST SP 800-63B-4 §3.1.1.2).
pub(crate) const SHORTEST: usize = 15;

/// The most bytes that are hashed.
pub(crate) const LONGEST: usize = 1_000;

// code: users
/// The users' passwords, hashed by Argon2id. A real site keeps them in its database.
pub(crate) struct Users {
    hashes: Mutex<BTreeMap<String, String>>,
    /// Of no user: what the password of an unknown name is compared with.
    nobody: String,
}

impl Users {
    pub(crate) fn new() -> Result<Self, String> {
        let hashes = USERS.map(|(name, password)| Ok((name.to_owned(), hash(password)?)));
        Ok(Self {
            hashes: Mutex::new(hashes.into_iter().collect::<Result<_, String>>()?),
            nobody: hash("nobody has this password")?,
        })
    }

    /// The id of the account with this name, if this is its password; here it is the name. It takes
    /// as long for an unknown name, so the time does not tell which names there are.
    pub(crate) async fn account(&self, name: &str, password: String) -> Option<String> {
        let found = self
            .lock()
            .get_key_value(name)
            .map(|(id, hash)| (id.clone(), hash.clone()));
        let (id, hash) = found.unzip();
        let hash = hash.unwrap_or(self.nobody.clone());
        // Hashing takes long on purpose, and other requests go on meanwhile.
        let verified = tokio::task::spawn_blocking(move || {
            let verified = Argon2::default().verify_password(password.as_bytes(), hash.as_str());
            password.len() <= LONGEST && verified.is_ok()
        })
        .await;
        id.filter(|_| verified.unwrap_or(false))
    }

    pub(crate) async fn set_password(&self, name: &str, password: String) -> Result<(), String> {
        let hashed = tokio::task::spawn_blocking(move || hash(&password));
        let hashed = hashed.await.map_err(|error| error.to_string())??;
        self.lock().insert(name.to_owned(), hashed);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(password: &str) -> Result<String, String> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}
// end
