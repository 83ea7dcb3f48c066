-- Frames without an end-to-end acknowledgement: ranges of logs, or envelopes with their payload.
create table outbox (
  dst smallint not null,
  id bigint not null,
  class smallint not null,
  lane smallint not null,
  payload bytea not null,
  primary key (dst, id)
)
