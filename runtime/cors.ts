// Which pages of other origins may call a door (Fetch standard, "CORS protocol"). None unless named.

/** Headers that let a page of `origin` read the answer; undefined when it may not. `preflight`: it asks before it calls. */
export function corsHeaders(
  origin: string | undefined,
  allowed: ReadonlySet<string>,
  preflight: boolean,
): Readonly<Record<string, string>> | undefined {
  if (origin === undefined || !allowed.has(origin)) return undefined;
  const read = { 'access-control-allow-origin': origin, 'cross-origin-resource-policy': 'cross-origin', vary: 'origin' };
  if (!preflight) return read;
  return {
    ...read,
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': 'authorization, content-type',
    'access-control-max-age': String(preflightSecondsMax),
  };
}

/** How long a browser may keep the permission: a changed list is felt within this. */
const preflightSecondsMax = 600;
