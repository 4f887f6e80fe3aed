//! Passwords, users and what is closed by default.

use super::*;
use crate::choices::{Access, AclPubsubDefault, SanitizeDumpPayload};
use crate::directive::Effect::Unbuilt;
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::Text;

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;

group! {
    /// Passwords, users and what is closed by default.
    Security at security, TABLE {
        /// Refuse clients from elsewhere while there is no password and no address to bind to.
        "protected-mode" => protected_mode: bool = true, OWN, MOD, Now;
        /// The password of the default user; empty is none.
        "requirepass" => requirepass: Text = Text::default(), OPTIONAL_TEXT, Flags::SENSITIVE, Now;
        "aclfile" => aclfile: Text = Text::default(), TEXT, IMM, Unbuilt(
            "users and their rights (ACL) are not built yet: everyone with the password could do everything. \
             Remove the line and protect the server with 'requirepass' and 'bind'.");
        "acl-pubsub-default" => acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::ResetChannels, OWN, MOD, Kept;
        "acllog-max-len" => acllog_max_len: i64 = 128, NATURAL_LONG, MOD, Kept;
        /// Who may send DEBUG.
        "enable-debug-command" => enable_debug_command: Access = Access::No, OWN, IMM, Now;
        /// Who may change directives that are protected.
        "enable-protected-configs" => enable_protected_configs: Access = Access::No, OWN, IMM, Now;
        "enable-module-command" => enable_module_command: Access = Access::No, OWN, IMM, Kept;
        "sanitize-dump-payload" => sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No, OWN, Flags::DEBUG, Kept;
    }
}
