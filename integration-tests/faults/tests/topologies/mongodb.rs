//! MongoDB.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::Client;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, WriteConcern};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::probe::{Expected, Probe, SLOW, TIMED_OUT, all_happen_and_end};

/// The client has connections to three members, and looks for a primary before it uses one.
const AWAY: &[&str] = &[
    "Server selection timeout",
    "NotWritablePrimary",
    "not primary",
    "refused",
    "reset by peer",
    "roken pipe",
    "unexpected end of file",
    "early eof",
    "Interrupted",
    "shutting down",
    "stepped down",
    TIMED_OUT,
];

/// A member does not keep a connection open, or takes none.
const MEMBER_AWAY: &str = "a member is away";

const CHANGED: &str = "another primary";

const SET: Expected = &[
    ("kill-primary", &[CHANGED]),
    ("restart-primary", &[CHANGED]),
    ("stop-primary", &[TIMED_OUT]),
    ("step-down", &[CHANGED]),
    ("kill-operations", &["nterrupted", "killed", "11601"]),
    ("kill-secondary", &[MEMBER_AWAY]),
    ("network-delay", &[SLOW, TIMED_OUT]),
    ("network-drip", &[SLOW, TIMED_OUT]),
    ("network-cut-answers", AWAY),
    ("network-silence", &[TIMED_OUT]),
    ("network-black-hole", &[TIMED_OUT]),
    ("network-resets", AWAY),
    ("network-cut", AWAY),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 90 s: `./faults.sh smoke` runs it"]
async fn faults_of_a_replica_set() {
    all_happen_and_end("mongodb", Set::of, SET).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn partitions_of_a_replica_set() {
    let expected: Expected = &[
        ("partition", &[TIMED_OUT, MEMBER_AWAY]),
        ("stale-primary", AWAY),
    ];
    all_happen_and_end("mongodb-partition", Set::of, expected).await;
}

struct Set {
    url: String,
    client: Option<Client>,
    /// Of the primary that was seen last.
    election: Option<ObjectId>,
}

impl Set {
    fn of(url: &str) -> Self {
        Self {
            url: format!("{url}&retryWrites=false&retryReads=false"),
            client: None,
            election: None,
        }
    }

    /// Writes and reads; whether the primary is the same as before.
    async fn try_look(&mut self) -> mongodb::error::Result<bool> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let mut options = ClientOptions::parse(&self.url).await?;
                options.server_selection_timeout = Some(Duration::from_millis(600));
                options.write_concern = Some(WriteConcern::majority());
                Client::with_options(options)?
            }
        };
        self.client = Some(client.clone());
        let probes = client.database("app").collection::<Document>("probe");
        let text = "x".repeat(2000);
        probes.insert_one(doc! { "text": &text }).await?;
        probes.find_one(doc! {}).await?;
        let hello = client
            .database("admin")
            .run_command(doc! { "hello": 1 })
            .await?;
        let election = hello.get_object_id("electionId").ok();
        let is_same = self.election.is_none() || self.election == election;
        self.election = election;
        Ok(is_same)
    }
}

#[async_trait]
impl Probe for Set {
    async fn look(&mut self) -> Result<Option<&'static str>, String> {
        let is_same = self.try_look().await.map_err(|error| error.to_string())?;
        if !is_same {
            return Ok(Some(CHANGED));
        }
        let hosts = self.url.split(['/', '?']).nth(2).expect("hosts");
        for host in hosts.split(',') {
            if !listens(host).await {
                return Ok(Some(MEMBER_AWAY));
            }
        }
        Ok(None)
    }

    fn forget(&mut self) {
        self.client = None;
    }
}

/// Whether there is a server behind the proxy, which waits for a question.
async fn listens(host: &str) -> bool {
    let Ok(mut connection) = TcpStream::connect(host).await else {
        return false;
    };
    let answer = connection.read_u8();
    tokio::time::timeout(Duration::from_millis(5), answer)
        .await
        .is_err()
}
