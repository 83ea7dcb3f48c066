-- Entries that a newer epoch gave up: kept, shown to nobody. Those of own people were offered to the new owner as intake.
create table orphans (
  log_id bigint not null,
  epoch bigint not null,
  seq bigint not null,
  ts bigint not null,
  ord bigint not null,
  author_id bigint not null,
  entry_key bigint not null,
  kind smallint not null,
  body bytea not null,
  given_up_ms bigint not null,
  primary key (log_id, epoch, seq)
)
