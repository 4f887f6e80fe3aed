//! What a start shows on a terminal.

use crate::version::{REDIS_VERSION, SKEIN_VERSION};

/// A flight of geese, and beside it what stock servers show beside theirs: test suites wait for ` PID: <pid>`.
#[must_use]
pub fn logo(port: u16, mode: &str, pid: u32) -> String {
    let bits = usize::BITS;
    format!(
        r"
                        __
                    ___( o)>      Skein {SKEIN_VERSION}, {bits} bit
                    \ <_. )       speaks as Redis {REDIS_VERSION}
              __     `---'
          ___( o)>                Running in {mode} mode
          \ <_. )                 Port: {port}
    __     `---'                  PID: {pid}
___( o)>
\ <_. )        __
 `---'     ___( o)>               One leads, the others follow.
           \ <_. )
            `---'

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_scripts_look_for_are_there() {
        let logo = logo(6379, "standalone", 77);
        assert!(logo.contains(" PID: 77\n") && logo.contains(" Port: 6379\n") && logo.contains("standalone mode"));
    }
}
