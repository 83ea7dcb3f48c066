// The walls between the rooms, as rules. Folder names are the rooms; paths are from the root of the repository.

const services = '^(cells|router|control-plane|workflows)/';
const outer = '^(clients|local|tests|bench|tools|bin)/';
const tests = '\\.test\\.ts$';
// The store's contract is run against two engines; a node without its I/O is run over ports in memory: both by tests/.
const tested =
  '^cells/((store|delivery|accounts|http|wire|push|link|edge|proof)/|(cell-delivery|cell-duties|client-services|failpoints|limits|metrics|peers|sessions-watch|store-life)\\.ts$)';
const doors = '^(cells/cells|router/router|control-plane/control-plane)\\.ts$';

const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

const walls = [
  rule('proto-is-the-meeting-place', 'proto imports nothing of ours.', { path: '^proto/' }, { path: [services, outer, '^runtime/'] }),
  rule('runtime-is-the-ground', 'runtime imports proto only.', { path: '^runtime/' }, { path: [services, outer] }),
  rule(
    'rooms-never-import-rooms',
    'Services meet only in proto; what both need belongs into proto or runtime.',
    { path: services },
    { path: [services, outer], pathNot: '^$1/' },
  ),
  rule(
    'clients-know-the-contract-only',
    'clients import proto and the SDK.',
    { path: '^clients/' },
    {
      path: [services, '^(runtime|local|tests|bench|tools|bin)/'],
    },
  ),
  rule('sdk-is-below-the-clients', 'The SDK knows no client.', { path: '^clients/sdk/' }, { path: '^clients/(?!sdk/)' }),
  rule(
    'local-uses-doors',
    'local, tests and bench see of a service only its door.',
    { path: '^(local|bench|tools)/' },
    { path: services, pathNot: doors },
  ),
  rule(
    'tests-use-doors',
    'So do tests, but for the store and the delivery core.',
    { path: '^tests/' },
    { path: services, pathNot: [doors, tested] },
  ),
  rule(
    'local-is-below-its-users',
    'tests and bench use local, never the other way round.',
    { path: '^local/' },
    { path: '^(tests|bench|tools|bin)/' },
  ),
  rule(
    'tests-and-bench-are-apart',
    'What both need is a door of local.',
    { path: '^(tests|bench)/' },
    { path: '^(tests|bench|tools|bin)/', pathNot: '^$1/' },
  ),
  rule(
    'tools-stand-alone',
    'tools check the tree and must run while it is broken.',
    { path: '^(tools|bin)/' },
    {
      path: [services, '^(proto|runtime|clients|local|tests|bench)/'],
      pathNot: '^local/fetch-servers\\.ts$',
    },
  ),
];

const platform = [
  rule(
    'proto-is-browser-safe',
    'Clients in browsers load proto.',
    { path: '^proto/', pathNot: [tests, '_service\\.ts$'] },
    {
      path: ['^node_modules/@grpc/'],
    },
  ),
  rule('proto-has-no-node', 'Clients in browsers load proto.', { path: '^proto/', pathNot: tests }, { dependencyTypes: ['core'] }),
  rule(
    'clients-have-no-grpc',
    'Generated services import grpc-js, which browsers refuse.',
    { path: '^clients/' },
    {
      path: ['^proto/gen/.*_service\\.ts$', '^node_modules/@grpc/'],
    },
  ),
  rule(
    'sdk-is-browser-safe',
    'Only files named *-node.ts may use Node.',
    { path: '^clients/sdk/', pathNot: [tests, '-node\\.ts$'] },
    {
      dependencyTypes: ['core'],
    },
  ),
  rule(
    'sdk-never-needs-node',
    'The caller chooses a *-node.ts file.',
    { path: '^clients/sdk/', pathNot: [tests, '-node\\.ts$'] },
    { path: '-node\\.ts$' },
  ),
  rule(
    'workflow-is-pure',
    'Temporal replays workflow code.',
    { path: '^workflows/.*workflow\\.ts$' },
    {
      pathNot: ['^workflows/', '@temporalio/workflow', '^proto/'],
      dependencyTypesNot: ['type-only'],
    },
  ),
];

const drawers = [
  rule('main-is-the-top', 'main.ts wires and starts; nobody imports it.', {}, { path: '(^|/)main\\.ts$' }),
  rule(
    'door-is-above-the-drawers',
    'main.ts → door → drawers.',
    { path: services, pathNot: ['^[^/]+/main\\.ts$', tests] },
    { path: doors },
  ),
  rule(
    'edge-is-above-the-domain',
    'edge and http → domain → store.',
    { path: '^cells/[^/]+/', pathNot: '^cells/(edge|http|grpc)/' },
    {
      path: '^cells/(edge|http|grpc)/',
    },
  ),
  rule(
    'store-is-below-the-domain',
    'The store implements the ports of delivery and knows no other drawer.',
    { path: '^cells/store/', pathNot: tests },
    {
      path: '^cells/[^/]+/',
      pathNot: '^cells/(store|delivery|accounts|http|wire|push|link)/',
      dependencyTypesNot: ['type-only'],
    },
  ),
  rule(
    'delivery-is-pure',
    'A simulator runs this very code: no I/O, no library, no clock but a port.',
    { path: '^cells/delivery/', pathNot: [tests, 'staged-(cell|ownership)\\.ts$'] },
    {
      path: '.',
      pathNot: ['^cells/delivery/', '^cells/limits\\.ts$', '^proto/', '^runtime/(clock|random)\\.ts$'],
    },
  ),
  rule(
    'limits-are-numbers',
    'Limits depend on nothing but other limits.',
    { path: '(^|/)limits\\.ts$' },
    { path: '.', pathNot: ['(^|/)limits\\.ts$', '^proto/', '^(node:)?assert'] },
  ),
];

const hygiene = [
  rule('no-cycles', 'A cycle is a missing noun.', {}, { circular: true }),
  rule('no-unresolvable', 'The import leads nowhere, or its package is not listed by this room.', {}, { couldNotResolve: true }),
  rule('tests-are-leaves', 'Nothing imports a test.', {}, { path: tests }),
  rule(
    'packages-are-listed',
    'A room lists what it imports in its own package.json.',
    { pathNot: ['^node_modules/', tests] },
    { dependencyTypes: ['npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
  ),
];

export default {
  forbidden: [...walls, ...platform, ...drawers, ...hygiene],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(docs|terraform|k8s)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};
