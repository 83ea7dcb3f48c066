-- Frames that opened but could not be understood: kept for people to look at; their logs heal by pull.
create table parked (
  src smallint not null,
  id bigint not null,
  class text not null,
  why text not null,
  parked_ms bigint not null,
  bytes bytea not null,
  primary key (src, id)
)
