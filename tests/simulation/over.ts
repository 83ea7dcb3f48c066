/** The same object, but for some of its members. */
export function over<T extends object>(inner: T, other: Partial<T>): T {
  return new Proxy(inner, {
    get: (target, name) => {
      const own = other[name as keyof T];
      if (own !== undefined) return own;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
