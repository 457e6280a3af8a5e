//! Sessions that move from an Express layout to a native store on real servers, beside sign-outs,
//! saves and readers on other application servers.

use std::sync::Arc;

use futures_util::future::join_all;
use integration_tests::servers::{self, Server};
use session_core::{
    Draft, ErrorKind, Lifetime, Session, SessionId, SessionStore, SessionToken, Sessions, Stamp,
};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use session_web::express::{Express, ExpressLayout, MovingStore};

/// How many sessions move in each test, unless the environment says otherwise.
const ROUNDS: usize = 48;
/// How many of them at the same time.
const LANES: usize = 8;
/// The saves beside a sign-out, and the readers beside a move.
const OTHERS: usize = 3;

fn rounds() -> usize {
    let asked = std::env::var("SESSION_TEST_MOVING_ROUNDS");
    asked.map_or(ROUNDS, |asked| asked.parse().expect("a number of rounds"))
}

/// The same two places, as two application servers have them.
struct Site {
    servers: [Sessions; 2],
    /// The Express layout by itself.
    express: Arc<dyn SessionStore>,
    /// The native store by itself.
    native: Arc<dyn SessionStore>,
}

/// The stores of one application server: Express' and the native one.
type Pair<E> = (E, Arc<dyn SessionStore>);

impl Site {
    fn new<E: ExpressLayout + Clone>([one, other]: [Pair<E>; 2]) -> Self {
        let (express, native) = (Arc::new(one.0.clone()), Arc::clone(&one.1));
        let servers = [one, other].map(|(express, native)| {
            Sessions::new(Arc::new(MovingStore::new(native, express)) as Arc<dyn SessionStore>)
        });
        Self {
            servers,
            express,
            native,
        }
    }

