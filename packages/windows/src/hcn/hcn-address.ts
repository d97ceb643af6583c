import { type IpAddress, type Mac, Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import { parseWindowsMac } from "../hns/guid.ts";
import { HcnError } from "./hcn-error.ts";

/** An address in an object of the API. @throws HcnError */
export function hcnAddress(text: string): IpAddress {
  const address = tryParseIp(text);
  if (address !== undefined) return address;
  throw new HcnError("ADDR_INVALID_OR_RESERVED", `"${text}" is no address`);
}

/** A prefix in an object of the API; an address stands for itself. @throws HcnError */
export function hcnPrefix(text: string): Prefix {
  const address = tryParseIp(text);
  const prefix = address === undefined ? tryParsePrefix(text) : Prefix.host(address);
  if (prefix !== undefined) return prefix;
  throw new HcnError("ADDR_INVALID_OR_RESERVED", `"${text}" is no address and no prefix`);
}

/** @throws HcnError */
export function hcnMac(text: string): Mac {
  const mac = parseWindowsMac(text);
  if (mac !== undefined) return mac;
  throw new HcnError("ADDR_INVALID_OR_RESERVED", `"${text}" is no MAC`);
}
