//! Numbers as text, by the protocol's strict rules.
