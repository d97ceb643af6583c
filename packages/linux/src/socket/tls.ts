import type { WireMessage } from "./conversation.ts";

/** What a client looks at of a certificate. Who signed it is not modelled, and no key is used. */
export interface Certificate {
  /** DNS names that it is for; `*.example.com` stands for one label. */
  readonly names: readonly string[];
  /** What to call it: where it comes from, as `Secret shop/tls`. */
  readonly source: string;
}

/** Bytes of a certificate with a 2048-bit RSA key and one that signed it. */
const CERTIFICATE_CHAIN_BYTES = 2400;
/** A record's header and what AES-GCM adds (RFC 8446 section 5.2). */
const RECORD_OVERHEAD = 22;

/** The first message of a client (RFC 8446 section 4.1.2), with what a server chooses by. */
export class ClientHello implements WireMessage {
  /** Server Name Indication (RFC 6066 section 3); absent where the client asks for an address. */
  readonly serverName: string | undefined;

  constructor(serverName: string | undefined) {
    this.serverName = serverName;
  }

  get wireLength(): number {
    return 230 + (this.serverName?.length ?? 0);
  }

  toString(): string {
    return `ClientHello${this.serverName === undefined ? " without SNI" : ` for ${this.serverName}`}`;
  }
}

/** ServerHello, certificate and Finished: the server's one flight of TLS 1.3. */
export class ServerHello implements WireMessage {
  readonly certificate: Certificate;

  constructor(certificate: Certificate) {
    this.certificate = certificate;
  }

  get wireLength(): number {
    return 400 + CERTIFICATE_CHAIN_BYTES;
  }

  toString(): string {
    return `ServerHello with the certificate of ${this.certificate.source}`;
  }
}

/** The client's Finished. */
export class TlsFinished implements WireMessage {
  readonly wireLength = 74;

  toString(): string {
    return "Finished";
  }
}

/** Says why there is no connection (RFC 8446 section 6). */
export class TlsAlert implements WireMessage {
  /** As `unrecognized_name`. */
  readonly description: string;
  readonly wireLength = 7;

  constructor(description: string) {
    this.description = description;
  }

  toString(): string {
    return `alert ${this.description}`;
  }
}

/** Whatever is said once the handshake is done; who is between does not look inside. */
export class TlsApplicationData implements WireMessage {
  readonly content: WireMessage;

  constructor(content: WireMessage) {
    this.content = content;
  }

  get wireLength(): number {
    return this.content.wireLength + RECORD_OVERHEAD;
  }

  toString(): string {
    return `TLS data (${this.content})`;
  }
}

/** Whether a certificate is for a host: a wildcard stands for exactly one label, the leftmost (RFC 6125 section 6.4.3). */
export function certificateCovers({ names }: Certificate, host: string): boolean {
  const wanted = host.toLowerCase().replace(/\.$/, "");
  const parent = wanted.slice(wanted.indexOf(".") + 1);
  return names.some((name) => {
    const pattern = name.toLowerCase();
    if (!pattern.startsWith("*.")) return pattern === wanted;
    return wanted.includes(".") && pattern.slice(2) === parent;
  });
}
