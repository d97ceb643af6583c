/** Header fields of a message, each name once; names compare without case (RFC 9110 section 5.1). */
export type HttpHeaders = Readonly<Record<string, string>>;

/** The value of a field; `undefined` where it is not there. */
export function headerOf(headers: HttpHeaders, name: string): string | undefined {
  const wanted = name.toLowerCase();
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === wanted) return value;
  }
  return undefined;
}

/** The same fields with one set; it keeps its place and the case of its name where it was there. */
export function withHeader(headers: HttpHeaders, name: string, value: string): HttpHeaders {
  const wanted = name.toLowerCase();
  const key = Object.keys(headers).find((k) => k.toLowerCase() === wanted) ?? name;
  return { ...headers, [key]: value };
}

export function withoutHeader(headers: HttpHeaders, name: string): HttpHeaders {
  const wanted = name.toLowerCase();
  return Object.fromEntries(Object.entries(headers).filter(([k]) => k.toLowerCase() !== wanted));
}

/** The fields as they stand on the wire (RFC 9112 section 5). */
export function headersText(headers: HttpHeaders): string {
  let text = "";
  for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
  return text;
}
