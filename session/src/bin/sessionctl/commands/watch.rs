//! `watch`: how many sessions there are, and how that changes, redrawn at each look.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use session_store::session_core::{Notice, NoticeStream};

use crate::arguments::Watch;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::span;
use crate::url::SetUp;

/// How many counts the curve shows.
const WIDTH: usize = 60;

pub(super) async fn run(arguments: &Watch, output: Output) -> Result<Exit, Failure> {
    if arguments.interval < Duration::from_millis(100) {
        return Err(Failure::usage("--interval must be 100ms or longer"));
    }
    let url = arguments.store.read()?;
    let store = url.connect(SetUp::Never).await?;
    let directory = super::directory(&*store)?;
    let mut view = View::new(url.scheme(), store.notices().is_some());
    let mut notices = store.notices();
    let mut looks = 0;
    loop {
        let count = directory.count().await?;
        view.add(count, Instant::now());
        output.redraw(&view.value(), view.text())?;
        looks += 1;
        if arguments.times.is_some_and(|times| looks >= times) {
            return Ok(Exit::Done);
        }
        let until = tokio::time::Instant::now() + arguments.interval;
        while let Some(ended) = next_end(&mut notices, until).await {
            view.ended += ended;
        }
        if notices.is_none() {
            notices = store.notices();
        }
    }
}

/// How many ends the next notice tells, or `None` at `until`. A stream that has failed goes.
async fn next_end(notices: &mut Option<NoticeStream>, until: tokio::time::Instant) -> Option<u64> {
    let Some(stream) = notices else {
        tokio::time::sleep_until(until).await;
        return None;
    };
    match tokio::time::timeout_at(until, stream.next()).await {
        Err(_) => None,
        Ok(Some(Ok(Notice::Ended(_)))) => Some(1),
        Ok(Some(Ok(_))) => Some(0),
        Ok(Some(Err(_)) | None) => {
            *notices = None;
            Some(0)
        }
    }
}

struct View {
    scheme: String,
    began: Instant,
    /// The last counts, and when they were taken.
    counts: VecDeque<(Instant, u64)>,
    /// The ends that were told; without notices, none are.
    ended: u64,
    has_notices: bool,
}

impl View {
    fn new(scheme: &str, has_notices: bool) -> Self {
        Self {
            scheme: scheme.to_owned(),
            began: Instant::now(),
            counts: VecDeque::new(),
            ended: 0,
            has_notices,
        }
    }

    fn add(&mut self, count: u64, now: Instant) {
        self.counts.push_back((now, count));
        if self.counts.len() > WIDTH {
            self.counts.pop_front();
        }
    }

    fn count(&self) -> u64 {
        self.counts.back().map_or(0, |(_, count)| *count)
    }

    /// Sessions a second, over the counts that are shown.
    fn rate(&self) -> f64 {
        let (Some((first, from)), Some((last, to))) = (self.counts.front(), self.counts.back())
        else {
            return 0.0;
        };
        let seconds = last.duration_since(*first).as_secs_f64();
        match seconds > 0.0 {
            true => (*to as f64 - *from as f64) / seconds,
            false => 0.0,
        }
    }

    fn value(&self) -> serde_json::Value {
        json!({
            "count": self.count(),
            "change_per_second": self.rate(),
            "ends_told": self.has_notices.then_some(self.ended),
        })
    }

    fn text(&self) -> String {
        let ends = match self.has_notices {
            true => format!("{} since this began", self.ended),
            false => "this store does not tell them".to_owned(),
        };
        format!(
            "{} store, watched for {}\n\n  sessions  {}\n  change    {:+.1} a second\n  ends told {ends}\n\n  {}",
            self.scheme,
            span::show(self.began.elapsed()),
            self.count(),
            self.rate(),
            self.curve(),
        )
    }

    /// The counts as a row of blocks, from the least to the greatest.
    fn curve(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let counts = || self.counts.iter().map(|(_, count)| *count);
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let range = (most - least).max(1);
        let block = |count: u64| BLOCKS[((count - least) * 7 / range) as usize];
        let curve: String = counts().map(block).collect();
        format!("{curve}  {least} to {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_curve_are_of_the_counts_that_are_shown() {
        let (mut view, now) = (View::new("sqlite", false), Instant::now());
        for (second, count) in [(0, 100), (1, 107), (2, 120)] {
            view.add(count, now + Duration::from_secs(second));
        }
        assert_eq!((view.count(), view.rate()), (120, 10.0));
        assert_eq!(view.curve(), "▁▃█  100 to 120");
        for n in 0..100 {
            view.add(n, now + Duration::from_secs(n));
        }
        assert_eq!(view.counts.len(), WIDTH);
    }
}
