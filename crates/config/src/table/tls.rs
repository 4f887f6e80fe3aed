//! TLS.

use super::*;
use crate::choices::TlsAuthClients;
use crate::directive::Effect::{Kept, Unbuilt};
use crate::directive::{Flags, group};
use crate::setting::Text;

const MOD: Flags = Flags::MODIFIABLE;

const UNBUILT: crate::directive::Effect = Unbuilt(
    "TLS is not built yet: connections would be neither encrypted nor checked. \
     Remove the line and put a TLS proxy in front, or keep the server inside a private network.",
);

group! {
    /// TLS.
    Tls at tls, TABLE {
        "tls-port" => tls_port: i64 = 0, PORT, MOD, UNBUILT;
        "tls-replication" => tls_replication: bool = false, OWN, MOD, UNBUILT;
        "tls-cluster" => tls_cluster: bool = false, OWN, MOD, UNBUILT;
        "tls-cert-file" => tls_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-key-file" => tls_key_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-key-file-pass" => tls_key_file_pass: Text = Text::default(), OPTIONAL_TEXT, Flags::SENSITIVE, UNBUILT;
        "tls-client-cert-file" => tls_client_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-client-key-file" => tls_client_key_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-client-key-file-pass" => tls_client_key_file_pass: Text = Text::default(), OPTIONAL_TEXT, Flags::SENSITIVE, UNBUILT;
        "tls-ca-cert-file" => tls_ca_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-ca-cert-dir" => tls_ca_cert_dir: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-dh-params-file" => tls_dh_params_file: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-auth-clients" => tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, OWN, MOD, Kept;
        "tls-protocols" => tls_protocols: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-ciphers" => tls_ciphers: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-ciphersuites" => tls_ciphersuites: Text = Text::default(), OPTIONAL_TEXT, MOD, UNBUILT;
        "tls-prefer-server-ciphers" => tls_prefer_server_ciphers: bool = false, OWN, MOD, Kept;
        "tls-session-caching" => tls_session_caching: bool = true, OWN, MOD, Kept;
        "tls-session-cache-size" => tls_session_cache_size: i64 = 20_480, NATURAL, MOD, Kept;
        "tls-session-cache-timeout" => tls_session_cache_timeout: i64 = 300, NATURAL, MOD, Kept;
    }
}
