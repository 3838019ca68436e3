//! Roles, and the one table of what each may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a person is here for. Each role may do all that the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Changes what is not protected, and lowers anything.
    Editor,
    /// Changes what is protected, and goes forward with releases.
    ReleaseManager,
    /// Everything.
    Admin,
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read, explain.
    Read,
    /// Kill, pause, roll back, lower: the safe direction, anywhere.
    Lower,
    /// Flags, targetings, bumps, cohorts.
    Change,
    /// Revive, approve, advance, take over.
    Advance,
    /// Environments, keys, forced archive, incarnation.
    Administer,
}

impl Role {
    const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::ReleaseManager, Self::Admin];

    /// As tokens and the command line name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::ReleaseManager => "release_manager",
            Self::Admin => "admin",
        }
    }

    /// The table: who may do this where it is protected, or where it is not.
    pub const fn least_for(right: Right, protected: bool) -> Self {
        match (right, protected) {
            (Right::Read, _) => Self::Viewer,
            (Right::Lower, _) | (Right::Change, false) => Self::Editor,
            (Right::Change, true) | (Right::Advance, _) => Self::ReleaseManager,
            (Right::Administer, _) => Self::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text.replace('-', "_"));
        known.ok_or_else(|| format!("{text:?} is no role: viewer, editor, release_manager or admin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_design() {
        let may = |role: Role, right, protected| role >= Role::least_for(right, protected);
        for (right, protected, expected) in [
            (Right::Read, true, [true, true, true, true]),
            (Right::Lower, true, [false, true, true, true]),
            (Right::Change, false, [false, true, true, true]),
            (Right::Change, true, [false, false, true, true]),
            (Right::Advance, false, [false, false, true, true]),
            (Right::Administer, false, [false, false, false, true]),
        ] {
            assert_eq!(Role::ALL.map(|role| may(role, right, protected)), expected, "{right:?} {protected}");
        }
        assert_eq!("release-manager".parse(), Ok(Role::ReleaseManager));
        assert!("root".parse::<Role>().is_err());
    }
}
