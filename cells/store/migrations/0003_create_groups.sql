create table groups (
  log_id bigint not null primary key,
  title text not null,
  members_max bigint not null,
  creator bigint not null
)
