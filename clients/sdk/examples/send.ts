// Signs up and sends one message: node send.ts <router> <handle> <password> <to> <text>
import { Weft } from '@weft/client/weft.ts';

export async function send(router: string, [handle = '', password = '', to = '', text = '']: readonly string[]): Promise<number> {
  await using weft = await Weft.signUp({ router, handle, password });
  const conversation = await weft.openDirect(to);
  const { seq } = await conversation.send(text).accepted;
  return seq;
}

if (import.meta.main) {
  const [router = '', ...rest] = process.argv.slice(2);
  console.log(`accepted as entry ${await send(router, rest)}`);
}
