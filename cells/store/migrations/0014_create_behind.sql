-- Logs whose owner has more than is stored here.
create table behind (
  log_id bigint not null primary key,
  known_seq bigint not null,
  src smallint not null
)
