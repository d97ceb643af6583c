// What each plugin does, and in which order they stand, by the documentation and sources of CoreDNS v1.15.
import type { Clock } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { TestServer } from "./ask.ts";

/** Answers anything in example.com, with a name that says how often it was asked. */
const UPSTREAM = `
example.com:5353 {
  file zone
}
.:5353 {
  template ANY ANY . {
    rcode NXDOMAIN
    authority ". 60 IN SOA a.root. b.root. 1 1800 900 604800 60"
  }
}`;
const ZONE = `$ORIGIN example.com.
$TTL 3600
@ IN SOA ns.example.com. Admin.example.com. ( 1 7200 ; serial
      1800 86400 300 )
  IN NS ns
ns A 192.0.2.53
www 600 A 192.0.2.80
    AAAA 2001:db8::80
alias CNAME www
out CNAME www.example.org.
long CNAME alias
*.wild TXT "wild card"
host.wild A 192.0.2.1
deep.empty.wild A 192.0.2.2
sub NS ns.sub
ns.sub A 192.0.2.99
mail MX 10 www
srv SRV 1 2 3 www
tree DNAME www.example.com.
loop1 CNAME loop2
loop2 CNAME loop1
`;
const SOA = "example.com. 3600 SOA ns.example.com. admin.example.com. 1 7200 1800 86400 300";
const NS = "example.com. 3600 NS ns.example.com.";
const ROOT_SOA = ". 60 SOA a.root. b.root. 1 1800 900 604800 60";

function server(
  block: string,
  more = UPSTREAM,
  options: ConstructorParameters<typeof TestServer>[2] = {},
): TestServer {
  return new TestServer(`.:53 {\n${block}\n}\n${more}`, "", { files: { zone: ZONE }, ...options });
}

describe("file", () => {
  test.each([
    ["www", "A", `NOERROR | www.example.com. 600 A 192.0.2.80 | ${NS}`],
    ["WWW", "AAAA", `NOERROR | www.example.com. 3600 AAAA 2001:db8::80 | ${NS}`],
    ["www", "TXT", `NOERROR |  | ${SOA}`],
    ["nope", "A", `NXDOMAIN |  | ${SOA}`],
    [
      "alias",
      "A",
      `NOERROR | alias.example.com. 3600 CNAME www.example.com., www.example.com. 600 A 192.0.2.80 | ${NS}`,
    ],
    [
      "long",
      "A",
      `NOERROR | alias.example.com. 3600 CNAME www.example.com., long.example.com. 3600 CNAME alias.example.com., www.example.com. 600 A 192.0.2.80 | ${NS}`,
    ],
    ["alias", "CNAME", `NOERROR | alias.example.com. 3600 CNAME www.example.com. | ${NS}`],
    ["alias", "TXT", `NOERROR | alias.example.com. 3600 CNAME www.example.com. | ${NS}`],
    ["out", "A", `NXDOMAIN | out.example.com. 3600 CNAME www.example.org. | ${SOA}`],
    ["a.wild", "TXT", `NOERROR | a.wild.example.com. 3600 TXT "wild card" | ${NS}`],
    ["a.b.wild", "TXT", `NOERROR | a.b.wild.example.com. 3600 TXT "wild card" | ${NS}`],
    ["a.wild", "A", `NOERROR |  | ${SOA}`],
    ["host.wild", "TXT", `NOERROR |  | ${SOA}`],
    ["x.empty.wild", "TXT", `NXDOMAIN |  | ${SOA}`],
    ["empty.wild", "TXT", `NOERROR | empty.wild.example.com. 3600 TXT "wild card" | ${NS}`],
    ["wild", "A", `NOERROR |  | ${SOA}`],
    [
      "sub",
      "A",
      "NOERROR no-aa |  | sub.example.com. 3600 NS ns.sub.example.com. | ns.sub.example.com. 3600 A 192.0.2.99",
    ],
    [
      "x.y.sub",
      "A",
      "NOERROR no-aa |  | sub.example.com. 3600 NS ns.sub.example.com. | ns.sub.example.com. 3600 A 192.0.2.99",
    ],
    [
      "mail",
      "MX",
      `NOERROR | mail.example.com. 3600 MX 10 www.example.com. | ${NS} | www.example.com. 3600 AAAA 2001:db8::80, www.example.com. 600 A 192.0.2.80`,
    ],
    [
      "srv",
      "SRV",
      `NOERROR | srv.example.com. 3600 SRV 1 2 3 www.example.com. | ${NS} | www.example.com. 3600 AAAA 2001:db8::80, www.example.com. 600 A 192.0.2.80`,
    ],
    [
      "a.tree",
      "CNAME",
      `NOERROR | a.tree.example.com. 3600 CNAME a.www.example.com., tree.example.com. 3600 DNAME www.example.com. | ${NS}`,
    ],
    ["@", "SOA", `NOERROR | ${SOA} | ${NS}`],
    ["@", "NS", `NOERROR | ${NS} |  | ns.example.com. 3600 A 192.0.2.53`],
    ["@", "A", `NOERROR |  | ${SOA}`],
    ["@", "AXFR", "REFUSED no-aa"],
  ])("%s %s", (name, type, expected) => {
    const asked = name === "@" ? "example.com." : `${name}.example.com.`;
    expect(server("errors").line(asked, type, { port: 5353 })).toBe(expected);
  });

  test("aliases that lead in a circle end", () => {
    const answer = server("errors").ask("loop1.example.com.", "A", { port: 5353 });
    expect(answer?.rcode).toBe("NOERROR");
    expect(answer?.answer.length).toBeLessThan(20);
  });
});

