// What a node answers when an operator asks where a message is. As JSON: ids are decimal strings, times Unix milliseconds of
// the clock of the cell that answers. Never a body.

/** A frame that carried the entry, or may have: `sure` is false where several frames left in the same moment. */
export interface FrameTrace {
  /** Number of the other cell. */
  readonly peer: number;
  readonly way: 'out' | 'in';
  readonly id: string;
  /** 1: sent once. 255: the number of an attempt by another node than the first, or more. */
  readonly attempt: number;
  /** Entries in the frame; 0 where it is not known. */
  readonly entries: number;
  readonly sure: boolean;
  /** out: published. in: handed out by the stream. */
  readonly sentMs: number;
  /** out: the broker's answer came. in: the stream took it, by its broker's clock. 0: not known. */
  readonly storedMs: number;
  /** out: acknowledged by the destination. in: committed there. 0: not yet. */
  readonly doneMs: number;
}

export interface EntryTrace {
  readonly log: string;
  readonly seq: number;
  readonly epoch: string;
  /** Number of the cell whose epoch gave the place. */
  readonly owner: number;
  readonly author: string;
  readonly clientEntryId: string;
  readonly kind: number;
  /** When the owner accepted it, by the owner's clock. */
  readonly ts: number;
  readonly lane: number;
}

export interface IntakeTrace {
  /** Number of the cell that decides. */
  readonly dst: number;
  readonly log: string;
  readonly n: number;
  /** The lowest number of its stream that is still open: what must be decided first. */
  readonly lowestOpen: number;
  readonly sinceMs: number;
}

export interface Passport {
  readonly cell: string;
  readonly number: number;
  readonly node: string;
  /** The clock of this answer. */
  readonly nowMs: number;
  /** How far other cells' clocks are ahead of this one's, by this node's estimate: the truth is within ± errorMs. */
  readonly clocks: readonly { readonly cell: number; readonly aheadMs: number; readonly errorMs: number }[];
  /** Absent when this cell does not have the entry. */
  readonly entry?: EntryTrace;
  readonly log?: {
    readonly kind: string;
    readonly status: string;
    readonly owner: number;
    readonly start: number;
    readonly head: number;
    readonly members: readonly { readonly user: string; readonly home: number }[];
    /** Cells that get the log, from which seq and, when they are out of it, until which. */
    readonly cells: readonly { readonly cell: number; readonly from: number; readonly until: number }[];
    /** Longer elsewhere by what this cell knows. */
    readonly behind: number;
  };
  /** Own person's append that waits for another cell's decision. */
  readonly intake?: IntakeTrace;
  readonly refused?: { readonly code: string; readonly text: string; readonly ts: number };
  /** Frames that wait for an acknowledgement and name the entry. */
  readonly outbox: readonly { readonly dst: number; readonly id: string; readonly sinceMs: number }[];
  readonly frames: readonly FrameTrace[];
  /** Devices of members that are connected to this node. `pushed`: everything up to the entry went to them, or was held by them. */
  readonly devices: readonly { readonly user: string; readonly device: string; readonly sinceMs: number; readonly pushed: boolean }[];
  /** Marks of members, as far as this cell knows them. */
  readonly marks: readonly { readonly user: string; readonly delivered: boolean; readonly seen: boolean }[];
}

/** The books of the links that start at this cell, from the node that keeps them; empty from the others. */
export interface BooksAnswer {
  readonly cell: string;
  readonly links: readonly {
    readonly dst: string;
    readonly accepted: number;
    readonly applied: number;
    readonly waiting: number;
    readonly refused: number;
    readonly heard: boolean;
    readonly alarms: Readonly<Record<string, number>>;
  }[];
}
