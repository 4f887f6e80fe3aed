//! HELP of commands with subcommands.

use resp::Reply;

/// Answers HELP: a line for the form, then for each subcommand its syntax and what it does, then HELP itself.
pub fn write(reply: &mut Reply<'_>, command: &str, subcommands: &[(&str, &str)]) {
    begin(reply, command, 2 * subcommands.len());
    for (syntax, what) in subcommands {
        reply.simple(syntax);
        reply.simple(&format!("    {what}"));
    }
    end(reply);
}

/// As [`write`], of lines as they are.
pub fn write_lines(reply: &mut Reply<'_>, command: &str, lines: &[&str]) {
    begin(reply, command, lines.len());
    lines.iter().for_each(|line| reply.simple(line));
    end(reply);
}

fn begin(reply: &mut Reply<'_>, command: &str, lines: usize) {
    reply.array(lines + 3);
    reply.simple(&format!(
        "{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
}

fn end(reply: &mut Reply<'_>) {
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
