//! The settings that are one of a few words.

use crate::setting::choice;

choice! {
    /// Who may use something that is closed by default.
    Access { No = "no", Yes = "yes", /** Connections from this machine. */ Local = "local" } in ["no", "yes", "local"]
}
choice! {
    /// How much is logged.
    LogLevel { Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning" }
    in ["debug", "verbose", "notice", "warning"]
}
choice! {
    /// Where a message to the system log belongs.
    SyslogFacility {
        User = "user", Local0 = "local0", Local1 = "local1", Local2 = "local2", Local3 = "local3", Local4 = "local4",
        Local5 = "local5", Local6 = "local6", Local7 = "local7",
    } in ["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]
}
choice! {
    /// Who watches over the process and wants to hear when it is ready.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    in ["upstart", "systemd", "auto", "no"]
}
choice! {
    /// What happens to keys at the memory limit.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu", VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl", AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", NoEviction = "noeviction",
    } in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu",
          "allkeys-random", "noeviction"]
}
choice! {
    /// Whether the kernel's out-of-memory score is set, and how.
    OomScoreAdj { No = "no", Relative = "yes" | "relative", Absolute = "absolute" }
    in ["no", "yes", "relative", "absolute"]
}
choice! {
    /// When an append-only file is flushed to the disk.
    AppendFsync { EverySecond = "everysec", Always = "always", No = "no" } in ["everysec", "always", "no"]
}
choice! {
    /// How a replica takes a full sync.
    DisklessLoad { Disabled = "disabled", OnEmptyDb = "on-empty-db", SwapDb = "swapdb" }
    in ["disabled", "on-empty-db", "swapdb"]
}
choice! {
    /// What a replica does when a command of its primary's stream fails.
    PropagationErrors { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
    in ["ignore", "panic", "panic-on-replicas"]
}
choice! {
    /// What a new user may subscribe to.
    AclPubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels" }
    in ["allchannels", "resetchannels"]
}
choice! {
    /// Whether payloads of RESTORE and full syncs are checked in depth.
    SanitizeDumpPayload { No = "no", Yes = "yes", Clients = "clients" } in ["no", "yes", "clients"]
}
choice! {
    /// Whether a client must show a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" } in ["no", "yes", "optional"]
}
choice! {
    /// How a cluster node names itself to clients.
    EndpointType { Ip = "ip", Hostname = "hostname", Unknown = "unknown-endpoint" }
    in ["ip", "hostname", "unknown-endpoint"]
}
choice! {
    /// What to do with a directive whose silent absence would lose data or open a door. Skein's own directive.
    UnbuiltDirectives { Warn = "warn", Stop = "stop" } in ["warn", "stop"]
}
