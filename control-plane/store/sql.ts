import type pg from 'pg';

/** Where a statement runs: on the pool by itself, or on a session inside a transaction. */
export type Sql = Pick<pg.Pool, 'query'> | Pick<pg.PoolClient, 'query'>;
