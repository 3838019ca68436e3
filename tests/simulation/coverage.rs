//! Which command met a release in which state.

use super::{histories::Coverage, online::PHASES};

const COMMANDS: [&str; 9] = ["start", "schedule", "pause", "resume", "approve", "advance", "rollback", "cancel", "tick"];

/// The table, done and refused; and what is missing of it.
pub(crate) fn print(met: &Coverage) -> Vec<String> {
    let mut missing = Vec::new();
    println!("{:<34}{}", "done/refused", COMMANDS.map(|command| format!("{command:>14}")).concat());
    for phase in PHASES {
        let cells = COMMANDS.map(|command| {
            let met = met.get(&(command, phase)).copied().unwrap_or_default();
            if met.done + met.refused == 0 {
                missing.push(format!("{command} of {phase}"));
            }
            format!("{:>14}", format!("{}/{}", met.done, met.refused))
        });
        println!("{phase:<34}{}", cells.concat());
    }
    missing
}