describe("cache", () => {
  const FORWARD = "forward . 127.0.0.1:5353";
  test("gives all records of an answer the least TTL, at most its own, and counts it down", () => {
    const cached = server(`cache 30\n${FORWARD}`);
    expect(cached.line("www.example.com.")).toBe(
      "NOERROR | www.example.com. 30 A 192.0.2.80 | example.com. 30 NS ns.example.com.",
    );
    cached.clock.advance(12_500);
    expect(cached.line("WWW.example.com.")).toContain("www.example.com. 18 A");
    expect(cached.upstreams).toEqual(["udp 5353"]);
    cached.clock.advance(18_000);
    expect(cached.line("www.example.com.")).toContain(" 30 A");
    expect(cached.upstreams).toHaveLength(2);
  });

  test("keeps what is not there for its own time", () => {
    const cached = server(`cache {\n denial 100 7\n}\n${FORWARD}`);
    expect(cached.line("x.test.")).toBe(`NXDOMAIN |  | ${ROOT_SOA.replace(" 60 SOA", " 7 SOA")}`);
    cached.clock.advance(6000);
    cached.line("x.test.");
    expect(cached.upstreams).toHaveLength(1);
    cached.clock.advance(1000);
    cached.line("x.test.");
    expect(cached.upstreams).toHaveLength(2);
  });

  test.each([
    ["disable success example.com", "www.example.com.", 2],
    ["disable success other.com", "www.example.com.", 1],
    ["disable denial", "x.test.", 2],
    ["success 0", "www.example.com.", 2],
    ["success 1", "www.example.com.", 1],
  ])("%s: %s is asked for %i times of two", (property, name, times) => {
    const cached = server(`cache 30 {\n${property}\n}\n${FORWARD}`);
    const first = cached.line(name);
    expect(cached.line(name)).toBe(first);
    expect(cached.upstreams).toHaveLength(times);
  });

  test("keeps types, DO and CD apart, and forgets the oldest when it is full", () => {
    const cached = server(`cache 30 {\nsuccess 2\n}\n${FORWARD}`);
    for (const type of ["A", "AAAA", "A", "AAAA", "NS", "A"]) cached.line("www.example.com.", type);
    // A, AAAA, NS (denial: NODATA), then nothing was thrown out.
    expect(cached.upstreams).toHaveLength(3);
    cached.line("ns.example.com.");
    cached.line("www.example.com.");
    expect(cached.upstreams).toHaveLength(5);
  });

  test("serves old answers where it may, and asks again behind their back", () => {
    const cached = server(`cache 30 {\nserve_stale 60s\n}\n${FORWARD}`);
    cached.line("www.example.com.");
    cached.clock.advance(40_000);
    expect(cached.line("www.example.com.")).toContain("www.example.com. 0 A 192.0.2.80");
    expect(cached.line("www.example.com.")).toContain("www.example.com. 30 A 192.0.2.80");
    expect(cached.upstreams).toHaveLength(2);
  });

  test("verifies old answers first where it is told to", () => {
    const cached = server(`cache 30 {\nserve_stale 1h verify\n}\n${FORWARD} {\nmax_fails 0\n}`);
    cached.line("www.example.com.");
    cached.clock.advance(40_000);
    cached.silent.add(5353);
    expect(cached.line("www.example.com.")).toContain("www.example.com. 0 A 192.0.2.80");
  });

  test("asks ahead for what is asked often", () => {
    const cached = server(`cache 30 {\nprefetch 2 1m 50%\n}\n${FORWARD}`);
    cached.line("www.example.com.");
    cached.clock.advance(20_000);
    cached.line("www.example.com.");
    expect(cached.upstreams).toHaveLength(1);
    cached.line("www.example.com.");
    expect(cached.upstreams).toHaveLength(2);
    expect(cached.line("www.example.com.")).toContain(" 30 A");
  });

  test("stands behind rewrite in v1.15, and before it in v1.13", () => {
    const block = `cache 30\nrewrite ttl exact www.example.com 5\n${FORWARD}`;
    expect(server(block).line("www.example.com.")).toContain("www.example.com. 5 A");
    const older = server(block, UPSTREAM, { pluginOrder: "v1.13" });
    expect(older.line("www.example.com.")).toContain("www.example.com. 5 A");
    older.clock.advance(3000);
    // What the cache kept there was rewritten already.
    expect(older.line("www.example.com.")).toContain("www.example.com. 2 A");
  });
});

