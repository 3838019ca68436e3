-- Keys and units compare by their bytes, as they do on Postgres.

create table projects (
    id integer not null primary key,
    key text not null unique,
    name text not null,
    created_at bigint not null
);

create table environments (
    id integer not null primary key,
    project bigint not null references projects (id),
    key text not null,
    name text not null,
    protected boolean not null,
    -- What is served: the number, the history it belongs to, and the sum over all texts.
    revision bigint not null,
    incarnation bigint not null,
    raised_at bigint not null,
    regressed boolean not null,
    digest bigint not null,
    flags bigint not null,
    item_bytes bigint not null,
    changed_at bigint not null,
    -- Counts what is not served: keys and settings.
    settings bigint not null,
    options text not null,
    version bigint not null,
    unique (project, key)
);

create table flags (
    id integer not null primary key,
    project bigint not null references projects (id),
    key text not null,
    story text not null,
    description text not null,
    variants text not null,
    off text not null,
    serve text not null,
    tags text not null,
    owner text not null,
    seed text not null,
    client boolean not null,
    archived_at bigint,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    unique (project, key)
);

create table targetings (
    environment bigint not null references environments (id),
    flag bigint not null references flags (id),
    key text not null,
    version bigint not null,
    item text not null,
    updated_at bigint not null,
    updated_by text not null,
    primary key (environment, key)
);

create table cohorts (
    id integer not null primary key,
    environment bigint not null references environments (id),
    key text not null,
    description text not null,
    version bigint not null,
    generation bigint not null,
    members bigint not null,
    item text not null,
    deleted_at bigint,
    updated_at bigint not null,
    unique (environment, key)
);

-- A whole list. It is written before it begins; one that never began is swept.
create table cohort_generations (
    cohort bigint not null references cohorts (id),
    generation bigint not null,
    from_revision bigint,
    to_revision bigint,
    created_at bigint not null,
    primary key (cohort, generation)
);

create table cohort_members (
    cohort bigint not null,
    generation bigint not null,
    unit text not null,
    from_revision bigint not null,
    to_revision bigint,
    primary key (cohort, generation, unit, from_revision),
    foreign key (cohort, generation) references cohort_generations (cohort, generation)
);
create index cohort_members_by_unit on cohort_members (cohort, unit);

-- What SDKs fetch: hashes, by the digest of their bytes.
create table cohort_lists (
    environment bigint not null references environments (id),
    digest text not null,
    cohort text not null,
    bytes blob not null,
    created_at bigint not null,
    primary key (environment, digest)
);

-- One history, append-only: audit, catching up, and the past. Without a revision: not served.
create table changes (
    id integer not null primary key,
    project bigint not null references projects (id),
    environment bigint references environments (id),
    revision bigint,
    at bigint not null,
    actor text not null,
    reason text,
    request text not null,
    kind text not null,
    key text not null,
    after text,
    unique (environment, revision, kind, key)
);
create index changes_by_key on changes (environment, kind, key, revision);
create index changes_by_time on changes (environment, at);

-- Keys of SDKs; the secret is known to its owner only.
create table keys (
    id text not null primary key,
    environment bigint not null references environments (id),
    name text not null,
    hash text not null,
    created_at bigint not null,
    created_by text not null,
    revoked_at bigint
);

-- Keys that sign tokens; slot 1 is taken once, however many nodes start together.
create table signing_keys (
    id text not null primary key,
    slot bigint not null unique,
    private_key text not null,
    created_at bigint not null
);

create table instances (
    environment bigint not null references environments (id),
    instance text not null,
    node text not null,
    sdk text not null,
    applied text not null,
    last_seen_at bigint not null,
    goodbye boolean not null,
    primary key (environment, instance)
);

create table flag_usage (
    environment bigint not null references environments (id),
    flag text not null,
    variant text not null,
    count bigint not null,
    last_asked_at bigint not null,
    primary key (environment, flag, variant)
);
