//! What INFO and ROLE show of the link.

use base::{DbIndex, Now, Offset};

use super::{Link, Loading, State};
use crate::view::{LinkView, SyncView};

impl Link {
    /// Everything to show of the link.
    pub(crate) fn view(&self, now: Now, applied: Offset, stream_db: DbIndex) -> LinkView {
        let seconds_since_ms = |ms: u64| now.mono_ms().saturating_sub(ms) / 1000;
        let streaming = match &self.state {
            State::Streaming(streaming) => Some(streaming),
            _ => None,
        };
        LinkView {
            host: self.host.clone(),
            port: self.port,
            up: streaming.is_some(),
            state: self.state_name(),
            // Seconds since the machine started: they fit.
            last_io_seconds: streaming.map_or(-1, |streaming| seconds_since_ms(streaming.heard_ms) as i64),
            sync: self.sync_view(),
            read_offset: applied.plus(streaming.map_or(0, |streaming| streaming.reader.pending_bytes())),
            applied_offset: applied,
            db: stream_db,
            down_seconds: match self.last_up {
                Some(_) if streaming.is_some() => 0,
                Some(at) => seconds_since_ms(at.mono_ms()) as i64,
                None => -1,
            },
            down: self.down.clone(),
        }
    }

    fn sync_view(&self) -> Option<SyncView> {
        match &self.state {
            State::AwaitingPayload(_) => Some(SyncView::Preparing),
            State::Loading(Loading { form, .. }) => Some(SyncView::Loading { form: *form }),
            _ => None,
        }
    }

    /// ROLE's word for the state.
    fn state_name(&self) -> &'static str {
        match &self.state {
            State::Pausing(_) => "connect",
            State::Connecting(_) => "connecting",
            State::Greeting(_) | State::Asking(_) => "handshake",
            State::AwaitingPayload(_) | State::Loading(_) => "sync",
            State::Streaming(_) => "connected",
        }
    }
}
