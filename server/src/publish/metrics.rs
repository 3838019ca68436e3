//! What the hub counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfEnvironment {
    pub(super) environment: i64,
}

#[derive(Clone, Default)]
pub(super) struct Metrics {
    pub(super) streams: Gauge,
    pub(super) admitted: Counter,
    pub(super) refused: Counter,
    pub(super) published: Counter,
    pub(super) followed: Counter,
    pub(super) reloaded: Counter,
    pub(super) astray: Counter,
    pub(super) regressed: Counter,
    pub(super) bus_up: Gauge,
    pub(super) database_up: Gauge,
    pub(super) head: Family<OfEnvironment, Gauge>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("storyflag_streams", "Streams that are open", metrics.streams.clone());
        registry.register("storyflag_streams_admitted", "Streams that were opened", metrics.admitted.clone());
        registry.register("storyflag_streams_refused", "Streams that were told to come back later", metrics.refused.clone());
        registry.register("storyflag_revisions_published", "Revisions that were written on this node", metrics.published.clone());
        registry.register("storyflag_catch_ups", "Times that history told what another node wrote", metrics.followed.clone());
        registry.register("storyflag_reloads", "Times that an environment was read whole", metrics.reloaded.clone());
        registry.register("storyflag_astray", "Changes that did not lead where they say", metrics.astray.clone());
        registry.register("storyflag_regressions", "Times that the database was found to have gone back", metrics.regressed.clone());
        registry.register("storyflag_bus_up", "Whether other nodes are told at once", metrics.bus_up.clone());
        registry.register("storyflag_database_up", "Whether the heads were read the last time", metrics.database_up.clone());
        registry.register("storyflag_served_revision", "The revision that is served", metrics.head.clone());
        metrics
    }
}
