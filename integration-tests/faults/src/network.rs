//! Faults of the network between workers and servers.

use std::time::Duration;

use crate::Result;
use crate::clock::Micros;
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};
use crate::proxy::{Network, Proxy};

/// A client gives up a silent connection after time-outs.
const SILENCE_IS_NOTICED: Duration = Duration::from_secs(5);

/// Every byte waits 20 to 300 ms in each direction.
pub const DELAY: FaultKind = FaultKind::new("network-delay");
/// Answers come in pieces of 16 bytes, 2 to 20 ms apart.
pub const DRIP: FaultKind = FaultKind::new("network-drip");
/// One answer of 3 to 30 ends in its middle, and its connection with it.
pub const CUT_ANSWERS: FaultKind = FaultKind::new("network-cut-answers");
/// The connections that are open are silent for good; new ones work.
pub const SILENCE: FaultKind =
    FaultKind::new("network-silence").recovers_within(SILENCE_IS_NOTICED);
/// Nothing passes, and the connections of that time are silent for good.
pub const BLACK_HOLE: FaultKind =
    FaultKind::new("network-black-hole").recovers_within(SILENCE_IS_NOTICED);
/// All connections are reset every 50 to 300 ms.
pub const RESETS: FaultKind = FaultKind::new("network-resets");
/// All connections are reset, and new ones refused.
pub const CUT: FaultKind = FaultKind::new("network-cut");

/// The names of all of them begin so.
const PREFIX: &str = "network-";

/// Whether `fault` is one of these.
#[must_use]
pub fn is_one(fault: &str) -> bool {
    fault.starts_with(PREFIX)
}

/// Makes a fault of the network at all of these proxies at once, and ends it.
///
/// # Errors
/// If there is no fault of this name.
pub async fn inject(proxies: &[&Proxy], fault: &str, dice: &mut Dice) -> Result<Injected> {
    let period = dice.duration(Duration::from_millis(500), Duration::from_secs(5));
    let began = Micros::now();
    let detail = if fault == RESETS.name {
        storm(proxies, period, dice).await
    } else if fault == SILENCE.name {
        proxies.iter().for_each(|proxy| proxy.silence());
        "connections that are open".to_owned()
    } else {
        let network = network(fault, dice)?;
        set(proxies, network);
        if network == Network::Refuses {
            proxies.iter().for_each(|proxy| proxy.reset_all());
        }
        tokio::time::sleep(period).await;
        set(proxies, Network::Whole);
        format!("{network:?} for {period:?}")
    };
    Ok(Injected::since(began, detail))
}

fn network(fault: &str, dice: &mut Dice) -> Result<Network> {
    let millis = Duration::from_millis;
    Ok(if fault == DELAY.name {
        Network::Slow(dice.duration(millis(20), millis(300)))
    } else if fault == DRIP.name {
        Network::Drips(dice.duration(millis(2), millis(20)))
    } else if fault == CUT_ANSWERS.name {
        Network::CutsAnswers(dice.number(3..30))
    } else if fault == BLACK_HOLE.name {
        Network::Swallows
    } else if fault == CUT.name {
        Network::Refuses
    } else {
        return Err(format!("the network can't have the fault {fault}").into());
    })
}

async fn storm(proxies: &[&Proxy], period: Duration, dice: &mut Dice) -> String {
    let (mut passed, mut resets) = (Duration::ZERO, 0);
    while passed < period {
        proxies.iter().for_each(|proxy| proxy.reset_all());
        resets += 1;
        let pause = dice.duration(Duration::from_millis(50), Duration::from_millis(300));
        tokio::time::sleep(pause).await;
        passed += pause;
    }
    format!("{resets} times in {passed:?}")
}

fn set(proxies: &[&Proxy], network: Network) {
    proxies.iter().for_each(|proxy| proxy.set(network));
}
