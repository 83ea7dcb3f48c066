create table intake_streams (
  stream_a bigint not null,
  stream_b bigint not null,
  generation bigint not null,
  next_n bigint not null,
  primary key (stream_a, stream_b, generation)
)
