//! Tokens of the API: who may do what, to which DAGs and until when. A secret is shown once and never kept: the store has its
//! SHA-256 alone. It refuses to know HTTP; which role a request needs is the API's to say.

use super::App;
use super::reach::{Reach, TokenLimits};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{decode_row, encode_row};
use crate::secrets::random;
use crate::store::{Commit, CommitError, RowWrite, Table, hex};
use crate::tracking::{Actor, ActorKind, AuditEvent};
use airlock_core::dag::nearest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The most tokens of a data folder.
pub const TOKENS_MAX: usize = 1_000;
/// The longest name of a token, bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 64;
/// What every token begins with, so that a scanner for leaked secrets knows one.
const MARK: &str = "alk_";
/// Key prefix of tokens in `Table::State`.
const PREFIX: &[u8] = b"token\0";
/// Bytes of the part that finds the row, and of the part that proves it.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read.
    Viewer,
    /// Log runs and artifacts, register versions.
    Operator,
    /// Decide which version of a model is in use.
    Author,
    /// Everything.
    Admin,
}

impl Role {
    const NAMES: [(&str, Self); 4] = [
        ("viewer", Self::Viewer),
        ("operator", Self::Operator),
        ("author", Self::Author),
        ("admin", Self::Admin),
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, role)| role == self);
        out.write_str(name.map_or("", |(name, _)| name))
    }
}

/// A token as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    /// Whoever uses it is called so in the audit trail.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The DAGs that it reaches, by patterns; empty: everything.
    pub dags: Vec<String>,
    /// From when on nobody gets in with it.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// A token that was just made. Its secret is nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewToken {
    /// As lists show it.
    #[serde(flatten)]
    pub row: TokenRow,
    /// What its owner sends.
    pub token: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NewToken")
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

/// Whose token a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As the audit trail names them.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// To what.
    pub reach: Reach,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    role: Role,
    #[serde(default)]
    dags: Vec<String>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    /// SHA-256 of the secret part.
    sha256: [u8; 32],
    created_at: Timestamp,
    created_by: String,
}

impl From<Stored> for TokenRow {
    fn from(stored: Stored) -> Self {
        Self {
            name: stored.name,
            role: stored.role,
            dags: stored.dags,
            expires_at: stored.expires_at,
            created_at: stored.created_at,
            created_by: stored.created_by,
        }
    }
}

