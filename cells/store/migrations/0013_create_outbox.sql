-- Frames without an end-to-end acknowledgement: ranges of logs, or envelopes with their payload. `due`: entries it brings
-- the destination for the first time, for the books.
create table outbox (
  dst smallint not null,
  id bigint not null,
  class smallint not null,
  lane smallint not null,
  due bigint not null,
  payload bytea not null,
  primary key (dst, id)
)