describe("rewrite", () => {
  const to = (rule: string, name = "www.other.org.", type = "A"): string =>
    server(`rewrite ${rule}\nforward . 127.0.0.1:5353`).line(name, type);
  const FOUND = (name: string) => `NOERROR | ${name} 600 A 192.0.2.80 | ${NS}`;
  test.each([
    ["name www.other.org www.example.com", "www.other.org.", FOUND("www.other.org.")],
    ["name exact www.other.org www.example.com", "WWW.other.org.", FOUND("www.other.org.")],
    [
      "name suffix .other.org .example.com answer auto",
      "www.other.org.",
      "NOERROR | www.other.org. 600 A 192.0.2.80 | example.com. 3600 NS ns.other.org.",
    ],
    ["name suffix .other.org .example.com", "www.other.org.", FOUND("www.example.com.")],
    [
      "name regex (.*)\\.other\\.org {1}.example.com answer name (.*)\\.example\\.com {1}.other.org",
      "www.other.org.",
      `NOERROR | www.other.org. 600 A 192.0.2.80 | ${NS}`,
    ],
    [
      "name regex (.*)\\.other\\.org {1}.example.com answer auto",
      "www.other.org.",
      FOUND("www.other.org."),
    ],
    ["name prefix xyz www", "xyz.example.com.", FOUND("www.example.com.")],
    ["stop name www.other.org www.example.com", "www.other.org.", FOUND("www.other.org.")],
    [
      "ttl exact www.example.com 60",
      "www.example.com.",
      `NOERROR | www.example.com. 60 A 192.0.2.80 | example.com. 60 NS ns.example.com.`,
    ],
    [
      "ttl suffix example.com 700-1000",
      "www.example.com.",
      `NOERROR | www.example.com. 700 A 192.0.2.80 | example.com. 1000 NS ns.example.com.`,
    ],
    [
      "ttl regex .* -100",
      "www.example.com.",
      `NOERROR | www.example.com. 100 A 192.0.2.80 | example.com. 100 NS ns.example.com.`,
    ],
    ["rcode exact x.test NXDOMAIN NOERROR", "x.test.", `NOERROR |  | ${ROOT_SOA}`],
    ["name a.b c.d", "www.example.com.", FOUND("www.example.com.")],
  ])("%s", (rule, name, expected) => {
    // The question comes back as it was asked; owners of records in lower case.
    expect(to(rule, name).toLowerCase()).toBe(expected.toLowerCase());
  });

  test("changes the type, and gives the question back as it was", () => {
    const answer = server("rewrite type ANY HINFO\nforward . 127.0.0.1:5353").ask(
      "www.example.com.",
      "ANY",
    );
    expect(answer?.question).toEqual([{ name: "www.example.com.", type: "ANY" }]);
    expect(answer?.authority[0]?.type).toBe("SOA");
  });

  test("goes on where it may", () => {
    const block =
      "rewrite continue name a.org b.org\nrewrite name b.org www.example.com\nforward . 127.0.0.1:5353";
    expect(server(block).line("a.org.")).toBe(FOUND("a.org."));
  });
});

