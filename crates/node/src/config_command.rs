//! CONFIG.

use crate::host::ServerState;
use engine::{Error, Result};

/// What CONFIG REWRITE writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What differs from the defaults.
    Changes,
    /// Every directive (DEBUG CONFIG-REWRITE-FORCE-ALL).
    Everything,
}

/// Writes the configuration back to its file, comments and order kept.
pub fn rewrite(state: &mut ServerState, scope: Scope) -> Result {
    let Some(file) = state.config_file.clone() else {
        return Err(Error::fixed("ERR The server is running without a config file"));
    };
    let disk = state.outside.disk();
    let mut old = Vec::new();
    let read = disk.open(&file).and_then(|mut reader| std::io::Read::read_to_end(&mut reader, &mut old));
    let write = || -> std::io::Result<()> {
        match read {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let text = state.config.rewrite(&old, scope == Scope::Everything);
        let temporary = format!("{file}.rewrite");
        let mut out = disk.create(&temporary)?;
        std::io::Write::write_all(&mut out, &text)?;
        out.sync()?;
        drop(out);
        disk.rename(&temporary, &file)
    };
    write().map_err(|error| Error::err(format_args!("Rewriting config file: {error}")))
}
