//! Bugs that are planted on purpose, into what stands between the scheduler and its books: the checks must find each.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Bug {
    /// The release's row is replaced whatever stands.
    NoCompareAndSet,
    /// The environment is not locked.
    NoLock,
    /// Whether the flag is killed is looked at before the lock.
    KillBeforeLock,
    /// The whole targeting is read before the lock.
    TargetingBeforeLock,
    /// A human's change is taken for the release's own.
    SupersededIgnored,
    /// Steps that are due are taken at once, as if each had baked.
    FoldedSteps,
    /// A step is left out.
    SkippedStep,
    /// The step that was taken is written again.
    StepTwice,
    /// While it is rolled back, a step is written.
    LateStep,
    /// After its end, the last step is written again.
    StepAfterEnd,
    /// The time that the clock says counts as bake.
    BakeOverOutage,
    /// Time counts as bake while people have paused it.
    BakeWhilePaused,
    /// Telemetry is always healthy.
    AdvanceOnNoData,
    /// Silence turns back.
    TurnBackOnNoData,
    /// The copy to go back to is empty.
    EmptyBaseline,
    /// The copy to go back to is taken after the first step.
    LateBaseline,
    /// Transitions without a row of the timeline.
    NoRecord,
    /// Rows of the timeline without evidence.
    NoEvidence,
    /// Messages that are not written.
    LostNotice,
    /// Messages that are written before what they tell of is sure.
    DoubledNotice,
    /// How far rows were folded is not stored.
    LostCursor,
    /// What another node wrote is replaced by a quiet snapshot.
    SnapshotOverwrites,
    /// A rollback is called verified before anybody was seen to run the baseline.
    VerifiedUnseen,
    /// A step that wants approval goes without.
    NoApproval,
    /// Freezes hold nothing back.
    NoFreeze,
    /// Nobody looks at triggers while it is paused.
    PausedIsBlind,
}

pub(crate) const BUGS: [Bug; 26] = [
    Bug::NoCompareAndSet,
    Bug::NoLock,
    Bug::KillBeforeLock,
    Bug::TargetingBeforeLock,
    Bug::SupersededIgnored,
    Bug::FoldedSteps,
    Bug::SkippedStep,
    Bug::StepTwice,
    Bug::LateStep,
    Bug::StepAfterEnd,
    Bug::BakeOverOutage,
    Bug::BakeWhilePaused,
    Bug::AdvanceOnNoData,
    Bug::TurnBackOnNoData,
    Bug::EmptyBaseline,
    Bug::LateBaseline,
    Bug::NoRecord,
    Bug::NoEvidence,
    Bug::LostNotice,
    Bug::DoubledNotice,
    Bug::LostCursor,
    Bug::SnapshotOverwrites,
    Bug::VerifiedUnseen,
    Bug::NoApproval,
    Bug::NoFreeze,
    Bug::PausedIsBlind,
];
