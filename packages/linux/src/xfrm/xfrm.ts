import { formatIp, type IpAddress } from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { appliesTo, policyKey, type XfrmPolicy, type XfrmTemplate } from "./xfrm-policy.ts";
import { fitsMark, XfrmState, type XfrmStateSpec } from "./xfrm-state.ts";

/** SPIs below are reserved (RFC 4303 section 2.1). */
const FIRST_SPI = 0x100;
const SPIS = 0x1_0000_0000 - FIRST_SPI;

/** What a packet's route leads through, or why it leads nowhere; `undefined` where the packet stays as it is. */
export type XfrmRoute = XfrmState | "XFRM_POLICY" | "XFRM_NO_STATE" | undefined;

/** IPsec of one namespace: associations, and policies for what it sends (net/xfrm). */
export class Xfrm {
  readonly #netns: NetNamespace;
  /** By destination and SPI: those two name an association. */
  readonly #states = new Map<string, XfrmState>();
  readonly #policies = new Map<string, XfrmPolicy>();
  /** By priority; the earlier of two equal ones first. */
  #ordered: readonly XfrmPolicy[] | undefined;

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** The later first, as the kernel lists them. */
  get states(): readonly XfrmState[] {
    return [...this.#states.values()].reverse();
  }

  get policies(): readonly XfrmPolicy[] {
    return [...this.#policies.values()].reverse();
  }

  /** An SPI at random that nobody has at this destination (`ip xfrm state allocspi`). */
  allocSpi(spec: Omit<XfrmStateSpec, "spi" | "aead">): number {
    const { random } = this.#netns.kernel;
    let spi = FIRST_SPI + random.below(SPIS);
    while (this.#states.has(stateKey(spec.dst, spi))) spi = FIRST_SPI + random.below(SPIS);
    this.#states.set(stateKey(spec.dst, spi), new XfrmState({ ...spec, spi }));
    return spi;
  }

  /** `ip xfrm state add`. @throws KernelError EEXIST, EINVAL without an algorithm */
  addState(spec: XfrmStateSpec): void {
    if (spec.aead === undefined) throw new KernelError("EINVAL", "xfrm state without algorithm");
    const key = stateKey(spec.dst, spec.spi);
    if (this.#states.has(key)) throw new KernelError("EEXIST", describe(spec));
    this.#put(key, spec);
  }

  /** `ip xfrm state update`: gives keys to what {@link allocSpi} has taken. @throws KernelError ESRCH */
  updateState(spec: XfrmStateSpec): void {
    const key = stateKey(spec.dst, spec.spi);
    if (!this.#states.has(key)) throw new KernelError("ESRCH", describe(spec));
    this.#put(key, spec);
  }

  /** `ip xfrm state delete`. @throws KernelError ESRCH */
  deleteState(dst: IpAddress, spi: number): void {
    if (!this.#states.delete(stateKey(dst, spi))) {
      throw new KernelError("ESRCH", describe({ dst, spi }));
    }
    this.#netns.network.touch();
  }

  /** `ip xfrm policy update`: takes the place of one for the same packets. */
  updatePolicy(policy: XfrmPolicy): void {
    this.#policies.set(policyKey(policy), policy);
    this.#policiesChanged();
  }

  /** The one for these packets; `undefined` where there is none (`ip xfrm policy get`). */
  policyFor(like: XfrmPolicy): XfrmPolicy | undefined {
    return this.#policies.get(policyKey(like));
  }

  /** `ip xfrm policy delete`. @throws KernelError ENOENT */
  deletePolicy(like: XfrmPolicy): void {
    if (!this.#policies.delete(policyKey(like))) {
      throw new KernelError("ENOENT", `xfrm policy ${policyKey(like)}`);
    }
    this.#policiesChanged();
  }

  /** What is for a packet that came (`xfrm_state_lookup`). */
  stateFor(dst: IpAddress, spi: number, mark: number): XfrmState | undefined {
    const state = this.#states.get(stateKey(dst, spi));
    return state?.isValid && fitsMark(state.spec.mark, mark) ? state : undefined;
  }

  /** Where a packet of this machine's own goes through (`xfrm_lookup`). */
  route(skb: Skb): XfrmRoute {
    const policy = this.#inOrder().find((one) => appliesTo(one, skb.ip, skb.mark));
    if (policy?.action === "block") return "XFRM_POLICY";
    const template = policy?.template;
    if (template === undefined) return undefined;
    return this.#stateOf(template, skb.mark) ?? "XFRM_NO_STATE";
  }

  #stateOf({ src, dst, spi, reqid }: XfrmTemplate, mark: number): XfrmState | undefined {
    const fits = ({ spec, isValid }: XfrmState) =>
      isValid &&
      spec.dst === dst &&
      spec.src === src &&
      (reqid === undefined || reqid === (spec.reqid ?? 0)) &&
      fitsMark(spec.mark, mark);
    if (spi === undefined) return this.states.find(fits);
    const state = this.#states.get(stateKey(dst, spi));
    return state !== undefined && fits(state) ? state : undefined;
  }

  #inOrder(): readonly XfrmPolicy[] {
    this.#ordered ??= [...this.#policies.values()].sort(
      (x, y) => (x.priority ?? 0) - (y.priority ?? 0),
    );
    return this.#ordered;
  }

  #put(key: string, spec: XfrmStateSpec): void {
    this.#states.delete(key);
    this.#states.set(key, new XfrmState(spec));
    this.#netns.network.touch();
  }

  #policiesChanged(): void {
    this.#ordered = undefined;
    this.#netns.network.touch();
  }
}

function stateKey(dst: IpAddress, spi: number): string {
  return `${dst} ${spi}`;
}

function describe({ dst, spi }: { readonly dst: IpAddress; readonly spi: number }): string {
  return `xfrm state to ${formatIp(dst)}, SPI 0x${spi.toString(16)}`;
}
