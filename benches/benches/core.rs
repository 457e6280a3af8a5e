//! What a request costs outside its store.
//!
//! ```text
//! cargo bench --manifest-path benches/Cargo.toml --bench core
//! ```
#![allow(missing_docs, reason = "criterion's macros write none")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use session_core::{
    Bytes, Capabilities, Credential, Draft, Ended, Lifetime, Record, Result, Saved,
    SessionDirectory, SessionId, SessionStore, SessionToken, Sessions, Stamp, Timeout, Ttl,
    Version, async_trait,
};

/// Has one session, and forgets what is saved.
#[derive(Debug)]
struct Still(Record);

impl Still {
    fn new(token: &SessionToken, data: String) -> Self {
        let hour = Duration::from_secs(3_600);
        Self(
            Record::new(
                Bytes::from(data),
                Version::new(Stamp::generate()),
                Lifetime::new(hour, 12 * hour),
                Ttl::Left(hour),
                Duration::ZERO,
            )
            .with_credential(Some(Credential::opened_by(token, None))),
        )
    }
}

#[async_trait]
impl SessionStore for Still {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, _: &SessionId, draft: &Draft) -> Result<Saved> {
        Ok(Saved::done(draft))
    }

    async fn load(&self, _: &SessionId) -> Result<Option<Record>> {
        Ok(Some(self.0.clone()))
    }

    async fn save(&self, _: &SessionId, draft: &Draft, _: &Version) -> Result<Saved> {
        Ok(Saved::done(draft))
    }

    async fn touch(&self, _: &SessionId, _: Timeout) -> Result<Option<Ttl>> {
        Ok(Some(self.0.ttl))
    }

    async fn destroy(&self, id: &SessionId, _: Option<&Version>) -> Result<Option<Ended>> {
        Ok(Some(Ended::unknown(id.clone())))
    }
}

fn small() -> String {
    let cart = "x".repeat(230);
    format!(r#"{{"name":"Napoleon","visits":17,"cart":"{cart}","lang":"fr"}}"#)
}

/// A value of 64 KiB that is expensive to parse, and a small one.
fn large() -> String {
    let rows = vec![r#"{"id":1234567,"name":"a\u00e9b","tags":[1,2,3,null,true]}"#; 1_100];
    format!(r#"{{"rows":[{}],"name":"Napoleon"}}"#, rows.join(","))
}

fn requests(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let token = SessionToken::generate();
    let small = Sessions::new(Arc::new(Still::new(&token, small())));
    criterion.bench_function(
        "open, read two keys, change one, save: 300 bytes",
        |bench| {
            let mut visits = 0_u64;
            bench.to_async(&runtime).iter(|| {
                visits += 1;
                let (sessions, token) = (&small, &token);
                async move {
                    let session = sessions.open(Some(token)).await.expect("there");
                    let name: Option<String> = session.get("name").expect("a name");
                    black_box(name);
                    black_box(session.get::<u64>("visits").expect("a number"));
                    session.insert("visits", visits + 100).expect("a number");
                    session.save().await.expect("saved");
                }
            });
        },
    );
    let text = large();
    criterion.bench_function(
        &format!("open, read one key: {} bytes", text.len()),
        |bench| {
            let large = Sessions::new(Arc::new(Still::new(&token, text.clone())));
            bench.to_async(&runtime).iter(|| async {
                let session = large.open(Some(&token)).await.expect("there");
                black_box(session.get::<String>("name").expect("a name"))
            });
        },
    );
    criterion.bench_function("the same, parsing everything with serde_json", |bench| {
        bench.iter(|| {
            let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            black_box(all["name"].as_str().map(str::to_owned))
        });
    });
    criterion.bench_function("a token and its id", |bench| {
        bench.iter(|| black_box(SessionToken::generate().id()));
    });
}

criterion_group!(benches, requests);
criterion_main!(benches);
