//! Sessions of the pages: who logged in with a token, and how a form proves that it is theirs. They live in this process alone
//! and end with it; what a session may do is its token's, asked anew with each request, so that a revoked token ends it at once.
//! It refuses more than a number of log-ins of one client address that fail in a minute, and to keep anything that a cookie could be made from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions at once; the oldest one ends for a new one.
pub const SESSIONS_MAX: usize = 1_000;
/// How long a session lasts.
pub const SESSION_TIME_MAX: Duration = Duration::from_hours(12);
/// Log-ins of one client address that may fail in a minute; then nobody logs in from there until it is over.
pub const LOGINS_PER_MINUTE_MAX: usize = 10;
/// Failed log-ins that are remembered; the oldest ones make room, so that many addresses cost no memory.
const FAILED_MAX: usize = 10_000;
/// Links that log in once, and have not yet.
const LINKS_MAX: usize = 16;
/// Random bytes of a cookie, a CSRF token and a link.
const SECRET_BYTES: usize = 32;
const MINUTE: Duration = Duration::from_mins(1);

/// A session as the pages see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// What the person showed.
    pub token: String,
    /// What every form of this session carries.
    pub csrf: String,
    key: [u8; 32],
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").finish_non_exhaustive()
    }
}

struct Kept {
    token: String,
    csrf: String,
    until: Instant,
}

#[derive(Default)]
struct Inside {
    /// By the SHA-256 of the cookie.
    sessions: BTreeMap<[u8; 32], Kept>,
    order: VecDeque<[u8; 32]>,
    /// Links that log in once: the SHA-256 of their secret, and the token.
    links: VecDeque<([u8; 32], String)>,
    /// The oldest first.
    failed: VecDeque<(Instant, Client)>,
}

/// Where a request came from. Of an IPv6 address its network: whoever has one address of it has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(IpAddr);

impl Client {
    /// The client at an address.
    pub fn at(address: IpAddr) -> Self {
        /// The bits of an IPv6 address that name its network.
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & NETWORK).into()),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// See the module's documentation.
#[derive(Default)]
pub struct Sessions {
    inside: Mutex<Inside>,
}

impl Sessions {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session with a token that was checked; yields what the cookie holds. None where the system gives no random bytes.
    pub fn begin(&self, token: String, now: Instant) -> Option<String> {
        let (cookie, csrf) = (secret()?, secret()?);
        let key = digest(&cookie);
        let mut inside = self.inside();
        let until = now + SESSION_TIME_MAX;
        inside.sessions.insert(key, Kept { token, csrf, until });
        inside.order.push_back(key);
        while inside.order.len() > SESSIONS_MAX {
            if let Some(oldest) = inside.order.pop_front() {
                inside.sessions.remove(&oldest);
            }
        }
        Some(cookie)
    }

    /// The session of a cookie, if it lasts.
    pub fn of(&self, cookie: &str, now: Instant) -> Option<Session> {
        let key = digest(cookie);
        let mut inside = self.inside();
        let kept = inside.sessions.get(&key)?;
        if now >= kept.until {
            inside.end(&key);
            return None;
        }
        Some(Session {
            token: kept.token.clone(),
            csrf: kept.csrf.clone(),
            key,
        })
    }

    /// Ends a session.
    pub fn end(&self, session: &Session) {
        self.inside().end(&session.key);
    }

    /// A secret that logs in once with this token.
    pub fn link(&self, token: String) -> Option<String> {
        let link = secret()?;
        let mut inside = self.inside();
        inside.links.push_back((digest(&link), token));
        if inside.links.len() > LINKS_MAX {
            inside.links.pop_front();
        }
        Some(link)
    }

    /// The token of such a secret, which is used up by this.
    pub fn follow_link(&self, link: &str) -> Option<String> {
        let key = digest(link);
        let mut inside = self.inside();
        let place = inside.links.iter().position(|(known, _)| *known == key)?;
        inside.links.remove(place).map(|(_, token)| token)
    }

    /// Whether a client may try to log in now; otherwise how long it must wait.
    pub fn may_try(&self, client: Client, now: Instant) -> Result<(), Duration> {
        let mut inside = self.inside();
        inside.forget_old(now);
        let own = inside.failed.iter().rev();
        let mut own = own.filter(|(_, other)| *other == client);
        match own.nth(LOGINS_PER_MINUTE_MAX - 1) {
            Some((first, _)) => Err((*first + MINUTE).saturating_duration_since(now)),
            None => Ok(()),
        }
    }

