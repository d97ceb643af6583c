import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FILTER_FLAGS, FilterFlags } from "./filter-flags.ts";
import type { Flow } from "./flow.ts";
import { flowPredicate } from "./flow-predicate.ts";

const SYN: Flow = {
  verdict: "FORWARDED",
  node_name: "node1",
  IP: { source: "10.0.0.1", destination: "10.0.1.2", ipVersion: "IPv4" },
  l4: { TCP: { source_port: 41234, destination_port: 80, flags: { SYN: true } } },
  source: {
    identity: 30002,
    namespace: "shop",
    pod_name: "cart-1",
    labels: ["k8s:app=cart", "k8s:io.kubernetes.pod.namespace=shop"],
    workloads: [{ kind: "Deployment", name: "cart" }],
  },
  destination: {
    identity: 30001,
    namespace: "default",
    pod_name: "web-1",
    labels: ["k8s:app=web"],
  },
  destination_service: { namespace: "default", name: "web" },
  event_type: { type: 4, sub_type: 0 },
  traffic_direction: "INGRESS",
  is_reply: false,
};
const DENIED: Flow = {
  ...SYN,
  verdict: "DROPPED",
  drop_reason: 133,
  drop_reason_desc: "POLICY_DENIED",
  event_type: { type: 1, sub_type: 133 },
};
const WORLD: Flow = {
  verdict: "FORWARDED",
  IP: { source: "10.0.0.1", destination: "192.0.2.7", ipVersion: "IPv4" },
  l4: { UDP: { source_port: 5353, destination_port: 53 } },
  source: { identity: 30002, namespace: "shop", pod_name: "cart-1" },
  destination: { identity: 2, labels: ["reserved:world"] },
  destination_names: ["www.example.com"],
  event_type: { type: 4, sub_type: 3 },
};
const HTTP: Flow = {
  ...SYN,
  event_type: { type: 129 },
  l7: {
    type: "RESPONSE",
    http: {
      code: 404,
      method: "GET",
      url: "http://web/page/12?x=1",
      headers: [{ key: "foo", value: "bar" }],
    },
  },
};
const FLOWS = { SYN, DENIED, WORLD, HTTP };

/** Reads `--flag value --not --flag value`; flags without values have none here. */
function select(line: string): string[] {
  const flags = new FilterFlags();
  for (const word of line.split(/ (?=--)/)) {
    const [flag = "", value = ""] = word.replace("--", "").split(/ (.*)/);
    flags.add(flag, value);
  }
  const { allow, deny } = flags.filters();
  const passes = flowPredicate(allow, deny);
  return Object.entries(FLOWS).flatMap(([name, flow]) => (passes(flow) ? [name] : []));
}

describe("flags of hubble observe", () => {
  test.each([
    ["--verdict DROPPED", "DENIED"],
    ["--verdict DROPPED --verdict FORWARDED --protocol udp", "WORLD"],
    ["--drop-reason-desc POLICY_DENIED", "DENIED"],
    ["--not --verdict FORWARDED", "DENIED"],
    ["--not --verdict FORWARDED --not --verdict DROPPED", ""],
    // Different flags make one filter: what they deny has both.
    ["--not --protocol tcp --not --type l7", "SYN DENIED WORLD"],
    ["--pod web", "SYN DENIED HTTP"],
    ["--pod cart", ""],
    ["--pod shop/cart", "SYN DENIED WORLD HTTP"],
    ["--from-pod shop/cart --to-pod web-1", "SYN DENIED HTTP"],
    ["--to-pod shop/cart", ""],
    ["--pod /web", "SYN DENIED HTTP"],
    ["--namespace default", "SYN DENIED HTTP"],
    ["--namespace shop", "SYN DENIED WORLD HTTP"],
    ["--to-namespace shop", ""],
    ["--from-namespace shop --to-namespace default", "SYN DENIED HTTP"],
    ["--from-namespace shop --from-pod cart", "SYN DENIED WORLD HTTP"],
    ["--to-all-namespaces", "SYN DENIED HTTP"],
    ["--label app=web", "SYN DENIED HTTP"],
    ["--label k8s:app in (web, api)", "SYN DENIED HTTP"],
    ["--to-label reserved:world", "WORLD"],
    ["--from-label app=cart,!tier", "SYN DENIED HTTP"],
    ["--to-label app!=web", "WORLD"],
    ["--from-ip 10.0.0.1 --to-ip 10.0.1.0/24", "SYN DENIED HTTP"],
    ["--ip 192.0.2.7", "WORLD"],
    ["--ip-version v6", ""],
    ["--ipv4", "SYN DENIED WORLD HTTP"],
    ["--port 80", "SYN DENIED HTTP"],
    ["--from-port 5353", "WORLD"],
    ["--type trace", "SYN WORLD"],
    ["--type trace:to-endpoint", "SYN"],
    ["--type 4:3", "WORLD"],
    ["--type drop --type l7", "DENIED HTTP"],
    ["--identity world", "WORLD"],
    ["--to-identity 30001", "SYN DENIED HTTP"],
    ["--fqdn *.example.com", "WORLD"],
    ["--service default/web", "SYN DENIED HTTP"],
    ["--from-workload Deployment/cart", "SYN DENIED HTTP"],
    ["--from-workload StatefulSet/", ""],
    ["--tcp-flags syn", "SYN DENIED HTTP"],
    ["--tcp-flags syn,ack", ""],
    ["--http-status 4+", "HTTP"],
    ["--http-status 404 --http-method get", "HTTP"],
    ["--http-path ^/page/\\d+$", "HTTP"],
    ["--http-url x=1$", "HTTP"],
    ["--http-header foo:bar", "HTTP"],
    ["--node-name node*", "SYN DENIED HTTP"],
    ["--node-name other/node1", ""],
    ["--traffic-direction ingress", "SYN DENIED HTTP"],
  ])("%s", (line, expected) => {
    expect(select(line).join(" ")).toBe(expected);
  });

  test.each([
    ["--verdict LOST", /--verdict.*none of/],
    ["--pod a --to-pod b", /--to-pod.*cannot be combined with --pod/],
    ["--ip x", /--from-ip.*no address/],
    ["--port http", /no port/],
    ["--type trace:x", /--type/],
    ["--type y", /no type of event/],
    ["--http-status 9", /no status/],
    ["--http-path ( --type l7", /no regular expression/],
    ["--http-method get --type drop", /--type l7/],
    ["--not --not --pod a", /--not.*twice/],
    ["--pod a --not", /--not.*no filter after/],
    ["--label a=b=c", /no label selector/],
    ["--from-pod a/b --from-namespace c", /not in the namespace c/],
    ["--protocol quic", /--protocol/],
    ["--identity nobody", /--identity/],
    ["--tcp-flags syn,x", /--tcp-flags/],
  ])("%s is refused", (line, message) => {
    expect(() => select(line)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(message) }),
    );
  });

  test("say what is wrong with whatever they are given, and never break", () => {
    const flag = fc.constantFrom(...FILTER_FLAGS.map(({ name }) => name));
    fc.assert(
      fc.property(fc.array(fc.tuple(flag, fc.string()), { maxLength: 4 }), (given) => {
        try {
          const flags = new FilterFlags();
          for (const [name, value] of given) flags.add(name, value);
          const { allow, deny } = flags.filters();
          const passes = flowPredicate(allow, deny);
          for (const flow of Object.values(FLOWS)) passes(flow);
        } catch (error) {
          expect((error as Error).name).toBe("InputError");
        }
      }),
    );
  });
});