describe("template", () => {
  const answer = (body: string, name: string, type = "A"): string =>
    server(`template IN A example.net {\n${body}\n}`, "").line(name, type);
  test.each([
    [
      'answer "{{ .Name }} 60 IN A 192.0.2.1"',
      "a.example.net.",
      "NOERROR | a.example.net. 60 A 192.0.2.1",
    ],
    [
      'match "^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)[.]example[.]net[.]$"\nanswer "{{ .Name }} 60 {{ .Class }} {{ .Type }} 10.0.{{ .Group.a }}.{{ .Group.b }}"',
      "ip-3-4.example.net.",
      "NOERROR | ip-3-4.example.net. 60 A 10.0.3.4",
    ],
    [
      'match "(..)(..)[.]example"\nanswer "{{ .Name }} 60 IN A 10.0.{{parseInt (index .Match 1) 16 8}}.{{ parseInt .Group.2 16 8 }}"',
      "0aff.example.net.",
      "NOERROR | 0aff.example.net. 60 A 10.0.10.255",
    ],
    ['match "^x"\nanswer "{{ .Name }} 60 IN A 192.0.2.1"', "a.example.net.", "SERVFAIL no-aa"],
    [
      'match "^x"\nanswer "{{ .Name }} 60 IN A 192.0.2.1"\nfallthrough',
      "a.example.net.",
      "SERVFAIL no-aa",
    ],
    ["rcode REFUSED", "a.example.net.", "REFUSED"],
    [
      'rcode NXDOMAIN\nauthority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 60 60 60 60"',
      "a.example.net.",
      "NXDOMAIN |  | example.net. 60 SOA ns.example.net. h.example.net. 1 60 60 60 60",
    ],
    [
      'answer "{{ if eq .Remote \\"10.244.9.9\\" }}{{ .Name }} 60 IN A 192.0.2.7{{ else }}{{ .Name }} 60 IN A 192.0.2.8{{ end }}"',
      "a.example.net.",
      "NOERROR | a.example.net. 60 A 192.0.2.7",
    ],
    ['answer "{{ .Name }} 60 IN A {{ .Nothing }}"', "a.example.net.", "SERVFAIL no-aa"],
    [
      'additional "{{ .Name }} 60 IN TXT \\"a {{ printf `%02d` 7 }}\\""',
      "a.example.net.",
      'NOERROR |  |  | a.example.net. 60 TXT "a 07"',
    ],
  ])("%s", (body, name, expected) => {
    expect(answer(body, name)).toBe(expected);
  });

  test("leaves other types and zones to the next", () => {
    expect(answer("rcode NXDOMAIN", "a.example.net.", "MX")).toBe("SERVFAIL no-aa");
    expect(answer("rcode NXDOMAIN", "a.example.org.")).toBe("SERVFAIL no-aa");
  });

  test("asks the server for the target of a CNAME", () => {
    const block =
      'template IN A example.net {\nanswer "{{ .Name }} 60 IN CNAME www.example.com."\n}\nforward . 127.0.0.1:5353';
    expect(server(block).line("a.example.net.")).toBe(
      "NOERROR | a.example.net. 60 CNAME www.example.com., www.example.com. 600 A 192.0.2.80",
    );
  });
});

