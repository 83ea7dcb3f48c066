-- The last intake number decided here per stream and sending cell's generation.
create table decided (
  stream_a bigint not null,
  stream_b bigint not null,
  cell smallint not null,
  generation bigint not null,
  n bigint not null,
  primary key (stream_a, stream_b, cell, generation)
)
