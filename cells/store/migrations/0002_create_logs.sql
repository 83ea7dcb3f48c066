-- One row per log kept here. Changes with each entry, hence the fill factor and no index on what changes: updates stay HOT.
create table logs (
  log_id bigint not null primary key,
  kind smallint not null,
  status smallint not null,
  epoch bigint not null,
  epoch_base bigint not null,
  head bigint not null,
  head_ts bigint not null,
  head_ord bigint not null,
  head_hash bytea not null,
  version bigint not null,
  start_seq bigint not null,
  floor bigint not null,
  low bigint not null,
  high bigint not null,
  changed_ms bigint not null
) with (fillfactor = 50)