    /// A session that Express has left, and the token that its client presents.
    async fn left_by_express(&self) -> SessionToken {
        let sid = SessionToken::generate_plain().id();
        let draft = Draft::new(r#"{"user":"Napoleon"}"#, Lifetime::default());
        let created = self.express.create(&sid, &draft).await.expect("up");
        assert!(created.is_done());
        SessionToken::foreign(sid.as_str()).expect("any text")
    }

    async fn open(&self, server: usize, token: &SessionToken) -> Session {
        let session = self.servers[server % 2].open(Some(token)).await;
        session.expect("the stores are up")
    }

    /// Removes what the test has left.
    async fn clear(&self) {
        for store in [&self.express, &self.native] {
            let directory = store.directory().expect("each store has one");
            directory.clear().await.expect("cleared");
        }
    }
}

/// The id that an Express layout files this session under.
fn sid(token: &SessionToken) -> SessionId {
    let id = token.id();
    SessionId::plain(id.presented().expect("it is foreign")).expect("any text")
}

/// Runs `round` for as many sessions as asked for, a few at a time.
async fn repeat(site: &Site, round: impl AsyncFn(&Site, usize)) {
    let each = rounds().div_ceil(LANES);
    let lane = async |lane: usize| {
        for n in 0..each {
            round(site, lane * each + n).await;
        }
    };
    join_all((0..LANES).map(lane)).await;
}

/// Requests that have read a session before it moves save it while another signs out.
async fn a_sign_out_holds(site: Site) {
    repeat(&site, async |site, round| {
        let token = site.left_by_express().await;
        let mut saves = Vec::new();
        for n in 0..OTHERS {
            let session = site.open(n, &token).await;
            assert!(!session.is_new());
            session.insert(&format!("late {n}"), round).expect("JSON");
            saves.push(session);
        }
        let leaving = site.open(round, &token).await;
        let save = async |session: Session| match session.save().await {
            Ok(()) => session.token(),
            Err(error) if error.kind() == ErrorKind::Gone => session.token(),
            Err(error) => panic!("round {round}: {error}"),
        };
        // Who is first is chance, and round by round another one is asked first.
        saves.rotate_left(round % OTHERS);
        let last = saves.split_off(round % (OTHERS + 1));
        let (before, ended, after) = tokio::join!(
            join_all(saves.into_iter().map(save)),
            leaving.destroy(),
            join_all(last.into_iter().map(save)),
        );
        ended.expect("signed out");
        let tokens = before.into_iter().chain(after).flatten();
        for token in tokens.chain([token.clone()]) {
            for server in 0..2 {
                let session = site.open(server, &token).await;
                assert!(session.is_new(), "round {round}: it lives on");
            }
        }
        let left = site.express.load(&sid(&token)).await.expect("up");
        assert!(left.is_none(), "round {round}: Express' record is left");
        let left = site.native.load(&token.id()).await.expect("up");
        let left = left.expect("a tombstone stands");
        assert_eq!(&left.data[..], b"\0ended", "round {round}");
    })
    .await;
    site.clear().await;
}

/// Requests that read a session while another moves it.
async fn a_reader_always_finds_it(site: Site) {
    repeat(&site, async |site, round| {
        let token = site.left_by_express().await;
        let moving = site.open(round, &token).await;
        moving.insert("seen", round).expect("JSON");
        let read = async |n: usize| {
            for _ in 0..4 {
                let session = site.open(n, &token).await;
                let user: Option<String> = session.get("user").expect("text");
                assert_eq!(user.as_deref(), Some("Napoleon"), "round {round}");
                session.touch().await.expect("it lives");
            }
        };
        let (moved, _) = tokio::join!(moving.save(), join_all((0..OTHERS).map(read)));
        moved.expect("it moves");
        let seen = site.open(round + 1, &token).await.get::<usize>("seen");
        assert_eq!(seen.expect("a number"), Some(round));
    })
    .await;
    site.clear().await;
}

/// Requests that all move one session, each with a change of its own.
async fn no_change_is_lost(site: Site) {
    repeat(&site, async |site, round| {
        let token = site.left_by_express().await;
        let write = async |n: usize| {
            let session = site.open(n, &token).await;
            let add = |sum: Option<usize>| sum.unwrap_or(0) + 1;
            session.update("sum", add).await.expect("counted");
        };
        join_all((0..OTHERS).map(write)).await;
        let session = site.open(round, &token).await;
        let sum: Option<usize> = session.get("sum").expect("a number");
        assert_eq!(sum, Some(OTHERS), "round {round}");
        let left = site.express.load(&sid(&token)).await.expect("up");
        assert!(left.is_none(), "round {round}: Express' record is left");
    })
    .await;
    site.clear().await;
}

/// A name that nobody else has.
fn namespace() -> String {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    format!("moving{:016x}", random as u64)
}

fn express() -> Express {
    Express::new("keyboard cat")
}

async fn on_redis(server: &Server) -> Site {
    use session_redis::express::ExpressStore;
    let name = namespace();
    let pair = async || {
        let old = ExpressStore::builder(express()).prefix(format!("{name}old:"));
        let old = old.connect(&server.url).await.expect("up");
        let new = RedisStore::builder()
            .timeout(servers::PATIENCE)
            .prefix(format!("{name}new:"));
        let new = new.connect(&server.url).await.expect("up");
        (old, Arc::new(new) as Arc<dyn SessionStore>)
    };
    Site::new([pair().await, pair().await])
}

async fn on_mongo(server: &Server) -> Site {
    use session_mongo::express::ExpressStore;
    let name = namespace();
    let pair = async || {
        let old = ExpressStore::builder(express()).collection(format!("{name}old"));
        let old = old.connect(&server.url).await.expect("up");
        let new = MongoStore::builder()
            .timeout(servers::PATIENCE)
            .collection(format!("{name}new"));
        let new = new.connect(&server.url).await.expect("up");
        (old, Arc::new(new) as Arc<dyn SessionStore>)
    };
    Site::new([pair().await, pair().await])
}

async fn on_mysql(server: &Server) -> Site {
    use session_mysql::express::ExpressStore;
    let name = namespace();
    let pair = async || {
        let old = ExpressStore::builder(express()).table(format!("{name}old"));
        let old = old.connect(&server.url).await.expect("up");
        let new = MysqlStore::builder()
            .timeout(servers::PATIENCE)
            .table(format!("{name}new"));
        let new = new.connect(&server.url).await.expect("up");
        (old, Arc::new(new) as Arc<dyn SessionStore>)
    };
    Site::new([pair().await, pair().await])
}

async fn on_postgres(server: &Server) -> Site {
    use session_postgres::express::ExpressStore;
    let name = namespace();
    let pair = async || {
        let old = ExpressStore::builder(express()).table(format!("{name}old"));
        let old = old.connect(&server.url).await.expect("up");
        let new = PostgresStore::builder()
            .timeout(servers::PATIENCE)
            .table(format!("{name}new"));
        let new = new.connect(&server.url).await.expect("up");
        (old, Arc::new(new) as Arc<dyn SessionStore>)
    };
    Site::new([pair().await, pair().await])
}

/// The tests of one database.
macro_rules! moves {
    ($($database:ident: $server:ident, $site:ident;)*) => {$(
        mod $database {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn a_sign_out_beside_saves_of_an_unmoved_session_holds() {
                if let Some(server) = servers::$server() {
                    a_sign_out_holds($site(server).await).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn a_reader_beside_a_move_always_finds_the_session() {
                if let Some(server) = servers::$server() {
                    a_reader_always_finds_it($site(server).await).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn changes_beside_a_move_are_all_kept() {
                if let Some(server) = servers::$server() {
                    no_change_is_lost($site(server).await).await;
                }
            }
        }
    )*};
}

moves! {
    redis: redis, on_redis;
    mongo: mongo, on_mongo;
    mysql: mysql, on_mysql;
    postgres: postgres, on_postgres;
}
