//! A connection, and the two ways in which Airflow writes one: as a URI and as JSON. It refuses to quote a password in an error.

use super::mask::{HIDDEN, hide_extra};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A connection as Airflow's JSON has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Kind, for example `http`.
    pub conn_type: String,
    /// Free text.
    pub description: Option<String>,
    /// User name.
    pub login: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Database or path.
    pub schema: Option<String>,
    /// Anything else: an object, or null. A text that holds one is read as it.
    pub extra: Value,
}

impl Connection {
    /// From a URI, or from a JSON object.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('{') {
            let value = serde_json::from_str(text);
            return Self::from_json(value.map_err(|_| "it is no JSON object")?);
        }
        Self::from_uri(text)
    }

    /// From a JSON object, or from a JSON text that holds a URI or an object.
    pub fn from_json(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(&text),
            Value::Object(mut members) => {
                // Airflow's exports name it, and its key names it already.
                members.remove("conn_id");
                members.remove("is_encrypted");
                members.remove("is_extra_encrypted");
                if let Some(port @ Value::String(_)) = members.get_mut("port") {
                    let number = port.as_str().and_then(|text| text.parse::<u16>().ok());
                    *port = number.map_or(Value::Null, Value::from);
                }
                let mut connection: Self =
                    serde_json::from_value(Value::Object(members)).map_err(|error| match error
                        .to_string()
                    {
                        text if text.starts_with("unknown field") => text,
                        _ => "a member has the wrong type: port is a number from 0 to 65535, extra an object, the rest are texts".to_owned(),
                    })?;
                connection.extra = extra(connection.extra)?;
                connection.checked()
            }
            _ => Err("it is neither a URI nor a JSON object".to_owned()),
        }
    }

    /// Airflow's form: `type://login:password@host:port/schema?member=value`, percent-encoded; `__extra__` holds a JSON object.
    pub fn from_uri(uri: &str) -> Result<Self, String> {
        let (conn_type, rest) = uri
            .split_once("://")
            .ok_or("a URI begins with the connection's type, as in postgres://user:password@host:5432/schema")?;
        // `http://https://host` is how Airflow writes a host with a scheme of its own.
        let (scheme, rest) = match rest.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['@', '/', '?', ':']) => (Some(scheme), rest),
            _ => (None, rest),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address)?;
        let (login, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((login, password)) => (decoded(login)?, decoded(password)?),
            None => (None, None),
        };
        let host = decoded(host)?;
        Self {
            conn_type: conn_type.replace('-', "_"),
            description: None,
            login,
            password,
            host: match scheme {
                Some(scheme) => Some(format!("{scheme}://{}", host.unwrap_or_default())),
                None => host,
            },
            port,
            schema: decoded(path)?,
            extra: query_extra(query)?,
        }
        .checked()
    }

    fn checked(mut self) -> Result<Self, String> {
        if self.conn_type == "postgresql" {
            "postgres".clone_into(&mut self.conn_type);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+');
        if self.conn_type.is_empty() || !self.conn_type.bytes().all(plain) {
            return Err(
                "conn_type is needed, of ASCII letters, digits and '_', for example http"
                    .to_owned(),
            );
        }
        Ok(self)
    }

    /// A member of `extra`, also under the long name (`extra__TYPE__NAME`) that older exports of Airflow have; null and an empty text
    /// are none.
    pub fn extra(&self, name: &str) -> Option<&Value> {
        let long = format!("extra__{}__{name}", self.conn_type);
        let member = self.extra.get(name).or_else(|| self.extra.get(&long))?;
        let empty = member.is_null() || member.as_str() == Some("");
        (!empty).then_some(member)
    }

    /// The same as text: a number, a truth value, an object or a list as JSON.
    pub fn text(&self, name: &str) -> Option<String> {
        let member = self.extra(name)?;
        let text = member.as_str().map(str::to_owned);
        Some(text.unwrap_or_else(|| member.to_string()))
    }

    /// The same for showing: no password, no secret in `extra`.
    #[must_use]
    pub fn masked(&self) -> Self {
        Self {
            password: self.password.as_ref().map(|_| HIDDEN.to_owned()),
            extra: hide_extra(&self.extra),
            ..self.clone()
        }
    }
}

fn extra(value: Value) -> Result<Value, String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Ok(Value::Null),
        Value::String(text) => {
            let parsed: Map<String, Value> =
                serde_json::from_str(&text).map_err(|_| "extra is no JSON object")?;
            Ok(Value::Object(parsed))
        }
        object @ (Value::Object(_) | Value::Null) => Ok(object),
        _ => Err("extra is no JSON object".to_owned()),
    }
}

fn query_extra(query: &str) -> Result<Value, String> {
    let mut members = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "__extra__" {
            return extra(Value::from(value.into_owned()));
        }
        members.insert(name.into_owned(), Value::from(value.into_owned()));
    }
    Ok(if members.is_empty() {
        Value::Null
    } else {
        Value::Object(members)
    })
}

/// An address in brackets has colons of its own.
fn host_and_port(address: &str) -> Result<(&str, Option<u16>), String> {
    let after_brackets = address.rfind(']').map_or(0, |at| at + 1);
    let tail = address.get(after_brackets..).unwrap_or_default();
    let Some((host_end, port)) = tail.rsplit_once(':') else {
        return Ok((address, None));
    };
    let host = address.get(..after_brackets + host_end.len());
    let host = host.unwrap_or_default();
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port
        .parse()
        .map_err(|_| "the port is no number from 0 to 65535; a ':' or '@' in a login or password is written %3A or %40")?;
    Ok((host, Some(port)))
}

/// Percent-decoded; empty is absent.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    let text = String::from_utf8(out).map_err(|_| "it is not UTF-8 when decoded")?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}
