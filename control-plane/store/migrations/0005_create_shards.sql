create table if not exists shards (
  shard bigint primary key,
  n bigint not null
)
