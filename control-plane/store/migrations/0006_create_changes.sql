create table if not exists changes (
  shard bigint not null,
  n bigint not null,
  body bytea not null,
  primary key (shard, n)
)
