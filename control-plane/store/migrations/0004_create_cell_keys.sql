create table if not exists cell_keys (
  cell bigint not null,
  key_use text not null,
  key_version bigint not null,
  public_key bytea not null,
  ends_ms bigint not null,
  primary key (cell, key_use, key_version)
)
