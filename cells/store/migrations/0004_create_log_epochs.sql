-- Ownerships before the current one, which is in logs.
create table log_epochs (
  log_id bigint not null,
  epoch bigint not null,
  base bigint not null,
  primary key (log_id, epoch)
)