impl App {
    /// Makes a token, durably. The name must be free, or its token expired.
    pub fn create_token(
        &self,
        by: &str,
        name: &str,
        role: Role,
        limits: TokenLimits,
    ) -> Result<NewToken, UserError> {
        check_name(name)?;
        limits.check()?;
        self.forget_expired(by, name)?;
        let rows = self
            .store
            .scan(Table::State, PREFIX, None, TOKENS_MAX)?
            .len();
        if rows >= TOKENS_MAX {
            let message = format!("there are {TOKENS_MAX} tokens, and there may be no more");
            return Err(UserError::new(ErrorKind::Usage, message)
                .hint("`airlock tokens revoke NAME` takes one away"));
        }
        let secret: [u8; SECRET_BYTES] = random()
            .ok_or_else(|| UserError::new(ErrorKind::Bug, "the system gives no random bytes"))?;
        let secret = hex(&secret);
        let stored = Stored {
            name: name.to_owned(),
            role,
            dags: limits.dags,
            expires_at: limits.expires_at,
            sha256: Sha256::digest(secret.as_bytes()).into(),
            created_at: Timestamp::now(),
            created_by: by.to_owned(),
        };
        let value = Some(encode_row(&stored)?);
        let to = json!({"role": role, "dags": stored.dags, "expires_at": stored.expires_at});
        if self.change_token(by, name, value, (Value::Null, to))? {
            return Ok(NewToken {
                token: format!("{MARK}{}_{secret}", token_id(name)),
                row: stored.into(),
            });
        }
        let message = format!("a token is called {name:?} already");
        Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
            "give another name, or take it away with `airlock tokens revoke {name}`"
        )))
    }

    /// Every token, by name.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, UserError> {
        let rows = self.store.scan(Table::State, PREFIX, None, TOKENS_MAX)?;
        let stored = rows.iter().map(|row| decode_row::<Stored>(&row.value));
        let mut tokens: Vec<TokenRow> = stored
            .map(|stored| Ok(stored?.into()))
            .collect::<Result<_, UserError>>()?;
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tokens)
    }

    /// Takes a token away: from now on nobody gets in with it.
    pub fn revoke_token(&self, by: &str, name: &str) -> Result<(), UserError> {
        let tokens = self.tokens()?;
        let found = tokens.iter().find(|token| token.name == name);
        let revoked = match found {
            Some(token) => {
                let from = json!({"role": token.role});
                self.change_token(by, name, None, (from, Value::Null))?
            }
            None => false,
        };
        if revoked {
            return Ok(());
        }
        let names = tokens.iter().map(|token| token.name.as_str());
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`airlock tokens list` shows what there is".to_owned(),
        };
        Err(UserError::new(ErrorKind::NotFound, format!("no token is called {name:?}")).hint(hint))
    }

    /// Whose token this is; none where it is nobody's.
    pub fn caller(&self, token: &str) -> Result<Option<Caller>, UserError> {
        let parts = token
            .strip_prefix(MARK)
            .and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts.filter(|(id, _)| id.len() == 2 * ID_BYTES) else {
            return Ok(None);
        };
        let Some(row) = self.store.get(Table::State, &key(id))? else {
            return Ok(None);
        };
        let stored: Stored = decode_row(&row.value)?;
        let shown: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let is_valid = is_same(&shown, &stored.sha256) && !is_over(&stored, Timestamp::now());
        Ok(is_valid.then(|| Caller {
            actor: user(&stored.name),
            role: stored.role,
            reach: Reach::of(stored.dags),
        }))
    }

    /// Makes room for a new token where the one with its name has expired.
    fn forget_expired(&self, by: &str, name: &str) -> Result<(), UserError> {
        let Some(row) = self.store.get(Table::State, &key(&token_id(name)))? else {
            return Ok(());
        };
        let old: Stored = decode_row(&row.value)?;
        if is_over(&old, Timestamp::now()) {
            let from = json!({"role": old.role, "expires_at": old.expires_at});
            self.change_token(by, name, None, (from, Value::Null))?;
        }
        Ok(())
    }

    /// Writes (where there is none) or removes (where there is one) the row of a name, with its line in the audit trail.
    /// False where it was not as expected.
    fn change_token(
        &self,
        by: &str,
        name: &str,
        value: Option<Vec<u8>>,
        (from, to): (Value, Value),
    ) -> Result<bool, UserError> {
        let (action, expect) = match value {
            Some(_) => ("token.create", 0),
            None => match self.store.get(Table::State, &key(&token_id(name)))? {
                Some(row) => ("token.revoke", row.version),
                None => return Ok(false),
            },
        };
        let event = AuditEvent {
            at_ms: Timestamp::now().as_millisecond(),
            actor: user(by),
            action: action.to_owned(),
            subject: format!("token/{name}"),
            from,
            to,
        };
        let write = RowWrite {
            key: key(&token_id(name)),
            expect: Some(expect),
            value,
        };
        let commit = Commit {
            rows: vec![(Table::State, write)],
            ..event.commit()?
        };
        match self.store.commit(commit) {
            Ok(_) => Ok(true),
            Err(CommitError::WrongVersion { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_over(token: &Stored, now: Timestamp) -> bool {
    token.expires_at.is_some_and(|end| end <= now)
}

fn user(name: &str) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: name.to_owned(),
    }
}

/// The public part of the token called `name`: a name has one row.
fn token_id(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    hex(hash.get(..ID_BYTES).unwrap_or_default())
}

fn key(id: &str) -> Vec<u8> {
    [PREFIX, id.as_bytes()].concat()
}

/// Takes as long wherever they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let pairs = one.iter().zip(other);
    let differing = pairs.fold(0, |seen, (left, right)| {
        std::hint::black_box(seen | (left ^ right))
    });
    differing == 0
}

/// Plain names only: they stand in the audit trail and in people's commands.
fn check_name(name: &str) -> Result<(), UserError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !name.is_empty() && name.len() <= TOKEN_NAME_BYTES_MAX && name.bytes().all(is_plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(TOKEN_NAME_BYTES_MAX).collect();
    let message = format!("{shown:?} is no name of a token");
    Err(UserError::new(ErrorKind::Usage, message).hint(format!(
        "letters, digits and `-_.@`, at most {TOKEN_NAME_BYTES_MAX} of them"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roles_are_ordered_and_stored_as_they_are_shown() {
        for pair in Role::NAMES.windows(2) {
            assert!(pair[0].1 < pair[1].1);
        }
        for (name, role) in Role::NAMES {
            assert_eq!(role.to_string(), name);
            assert_eq!(serde_json::from_value::<Role>(json!(name)).unwrap(), role);
        }
    }

    #[test]
    fn a_new_token_never_shows_its_secret_in_debug_output() {
        let row = TokenRow {
            name: "ci".to_owned(),
            role: Role::Viewer,
            dags: Vec::new(),
            expires_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "me".to_owned(),
        };
        let token = "alk_secret".to_owned();
        assert!(!format!("{:?}", NewToken { row, token }).contains("secret"));
    }

    proptest! {
        #[test]
        fn equal_digests_are_those_without_a_differing_bit(one in any::<[u8; 32]>(), byte in 0..32_usize, bit in 0..8_u32) {
            let mut other = one;
            prop_assert!(is_same(&one, &other));
            other[byte] ^= 1 << bit;
            prop_assert!(!is_same(&one, &other));
        }
    }
}
