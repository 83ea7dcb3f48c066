create table if not exists takeovers (
  log_id bigint primary key,
  epoch bigint not null
)
