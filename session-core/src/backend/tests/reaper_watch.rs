//! A store that nothing reaps says so.

#[path = "../../../tests/support/log.rs"]
mod log;

use log::Log as Lines;

use super::*;
use crate::SessionDirectory;

const MINUTE: Duration = Duration::from_secs(60);

/// The warnings of a store that lives three hours and creates a session each minute; in minute
/// `reaped_at` something reaps it.
async fn warnings(needs_reaper: bool, reaped_at: Option<u32>) -> Vec<(u32, String)> {
    let lines = Lines::start();
    let (store, _) = Setting {
        needs_reaper,
        ..Setting::default()
    }
    .store([]);
    let mut warnings = Vec::new();
    for minute in 0..180 {
        if reaped_at == Some(minute) {
            let error = store.reap(10).await.expect_err("the toy can't");
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        }
        let created = store.create(&id(), &draft(1)).await;
        assert!(!created.expect("answered").is_done());
        warnings.extend(lines.take().into_iter().map(|line| (minute, line)));
        tokio::time::advance(MINUTE).await;
    }
    warnings
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nothing_has_reaped_for_an_hour_warns_once() {
    for reaped_at in [None, Some(61)] {
        let warnings = warnings(true, reaped_at).await;
        let [(60, line)] = &warnings[..] else {
            panic!("one after an hour, and no more: {warnings:?}");
        };
        assert!(
            line.starts_with("WARN") && line.contains("run a Reaper"),
            "{line}"
        );
        assert!(line.contains(PLACE), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_reaped_or_needs_no_reaper_does_not() {
    for (needs_reaper, reaped_at) in [(true, Some(0)), (true, Some(59)), (false, None)] {
        let warnings = warnings(needs_reaper, reaped_at).await;
        assert_eq!(warnings, [], "{needs_reaper} {reaped_at:?}");
    }
}
