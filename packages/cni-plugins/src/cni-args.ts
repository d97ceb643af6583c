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
  if (args === "") return found;
  const unknown: string[] = [];
  let ignoreUnknown = false;
  for (const pair of args.split(";")) {
    const parts = pair.split("=");
    const [key, value] = parts;
    if (key === undefined || value === undefined || parts.length !== 2) {
      throw failure(`ARGS: invalid pair ${quote(pair)}`);
    }
    if (key === "IgnoreUnknown") ignoreUnknown = readBoolean(pair, value);
    else if ((known as readonly string[]).includes(key)) found[key as Key] = value;
    else unknown.push(pair);
  }
  if (unknown.length > 0 && !ignoreUnknown) {
    throw failure(`ARGS: unknown args [${unknown.map(quote).join(" ")}]`);
  }
  return found;
}

function readBoolean(pair: string, value: string): boolean {
  const text = value.toLowerCase();
  if (text === "1" || text === "true") return true;
  if (text === "0" || text === "false") return false;
  throw failure(
    `ARGS: error parsing value of pair ${quote(pair)}: boolean unmarshal error: invalid input ${text}`,
  );
}
