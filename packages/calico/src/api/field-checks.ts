import {
  type Check,
  describe,
  fail,
  ip,
  matching,
  oneOf,
  portName,
  string,
} from "@cnilab/core/validation";
import {
  type InterfaceAddress,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { parseSelector } from "../selector/selector.ts";
import { SelectorError } from "../selector/selector-error.ts";

// What several kinds check of single fields (libcalico-go/lib/validator/v3/validator.go, and the schemas in api/config/crd).

/** A range whose address is its first, with its length. */
export const network: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  const given = tryParseInterfaceAddress(text);
  if (given === undefined) {
    const mend =
      tryParseIp(text) === undefined ? "" : `; write ${text}/${text.includes(":") ? 128 : 32}`;
    fail(
      path,
      `must be a range in CIDR notation such as 10.0.0.0/8, not ${describe(value)}${mend}`,
    );
  }
  const { address, length } = given as InterfaceAddress;
  const prefix = new Prefix(address, length);
  if (prefix.address === address) return;
  fail(path, `has bits set behind its length: ${text}; write ${prefix}`);
};

/** A range, or a single address; bits behind the length may be set. */
export const networkOrAddress: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (tryParseIp(text) !== undefined || tryParseInterfaceAddress(text) !== undefined) return;
  fail(path, `must be a range such as 10.0.0.0/8 or an address, not ${describe(value)}`);
};

/** What {@link network} has let through. */
export function prefixOf(text: string): Prefix {
  return tryParsePrefix(text) as Prefix;
}

const LONGEST_SELECTOR = 1024;

/** A selector of Calico, which may not be made of `global()`. */
export const selector: Check = (value, path) => {
  namespaceSelector(value, path);
  if ((value as string).includes("global(")) {
    fail(
      path,
      "cannot be global(): that is for the namespaceSelector of a rule's source or destination",
    );
  }
};

/** A selector of Calico; `global()` stands alone. */
export const namespaceSelector: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (text.length > LONGEST_SELECTOR) {
    fail(path, `must be at most ${LONGEST_SELECTOR} characters long, not ${text.length}`);
  }
  try {
    const { root } = parseSelector(text);
    if (text.includes("global(") && root.op !== "global") {
      fail(path, `global() cannot be combined with other selectors, as in ${describe(text)}`);
    }
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    fail(path, `is no selector: ${error.message}; write one such as app == "web" && has(tier)`);
  }
};

const PROTOCOLS: readonly string[] = ["TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite"];

export const protocol: Check = (value, path) => {
  const number = typeof value === "string" && /^[0-9]+$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 255)
    return;
  if (typeof value === "string" && PROTOCOLS.includes(value)) return;
  fail(
    path,
    `must be one of ${PROTOCOLS.join(", ")} or a number from 1 to 255, not ${describe(value)}`,
  );
};

/** Whether a protocol that {@link protocol} let through has ports. */
export function hasPorts(of: unknown): boolean {
  return ["TCP", "UDP", "SCTP", 6, 17, 132].includes(
    typeof of === "string" && /^[0-9]+$/.test(of) ? Number(of) : (of as string | number),
  );
}

/** A number, a range, or, unless `numeric`, a name. */
function portCheck(numeric: boolean): Check {
  return (value, path) => {
    if (typeof value === "string") {
      const [, from, , to] = /^([0-9]+)(:([0-9]+))?$/.exec(value) ?? [];
      if (from === undefined) {
        if (numeric)
          fail(path, `must be a port or a range such as 1000:2000, not ${describe(value)}`);
        portName(value, path);
        return;
      }
      const [first, last] = [Number(from), Number(to ?? from)];
      if (first >= 1 && last <= 65_535 && first <= last) return;
    } else if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535) {
      return;
    }
    fail(
      path,
      `must be a port from 1 to 65535, a range such as 1000:2000${numeric ? "" : " or the name of a port"}, not ${describe(value)}`,
    );
  };
}

export const port: Check = portCheck(false);
export const numericPort: Check = portCheck(true);

export function isPortName(value: unknown): boolean {
  return typeof value === "string" && !/^[0-9]+(:[0-9]+)?$/.test(value);
}

/** A number of 32 bits, as a number, a text, or two halves with a dot between. */
export const asNumber: Check = (value, path) => {
  if (parseAsNumber(value) !== undefined) return;
  fail(path, `must be an AS number such as 64512 or 65000.1, not ${describe(value)}`);
};

