-- Deployment plans, word for word as they were put. A deleted one keeps its row, so that its versions go on.
create table plans (
    id integer not null primary key,
    project bigint not null references projects (id),
    key text not null,
    -- yaml, json or markdown.
    media text not null,
    document text not null,
    -- What the document says, for lists and look-ups.
    story text not null,
    flag text not null,
    approach text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    updated_by text not null,
    deleted_at bigint,
    unique (project, key)
);
