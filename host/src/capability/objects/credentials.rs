//! From a connection to a server's client, in Airflow's fields:
//!
//! * `aws`: login and password (or `aws_access_key_id`, `aws_secret_access_key`), `aws_session_token`, `region_name`, `endpoint_url`
//!   (also in `service_config.s3`), and `config_kwargs.signature_version: unsigned` for public buckets. With an `endpoint_url` the
//!   bucket stands in the path, else in the host's name;
//! * `google_cloud_platform`: `keyfile_dict` or `key_path`, `is_anonymous`, `endpoint_url`;
//! * `wasb`: login (the account) and password (its key), `shared_access_key`, `sas_token`, `account_url` or host as the account's
//!   URL; with `tenant_id` login and password are those of an application.
//!
//! A member that would change who one is and is not known here is refused, not passed over. No error holds a value.

use super::bucket::Server;
use super::network::{Connector, retries};
use crate::capability::uri::{Remote, Scheme};
use crate::secrets::Connection;
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GcpSigningCredential, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, StaticCredentialProvider};
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// Members of Airflow's that this host does not carry out.
const UNKNOWN_MEMBERS: [(Scheme, &[&str]); 3] = [
    (
        Scheme::S3,
        &[
            "role_arn",
            "assume_role_method",
            "assume_role_with_web_identity_token_file",
            "profile_name",
            "verify",
        ],
    ),
    (
        Scheme::Gs,
        &[
            "key_secret_name",
            "credential_config_file",
            "impersonation_chain",
        ],
    ),
    (
        Scheme::Az,
        &[
            "connection_string",
            "managed_identity_client_id",
            "workload_identity_tenant_id",
        ],
    ),
];

type Made = Result<Arc<dyn Server>, String>;

/// A client for the bucket, with the connection's credentials.
pub(super) fn of_connection(place: Remote<'_>, connection: &Connection) -> Made {
    let kind = match place.scheme {
        Scheme::File => return Err("it is for files".to_owned()),
        Scheme::S3 => "aws",
        Scheme::Gs => "google_cloud_platform",
        Scheme::Az => "wasb",
    };
    if connection.conn_type != kind {
        return Err(format!(
            "its conn_type is {:?}, and {kind} is needed",
            connection.conn_type
        ));
    }
    for (scheme, members) in UNKNOWN_MEMBERS {
        let known = |name: &&&str| scheme == place.scheme && connection.extra(name).is_some();
        if let Some(name) = members.iter().find(known) {
            return Err(format!(
                "its extra member {name} is not known to this Airlock; give the credentials themselves"
            ));
        }
    }
    match place.scheme {
        Scheme::Gs => gcs(place.bucket, connection),
        Scheme::Az => azure(place.bucket, connection),
        Scheme::S3 | Scheme::File => s3(place.bucket, connection),
    }
}

/// A client for the bucket, with the credentials of the process and its machine.
pub(super) fn of_environment(place: Remote<'_>) -> Made {
    let connector = Connector::new(true);
    let bucket = place.bucket;
    match place.scheme {
        Scheme::Gs => made(
            GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retries())
                .with_http_connector(connector)
                .build(),
        ),
        Scheme::Az => made(
            MicrosoftAzureBuilder::from_env()
                .with_container_name(bucket)
                .with_retry(retries())
                .with_http_connector(connector)
                .build(),
        ),
        Scheme::S3 | Scheme::File => made(
            AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_disable_bulk_delete(true)
                .with_retry(retries())
                .with_http_connector(connector)
                .build(),
        ),
    }
}

/// The cause of a refusal may quote a key, so it is not told.
fn made<T: Server + 'static>(built: object_store::Result<T>) -> Made {
    match built {
        Ok(server) => Ok(Arc::new(server)),
        Err(_) => Err("its credentials or its address cannot be read".to_owned()),
    }
}