export function parseAsNumber(value: unknown): number | undefined {
  if (typeof value === "number") {
    return Number.isInteger(value) && value >= 0 && value <= 0xffffffff ? value : undefined;
  }
  if (typeof value !== "string") return undefined;
  const [, high, low] = /^([0-9]{1,5})\.([0-9]{1,5})$/.exec(value) ?? [];
  if (high !== undefined) {
    return Number(high) <= 0xffff && Number(low) <= 0xffff
      ? Number(high) * 0x10000 + Number(low)
      : undefined;
  }
  return /^[0-9]{1,10}$/.test(value) && Number(value) <= 0xffffffff ? Number(value) : undefined;
}

/** `90s`, `1m30s`, `500ms`: of Go's durations those that the schemas admit. */
export const duration: Check = matching(
  /^(?:(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))*|0)$/,
  64,
  "a duration such as 90s, 1m30s or 500ms",
);

/** One of these texts, in any case. */
export function anyCase(...values: readonly string[]): Check {
  const known = values.map((each) => each.toLowerCase());
  return (value, path) => {
    string(value, path);
    const text = (value as string).toLowerCase();
    if (text === "" || known.includes(text)) return;
    oneOf(...values)(value, path);
  };
}

export const enabledOrDisabled: Check = oneOf("Enabled", "Disabled");

/** Names of devices that endpoints and filters go by. */
export const interfaceName: Check = matching(
  /^(?:\*|[a-zA-Z0-9_.-]{1,15})$/,
  15,
  "the name of a device, or * for all",
);
export const interfacePattern: Check = matching(
  /^[a-zA-Z0-9_.*-]{1,15}$/,
  15,
  "the name of a device, where * stands for anything",
);

export const regularExpression: Check = (value, path) => {
  string(value, path);
  try {
    // Go's syntax (RE2) has nothing that this one lacks, but for flags such as (?i) in front.
    new RegExp((value as string).replace(/^\(\?[imsU]+\)/, ""));
  } catch {
    fail(path, `must be a regular expression, not ${describe(value)}`);
  }
};

/** `10.0.0.1`, `10.0.0.1:179`, `[fd00::1]:179`. */
export const peerAddress: Check = (value, path) => {
  string(value, path);
  if (splitPeerAddress(value as string) !== undefined) return;
  fail(
    path,
    `must be an address such as 10.0.0.1, 10.0.0.1:179 or [fd00::1]:179, not ${describe(value)}`,
  );
};

export function splitPeerAddress(
  text: string,
): { readonly address: string; readonly port: number | undefined } | undefined {
  const [, bracketed, plain, portText] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? text;
  const number = portText === undefined ? undefined : Number(portText);
  if (tryParseIp(address) === undefined) return undefined;
  if (number !== undefined && (number < 1 || number > 65_535)) return undefined;
  return { address, port: number };
}

/** `aa:nn` of 16 bits each, or `aa:nn:mm` of 32. */
export function isCommunity(text: string): boolean {
  const parts = /^[0-9]+(?::[0-9]+){1,2}$/.test(text) ? text.split(":") : [];
  const most = parts.length === 2 ? 0xffff : 0xffffffff;
  return parts.length > 0 && parts.every((part) => part.length <= 10 && Number(part) <= most);
}

export const community: Check = (value, path) => {
  string(value, path);
  if (isCommunity(value as string)) return;
  fail(path, `must be a community such as 65000:100 or 65000:100:200, not ${describe(value)}`);
};

export const address: Check = ip;

/** No value twice (`listType: set`). */
export function unique(check: Check): Check {
  return (value, path) => {
    check(value, path);
    const items = value as readonly unknown[];
    const seen = new Set<unknown>();
    items.forEach((item, i) => {
      if (seen.has(item)) fail([...path, i], `is ${describe(item)} a second time`);
      seen.add(item);
    });
  };
}

/** Whether a text field says anything: the schemas take an empty text as an absent one. */
export function isSet(value: unknown): boolean {
  return value !== undefined && value !== "";
}

/** The same, but an empty text is let through. */
export function orEmpty(check: Check): Check {
  return (value, path) => {
    if (value !== "") check(value, path);
  };
}
