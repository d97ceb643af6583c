import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { parse } from "yaml";
import { MAIN, VECTORS } from "./cnilab.ts";

const FOLDER = join(VECTORS, "dns");
const NAMESPACE = `kind: Namespace
apiVersion: v1
metadata: {name: shop}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{port: 80, name: http}]}
`;
const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

function whyNotHere(): string | undefined {
  if (!existsSync(FOLDER)) return "needs ../shared";
  if (process.getuid?.() !== 0) return "needs root for a network namespace";
  for (const [program, flag] of [
    ["dig", "-v"],
    ["ip", "-V"],
    ["unshare", "--version"],
  ] as const) {
    if (spawnSync(program, [flag]).status !== 0) return `needs ${program}`;
  }
  return spawnSync("unshare", ["-n", "true"]).status === 0 ? undefined : "unshare -n does not work";
}

interface Vector {
  readonly id: string;
  readonly profile: string;
  readonly q: { readonly name: string; readonly type: string };
  readonly transport: "udp" | "tcp";
  readonly edns?: number;
  readonly src?: string;
  readonly rcode: string;
  readonly flags: readonly string[];
  readonly truncated?: { readonly answers: number };
  readonly answer: readonly Line[];
  readonly authority: readonly Line[];
  readonly additional: readonly Line[];
}

interface Line {
  readonly name: string;
  readonly ttl: number;
  readonly type: string;
  readonly data: string;
}

const PORTS: Readonly<Record<string, number>> = {
  kubeadm: 53,
  verified: 5302,
  plain: 5303,
  podnames: 5304,
  autopath: 5305,
  noendpoints: 5306,
  zonal: 5307,
  cached: 5308,
};

/** Profiles with the `cache` plugin. */
const CACHING: readonly string[] = ["kubeadm", "cached"];

/** What `dig +yaml` says of an answer. */
interface DigMessage {
  readonly status: string;
  readonly flags: string;
  readonly ANSWER_SECTION?: readonly string[];
  readonly AUTHORITY_SECTION?: readonly string[];
  readonly ADDITIONAL_SECTION?: readonly string[];
}

describe.skipIf(missing !== undefined)(`dig asks dns serve what it asked CoreDNS${why}`, () => {
  let answers: Map<string, DigMessage> = new Map();
  const vectors = missing === undefined ? readVectors() : [];

  beforeAll(() => {
    answers = digAll(vectors);
  });

  it("and gets an answer to each", () => {
    expect(answers.size).toBe(vectors.length);
  });

  test.each(
    vectors.map((vector) => [
      `${vector.id} ${vector.profile} ${vector.q.name} ${vector.q.type}`,
      vector,
    ]),
  )("%s", (_, vector) => {
    const { id, rcode, flags, truncated } = vector as Vector;
    const got = answers.get(id);
    expect(got?.status).toBe(rcode);
    expect(got?.flags.split(" ").sort()).toEqual([...flags].sort());
    if (truncated !== undefined) {
      expect(got?.ANSWER_SECTION).toHaveLength(truncated.answers);
      return;
    }
    for (const section of ["answer", "authority", "additional"] as const) {
      const lines = (got?.[`${section.toUpperCase() as "ANSWER"}_SECTION`] ?? [])
        .map(stable)
        .sort();
      const expected = vector[section]
        .map(({ name, ttl, type, data }) => `${name} ${ttl} IN ${type} ${data}`)
        .sort();
      expect(lines.map(withoutTtl), section).toEqual(expected.map(withoutTtl));
      // One server answers everything here: what a cache has may have grown old.
      const ages = lines.map((line, at) => ttlOf(expected[at] as string) - ttlOf(line));
      for (const age of ages) {
        expect(age).toBeGreaterThanOrEqual(0);
        expect(age).toBeLessThanOrEqual(CACHING.includes(vector.profile) ? 30 : 0);
      }
    }
  });
});

function readVectors(): Vector[] {
  const lines = readFileSync(join(FOLDER, "queries.ndjson"), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Vector);
}

function stable(line: string): string {
  return line.replace(/(SOA ns\.dns\.\S* \S+) \d+ /, "$1 SERIAL ");
}

function ttlOf(line: string): number {
  return Number(line.split(" ")[1]);
}

function withoutTtl(line: string): string {
  return line.replace(/ \d+ IN/, " IN");
}

