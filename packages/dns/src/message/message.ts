/** Flags of a message's header, RFC 1035 §4.1.1 and RFC 4035 §3. */
export interface DnsFlags {
  readonly qr: boolean;
  readonly aa: boolean;
  readonly tc: boolean;
  readonly rd: boolean;
  readonly ra: boolean;
  readonly ad?: boolean;
  readonly cd?: boolean;
}

export type Rcode =
  | "NOERROR"
  | "FORMERR"
  | "SERVFAIL"
  | "NXDOMAIN"
  | "NOTIMP"
  | "REFUSED"
  | "YXDOMAIN"
  | "YXRRSET"
  | "NXRRSET"
  | "NOTAUTH"
  | "NOTZONE"
  | "BADVERS";

export interface Question {
  /** Absolute, with the dot at the end, in the case in which it was asked. */
  readonly name: string;
  /** `A`, `SRV`, … or `TYPE65280` for one without a name. */
  readonly type: string;
  /** `IN` where it is absent. */
  readonly class?: string;
}

export interface ResourceRecord {
  /** Absolute, with the dot at the end. */
  readonly name: string;
  /** Seconds. */
  readonly ttl: number;
  readonly type: string;
  /** In presentation format, as in a zone file; names in it are absolute. */
  readonly data: string;
  /** `IN` where it is absent. */
  readonly class?: string;
}

/** The OPT pseudo-record, RFC 6891. */
export interface Edns {
  /** Largest UDP message that the sender takes, in bytes. */
  readonly udpSize: number;
  /** DNSSEC OK. */
  readonly do?: boolean;
  /** 0 where it is absent. */
  readonly version?: number;
}

/** A message as data. Bytes are made of it only where a real network is. */
export interface DnsMessage {
  readonly id: number;
  /** `QUERY` where it is absent. */
  readonly opcode?: string;
  readonly flags: DnsFlags;
  readonly rcode: Rcode;
  readonly question: readonly Question[];
  readonly answer: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  /** Without the OPT record, which is {@link edns}. */
  readonly additional: readonly ResourceRecord[];
  readonly edns?: Edns;
  /** Whether names are shortened by pointers on the wire (RFC 1035 §4.1.4); CoreDNS does so only where it must. */
  readonly compressed?: boolean;
}

const QUERY_FLAGS: DnsFlags = { qr: false, aa: false, tc: false, rd: true, ra: false };

/** A question as a stub resolver sends it. */
export function queryOf(id: number, name: string, type: string, edns?: Edns): DnsMessage {
  return {
    id,
    flags: QUERY_FLAGS,
    rcode: "NOERROR",
    question: [{ name, type }],
    answer: [],
    authority: [],
    additional: [],
    ...(edns === undefined ? {} : { edns }),
  };
}

/** An answer without records to a query. */
export function replyTo(query: DnsMessage, rcode: Rcode = "NOERROR"): DnsMessage {
  const { id, opcode, flags, question } = query;
  return {
    id,
    ...(opcode === undefined ? {} : { opcode }),
    flags: { qr: true, aa: false, tc: false, rd: flags.rd, ra: false, cd: flags.cd ?? false },
    rcode,
    question: question.slice(0, 1),
    answer: [],
    authority: [],
    additional: [],
  };
}