fn s3(bucket: &str, connection: &Connection) -> Made {
    let endpoint = connection
        .text("endpoint_url")
        .or_else(|| nested(connection, "service_config", &["s3", "endpoint_url"]));
    let (tls, options) = reach(endpoint.as_deref())?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_disable_bulk_delete(true)
        .with_retry(retries())
        .with_client_options(options)
        .with_http_connector(Connector::new(tls));
    builder = match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        // A dot in the name is no part of the certificate's.
        None => builder.with_virtual_hosted_style_request(!bucket.contains('.')),
    };
    if let Some(region) = connection.text("region_name") {
        builder = builder.with_region(header("region_name", region)?);
    }
    let version = nested(connection, "config_kwargs", &["signature_version"]);
    if version.as_deref() == Some("unsigned") {
        return made(builder.with_skip_signature(true).build());
    }
    let login = connection.login.clone();
    let key = login.or_else(|| connection.text("aws_access_key_id"));
    let password = connection.password.clone();
    let secret = password.or_else(|| connection.text("aws_secret_access_key"));
    let (Some(key), Some(secret)) = (key, secret) else {
        return Err("it has no login and password (access key id and secret); for public buckets set config_kwargs to {\"signature_version\": \"unsigned\"}".to_owned());
    };
    builder = builder
        .with_access_key_id(header("login", key)?)
        .with_secret_access_key(secret);
    if let Some(token) = connection.text("aws_session_token") {
        builder = builder.with_token(header("aws_session_token", token)?);
    }
    made(builder.build())
}

fn gcs(bucket: &str, connection: &Connection) -> Made {
    let endpoint = connection.text("endpoint_url");
    let (_, options) = reach(endpoint.as_deref())?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(retries())
        .with_client_options(options)
        .with_http_connector(Connector::new(true));
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint);
    }
    let anonymous = connection.text("is_anonymous");
    if anonymous.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        // Given, so that nothing is looked up in the environment.
        let nobody = GcpCredential {
            bearer: String::new(),
        };
        let no_signer = GcpSigningCredential {
            email: String::new(),
            private_key: None,
        };
        let builder = builder
            .with_credentials(Arc::new(StaticCredentialProvider::new(nobody)))
            .with_signing_credentials(Arc::new(StaticCredentialProvider::new(no_signer)))
            .with_skip_signature(true);
        return made(builder.build());
    }
    match (connection.text("keyfile_dict"), connection.text("key_path")) {
        (Some(key), _) => made(builder.with_service_account_key(key).build()),
        (None, Some(path)) => made(builder.with_service_account_path(path).build()),
        (None, None) => Err(
            "it has no keyfile_dict and no key_path; for public buckets set is_anonymous to true"
                .to_owned(),
        ),
    }
}

fn azure(container: &str, connection: &Connection) -> Made {
    let host = connection.text("account_url").or_else(|| {
        let host = connection.host.clone()?;
        Some(if host.contains("://") {
            host
        } else {
            format!("https://{host}")
        })
    });
    let (_, options) = reach(host.as_deref())?;
    let tenant = connection.text("tenant_id");
    // Of an application the login is its own id, and the account stands in the URL.
    let login = connection.login.clone().filter(|_| tenant.is_none());
    let account = login.or_else(|| {
        let url = Url::parse(host.as_deref()?).ok()?;
        let label = url.host_str()?.split('.').next()?;
        Some(label.to_owned())
    });
    let account = account.ok_or("it has no login (the storage account) and no host (its URL)")?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(header("login", account)?)
        .with_container_name(container)
        .with_retry(retries())
        .with_client_options(options)
        .with_http_connector(Connector::new(true));
    if let Some(host) = host {
        builder = builder.with_endpoint(host);
    }
    let password = connection.password.clone();
    let key = connection
        .text("shared_access_key")
        .or_else(|| password.clone());
    if let Some(tenant) = tenant {
        let (Some(id), Some(secret)) = (connection.login.clone(), password) else {
            return Err(
                "with tenant_id, login and password are those of an application".to_owned(),
            );
        };
        builder = builder.with_client_secret_authorization(id, secret, tenant);
        return made(builder.with_credential_type("client_secret").build());
    }
    if let Some(sas) = connection.text("sas_token") {
        let sas = sas.trim_start_matches('?').to_owned();
        let builder = builder.with_config(object_store::azure::AzureConfigKey::SasKey, sas);
        return made(builder.with_credential_type("sas_token").build());
    }
    if let Some(key) = key {
        let builder = builder.with_access_key(key);
        return made(builder.with_credential_type("access_key").build());
    }
    // Public containers: given, so that nothing is looked up in the environment.
    let nobody = AzureCredential::BearerToken(String::new());
    let nobody = Arc::new(StaticCredentialProvider::new(nobody));
    made(
        builder
            .with_credentials(nobody)
            .with_skip_signature(true)
            .build(),
    )
}

