//! Glob patterns as KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE understand them.
