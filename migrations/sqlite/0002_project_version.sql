-- For If-Match, as every other thing that can be PUT has it.
alter table projects add column version bigint not null default 1;
