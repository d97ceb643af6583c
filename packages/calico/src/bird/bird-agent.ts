import { Speaker, type SpeakerConfig } from "@cnilab/bgp";
import type { ApiClient, Clock, EndpointSlice, Service, Snapshot } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { combineLatest, Subscription } from "rxjs";
import type {} from "../api/kinds.ts";
import { type BgpCore, type BgpSources, BgpView, type NodeBlock } from "./bgp-view.ts";
import { MissingReferences } from "./missing-references.ts";
import { setUpReflectors } from "./route-reflectors.ts";
import { advertisesServices, ServiceAdvertisement, type ServiceRoutes } from "./service-routes.ts";
import { speakerConfig } from "./speaker-config.ts";

/** What confd and BIRD of all nodes of a cluster have in common. */
export class ClusterBgp {
  readonly view: BgpView;
  readonly services: ServiceAdvertisement = new ServiceAdvertisement();
  readonly missing: MissingReferences = new MissingReferences();

  /** @param usePodCidr with host-local IPAM, nodes' ranges are their blocks */
  constructor(usePodCidr: boolean) {
    this.view = new BgpView(usePodCidr);
  }
}

export interface BirdEnvironment {
  readonly node: string;
  readonly netns: NetNamespace;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly families: readonly IpFamily[];
  readonly bgp: ClusterBgp;
  /** Two nodes are made route reflectors, and the mesh is off. */
  readonly reflectors: boolean;
}

/** Names of the processes, as calicoctl looks for them. */
const PROGRAMS: Readonly<Record<IpFamily, string>> = { 4: "bird", 6: "bird6" };

const NO_SERVICES: ServiceRoutes = { advertised: [], rejected: [] };

interface ServiceSources {
  readonly services: Snapshot<Service>;
  readonly slices: Snapshot<EndpointSlice>;
}

/** confd and BIRD on one node: what the API says becomes the configuration of a BGP speaker of each family. */
export class BirdAgent {
  readonly #env: BirdEnvironment;
  readonly #speakers = new Map<IpFamily, Speaker>();
  #subscription = new Subscription();
  #serviceSubscription: Subscription | undefined;
  #sources: BgpSources | undefined;
  #serviceSources: ServiceSources | undefined;
  /** What the configurations in use were made of. */
  #core: BgpCore | undefined;
  #blocks: readonly NodeBlock[] | undefined;
  #serviceText = "";
  #running = false;

  constructor(environment: BirdEnvironment) {
    this.#env = environment;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** What a person should know of the configuration in use, each on one line. */
  get warnings(): readonly string[] {
    const { bgp, api } = this.#env;
    return this.#sources === undefined ? [] : bgp.missing.of(this.#sources, api);
  }

  /** The BGP speaker of a family; `undefined` where it does not run. */
  speaker(family: IpFamily): Speaker | undefined {
    return this.#speakers.get(family);
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    const { api, node, reflectors } = this.#env;
    if (reflectors) setUpReflectors(api, node);
    this.#subscription = combineLatest({
      nodes: api.snapshots("Node"),
      configurations: api.snapshots("BGPConfiguration.projectcalico.org"),
      peers: api.snapshots("BGPPeer.projectcalico.org"),
      filters: api.snapshots("BGPFilter.projectcalico.org"),
      pools: api.snapshots("IPPool.projectcalico.org"),
      affinities: api.snapshots("BlockAffinity.projectcalico.org"),
    }).subscribe((sources) => {
      this.#sources = sources;
      this.#update();
    });
  }

  /** Killed, as by Kubernetes with a grace period of 0: neighbours keep its routes for a while, the kernel for good. */
  stop(): void {
    this.#running = false;
    this.#subscription.unsubscribe();
    this.#serviceSubscription?.unsubscribe();
    this.#serviceSubscription = undefined;
    this.#serviceSources = undefined;
    for (const speaker of this.#speakers.values()) speaker.kill();
    this.#speakers.clear();
    this.#core = undefined;
    this.#blocks = undefined;
  }

  #update(): void {
    const sources = this.#sources;
    if (!this.#running || sources === undefined) return;
    const { node, bgp } = this.#env;
    const core = bgp.view.core(sources);
    const own = core.nodes.get(node);
    if (own === undefined || !this.#knowsServices(core)) return;
    const blocks = bgp.view.blocks(sources, core, node);
    const services = this.#services(core, own.advertisesServices);
    const text = [...services.advertised, "/", ...services.rejected].join();
    if (core === this.#core && blocks === this.#blocks && text === this.#serviceText) return;
    this.#core = core;
    this.#blocks = blocks;
    this.#serviceText = text;
    for (const family of this.#env.families) {
      this.#configure(family, speakerConfig(core, own, family, blocks, services));
    }
  }

  #configure(family: IpFamily, config: SpeakerConfig | undefined): void {
    const speaker = this.#speakers.get(family);
    if (config === undefined) {
      speaker?.shutdown();
      this.#speakers.delete(family);
    } else if (speaker !== undefined) {
      speaker.configure(config);
    } else {
      const { netns, clock } = this.#env;
      const options = { program: PROGRAMS[family], recover: true };
      const started = new Speaker(netns, clock, config, options);
      this.#speakers.set(family, started);
      started.start();
    }
  }

  /** Nobody looks at Services who does not advertise them. False while they are still to come. */
  #knowsServices({ settings }: BgpCore): boolean {
    if (!advertisesServices(settings)) {
      this.#serviceSubscription?.unsubscribe();
      this.#serviceSubscription = undefined;
      this.#serviceSources = undefined;
      return true;
    }
    if (this.#serviceSubscription === undefined) {
      const { api } = this.#env;
      // Known before the first of it comes, which may be at once.
      this.#serviceSubscription = new Subscription();
      this.#serviceSubscription.add(
        combineLatest({
          services: api.snapshots("Service"),
          slices: api.snapshots("EndpointSlice"),
        }).subscribe((sources) => {
          this.#serviceSources = sources;
          this.#update();
        }),
      );
    }
    return this.#serviceSources !== undefined;
  }

  #services({ settings }: BgpCore, isAdvertiser: boolean): ServiceRoutes {
    const sources = this.#serviceSources;
    if (sources === undefined) return NO_SERVICES;
    const { node, bgp } = this.#env;
    const { services, slices } = sources;
    return bgp.services.routes(settings, services, slices, node, isAdvertiser);
  }
}
