/** What NOTIFICATIONs say, in the words of BIRD (proto/bgp/packets.c `bgp_msg_table`). */
const TEXTS: Readonly<Record<string, string>> = {
  "1.0": "Invalid message header",
  "1.1": "Connection not synchronized",
  "1.2": "Bad message length",
  "1.3": "Bad message type",
  "2.0": "Invalid OPEN message",
  "2.1": "Unsupported version number",
  "2.2": "Bad peer AS",
  "2.3": "Bad BGP identifier",
  "2.4": "Unsupported optional parameter",
  "2.5": "Authentication failure",
  "2.6": "Unacceptable hold time",
  "2.7": "Required capability missing",
  "3.0": "Invalid UPDATE message",
  "4.0": "Hold timer expired",
  "5.0": "Finite state machine error",
  "6.0": "Cease",
  "6.1": "Maximum number of prefixes reached",
  "6.2": "Administrative shutdown",
  "6.3": "Peer de-configured",
  "6.4": "Administrative reset",
  "6.5": "Connection rejected",
  "6.6": "Other configuration change",
  "6.7": "Connection collision resolution",
  "6.8": "Out of Resources",
};

export function notificationText(code: number, subcode: number): string {
  return TEXTS[`${code}.${subcode}`] ?? `${code}.${subcode}`;
}
