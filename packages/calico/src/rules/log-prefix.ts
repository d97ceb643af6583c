/** Who a rule belongs to, for the log. */
export interface LogOwner {
  /** Short, as in a chain's name: `gnp`. */
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly tier: string;
}

/** The configured prefix with its parts filled in (`felix/rules/policy.go` generateLogPrefix). */
export function fillLogPrefix(prefix: string, owner: LogOwner): string {
  const parts: Readonly<Record<string, string>> = {
    "%t": owner.tier,
    "%k": owner.kind,
    "%n": owner.name,
    "%p": owner.namespace === undefined ? owner.name : `${owner.namespace}/${owner.name}`,
  };
  return (prefix === "" ? "calico-packet" : prefix).replaceAll(
    /%[tknp]/g,
    (part) => parts[part] as string,
  );
}
