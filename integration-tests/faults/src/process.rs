//! Faults of a server's process.

use std::time::Duration;

use integration_tests::servers::Private;
use tokio::task::block_in_place;

use crate::Result;
use crate::clock::Micros;
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};

/// The process is killed (`SIGKILL`) and started again after up to 2 s.
pub const KILL: FaultKind = FaultKind::new("kill");
/// The process ends in order and is started again.
pub const RESTART: FaultKind = FaultKind::new("restart");
/// The process stands still for 0.5 to 8 s.
pub const STOP: FaultKind = FaultKind::new("stop");

/// Whether `fault` is one of these.
#[must_use]
pub fn is_one(fault: &str) -> bool {
    [KILL.name, RESTART.name, STOP.name].contains(&fault)
}

/// Makes a fault of this server's process, and ends it: it answers again.
///
/// # Errors
/// If there is no fault of this name, or the server does not come back.
pub async fn inject(server: &mut Private, fault: &str, dice: &mut Dice) -> Result<Injected> {
    let began = Micros::now();
    let detail = if fault == KILL.name {
        let away = dice.duration(Duration::ZERO, Duration::from_secs(2));
        block_in_place(|| server.kill());
        tokio::time::sleep(away).await;
        start(server)?;
        format!("away for {away:?}")
    } else if fault == RESTART.name {
        block_in_place(|| server.stop())?;
        start(server)?;
        "in order".to_owned()
    } else if fault == STOP.name {
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(8));
        pause(server, period).await?;
        format!("for {period:?}")
    } else {
        return Err(format!("a process can't have the fault {fault}").into());
    };
    Ok(Injected::since(began, detail))
}

/// Starts a server again that has ended, and waits until it answers.
///
/// # Errors
/// If it does not.
pub fn start(server: &mut Private) -> Result<()> {
    block_in_place(|| server.try_restart().and_then(|()| server.ready()))?;
    Ok(())
}

/// Lets the process stand still for this long.
///
/// # Errors
/// If there is no process.
pub async fn pause(server: &Private, period: Duration) -> Result<()> {
    server.stand_still()?;
    tokio::time::sleep(period).await;
    server.go_on()?;
    Ok(())
}
