// A small file system under a folder: what a full disk is made of. Needs root.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

const run = (program: string, ...args: readonly string[]): void => {
  execFileSync(program, [...args], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 });
};
const chunk = Buffer.alloc(1_048_576);
const imageName = 'weft-disk';

export class SmallDisk {
  readonly #dir: string;
  readonly #image: string;

  /** What the folder holds moves onto the disk; whoever uses the folder must be stopped. */
  static under(dir: string, megabytes: number): SmallDisk {
    clearLeftovers();
    const image = join(dirname(dir), `${imageName}-${process.pid}-${Date.now()}.img`);
    run('truncate', '-s', `${megabytes}M`, image);
    run('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
    const { uid, gid } = statSync(dir);
    const aside = `${dir}.aside`;
    renameSync(dir, aside);
    mkdirSync(dir, { mode: 0o700 });
    run('mount', '-o', 'loop', image, dir);
    rmSync(join(dir, 'lost+found'), { recursive: true, force: true });
    run('cp', '-a', `${aside}/.`, dir);
    run('chown', `${uid}:${gid}`, dir);
    run('chmod', '700', dir);
    rmSync(aside, { recursive: true, force: true });
    return new SmallDisk(dir, image);
  }

  private constructor(dir: string, image: string) {
    this.#dir = dir;
    this.#image = image;
  }

  /** Takes all room there is. */
  fill(): void {
    const handle = openSync(this.#filling, 'w');
    try {
      for (;;) writeSync(handle, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(handle);
    }
  }

  relieve(): void {
    rmSync(this.#filling, { force: true });
  }

  /** The folder is an ordinary one again, with what the disk held; whoever uses it must be stopped. */
  leave(): void {
    const aside = `${this.#dir}.aside`;
    run('cp', '-a', this.#dir, aside);
    run('umount', this.#dir);
    rmSync(this.#dir, { recursive: true, force: true });
    renameSync(aside, this.#dir);
    rmSync(this.#image, { force: true });
  }

  get #filling(): string {
    return join(this.#dir, 'filling');
  }
}

/** Disks of this process that are still mounted, and of runs that were killed; `own`: ours too. */
export function clearLeftovers(own = false): void {
  for (const loop of readdirSync('/sys/block').filter((name) => name.startsWith('loop'))) {
    const backing = `/sys/block/${loop}/loop/backing_file`;
    const image = existsSync(backing) ? readFileSync(backing, 'utf8').trim() : '';
    const pid = new RegExp(`/${imageName}-(\\d+)-`).exec(image)?.[1];
    if (pid === undefined || (Number(pid) === process.pid ? !own : existsSync(`/proc/${pid}`))) continue;
    for (const line of readFileSync('/proc/mounts', 'utf8').split('\n'))
      if (line.startsWith(`/dev/${loop} `)) run('umount', '-l', line.split(' ')[1] ?? '');
    rmSync(image, { force: true });
  }
}
