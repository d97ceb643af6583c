/**
 * A request's path as nginx compares it: unescaped, `//` merged, `.` and `..` taken out (ngx_http_parse_complex_uri with
 * `merge_slashes on`). `undefined` for what nginx answers with 400: a path that leads above the root, or a bad escape.
 */
export function normalUri(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  if (!/[%.]|\/\//.test(path)) return path;
  if (/%(?![0-9a-fA-F]{2})/.test(path) || /%00/.test(path)) return undefined;
  const parts: string[] = [];
  const segments = unescaped(path).split("/").slice(1);
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (segment === "..") {
      if (parts.length === 0) return undefined;
      parts.pop();
    } else if (segment !== "." && (segment !== "" || last)) {
      parts.push(segment);
      continue;
    }
    if (last) parts.push("");
  }
  return `/${parts.join("/")}`;
}

/** nginx unescapes bytes; what is no UTF-8 stays escaped here. */
function unescaped(path: string): string {
  return path.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

/** A path as nginx writes it to the backend after a rewrite (ngx_escape_uri NGX_ESCAPE_URI). */
export function escapedUri(uri: string): string {
  return encodeURI(uri).replace(/[?#]/g, encodeURIComponent);
}
