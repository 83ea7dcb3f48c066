import type { BinaryWriter } from '@bufbuild/protobuf/wire';

/** What `gen/` makes of a message. */
interface Message<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
}

/**
 * Encodes one message after another with a writer whose buffer is kept: a fresh one for each costs two buffers outside of
 * the heap, as much as the encoding of a small message. Holds as much as its largest message took.
 */
export class KeptWriter {
  #writer: BinaryWriter | undefined;

  /** The bytes are the caller's own. Throws what the message's `encode` throws. */
  encode<T>(type: Message<T>, message: T): Uint8Array {
    const kept = this.#writer;
    // Whoever throws leaves half a message in it.
    this.#writer = undefined;
    const writer = type.encode(message, kept);
    const bytes = writer.finish();
    this.#writer = writer;
    return bytes;
  }
}