describe("hosts", () => {
  const files = {
    "/etc/hosts": "127.0.0.1 localhost # here\n::1 localhost\n10.0.0.1 a.test A.test b.test",
  };
  test.each([
    ["hosts", "a.test.", "A", "NOERROR | a.test. 3600 A 10.0.0.1, a.test. 3600 A 10.0.0.1"],
    ["hosts", "localhost.", "AAAA", "NOERROR | localhost. 3600 AAAA ::1"],
    ["hosts", "a.test.", "AAAA", "NOERROR"],
    ["hosts", "nope.test.", "A", "SERVFAIL no-aa"],
    ["hosts", "b.test.", "MX", "NOERROR"],
    [
      "hosts",
      "1.0.0.10.in-addr.arpa.",
      "PTR",
      "NOERROR | 1.0.0.10.in-addr.arpa. 3600 PTR a.test., 1.0.0.10.in-addr.arpa. 3600 PTR a.test., 1.0.0.10.in-addr.arpa. 3600 PTR b.test.",
    ],
    ["hosts {\n no_reverse\n}", "1.0.0.10.in-addr.arpa.", "PTR", "SERVFAIL no-aa"],
    ["hosts {\n ttl 9\n 10.0.0.2 c.test\n}", "c.test.", "A", "NOERROR | c.test. 9 A 10.0.0.2"],
    ["hosts {\n 10.0.0.2 *.w.test\n}", "x.w.test.", "A", "NOERROR | x.w.test. 3600 A 10.0.0.2"],
    ["hosts /other example.net", "c.example.net.", "A", "NOERROR | c.example.net. 3600 A 10.0.0.3"],
    ["hosts /other example.net", "d.test.", "A", "SERVFAIL no-aa"],
    [
      "hosts {\n 10.0.0.2 c.test\n fallthrough test\n}\nwhoami",
      "nope.test.",
      "A",
      "NOERROR |  |  | _udp.nope.test. 0 SRV 0 0 4000 ., nope.test. 0 A 10.244.9.9",
    ],
  ])("%s: %s %s", (block, name, type, expected) => {
    const more = { files: { ...files, "/other": "10.0.0.3 c.example.net d.test" } };
    expect(server(block, "", more).line(name, type)).toBe(expected);
  });
});

