// Ports as policies have them (pkg/policy/api/rule_validation.go, pkg/iana).

/** Whether it is the name of a port and no number; `0x10` is a name. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-zA-Z0-9](?:-?[a-zA-Z0-9])*$/.test(text) && /[a-zA-Z]/.test(text);
}

/** A number as Go's ParseUint reads it without a base: octal after a 0. `undefined` where it is none up to 65535. */
export function parsePort(text: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined;
  const octal = text.length > 1 && text.startsWith("0");
  if (octal && /[89]/.test(text)) return undefined;
  const port = Number.parseInt(text, octal ? 8 : 10);
  return port <= 0xffff ? port : undefined;
}
