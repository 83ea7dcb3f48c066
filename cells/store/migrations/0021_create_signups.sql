-- Sign-ups between intention and activation. A row leaves when the user is active or the handle turned out to be taken, never otherwise.
create table signups (
  user_id bigint not null primary key,
  handle text not null,
  skeleton text not null,
  password_hash text not null,
  pepper bigint not null,
  device text not null,
  created_ms bigint not null
)
