/** A time of RFC 3339, in UTC, as Go prints a `time.Time`. */
export function goTime(rfc3339: string): string {
  return `${rfc3339.replace("T", " ").replace("Z", "")} +0000 UTC`;
}
