-- Check points of the hash chain: each 64th entry, and the entry before a run that begins later.
create table log_hashes (
  log_id bigint not null,
  seq bigint not null,
  hash bytea not null,
  primary key (log_id, seq)
)
