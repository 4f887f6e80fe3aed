//! The process title's template: `{title} {listen-addr} {server-mode}`.

/// What a template may name.
const VARIABLES: [&str; 7] = [
    "title",
    "listen-addr",
    "server-mode",
    "port",
    "tls-port",
    "config-file",
    "unixsocket",
];

/// Fills in a template: `{name}` becomes `value_of(name)`, `{{` becomes `{`; space at the ends goes.
///
/// `None` when a brace is not closed, or for a name that is unknown or has no value.
#[must_use]
pub fn expand(template: &[u8], value_of: &dyn Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut title = Vec::new();
    let mut rest = template;
    loop {
        rest = match rest {
            [] => break,
            [b'{', b'{', after @ ..] => {
                title.push(b'{');
                after
            }
            [b'{', after @ ..] => {
                let end = after.iter().position(|&byte| byte == b'}')?;
                let name = VARIABLES.iter().find(|known| known.as_bytes() == &after[..end])?;
                title.extend_from_slice(value_of(name)?.as_bytes());
                &after[end + 1..]
            }
            [byte, after @ ..] => {
                title.push(*byte);
                after
            }
        };
    }
    Some(title.trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let check = |template: &str, expected: Option<&str>| {
            let title = expand(template.as_bytes(), &|name| Some(name.to_uppercase()));
            assert_eq!(title.as_deref(), expected.map(str::as_bytes), "{template}");
        };
        check("{title} {port}", Some("TITLE PORT"));
        check(" x ", Some("x"));
        check("{{title}", Some("{title}"));
        check("{nope}", None);
        check("{title", None);
        check("", Some(""));
    }
}
