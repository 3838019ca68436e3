//! What one node heard in one second.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::{Arm, Identity};

use crate::evidence::ArmCounts;

/// What one node heard in one second: what stands in its row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSecond {
    /// Sums over every instance that reported, one entry for each flag, rollout revision and arm. Zero counts are facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<Watched>,
    /// Who reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Heard>,
}

/// One arm of one flag, at one revision of its rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The flag's key.
    pub flag: String,
    /// The revision that set the rollout under which this was counted.
    pub rollout_revision: u64,
    /// The arm.
    pub arm: Arm,
    /// The counts.
    #[serde(default)]
    pub counts: ArmCounts,
}

/// An instance that reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Its id.
    pub instance: String,
    /// What it runs.
    pub applied: Identity,
    /// Whether it said that it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goodbye: bool,
}

/// A row: whose, and of which second. A node numbers its seconds strictly upwards, by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The node.
    pub node: String,
    /// Epoch seconds of that node's clock. Never compared with another node's.
    pub second: i64,
    /// What it heard.
    pub heard: NodeSecond,
}
