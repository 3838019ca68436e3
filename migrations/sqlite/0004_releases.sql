-- Releases: one execution of a plan in one environment.
create table releases (
    id integer not null primary key,
    environment bigint not null references environments (id),
    -- DP-123-checkout-1
    key text not null,
    plan text not null,
    flag text not null,
    -- The plan as it was when the release was created: another may be put meanwhile.
    media text not null,
    document text not null,
    plan_version bigint not null,
    -- What is carried out of it, scaled: JSON.
    course text not null,
    time_scale bigint not null,
    -- Where it stands and what it rests on: JSON. Replaced by compare-and-set on (number, snapshot).
    run text not null,
    -- Counts transitions: what If-Match compares.
    number bigint not null,
    -- Counts writes of this row.
    snapshot bigint not null,
    -- scheduled, running, paused, rolling_back, rolled_back, completed, superseded or cancelled.
    phase text not null,
    -- Whether it has not ended.
    live boolean not null,
    -- Whether the flag is marked as watched for it; until 25 h after the end.
    watching boolean not null,
    created_at bigint not null,
    created_by text not null,
    ended_at bigint,
    unique (environment, key)
);
-- One release that has not ended per flag and environment.
create unique index releases_live on releases (environment, flag) where live;
create index releases_watching on releases (environment) where watching;

-- Append-only; gapless and unique per release.
create table release_transitions (
    release bigint not null references releases (id),
    number bigint not null,
    at bigint not null,
    from_phase text not null,
    to_phase text not null,
    step bigint not null,
    actor text,
    evidence text not null,
    -- The environment's revision that it made, if it changed what is served.
    revision bigint,
    primary key (release, number)
);

-- What a node heard in a second, of an environment in which something is watched: JSON. Kept for 6 h.
create table telemetry_seconds (
    environment bigint not null references environments (id),
    node text not null,
    second bigint not null,
    heard text not null,
    primary key (environment, node, second)
);

-- How far each node has come: who reads seconds looks here first.
create table telemetry_nodes (
    environment bigint not null references environments (id),
    node text not null,
    second bigint not null,
    primary key (environment, node)
);

-- The same by minute, with latency, for reports. Each node writes its own rows.
create table telemetry_minutes (
    environment bigint not null references environments (id),
    flag text not null,
    rollout_revision bigint not null,
    arm text not null,
    minute bigint not null,
    node text not null,
    -- JSON.
    counts text not null,
    primary key (environment, flag, rollout_revision, arm, minute, node)
);
create index telemetry_minutes_by_time on telemetry_minutes (minute);

-- Units ever exposed at a revision of a rollout, as a node knows them: the registers of a HyperLogLog.
create table exposed_units (
    environment bigint not null references environments (id),
    flag text not null,
    rollout_revision bigint not null,
    arm text not null,
    node text not null,
    registers text not null,
    updated_at bigint not null,
    primary key (environment, flag, rollout_revision, arm, node)
);

-- Times in which nothing is raised.
create table freezes (
    id text not null primary key,
    environment bigint not null references environments (id),
    from_at bigint not null,
    to_at bigint not null,
    reason text not null,
    created_at bigint not null,
    created_by text not null
);
create index freezes_by_end on freezes (environment, to_at);

-- Where people hear of it.
create table channels (
    environment bigint not null references environments (id),
    key text not null,
    kind text not null,
    url text not null,
    -- JSON: audiences.
    receives text not null,
    secret text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (environment, key)
);

-- What is to be told. Written in the transaction that causes it, once per event and channel.
create table outbox (
    -- The message's id, stable over every attempt.
    id text not null primary key,
    environment bigint not null references environments (id),
    -- What it tells of: with the channel, its identity.
    event text not null,
    -- A channel's key; empty for the log.
    channel text not null,
    audience text not null,
    kind text not null,
    -- The release that it tells of, if any.
    release text,
    -- JSON, as it is sent.
    body text not null,
    created_at bigint not null,
    attempts bigint not null,
    -- When it is due; null once it is delivered or given up for a channel that is gone.
    next_at bigint,
    delivered_at bigint,
    -- What the last attempt met.
    error text,
    unique (environment, event, channel)
);
create index outbox_due on outbox (next_at) where next_at is not null;
create index outbox_by_release on outbox (environment, release);
