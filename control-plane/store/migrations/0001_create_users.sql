create table if not exists users (
  user_id bigint primary key,
  handle text not null,
  skeleton text not null,
  home bigint not null,
  epoch bigint not null,
  reserved_ms bigint not null,
  constraint users_handle_unique unique (handle),
  constraint users_skeleton_unique unique (skeleton)
)
