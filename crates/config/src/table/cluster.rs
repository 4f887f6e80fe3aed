//! Cluster mode.

use super::*;
use crate::choices::EndpointType;
use crate::directive::Effect::{Kept, Unbuilt};
use crate::directive::{Flags, group};
use crate::setting::Text;

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;

group! {
    /// Cluster mode.
    Cluster at cluster, TABLE {
        "cluster-enabled" => cluster_enabled: bool = false, OWN, IMM, Unbuilt(
            "cluster mode is not built yet: the server would take keys that belong to other nodes. \
             Remove the line to run it as a primary or a replica.");
        "cluster-config-file" => cluster_config_file: Text = Text::from("nodes.conf"), TEXT, IMM, Kept;
        "cluster-port" => cluster_port: i64 = 0, PORT, IMM, Kept;
        "cluster-node-timeout" => cluster_node_timeout: i64 = 15_000, NATURAL_LONG, MOD, Kept;
        "cluster-migration-barrier" => cluster_migration_barrier: i64 = 1, NATURAL, MOD, Kept;
        "cluster-replica-validity-factor" / "cluster-slave-validity-factor" => cluster_replica_validity_factor: i64 = 10, NATURAL, MOD, Kept;
        "cluster-replica-no-failover" / "cluster-slave-no-failover" => cluster_replica_no_failover: bool = false, OWN, MOD, Kept;
        "cluster-require-full-coverage" => cluster_require_full_coverage: bool = true, OWN, MOD, Kept;
        "cluster-allow-reads-when-down" => cluster_allow_reads_when_down: bool = false, OWN, MOD, Kept;
        "cluster-allow-pubsubshard-when-down" => cluster_allow_pubsubshard_when_down: bool = true, OWN, MOD, Kept;
        "cluster-allow-replica-migration" => cluster_allow_replica_migration: bool = true, OWN, MOD, Kept;
        "cluster-announce-ip" => cluster_announce_ip: Text = Text::default(), OPTIONAL_TEXT, MOD, Kept;
        "cluster-announce-hostname" => cluster_announce_hostname: Text = Text::default(),
            Rule::Text { unset_when_empty: true, check: check::host_name }, MOD, Kept;
        "cluster-announce-port" => cluster_announce_port: i64 = 0, PORT, MOD, Kept;
        "cluster-announce-tls-port" => cluster_announce_tls_port: i64 = 0, PORT, MOD, Kept;
        "cluster-announce-bus-port" => cluster_announce_bus_port: i64 = 0, PORT, MOD, Kept;
        "cluster-preferred-endpoint-type" => cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip, OWN, MOD, Kept;
        "cluster-link-sendbuf-limit" => cluster_link_sendbuf_limit: u64 = 0, Rule::Memory(0, u64::MAX), MOD, Kept;
    }
}
