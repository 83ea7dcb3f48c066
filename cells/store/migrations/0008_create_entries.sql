-- entry_key is the client entry id folded with the author (entry-key.ts): one 8-byte column gives the id back and makes
-- the unique index 8 bytes an entry smaller than one over author and id. Its order keeps it 1 to 4 bytes an entry smaller than
-- log first, and spreads the writes. The epoch follows from seq and the log's epochs.
create table entries (
  log_id bigint not null,
  seq bigint not null,
  ts bigint not null,
  ord bigint not null,
  author_id bigint not null,
  entry_key bigint not null,
  kind smallint not null,
  body bytea not null,
  primary key (log_id, seq),
  unique (entry_key, log_id)
)
