import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";

/**
 * `CNI_ARGS`, `KEY=value;KEY=value`, as one plugin reads it: what it does not know is an error unless
 * `IgnoreUnknown=1` is among them (containernetworking/cni pkg/types/args.go LoadArgs).
 * @throws CniError
 */
export function readCniArgs<Key extends string>(
  args: string,
  known: readonly Key[],
): Partial<Record<Key, string>> {
  const found: Partial<Record<Key, string>> = {};
  let ignoreUnknown = false;
  let hasUnknown = false;
  // Every pod comes with five pairs, of which most plugins know none: no text is made of those.
  for (let at = 0, end = 0; args !== "" && at <= args.length; at = end + 1) {
    end = args.indexOf(";", at);
    if (end < 0) end = args.length;
    const equals = valueAt(args, at, end) - 1;
    let isKnown = false;
    for (const key of known) {
      if (!isKey(args, key, at, equals)) continue;
      found[key] = args.slice(equals + 1, end);
      isKnown = true;
    }
    if (isKnown) continue;
    if (isKey(args, IGNORE_UNKNOWN, at, equals)) {
      ignoreUnknown = readBoolean(args.slice(at, end), args.slice(equals + 1, end));
    } else hasUnknown = true;
  }
  if (hasUnknown && !ignoreUnknown) {
    const pairs = args.split(";").filter((pair) => {
      const key = pair.slice(0, pair.indexOf("="));
      return key !== IGNORE_UNKNOWN && !(known as readonly string[]).includes(key);
    });
    throw failure(`ARGS: unknown args [${pairs.map(quote).join(" ")}]`);
  }
  return found;
}

const IGNORE_UNKNOWN = "IgnoreUnknown";

/** Where the value of the pair between two places begins. @throws CniError unless there is one `=` */
function valueAt(args: string, start: number, end: number): number {
  const equals = args.indexOf("=", start);
  const next = equals < 0 ? -1 : args.indexOf("=", equals + 1);
  if (equals < 0 || equals >= end || (next >= 0 && next < end)) {
    throw failure(`ARGS: invalid pair ${quote(args.slice(start, end))}`);
  }
  return equals + 1;
}

function isKey(args: string, key: string, start: number, end: number): boolean {
  return end - start === key.length && args.startsWith(key, start);
}

function readBoolean(pair: string, value: string): boolean {
  const text = value.toLowerCase();
  if (text === "1" || text === "true") return true;
  if (text === "0" || text === "false") return false;
  throw failure(
    `ARGS: error parsing value of pair ${quote(pair)}: boolean unmarshal error: invalid input ${text}`,
  );
}
