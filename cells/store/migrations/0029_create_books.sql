-- Running sums of what each link carried, in entries, moved in the transactions that they count. One row per writer, so that
-- no lane waits for another; hence the fill factor: every transaction updates its row.
create table books (
  peer smallint not null,
  class smallint not null,
  what smallint not null,
  node smallint not null,
  lane smallint not null,
  n bigint not null,
  primary key (peer, class, what, node, lane)
) with (fillfactor = 20)
