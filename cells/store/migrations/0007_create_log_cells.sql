-- Which cells get a log's entries, and which of them; until_seq 0 while they have members.
create table log_cells (
  log_id bigint not null,
  cell smallint not null,
  from_seq bigint not null,
  until_seq bigint not null,
  primary key (log_id, cell)
)
