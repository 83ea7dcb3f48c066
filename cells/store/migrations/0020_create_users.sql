-- People homed here. The handle is unique in the whole directory; this is its second witness.
create table users (
  user_id bigint not null primary key,
  handle text not null unique,
  password_hash text not null,
  pepper bigint not null,
  self_log bigint not null,
  sign_up_device text not null,
  created_ms bigint not null
)