describe("forward", () => {
  const REST = `${UPSTREAM}\n.:5354 {\n template ANY ANY . {\n rcode NOERROR\n answer "{{ .Name }} 9 IN A 192.0.2.54"\n}\n}`;
  test("turns to the next server, and leaves alone the one that does not answer", () => {
    const f = server("forward . 127.0.0.1:5353 127.0.0.1:5354 {\npolicy sequential\n}", REST);
    f.silent.add(5353);
    const start = f.clock.now;
    expect(f.line("www.example.com.")).toBe("NOERROR | www.example.com. 9 A 192.0.2.54");
    expect(f.clock.now - start).toBe(2000);
    // Health checks, each a second and a half apart, fail more often than twice: it counts as down.
    f.clock.advance(10_000);
    const asked = f.upstreams.length;
    expect(f.line("www.example.com.")).toContain("192.0.2.54");
    expect(f.upstreams.slice(asked)).toEqual(["udp 5354"]);
    // It comes back, and is asked again.
    f.silent.delete(5353);
    f.clock.advance(3000);
    expect(f.line("www.example.com.")).toContain("192.0.2.80");
  });

  test.each([
    ["round_robin", ["udp 5354", "udp 5353", "udp 5354"]],
    ["sequential", ["udp 5353", "udp 5353", "udp 5353"]],
  ])("policy %s", (policy, expected) => {
    const f = server(`forward . 127.0.0.1:5353 127.0.0.1:5354 {\npolicy ${policy}\n}`, REST);
    for (let i = 0; i < 3; i++) f.line("www.example.com.");
    expect(f.upstreams).toEqual(expected);
  });

  test.each([
    ["force_tcp", "udp", "tcp 5353"],
    ["", "udp", "udp 5353"],
    ["", "tcp", "tcp 5353"],
    ["prefer_udp", "tcp", "udp 5353"],
  ] as const)("with '%s' a query over %s goes by %s", (property, protocol, expected) => {
    const f = server(`forward . 127.0.0.1:5353 {\n${property}\n}`);
    f.line("www.example.com.", "A", { protocol });
    expect(f.upstreams).toEqual([expected]);
  });

  test("leaves alone what is excepted, and other zones", () => {
    const f = server("forward example.com 127.0.0.1:5353 {\nexcept www.example.com\n}");
    expect(f.line("www.example.com.")).toBe("SERVFAIL no-aa");
    expect(f.line("example.org.")).toBe("SERVFAIL no-aa");
    expect(f.line("ns.example.com.")).toContain("192.0.2.53");
  });

  test("refuses more queries at once than it may have", () => {
    const f = server("errors\nforward . 127.0.0.1:5353 {\nmax_concurrent 1\n}");
    f.silent.add(5353);
    const answers: string[] = [];
    const [listener] = f.dns.listeners;
    const ask = (id: number) =>
      listener?.handle(
        {
          id,
          flags: { qr: false, aa: false, tc: false, rd: true, ra: false },
          rcode: "NOERROR",
          question: [{ name: "www.example.com.", type: "A" }],
          answer: [],
          authority: [],
          additional: [],
        },
        { address: 1, port: 1, protocol: "udp" },
        ({ id: answered, rcode }) => answers.push(`${answered} ${rcode}`),
      );
    ask(1);
    ask(2);
    expect(answers).toEqual(["2 REFUSED"]);
    f.clock.advance(10_000);
    expect(answers).toEqual(["2 REFUSED", "1 SERVFAIL"]);
    expect(f.log.at(-1)).toContain(
      "plugin/errors: 2 www.example.com. A: 127.0.0.1:5353 over udp: timeout",
    );
  });

  test("says SERVFAIL at once where the ports are closed", () => {
    const f = server("forward . 127.0.0.1:99", "");
    expect(f.line("www.example.com.")).toBe("SERVFAIL no-aa");
    expect(f.clock.now).toBe(0);
  });

  test("reads its servers from a resolv.conf", () => {
    const f = new TestServer(
      ".:53 {\nforward . /etc/resolv.conf\n}\n.:53 {\nbind 10.0.0.2\nwhoami\n}".replace(
        ".:53 {\nforward",
        ".:54 {\nforward",
      ),
      "",
      {
        files: { "/etc/resolv.conf": "nameserver 10.0.0.2\nnameserver 10.0.0.2" },
      },
    );
    expect(f.line("a.test.", "A", { port: 54 })).toContain("SRV 0 0 32768");
  });
});

describe("loop", () => {
  test("ends CoreDNS where it forwards to itself", () => {
    const f = server("loop\nforward . 127.0.0.1", "");
    f.dns.start();
    f.clock.advance(100);
    expect(f.fatal).toHaveLength(1);
    expect(f.fatal[0]).toContain("plugin/loop: Loop (127.0.0.1:");
  });

  test("is content where it does not", () => {
    const f = server("loop\nforward . 127.0.0.1:5353");
    f.dns.start();
    f.clock.advance(10_000);
    expect(f.fatal).toEqual([]);
    expect(f.upstreams).toHaveLength(1);
  });
});

describe("autopath", () => {
  test("reads a search list from a file", () => {
    const f = server("autopath /resolv\nforward . 127.0.0.1:5353", UPSTREAM, {
      files: { zone: ZONE, "/resolv": "search corp.test example.com" },
    });
    expect(f.line("www.corp.test.")).toBe(
      `NOERROR | www.corp.test. 600 CNAME www.example.com., www.example.com. 600 A 192.0.2.80 | ${NS}`,
    );
    expect(f.line("nope.corp.test.")).toBe(`NXDOMAIN |  | ${ROOT_SOA}`);
    // The search domain itself is too short a name for it.
    expect(f.line("corp.test.")).toBe("SERVFAIL no-aa");
  });
});