const WRONG_ADDRESS: &str = "its endpoint_url (or host) is no http:// or https:// address of a server without user, query and fragment";

/// Whether an address needs TLS, and what a client to it may do; without an address it is the cloud's own.
fn reach(address: Option<&str>) -> Result<(bool, ClientOptions), String> {
    let Some(address) = address else {
        return Ok((true, ClientOptions::new()));
    };
    let url = Url::parse(address).map_err(|_| WRONG_ADDRESS)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    match url.scheme() {
        "https" if bare => Ok((true, ClientOptions::new())),
        "http" if bare => Ok((false, ClientOptions::new().with_allow_http(true))),
        _ => Err(WRONG_ADDRESS.to_owned()),
    }
}

/// What goes into a header has visible ASCII characters alone.
fn header(name: &str, text: String) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(format!(
        "its {name} has characters that no request can hold"
    ))
}

/// A text deep in a member, which may be an object or a JSON text of one.
fn nested(connection: &Connection, member: &str, path: &[&str]) -> Option<String> {
    let text = connection.text(member)?;
    let mut value: &Value = &serde_json::from_str(&text).ok()?;
    for name in path {
        value = value.get(name)?;
    }
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(uri: &str, connection: &str) -> Result<String, String> {
        let place = crate::capability::uri::remote(uri).unwrap();
        let server = of_connection(place, &Connection::parse(connection).unwrap())?;
        Ok(server.to_string())
    }

    #[test]
    fn airflows_fields_make_a_client_of_each_kind() {
        let key = r#"{"type": "service_account", "private_key_id": "1", "client_email": "a@b", "private_key": ""}"#;
        let dict = serde_json::json!({"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": key}});
        for (uri, connection) in [
            ("s3://data/x", "aws://key:secret@/?region_name=eu-west-1"),
            (
                "s3://data/x",
                "aws://key:secret@/?endpoint_url=http%3A%2F%2F10.0.0.1%3A9000",
            ),
            (
                "s3://data/x",
                r#"{"conn_type": "aws", "extra": {"config_kwargs": {"signature_version": "unsigned"}}}"#,
            ),
            ("gs://data/x", "google-cloud-platform://?is_anonymous=true"),
            ("az://data/x", "wasb://account:a2V5@"),
            (
                "az://data/x",
                "wasb://app:secret@account.blob.core.windows.net?tenant_id=t",
            ),
            (
                "az://data/x",
                "wasb://account@?sas_token=%3Fsv%3D1%26sig%3Dx",
            ),
            ("az://data/x", "wasb://account.blob.core.windows.net"),
        ] {
            made(uri, connection).unwrap_or_else(|error| panic!("{connection}: {error}"));
        }
        // A key that is none is refused without a word of it.
        let refused = made("gs://data/x", &dict.to_string()).unwrap_err();
        assert_eq!(refused, "its credentials or its address cannot be read");
    }

    #[test]
    fn what_is_missing_or_not_known_is_named_and_no_value_is_told() {
        for (uri, connection, part) in [
            ("s3://data/x", "aws://", "no login and password"),
            ("s3://data/x", "http://key:hush@", "conn_type"),
            ("s3://data/x", "aws://key:hush@/?role_arn=arn", "role_arn"),
            (
                "s3://data/x",
                "aws://key:hush@/?endpoint_url=ftp%3A%2F%2Fh",
                "endpoint_url",
            ),
            (
                "s3://data/x",
                "aws://key:hush@/?endpoint_url=http%3A%2F%2Fu%3Ahush%40h",
                "endpoint_url",
            ),
            ("s3://data/x", "aws://key%0A:hush@/", "login"),
            (
                "s3://data/x",
                "aws://key:hush@/?aws_session_token=a%20hush",
                "aws_session_token",
            ),
            ("gs://data/x", "google-cloud-platform://", "keyfile_dict"),
            (
                "gs://data/x",
                "google-cloud-platform://?keyfile_dict=hush",
                "cannot be read",
            ),
            ("az://data/x", "wasb://", "no login"),
            ("az://data/x", "wasb://account:hush!@", "cannot be read"),
            (
                "az://data/x",
                "wasb://?connection_string=hush",
                "connection_string",
            ),
        ] {
            let refused = made(uri, connection).unwrap_err();
            assert!(refused.contains(part), "{connection}: {refused}");
            assert!(!refused.contains("hush"), "{refused}");
        }
    }
}
