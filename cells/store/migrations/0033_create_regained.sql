-- Cells that have given back what this store lost, or that an operator declared lost, in this life of the store.
create table regained (
  cell smallint not null,
  generation bigint not null,
  is_lost boolean not null,
  primary key (cell, generation)
)
