//! HELP of commands with subcommands.

use resp::Reply;

/// Answers HELP: a line for the form, then for each subcommand its syntax and what it does, then HELP itself.
pub fn write(reply: &mut Reply<'_>, command: &str, subcommands: &[(&str, &str)]) {
    reply.array(2 * subcommands.len() + 3);
    reply.simple(&format!(
        "{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for (syntax, what) in subcommands {
        reply.simple(syntax);
        reply.simple(&format!("    {what}"));
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
