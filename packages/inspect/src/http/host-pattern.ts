/** @param several whether a wildcard stands for several labels (Gateway API), or for one (Ingress) */
export function covers(pattern: string | undefined, host: string, several: boolean): boolean {
  if (pattern === undefined) return false;
  const [name, wanted] = [pattern.toLowerCase(), host.toLowerCase()];
  if (!name.startsWith("*.")) return name === wanted;
  if (!wanted.endsWith(name.slice(1))) return false;
  return several || !wanted.slice(0, -name.length + 1).includes(".");
}
