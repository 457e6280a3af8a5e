//! The store in the process: no server that could fail.

use async_trait::async_trait;

use super::Topology;
use crate::Result;
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};

pub(super) struct Memory;

#[async_trait]
impl Topology for Memory {
    fn description(&self) -> String {
        "session-memory, one process".to_owned()
    }

    fn url(&self) -> String {
        "memory:?expiry_grace=10m".to_owned()
    }

    fn faults(&self) -> &'static [FaultKind] {
        &[]
    }

    async fn inject(&self, fault: &'static str, _dice: &mut Dice) -> Result<Injected> {
        Err(format!("the memory store can't have the fault {fault}").into())
    }

    fn processes(&self) -> usize {
        1
    }
}
