-- The logs of the people homed here; until_seq 0 while they are members.
create table user_logs (
  user_id bigint not null,
  log_id bigint not null,
  from_seq bigint not null,
  until_seq bigint not null,
  primary key (user_id, log_id)
)
