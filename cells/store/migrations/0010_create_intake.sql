-- Own people's appends to logs owned elsewhere, until the owner's decision is applied here.
create table intake (
  stream_a bigint not null,
  stream_b bigint not null,
  generation bigint not null,
  n bigint not null,
  log_id bigint not null,
  dst smallint not null,
  author_id bigint not null,
  client_entry_id bigint not null,
  kind smallint not null,
  body bytea not null,
  created_ms bigint not null,
  primary key (stream_a, stream_b, generation, n),
  unique (author_id, client_entry_id, stream_a, stream_b)
)
