/**
 * A request's path as Envoy's connection manager leaves it (`http-normalize-path`): escapes of unreserved characters and dots resolved
 * as RFC 3986 §6.2.2 has it, slashes merged.
 * @returns `redirect` where it has escaped slashes: the client is to ask again with plain ones
 */
export function normalizePath(path: string): { readonly path: string; readonly redirect: boolean } {
  const unescaped = path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\");
  const redirect = unescaped !== path;
  const plain = unescaped
    .replaceAll("\\", "/")
    .replace(/%([0-9a-f]{2})/gi, (text, digits: string) => {
      const character = String.fromCharCode(Number.parseInt(digits, 16));
      return /[A-Za-z0-9\-._~]/.test(character) ? character : text.toUpperCase();
    });
  const out: string[] = [];
  const segments = plain.split("/").slice(1);
  segments.forEach((segment, i) => {
    const isLast = i === segments.length - 1;
    if (segment === "..") out.pop();
    else if (segment !== "." && (segment !== "" || isLast)) out.push(segment);
    if (isLast && (segment === "." || segment === "..")) out.push("");
  });
  return { path: `/${out.join("/")}`, redirect };
}
