import { formatIp, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { CorefileError, type ListenersByPort, queryOf } from "../src/index.ts";
import { TestServer } from "./ask.ts";

/** What is said of a Corefile that CoreDNS would not start with. */
function wrong(corefile: string, files: Readonly<Record<string, string>> = {}): string {
  try {
    new TestServer(corefile, "", { files });
  } catch (error) {
    if (error instanceof Error && (error instanceof CorefileError || error.name === "InputError")) {
      return error.message;
    }
    throw error;
  }
  return "nothing";
}

describe("Corefile", () => {
  test.each([
    ["nothing at all", "# only a comment\n", "Corefile:1: there is no server block in it"],
    [
      "an unknown plugin",
      ".:53 {\n  errors\n  kubernets cluster.local\n}",
      "Corefile:3: Unknown directive 'kubernets'",
    ],
    [
      "one that is not modelled",
      ". {\n dnssec\n}",
      "Corefile:2: the plugin 'dnssec' is not modelled; take it out to try the rest",
    ],
    [
      "no end of a block",
      ".:53 {\n  errors\n",
      "Corefile:1: the server block \".\" has no '}'".replace('"."', '".:53"'),
    ],
    [
      "no end of a plugin",
      ". {\n cache {\n success 5\n",
      "Corefile:2: 'cache' has a '{' without its '}'",
    ],
    ["too many ends", ". {\n errors\n}\n}", "Corefile:4: '}' without a '{' before it"],
    ["no key", "{\n errors\n}", "Corefile:1: a server block needs a key before '{'"],
    [
      "a comma with nothing behind",
      "example.com, {\n}",
      "Corefile:1: expected another key after the comma, but had '{'",
    ],
    ["a bad port", ".:70000 {\n}", 'Corefile:1: ".:70000": 70000 is not a port'],
    ["a bad zone", "a..b {\n}", 'Corefile:1: "a..b" is not a zone'],
    ["another scheme", "tls://. {\n}", "Corefile:1: serving DNS over tls is not modelled"],
    [
      "the same zone twice",
      ". {\n}\nexample.com .:53 {\n}",
      "Corefile:3: cannot serve dns://.:53 on :53 - it is already defined",
    ],
    [
      "bound and not bound",
      ". {\nbind 10.0.0.1\n}\n. {\n}",
      "Corefile:1: cannot serve dns://.:53 on 10.0.0.1 - another block serves it on all addresses",
    ],
    [
      "an interface's name",
      ". {\n bind eth0\n}",
      'Corefile:2: plugin/bind: "eth0" is not an address (names of interfaces are not modelled)',
    ],
    [
      "no such snippet",
      "(a) {\n errors\n}\n. {\n import b\n}",
      'Corefile:5: import: "b" is neither a snippet (known: a) nor a file that can be read',
    ],
    ["a snippet twice", "(a) {\n}\n(a) {\n}", "Corefile:3: the snippet (a) is there twice"],
    [
      "a snippet in itself",
      "(a) {\n import a\n}\n. {\n import a\n}",
      "Corefile:2: import has no end: it imports itself",
    ],
    [
      "two names to import",
      "(a) {\n}\n. {\n import a b\n}",
      "Corefile:4: import takes only one name of a snippet or file",
    ],
    ["an error in an imported file", ". {\n import more\n}", "more:2: Unknown directive 'nope'"],
    [
      "pods",
      ". {\n kubernetes cluster.local {\n  pods maybe\n }\n}",
      "Corefile:3: plugin/kubernetes: wrong value for pods: maybe, must be one of: disabled, verified, insecure",
    ],
    [
      "a property",
      ". {\n kubernetes cluster.local {\n  podz\n }\n}",
      "Corefile:3: plugin/kubernetes: unknown property 'podz'; it has endpoint, tls",
    ],
    [
      "a ttl",
      ". {\n kubernetes cluster.local {\n  ttl 3601\n }\n}",
      'Corefile:3: plugin/kubernetes: ttl must be a whole number from 0 to 3600, not "3601"',
    ],
    [
      "reverse zones alone",
      ". {\n kubernetes 10.0.0.0/8\n}",
      "Corefile:2: plugin/kubernetes: non-reverse zone name must be used",
    ],
    [
      "kubernetes twice",
      ". {\n kubernetes a.local\n kubernetes b.local\n}",
      "Corefile:3: plugin/kubernetes: this plugin can only be used once per server block",
    ],
    [
      "zonal without endpoints",
      ". {\n kubernetes a.local {\n zonal\n noendpoints\n }\n}",
      "Corefile:2: plugin/kubernetes: zonal requires the endpoint cache; remove noendpoints",
    ],
    [
      "a cache's ttl",
      ". {\n cache 0\n}",
      "Corefile:2: plugin/cache: cache TTL can not be zero or negative: 0",
    ],
    [
      "what to disable",
      ". {\n cache {\n disable all\n }\n}",
      'Corefile:3: plugin/cache: cache type for disable must be "success" or "denial"',
    ],
    [
      "no upstream",
      ". {\n forward .\n}",
      "Corefile:2: plugin/forward: wrong argument count: it needs a zone and the servers to ask",
    ],
    [
      "a host name as upstream",
      ". {\n forward . dns.example\n}",
      'Corefile:2: plugin/forward: not an IP address or file: "dns.example"',
    ],
    [
      "an upstream over TLS",
      ". {\n forward . tls://9.9.9.9\n}",
      "Corefile:2: plugin/forward: upstreams over tls are not modelled: tls://9.9.9.9",
    ],
    [
      "a policy",
      ". {\n forward . 9.9.9.9 {\n policy best\n }\n}",
      "Corefile:3: plugin/forward: unknown policy 'best'",
    ],
    [
      "a rewrite",
      ". {\n rewrite name regex ( a\n}",
      "Corefile:2: plugin/rewrite: invalid regex matching pattern: (",
    ],
    [
      "groups that are not there",
      ". {\n rewrite name regex a {1}\n}",
      "Corefile:2: plugin/rewrite: the rewrite regex pattern ({1}) uses more subexpressions",
    ],
    [
      "a template",
      '. {\n template IN A {\n answer "{{ .Name "\n }\n}',
      "Corefile:3: plugin/template: could not compile template: {{ .Name : unclosed action",
    ],
    [
      "a template's function",
      '. {\n template IN A {\n answer "{{ upper .Name }}"\n }\n}',
      'Corefile:3: plugin/template: could not compile template: {{ upper .Name }}: function "upper" not defined',
    ],
    [
      "a zone file that is not there",
      "example.com {\n file nowhere\n}",
      'Corefile:2: plugin/file: failed to open "nowhere"',
    ],
    [
      "a zone file's record",
      "example.com {\n file zone\n}",
      'zone:3: "10.0.0" is not an IPv4 address',
    ],
    [
      "a zone file without SOA",
      "example.com {\n file nosoa\n}",
      "nosoa: it has no SOA record for origin example.com.",
    ],
  ])("with %s", (_, corefile, message) => {
    const files = {
      more: "errors\nnope",
      zone: "@ 60 IN SOA a. b. 1 1 1 1 1\n; comment\nwww A 10.0.0\n",
      nosoa: "www A 10.0.0.1\n",
    };
    expect(wrong(corefile, files)).toContain(message);
  });

  test("has comments, quotes, variables, snippets, imported files and blocks without braces", () => {
    const corefile = `# one
(snip) {
  whoami # two
}
import blocks
a.test:{$PORT}, b.test:54 { # three
}
c.test:54 {
  import snip
}`;
    const files = { blocks: '"d.test:55" {\n whoami\n}\n' };
    const server = new TestServer(corefile, "", { files, environment: { PORT: "54" } });
    expect(server.dns.listeners.map(({ port, zones }) => [port, zones])).toEqual([
      [55, ["d.test."]],
      [54, ["a.test.", "b.test.", "c.test."]],
    ]);
    expect(server.line("x.c.test.", "A", { port: 54 })).toContain("NOERROR");
    expect(new TestServer("example.com\nwhoami").line("example.com.")).toContain("NOERROR");
    expect(new TestServer("example.com").line("example.com.")).toBe("REFUSED no-aa");
  });

  test("one address can take the place of every bind", () => {
    const corefile = "a.test {\nbind 10.0.0.1\nwhoami\n}\nb.test {\nbind 10.0.0.2\nwhoami\n}";
    const { dns } = new TestServer(corefile);
    expect(dns.listeners).toHaveLength(2);
    const zonesOf = ({ listeners }: ListenersByPort) => listeners.map(({ zones }) => zones);
    expect(zonesOf(dns.listenersByPort())).toEqual([["a.test.", "b.test."]]);
    expect(dns.listenersByPort().hidden).toEqual([]);
  });

  test.each([
    [undefined, "10.0.0.1", [7, "10.0.0.2"]],
    ["10.0.0.2", "10.0.0.2", [1, "10.0.0.1"]],
    ["10.0.0.3", "10.0.0.1", [7, "10.0.0.2"]],
  ])(
    "of blocks with one zone, that bound to %s or else the first is served",
    (to, served, hidden) => {
      const block = (bind: string) => `a.test {\n bind ${bind}\n hosts {\n ${bind} x.a.test\n }\n}`;
      const { dns } = new TestServer([block("10.0.0.1"), block("10.0.0.2")].join("\n"));
      expect(dns.listeners).toHaveLength(2);
      const byPort = dns.listenersByPort(to === undefined ? undefined : parseIp(to));
      const client = { address: parseIp("10.244.9.9"), port: 4000, protocol: "udp" } as const;
      const answers: string[] = [];
      for (const listener of byPort.listeners) {
        listener.handle(queryOf(7, "x.a.test.", "A"), client, ({ answer }) =>
          answers.push(...answer.map(({ data }) => data)),
        );
      }
      expect(answers).toEqual([served]);
      expect(
        byPort.hidden.map((h) => [h.zone, h.port, h.at.line, h.addresses.map(formatIp)]),
      ).toEqual([["a.test.", 53, hidden[0], [hidden[1]]]]);
    },
  );
});
