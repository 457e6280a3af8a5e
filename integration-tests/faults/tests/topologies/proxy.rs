//! The proxy, with a plain client and a server that sends back what it is sent.

use std::time::{Duration, Instant};

use session_faults::proxy::{Network, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const QUESTION: [u8; 100] = [7; 100];
const SHORT: Duration = Duration::from_millis(100);

/// A server that sends back what it is sent.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 100];
                while client.read_exact(&mut buffer).await.is_ok() {
                    client.write_all(&buffer).await.expect("sent");
                }
            });
        }
    });
    address
}

async fn connect(proxy: &Proxy) -> TcpStream {
    let connected = TcpStream::connect(("127.0.0.1", proxy.port())).await;
    connected.expect("connected")
}

async fn ask(client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(&QUESTION).await?;
    let mut answer = [0; 100];
    client.read_exact(&mut answer).await?;
    assert_eq!(answer, QUESTION);
    Ok(())
}

#[tokio::test]
async fn bytes_pass_whole_and_those_of_a_slow_network_later() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut client = connect(&proxy).await;
    ask(&mut client).await.expect("answered");
    proxy.set(Network::Slow(SHORT));
    let began = Instant::now();
    ask(&mut client).await.expect("answered");
    assert!(began.elapsed() >= 2 * SHORT, "{:?}", began.elapsed());
    proxy.set(Network::Whole);
    let began = Instant::now();
    ask(&mut client).await.expect("answered");
    assert!(began.elapsed() < 2 * SHORT, "{:?}", began.elapsed());
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_network_that_drips_gives_the_whole_answer_in_pieces() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut client = connect(&proxy).await;
    proxy.set(Network::Drips(Duration::from_millis(10)));
    client.write_all(&QUESTION).await.expect("sent");
    let (mut pieces, mut length, mut buffer) = (0, 0, [0; 100]);
    while length < QUESTION.len() {
        length += client.read(&mut buffer).await.expect("read");
        pieces += 1;
    }
    assert!(pieces > 1);
    assert_eq!(length, QUESTION.len());
}

#[tokio::test]
async fn an_answer_is_cut_in_its_middle_and_the_next_connection_works() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut client = connect(&proxy).await;
    proxy.set(Network::CutsAnswers(2));
    ask(&mut client).await.expect("the first is whole");
    client.write_all(&QUESTION).await.expect("sent");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("read");
    assert_eq!(answer.len(), QUESTION.len() / 2);
    ask(&mut connect(&proxy).await).await.expect("answered");
}

#[tokio::test]
async fn a_silent_connection_stays_silent_and_a_new_one_works() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut client = connect(&proxy).await;
    ask(&mut client).await.expect("answered");
    proxy.silence();
    assert!(timeout(SHORT, ask(&mut client)).await.is_err());
    ask(&mut connect(&proxy).await).await.expect("answered");
}

#[tokio::test]
async fn connections_of_a_black_hole_stay_silent_after_its_end() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut before = connect(&proxy).await;
    ask(&mut before).await.expect("answered");
    proxy.set(Network::Swallows);
    let mut meanwhile = connect(&proxy).await;
    assert!(timeout(SHORT, ask(&mut meanwhile)).await.is_err());
    proxy.set(Network::Whole);
    for client in [&mut before, &mut meanwhile] {
        assert!(timeout(SHORT, ask(client)).await.is_err());
    }
    ask(&mut connect(&proxy).await).await.expect("answered");
}

#[tokio::test]
async fn connections_are_reset_and_refused_and_led_to_another_server() {
    let proxy = Proxy::start(echo().await).await.expect("started");
    let mut client = connect(&proxy).await;
    ask(&mut client).await.expect("answered");
    proxy.reset_all();
    let reset = client.read_u8().await.expect_err("reset");
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.set(Network::Refuses);
    assert!(ask(&mut connect(&proxy).await).await.is_err());
    proxy.set(Network::Whole);
    // There is no server.
    proxy.lead_to(([127, 0, 0, 1], 1).into());
    assert!(ask(&mut connect(&proxy).await).await.is_err());
    proxy.lead_to(echo().await);
    ask(&mut connect(&proxy).await).await.expect("answered");
}
