//! Walks sessions through their whole life and prints what happens, on any store:
//!
//! ```text
//! cargo run -p examples --bin tour
//! cargo run -p examples --bin tour -- --store redis://127.0.0.1/
//! cargo run -p examples --bin tour -- --store mongodb://127.0.0.1/app
//! cargo run -p examples --bin tour -- --store mysql://root@127.0.0.1/test
//! cargo run -p examples --bin tour -- --store postgres://postgres@127.0.0.1/test
//! cargo run -p examples --bin tour -- --store sqlite:sessions.db
//! ```
#![allow(clippy::print_stdout, reason = "printing is what a tour does")]
#![allow(clippy::print_stderr, reason = "usage and errors go there")]

use std::process::ExitCode;
use std::time::Duration;

use session_store::{
    EndReason, Error, ErrorKind, Event, Lifetime, Observer, Owner, Result, Session, SessionId,
    Sessions, Timeout, Ttl,
};
use time::OffsetDateTime;
use time::macros::format_description;

const USAGE: &str = "usage: tour [--store URL]
URL is memory: (the default), sqlite:…, postgres://…, mysql://…, mongodb://… or redis://…";

#[tokio::main]
async fn main() -> ExitCode {
    let url = match store_url(std::env::args().skip(1)) {
        Ok(url) => url,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match tour(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the tour ended early: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn store_url(mut args: impl Iterator<Item = String>) -> Result<String, &'static str> {
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => Ok("memory:".to_owned()),
        (Some("--store"), Some(url), None) => Ok(url),
        _ => Err(USAGE),
    }
}

async fn tour(url: &str) -> Result<()> {
    let store = session_store::connect(url).await?;
    let scheme = url.split(':').next().unwrap_or_default();
    println!("A tour of sessions in {scheme}. Lines with a dot are what an observer hears.\n");

    let sessions = Sessions::builder(store)
        .lifetime(Lifetime::new(minutes(30), minutes(12 * 60)))
        .observer(Printer)
        .build()?;
    let session = begin(&sessions).await?;
    write_at_once(&sessions, &session).await?;
    touch(&sessions).await?;
    sign_in(&sessions, &session).await?;
    remember(&session).await?;
    log_out_everywhere(&sessions, &session).await?;
    expire(&sessions).await?;
    println!("\nThat was a session's life. Nothing of it is left in the store.");
    Ok(())
}

async fn begin(sessions: &Sessions) -> Result<Session> {
    step("start", "a new session is memory: no token, nothing stored");
    let session = sessions.start();
    session.insert("name", "Napoleon")?;
    session.insert("visits", 1)?;

    step("save", "one write; now there is a token for the cookie");
    session.save().await?;
    show(&session);
    Ok(session)
}

async fn write_at_once(sessions: &Sessions, session: &Session) -> Result<()> {
    step(
        "two writers",
        "two requests open it, change it and save at the same time",
    );
    let token = session.token();
    let (one, two) = (
        sessions.open(token.as_ref()).await?,
        sessions.open(token.as_ref()).await?,
    );
    one.insert("cart", ["a hat"])?;
    two.insert("theme", "dark")?;
    let (first, second) = tokio::join!(one.save(), two.save());
    first.and(second)?;

    step(
        "counting",
        "ten requests add 1 to the same key at the same time",
    );
    let mut requests = Vec::new();
    for _ in 0..10 {
        let request = sessions.open(token.as_ref()).await?;
        requests.push(tokio::spawn(async move {
            let add = |visits: Option<u32>| visits.unwrap_or(0) + 1;
            request.update("visits", add).await
        }));
    }
    for request in requests {
        request.await.expect("the request does not panic")?;
    }
    let now = sessions.open(token.as_ref()).await?;
    let visits: Option<u32> = now.get("visits")?;
    println!(
        "             keys {:?}, visits {}",
        now.keys(),
        visits.unwrap_or(0)
    );
    show(&now);
    // This handle's own view is older: a save of it would replay its changes on theirs.
    session.insert("seen", true)?;
    session.save().await
}

async fn touch(sessions: &Sessions) -> Result<()> {
    step(
        "touch",
        "a request that only reads: the deadline moves, no data is written",
    );
    let session = sessions.start();
    session.insert("page", "/")?;
    session.set_lifetime(Lifetime::idle(Duration::from_secs(4)))?;
    session.save().await?;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    println!(
        "             after 1 s of rest it ends in {}",
        exact(session.expires_in())
    );
    session.touch().await?;
    println!(
        "             touched, it ends in {}",
        exact(session.expires_in())
    );
    session.touch().await?;
    println!("             (a second touch at once sends nothing: it would move next to nothing)");
    session.destroy().await
}

async fn sign_in(sessions: &Sessions, session: &Session) -> Result<()> {
    step(
        "sign in",
        "an owner, and a new token for the same data, in one write",
    );
    let (old, id) = (session.token(), session.id());
    session.sign_in("user-1769").await?;
    let stolen = sessions.open(old.as_ref()).await?;
    println!(
        "             the old token opens {}; the id is {}",
        if stolen.id().is_none() {
            "nothing"
        } else {
            "it!"
        },
        if session.id() == id {
            "the same"
        } else {
            "another!"
        }
    );
    show(session);
    Ok(())
}

async fn remember(session: &Session) -> Result<()> {
    step("remember me", "this session alone may rest for 30 days");
    session.set_lifetime(Lifetime::new(30 * minutes(24 * 60), 90 * minutes(24 * 60)))?;
    session.save().await?;
    show(session);
    Ok(())
}

async fn log_out_everywhere(sessions: &Sessions, session: &Session) -> Result<()> {
    step("devices", "the same user signs in on a second device");
    let owner = Owner::new("user-1769")?;
    let phone = sessions.start();
    phone.insert("device", "phone")?;
    phone.sign_in(&owner).await?;
    for device in sessions.owned_by(&owner).await? {
        let ends = match device.ttl {
            Ttl::Left(left) => date(OffsetDateTime::now_utc() + left),
            Ttl::Never => "never".to_owned(),
        };
        println!(
            "             {} {} bytes, until {ends}",
            shown(&device.id),
            device.size
        );
    }

    step(
        "log out",
        "everywhere else, while the phone has a slow request under way",
    );
    let slow = sessions.open(phone.token().as_ref()).await?;
    slow.insert("cart", ["too late"])?;
    sessions
        .destroy_owned_by(&owner, session.id().as_ref())
        .await?;
    match slow.save().await {
        Err(error) if error.kind() == ErrorKind::Gone => {
            println!("             its save is refused: the session has ended")
        }
        other => println!("             its save was not refused: {other:?}"),
    }

    step("destroy", "and here");
    session.destroy().await
}

async fn expire(sessions: &Sessions) -> Result<()> {
    step("expiry", "a session that may rest for one second");
    let session = sessions.start();
    session.insert("name", "Josephine")?;
    session.set_lifetime(Lifetime::idle(Duration::from_secs(1)))?;
    session.save().await?;
    show(&session);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let late = sessions.open(session.token().as_ref()).await?;
    println!(
        "             50 ms later: {}",
        if late.is_new() {
            "gone, though nobody removed it"
        } else {
            "still there!"
        }
    );

    step("reap", "what has expired is removed, and reported once");
    let reaped = sessions.reap(100).await?;
    if sessions.store().capabilities().expiry_reports {
        println!("             {reaped} reported");
    } else {
        println!(
            "             this store removes expired sessions by itself, and promises no report"
        );
    }
    Ok(())
}

fn step(name: &str, text: &str) {
    println!("{name:>11}  {text}");
}

fn show(session: &Session) {
    let id = session.id().as_ref().map_or("none".to_owned(), shown);
    let limits = session.lifetime();
    println!(
        "             id {id}, ends in {} (idle {}, absolute {})",
        span(session.expires_in().left()),
        span(limits.idle.duration()),
        match limits.absolute {
            Timeout::After(limit) => span(Some(limit.saturating_sub(session.age()))),
            Timeout::Never => "never".to_owned(),
        }
    );
}

/// An id is no secret: it opens nothing.
fn shown(id: &SessionId) -> String {
    id.as_str().to_owned()
}

/// A duration as people say it, to the second; rounded, so that 29 min 59.998 s is 30 min.
fn span(duration: Option<Duration>) -> String {
    let Some(duration) = duration else {
        return "never".to_owned();
    };
    let seconds = (duration.as_millis() + 500) / 1_000;
    let parts = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut shown = Vec::new();
    for (size, unit) in parts {
        if rest >= size {
            shown.push(format!("{} {unit}", rest / size));
            rest %= size;
        }
    }
    if shown.is_empty() {
        "0 s".to_owned()
    } else {
        shown.join(" ")
    }
}

fn exact(ttl: Ttl) -> String {
    ttl.left().map_or("never".to_owned(), |left| {
        format!("{:.1} s", left.as_secs_f64())
    })
}

fn date(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    at.format(&format).unwrap_or_default()
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Prints what it hears.
struct Printer;

impl Printer {
    fn print(what: &str, event: Event<'_>) {
        let owner = event.owner.map_or("nobody", Owner::as_str);
        let id = shown(event.id);
        let age = event.age.map_or("of unknown age".to_owned(), |age| {
            format!("{} old", span(Some(age)))
        });
        println!("           · {what} {id} of {owner}, {age}");
    }
}

impl Observer for Printer {
    fn created(&self, event: Event<'_>) {
        Self::print("created", event);
    }

    fn renewed(&self, event: Event<'_>) {
        Self::print("a new token for", event);
    }

    fn destroyed(&self, event: Event<'_>, _reason: EndReason) {
        Self::print("destroyed", event);
    }

    fn expired(&self, event: Event<'_>) {
        Self::print("expired", event);
    }
}
