-- A session is one log-in of one device and one family of refresh tokens: only the hash of the newest is kept, and what the token before it is turned into it with.
create table sessions (
  session_id bigint not null primary key,
  user_id bigint not null,
  device text not null,
  created_ms bigint not null,
  refreshed_ms bigint not null,
  ends_ms bigint not null,
  refresh_number bigint not null,
  refresh_hash bytea not null,
  refresh_salt bytea not null,
  ended_ms bigint,
  ended_reason text,
  ended_by bigint
)
