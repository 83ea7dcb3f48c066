create table members (
  log_id bigint not null,
  user_id bigint not null,
  home smallint not null,
  from_seq bigint not null,
  primary key (log_id, user_id)
)
