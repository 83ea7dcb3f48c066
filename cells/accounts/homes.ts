// Whose home is where: told from the directory's replica, so that it works while the directory is away.

import { WeftError } from '@weft/proto/faults.ts';
import type { CellRecord, ReserveRequest, UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Reservation } from '@weft/runtime/directory-client.ts';

/** What accounts ask of the directory's replica (runtime/directory-replica.ts has it). */
export interface Homes {
  cell(nameOrNumber: string | number): CellRecord | undefined;
  userByHandle(handle: string): UserRecord | undefined;
  homeOf(user: bigint): number;
  readonly directory: {
    reserve(request: ReserveRequest): Promise<Reservation>;
    findUser(by: { readonly handle: string }): Promise<UserRecord | undefined>;
  };
}

/** Which cell this is. */
export interface OwnCell {
  readonly name: string;
  readonly number: number;
}

/** The fault `wrong_home`, with the home: for the redirect. */
export class WrongHome extends WeftError {
  /** Name of the home cell and the base URL of one of its nodes; empty when this cell does not know them. */
  readonly cell: string;
  readonly url: string;

  constructor(home: CellRecord | undefined) {
    super('wrong_home', home?.name ?? '');
    this.cell = home?.name ?? '';
    this.url = home?.urls[0] ?? '';
  }
}

/** Throws {@link WrongHome} unless the user is homed here. */
export function requireHome(homes: Homes, own: OwnCell, user: bigint): void {
  const home = homes.homeOf(user);
  if (home !== own.number) throw new WrongHome(homes.cell(home));
}

/** By normalised handle: what the replica holds, else the directory's word. Throws WeftError `directory_away`. */
export async function findByHandle(homes: Homes, handle: string): Promise<UserRecord | undefined> {
  return homes.userByHandle(handle) ?? (await homes.directory.findUser({ handle }));
}
