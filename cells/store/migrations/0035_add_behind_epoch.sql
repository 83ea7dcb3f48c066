-- epoch: of the entry at known_seq. What is known of one epoch says nothing of a later one.
alter table behind add column epoch bigint not null default 0
