//! The wildcards of `include`, as POSIX `glob` expands them: component by component, in sorted order.

use crate::load::Outside;

/// True when the path has a wildcard.
pub(crate) fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The paths that exist and fit, sorted. A name that starts with `.` fits only a component that does so too.
pub(crate) fn expand(pattern: &str, outside: &dyn Outside) -> Vec<String> {
    let (start, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let mut paths = vec![start.to_owned()];
    for component in rest.split('/').filter(|component| !component.is_empty()) {
        paths = paths.iter().flat_map(|path| step(path, component, outside)).collect();
    }
    paths.sort();
    paths
}

/// `path` with one more component, in every way that fits.
fn step(path: &str, component: &str, outside: &dyn Outside) -> Vec<String> {
    let join = |name: &str| match path {
        "" | "/" => format!("{path}{name}"),
        _ => format!("{path}/{name}"),
    };
    if matches!(component, "." | "..") {
        return vec![join(component)];
    }
    // POSIX negates a set with `!`, our matcher with `^`.
    let matcher = component.replace("[!", "[^");
    let fits = |name: &String| {
        name.starts_with('.') == component.starts_with('.')
            && base::glob::matches(matcher.as_bytes(), name.as_bytes(), false)
    };
    let directory = if path.is_empty() { "." } else { path };
    let names = outside.list(directory).unwrap_or_default();
    names.iter().filter(|name| fits(name)).map(|name| join(name)).collect()
}