describe("minimal and log", () => {
  test("minimal leaves out what was not asked for", () => {
    const f = server("minimal\nforward . 127.0.0.1:5353");
    expect(f.line("www.example.com.")).toBe("NOERROR | www.example.com. 600 A 192.0.2.80");
    expect(f.line("x.test.")).toBe(`NXDOMAIN |  | ${ROOT_SOA}`);
  });

  test.each([
    [0, "0s"],
    [0.000_1, "0.0000001s"],
    [0.017_586_000_001_7, "0.000017586s"],
    [1500, "1.5s"],
    [10_000, "10s"],
  ])(
    "log writes the %d ms that an answer took as Go does, in nanoseconds at the least",
    (ms, text) => {
      let now = -ms;
      const clock: Clock = {
        get now() {
          now += ms;
          return now;
        },
        schedule: () => ({ cancel: () => {} }),
      };
      const timed = new TestServer('. {\nlog . "{duration}"\nwhoami\n}', "", { clock });
      timed.ask("a.");
      expect(timed.log).toEqual([`INFO ${text}`]);
    },
  );

  test("log writes a line in the format that it is given", () => {
    const f = server(
      'log . "{remote}:{port} {type} {name} {rcode} {>rflags} {rsize}"\nforward . 127.0.0.1:5353',
    );
    f.line("www.Example.com.");
    expect(f.log).toEqual(["INFO 10.244.9.9:4000 A www.example.com. NOERROR qr,aa,rd 103"]);
    const denial = server("log {\nclass denial\n}\nforward . 127.0.0.1:5353");
    denial.line("www.example.com.");
    denial.line("x.test.");
    expect(denial.log).toHaveLength(1);
  });
});

describe("server blocks", () => {
  test.each([
    ["a.example.com.", "A", "REFUSED no-aa"],
    ["www.example.com.", "A", `NOERROR | www.example.com. 600 A 192.0.2.80 | ${NS}`],
  ])("the longest zone has %s %s", (name, type, expected) => {
    const f = new TestServer("example.com {\nfile zone\n}\na.example.com {\n}", "", {
      files: { zone: ZONE },
    });
    expect(f.line(name, type)).toBe(expected);
    expect(f.line("example.org.")).toBe("REFUSED no-aa");
  });

  test("a range of addresses stands for its reverse zones, several keys for one block", () => {
    const f = new TestServer("10.0.0.0/15, example.net {\nwhoami\n}");
    expect(f.dns.listeners[0]?.zones).toEqual([
      "0.10.in-addr.arpa.",
      "1.10.in-addr.arpa.",
      "example.net.",
    ]);
    expect(f.line("1.2.1.10.in-addr.arpa.", "PTR")).toContain("NOERROR");
    expect(f.line("1.2.2.10.in-addr.arpa.", "PTR")).toBe("REFUSED no-aa");
  });

  test("classes other than IN, and EDNS versions other than 0, are turned away", () => {
    const f = new TestServer(".:53 {\nwhoami\n}");
    const [listener] = f.dns.listeners;
    const answers: string[] = [];
    const base = f.ask("a.test.");
    const query = {
      ...(base as NonNullable<typeof base>),
      flags: { qr: false, aa: false, tc: false, rd: true, ra: false },
      answer: [],
      additional: [],
    };
    const ask = (more: object) =>
      listener?.handle(
        { ...query, ...more },
        { address: 1, port: 1, protocol: "udp" },
        ({ rcode }) => answers.push(rcode),
      );
    ask({ question: [{ name: "version.bind.", type: "TXT", class: "CH" }] });
    ask({ edns: { udpSize: 512, version: 1 } });
    ask({ question: [] });
    expect(answers).toEqual(["REFUSED", "BADVERS", "SERVFAIL"]);
  });
});
