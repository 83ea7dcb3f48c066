-- When each frame was published, stored and acknowledged, packed: one row per node, cell, direction and minute of the frames'
-- ids, for each few seconds. Nothing depends on it: it is lost with a node that dies within them.
create table frame_stamps (
  peer smallint not null,
  way smallint not null,
  minute bigint not null,
  node smallint not null,
  part bigint not null,
  stamps bytea not null,
  primary key (peer, way, minute, node, part)
)