    /// A log-in of a client failed.
    pub fn failed(&self, client: Client, now: Instant) {
        let mut inside = self.inside();
        inside.forget_old(now);
        inside.failed.push_back((now, client));
        if inside.failed.len() > FAILED_MAX {
            inside.failed.pop_front();
        }
    }
}

impl Inside {
    fn end(&mut self, key: &[u8; 32]) {
        self.sessions.remove(key);
        self.order.retain(|other| other != key);
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .failed
            .front()
            .is_some_and(|(at, _)| *at + MINUTE <= now)
        {
            self.failed.pop_front();
        }
    }
}

/// Whether two texts are the same; takes as long wherever they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (digest(one), digest(other));
    let pairs = one.iter().zip(&other);
    pairs.fold(0, |seen, (left, right)| {
        std::hint::black_box(seen | (left ^ right))
    }) == 0
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// A random text that nobody can guess.
pub(super) fn secret() -> Option<String> {
    crate::app::random::<SECRET_BYTES>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a text has the form of such a text.
pub(super) fn is_secret(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == SECRET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_until_its_end_and_not_longer() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = sessions.begin("alk_1".to_owned(), now).unwrap();
        assert_eq!(cookie.len(), 43);
        let session = sessions.of(&cookie, now).unwrap();
        assert_eq!(session.token, "alk_1");
        assert_ne!(session.csrf, cookie);
        assert_eq!(sessions.of("other", now), None);
        assert!(sessions.of(&cookie, now + SESSION_TIME_MAX / 2).is_some());
        assert_eq!(sessions.of(&cookie, now + SESSION_TIME_MAX), None);
        assert_eq!(sessions.of(&cookie, now), None);
    }

    #[test]
    fn who_logs_out_is_out() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = sessions.begin("alk_1".to_owned(), now).unwrap();
        sessions.end(&sessions.of(&cookie, now).unwrap());
        assert_eq!(sessions.of(&cookie, now), None);
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin("alk_1".to_owned(), now).unwrap();
        for _ in 0..SESSIONS_MAX {
            sessions.begin("alk_2".to_owned(), now).unwrap();
        }
        assert_eq!(sessions.of(&first, now), None);
    }

    #[test]
    fn a_link_logs_in_once() {
        let sessions = Sessions::default();
        let link = sessions.link("alk_1".to_owned()).unwrap();
        assert_eq!(sessions.follow_link("other"), None);
        assert_eq!(sessions.follow_link(&link), Some("alk_1".to_owned()));
        assert_eq!(sessions.follow_link(&link), None);
    }

    #[test]
    fn after_ten_failures_of_an_address_nobody_logs_in_from_there_for_a_minute() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let at = |text: &str| Client::at(text.parse().unwrap());
        let client = at("192.0.2.1");
        for _ in 0..LOGINS_PER_MINUTE_MAX {
            assert_eq!(sessions.may_try(client, now), Ok(()));
            sessions.failed(client, now);
        }
        let later = now + Duration::from_secs(20);
        for same in [client, at("::ffff:192.0.2.1")] {
            assert_eq!(sessions.may_try(same, later), Err(Duration::from_secs(40)));
        }
        // Who is elsewhere is held up by nobody.
        assert_eq!(sessions.may_try(at("192.0.2.2"), later), Ok(()));
        assert_eq!(sessions.may_try(client, now + MINUTE), Ok(()));
        assert_eq!(at("2001:db8:0:1::5"), at("2001:db8:0:1:ffff::"));
        assert_ne!(at("2001:db8:0:1::5"), at("2001:db8:0:2::5"));
    }

    #[test]
    fn many_addresses_cost_no_more_than_a_limit() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..20_000_u32 {
            sessions.failed(Client::at(IpAddr::V4(number.into())), now);
        }
        assert_eq!(sessions.inside().failed.len(), FAILED_MAX);
    }

    #[test]
    fn a_session_never_shows_its_token_in_debug_output() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = sessions.begin("alk_secret".to_owned(), now).unwrap();
        let shown = format!("{:?}", sessions.of(&cookie, now).unwrap());
        assert!(!shown.contains("secret"));
    }
}