/** Serves in a network namespace that has the addresses of all clients, and asks everything with dig. */
function digAll(vectors: readonly Vector[]): Map<string, DigMessage> {
  const folder = mkdtempSync(join(tmpdir(), "cnilab-dig-"));
  try {
    const sources = new Set(vectors.map(({ src }) => src).filter((src) => src !== undefined));
    const lines = vectors.map(({ id, profile, q, transport, edns, src }) =>
      [
        id,
        src === undefined ? "" : `-b ${src}`,
        `-p ${PORTS[profile]} +yaml +nocookie +noad +ignore`,
        transport === "tcp" ? "+tcp" : "+notcp",
        edns === undefined ? "+noedns" : `+bufsize=${edns}`,
        `-q ${q.name} -t ${q.type}`,
      ].join(" "),
    );
    writeFileSync(join(folder, "queries"), `${lines.join("\n")}\n`);
    const script = `set -f
ip link set lo up
for address in ${[...sources].join(" ")}; do ip address add "$address/32" dev lo; done
"${process.execPath}" "${MAIN}" dns serve -f "${FOLDER}/cluster.yaml" --corefile "${FOLDER}/Corefile" --listen 127.0.0.1 2>serve.err &
server=$!
until grep -qs ready serve.err; do kill -0 $server || { cat serve.err >&2; exit 1; }; sleep 0.1; done
while read -r id query; do dig @127.0.0.1 $query >"$id.yaml"; done <queries
kill $server; wait $server
`;
    const run = spawnSync("unshare", ["-n", "bash", "-c", script], {
      cwd: folder,
      encoding: "utf8",
    });
    expect(run.stderr).toBe("");
    const answers = new Map<string, DigMessage>();
    for (const { id } of vectors) {
      const [first] = parse(readFileSync(join(folder, `${id}.yaml`), "utf8"), {
        customTags: ["timestamp"],
      }) as { message: { response_message_data?: DigMessage } }[];
      const message = first?.message.response_message_data;
      if (message !== undefined) answers.set(id, message);
    }
    return answers;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("dns serve", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "cnilab-dns-"));
    writeFileSync(join(folder, "cluster.yaml"), NAMESPACE);
    writeFileSync(
      join(folder, "Corefile"),
      ".:0 {\n  kubernetes cluster.local { \n pods insecure\n }\n}\n".replace(":0", ":7053"),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const start = (args: readonly string[], ofNode: readonly string[] = []) => {
    const child = spawn(
      process.execPath,
      [...ofNode, MAIN, "dns", "serve", "-f", "cluster.yaml", "--corefile", "Corefile", ...args],
      { cwd: folder, env: process.env },
    );
    let stderr = "";
    const ended = new Promise<number | null>((resolve) => {
      child.on("exit", (status) => resolve(status));
    });
    const ready = new Promise<void>((resolve) => {
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
        if (stderr.includes("ready")) resolve();
      });
    });
    return { child, ended, ready: Promise.race([ready, ended]), text: () => stderr };
  };

  it("survives what is no DNS, says FORMERR to what could be, and ends by SIGTERM", async () => {
    const server = start(["--port-offset", "11000"]);
    await server.ready;
    const port = 18_053;
    expect(server.text()).toContain(`127.0.0.1:${port}`);
    // Too short, an answer, an opcode that is not served, a name that has no end, two questions.
    const status = "567828000001000000000000";
    expect(await ask(port, "12", status)).toBe("5678a8040000000000000000");
    expect(await ask(port, "123481000001000000000000", status)).toBe("5678a8040000000000000000");
    expect(await ask(port, "123428000001000000000000")).toBe("1234a8040000000000000000");
    expect(await ask(port, "123401000001000000000000056162")).toBe("123481010000000000000000");
    expect(await ask(port, "123401000002000000000000")).toBe("123481010000000000000000");
    // A header alone that counts a question: taken for no question at all, which fails.
    expect(await ask(port, "123401000001000000000000")).toBe("123481020000000000000000");
    const good = await ask(
      port,
      `123401000001000000000000${hexName("web.shop.svc.cluster.local")}00010001`,
    );
    expect(good.slice(0, 8)).toBe("12348500");
    expect(good.slice(-8)).toBe("0a600007");
    const second = start(["--port-offset", "11000"]);
    expect(await second.ended).toBe(2);
    expect(second.text()).toContain(`127.0.0.1:${port}: another program listens there already`);
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(0);
  });

  it("keeps a block for forwards that another one hides on the single address, and says so", async () => {
    const block = (bind: string, rest: string) => `.:7063 {\n  bind ${bind}\n  ${rest}\n}\n`;
    const hosts = "hosts {\n    192.0.2.7 db.example\n  }";
    const corefile = block("10.96.0.10", "forward . 127.0.0.53:7063") + block("127.0.0.53", hosts);
    writeFileSync(join(folder, "same"), corefile);
    const server = start(["--corefile", "same", "--port-offset", "11000"]);
    await server.ready;
    expect(server.text()).toContain("cnilab: same:5: another block serves the zone . on port 7063");
    const asked = `123401000001000000000000${hexName("db.example")}00010001`;
    expect((await ask(18_063, asked)).slice(-8)).toBe("c0000207");
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(0);
  });

  it("starts without what only a cluster needs", async () => {
    const loaded = join(folder, "loaded");
    const hook = `import { registerHooks } from "node:module"; import { appendFileSync } from "node:fs";
      registerHooks({ load: (url, context, next) => {
        appendFileSync(${JSON.stringify(loaded)}, url + "\\n");
        return next(url, context);
      } });`;
    const server = start(
      ["--port-offset", "11010"],
      ["--import", `data:text/javascript,${encodeURIComponent(hook)}`],
    );
    await server.ready;
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(0);
    const packages = readFileSync(loaded, "utf8").matchAll(/\/packages\/([^/]+)\/src\//g);
    // Of CNIs their kinds alone, which manifests may hold.
    expect([...new Set([...packages].map(([, name]) => name))].sort()).toEqual([
      "calico",
      "cilium",
      "cluster",
      "core",
      "dns",
      "net",
    ]);
  });

  it.each([
    [["--listen", "nowhere"], '--listen: "nowhere" is not an address'],
    [["--port-offset", "x"], "--port-offset: must be a whole number"],
    [["--port-offset", "60000"], "--port-offset: 7053 plus 60000 is not a port"],
    [["--corefile", "other"], "other: there is no such file or folder"],
  ])("says what is wrong with %j", async (args, message) => {
    const server = start(args);
    expect(await server.ended).toBe(2);
    expect(server.text()).toContain(message);
    expect(server.text().trim().split("\n")).toHaveLength(1);
  });
});

/** Sends them one after the other, and hands back the first answer's bytes. */
function ask(port: number, ...messages: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("message", (bytes) => {
      socket.close();
      resolve(bytes.toString("hex"));
    });
    for (const hex of messages) socket.send(Buffer.from(hex, "hex"), port, "127.0.0.1");
  });
}

function hexName(name: string): string {
  const labels = name
    .split(".")
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]).toString("hex");
}
