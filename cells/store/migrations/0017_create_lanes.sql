-- Held by every write transaction of a node's lane, so that a freeze can wait for all earlier writes.
create table lanes (
  node smallint not null,
  lane smallint not null,
  primary key (node, lane)
)
