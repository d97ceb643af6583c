// Messages of ours, sent to the real dig: what it prints is what digText prints.
import { execFile, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { type DnsMessage, digFailureText, digText, queryOf, replyTo } from "@cnilab/dns";
import { parseIp } from "@cnilab/net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeMessage, encodeMessage } from "../src/dns/message-bytes.ts";

const hasDig = spawnSync("dig", ["-v"]).status === 0;
const run = promisify(execFile);
const SOA = "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30";

/** An answer to this question, with records `NAME TTL TYPE DATA` for each section. */
function answer(
  name: string,
  type: string,
  sections: Partial<Record<"answer" | "authority" | "additional", readonly string[]>>,
): DnsMessage {
  const records = (lines: readonly string[] = []) =>
    lines.map((line) => {
      const [owner, ttl, kind, ...data] = line.split(" ") as [string, string, string, ...string[]];
      return { name: owner, ttl: Number(ttl), type: kind, data: data.join(" ") };
    });
  const reply = replyTo(queryOf(0, name, type));
  return {
    ...reply,
    flags: { ...reply.flags, aa: true },
    answer: records(sections.answer),
    authority: records(sections.authority),
    additional: records(sections.additional),
  };
}

const LENGTHS = [
  1, 6, 7, 8, 13, 14, 15, 16, 21, 22, 23, 24, 29, 30, 31, 32, 37, 38, 39, 46, 47, 48, 55,
];
const ANSWERS: readonly DnsMessage[] = [
  ...LENGTHS.map((length) => {
    const name = `${"n".repeat(length)}.`;
    return answer(name, "A", { answer: [`${name} 5 A 10.0.0.1`, `${name} 100000000 A 10.0.0.2`] });
  }),
  answer("web.shop.svc.cluster.local.", "SRV", {
    answer: ["web.shop.svc.cluster.local. 30 SRV 0 33 80 web.shop.svc.cluster.local."],
    additional: ["web.shop.svc.cluster.local. 30 AAAA fd00:10:96::20"],
  }),
  {
    ...answer("nope.cluster.local.", "AAAA", { authority: [`cluster.local. 30 SOA ${SOA}`] }),
    rcode: "NXDOMAIN",
  },
  answer("t.example.", "TXT", { answer: ['t.example. 1 TXT "a b" "c\\"d"'] }),
  answer("m.example.", "MX", { answer: ["m.example. 1 MX 10 mail.example."] }),
  answer("a.example.", "TYPE65280", { answer: ["a.example. 1 TYPE65280 \\# 3 AABBCC"] }),
  answer("c.example.", "CNAME", { answer: ["c.example. 60 CNAME d.example."] }),
  answer("example.", "CAA", { answer: ['example. 60 CAA 0 issue "ca.example"'] }),
];

describe.skipIf(!hasDig)(`digText${hasDig ? "" : " (skipped: needs dig)"}`, () => {
  let socket: Socket;
  let message: DnsMessage;
  let edns = false;
  beforeAll(async () => {
    socket = createSocket("udp4");
    socket.on("message", (bytes, { port, address }) => {
      const { id, edns: asked } = decodeMessage(bytes);
      const reply = { ...message, id, ...(edns && asked !== undefined ? { edns: asked } : {}) };
      message = reply;
      socket.send(encodeMessage(reply), port, address);
    });
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  });
  afterAll(() => socket.close());

  test.each(ANSWERS.map((each) => [each.question[0]?.name, each.question[0]?.type, each] as const))(
    "of %s %s is dig's",
    async (name, type, each) => {
      const { port } = socket.address();
      for (edns of [false, true]) {
        message = each;
        const args = `@127.0.0.1 -p ${port} ${name} ${type}`;
        const { stdout } = await run("dig", args.split(" "));
        const text = digText(message, {
          args,
          server: { address: parseIp("127.0.0.1"), port, protocol: "udp" },
          at: 0,
          queryTimeMs: 0,
        });
        expect(stable(text)).toBe(stable(stdout));
      }
    },
  );

  test("of two questions, cut over UDP or refused, is dig's", async () => {
    const cut = answer("big.example.", "A", {});
    message = { ...cut, flags: { ...cut.flags, tc: true } };
    edns = false;
    const whole = answer("big.example.", "A", { answer: ["big.example. 5 A 10.0.0.1"] });
    const { port } = socket.address();
    const tcp = createServer((connection) =>
      connection.on("data", (bytes) => {
        const { id, question } = decodeMessage(bytes.subarray(2));
        const reply = encodeMessage({ ...whole, id, question });
        connection.end(Buffer.concat([Uint8Array.of(reply.length >> 8, reply.length), reply]));
        ids.push(id);
      }),
    );
    const ids: number[] = [];
    await new Promise<void>((resolve) => tcp.listen(port, "127.0.0.1", resolve));
    const args = `@127.0.0.1 -p ${port} +tries=2 big.example A big.example A`;
    const { stdout } = await run("dig", args.split(" "));
    await new Promise((resolve) => tcp.close(resolve));
    const server = { address: parseIp("127.0.0.1"), port, protocol: "tcp" } as const;
    const texts = ids.map((id, i) =>
      digText(
        { ...whole, id },
        {
          ...(i === 0 ? { args } : {}),
          setbacks: [{ server, what: "truncated" }],
          server,
          at: 0,
          queryTimeMs: 0,
        },
      ),
    );
    expect(stable(texts.join(""))).toBe(stable(stdout));

    const closed = createSocket("udp4");
    await new Promise<void>((resolve) => closed.bind(0, "127.0.0.1", resolve));
    const nobody = { ...server, port: closed.address().port };
    closed.close();
    const failing = args.replace(String(port), String(nobody.port));
    const refused = await run("dig", failing.split(" ")).catch(
      (error: { readonly stdout: string }) => error,
    );
    const setbacks = Array(2).fill({ server: nobody, what: "connection refused" });
    expect(stable(digFailureText({ args: failing, setbacks }) + digFailureText({ setbacks }))).toBe(
      stable(refused.stdout),
    );
  });
});

/** Without release and times. */
function stable(text: string): string {
  return text
    .replace(/<<>> DiG \S+ <<>>/, "<<>> DiG <<>>")
    .replace(/Query time: \d+ msec/g, "Query time: 0 msec")
    .replace(/WHEN: .*/g, "WHEN: now");
}
