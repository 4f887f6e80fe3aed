//! Which hashes of a database have fields that expire, soonest first.
//!
//! ```text
//!   moments:  key ──► soonest moment       what to take out of the order when a key changes or goes
//!   order:    (soonest moment, key), …     what the expiry cycle takes from the front
//! ```
//!
//! A moment is a bound: no field of the hash expires before it. It may be too early, because a field's later expiry or
//! removal does not move it; whoever comes upon such a hash in vain notes the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Millis;

/// The hashes with expiring fields of one database.
#[derive(Debug, Default)]
pub(crate) struct FieldExpiries {
    moments: BTreeMap<Arc<[u8]>, Millis>,
    order: BTreeSet<(Millis, Arc<[u8]>)>,
}

impl FieldExpiries {
    /// Whether there are none, which is the common case.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.moments.len()
    }

    /// The one whose bound is soonest.
    pub(crate) fn soonest(&self) -> Option<(Millis, &[u8])> {
        self.order.first().map(|(moment, key)| (*moment, &**key))
    }

    /// The hash at `key` has no field that expires before `soonest`; with `None`, none that expires at all.
    pub(crate) fn note(&mut self, key: &[u8], soonest: Option<Millis>) {
        let Some(soonest) = soonest else {
            return self.forget(key);
        };
        let name = match self.moments.get_key_value(key) {
            Some((_, moment)) if *moment == soonest => return,
            Some((name, moment)) => {
                let name = name.clone();
                self.order.remove(&(*moment, name.clone()));
                name
            }
            None => Arc::from(key),
        };
        self.moments.insert(name.clone(), soonest);
        self.order.insert((soonest, name));
    }

    /// What is at `key` is no hash with expiring fields any more.
    #[inline]
    pub(crate) fn forget(&mut self, key: &[u8]) {
        if !self.is_empty() {
            self.forget_one(key);
        }
    }

    fn forget_one(&mut self, key: &[u8]) {
        if let Some((name, moment)) = self.moments.remove_entry(key) {
            self.order.remove(&(moment, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_is_first_whatever_is_noted() {
        let mut fields = FieldExpiries::default();
        fields.note(b"a", Some(Millis(30)));
        fields.note(b"b", Some(Millis(20)));
        assert_eq!(fields.soonest(), Some((Millis(20), &b"b"[..])));
        fields.note(b"a", Some(Millis(10)));
        assert_eq!(fields.soonest(), Some((Millis(10), &b"a"[..])));
        fields.note(b"a", None);
        fields.forget(b"c");
        assert_eq!((fields.soonest(), fields.len()), (Some((Millis(20), &b"b"[..])), 1));
        fields.forget(b"b");
        assert!(fields.is_empty() && fields.order.is_empty());
    }
}
