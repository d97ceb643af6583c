import {
  boolean as aBoolean,
  type Check,
  describe,
  fail,
  integer,
  list,
  map,
  object,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";

/** Fields that begin so are the user's own, everywhere (Compose Specification, "Extensions"). */
const EXTENSION = /^x-/;
const KEY = /^[a-zA-Z0-9._-]+$/;

/** A mapping with these fields, extensions, and no others. */
function fields(known: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  const check = strictObject(known, required);
  return (value, path) => check(withoutExtensions(value), path);
}

function withoutExtensions(value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !EXTENSION.test(key)));
}

function byName(value: Check): Check {
  return map(
    (key) => (KEY.test(key) ? undefined : "is no name: letters, digits, . _ and -"),
    value,
  );
}

const anything: Check = () => {};

/** An absent value is as good as none. */
function orNull(check: Check): Check {
  return (value, path) => {
    if (value !== null) check(value, path);
  };
}

function textOr(check: Check): Check {
  return (value, path) => {
    if (typeof value !== "string") check(value, path);
  };
}

/** The same twice in a list is a mistake; from two files it is not. */
function unique(item: Check): Check {
  const check = list(item);
  return (value, path) => {
    check(value, path);
    const seen = new Set<string>();
    for (const [i, each] of (value as readonly unknown[]).entries()) {
      const text = JSON.stringify(each);
      if (seen.has(text)) fail([...path, i], `is there twice: take one ${describe(each)} out`);
      seen.add(text);
    }
  };
}

const strings: Check = unique(string);
const stringOrList: Check = textOr(strings);

/** A variable may have stood for it, so that it is text. */
function number(least: number, most?: number): Check {
  const check = integer(least, most);
  return (value, path) => {
    check(typeof value === "string" && /^-?\d{1,15}$/.test(value) ? Number(value) : value, path);
  };
}

/** What says nothing of networks is looked at from outside. */
const mapping: Check = object({});
const items: Check = list(anything);

const numberOrString: Check = (value, path) => {
  if (typeof value !== "number") string(value, path);
};

/** What compose-go takes for a boolean where a variable stood for it (loader/interpolate.go `toBoolean`). */
const BOOLEANS: Readonly<Record<string, boolean>> = {
  "1": true,
  t: true,
  true: true,
  y: true,
  yes: true,
  on: true,
  "0": false,
  f: false,
  false: false,
  n: false,
  no: false,
  off: false,
  "": false,
};

const boolean: Check = (value, path) => {
  if (typeof value === "string" && Object.hasOwn(BOOLEANS, value.toLowerCase())) return;
  aBoolean(value, path);
};

/** Of a field that the check for booleans has passed. */
export function isTrue(value: unknown): boolean {
  return typeof value === "string" ? BOOLEANS[value.toLowerCase()] === true : value === true;
}

const scalar: Check = (value, path) => {
  if (value !== null && typeof value === "object") {
    fail(path, `must be text, a number or true or false, not ${describe(value)}`);
  }
};

const listOrDict: Check = (value, path) => {
  if (Array.isArray(value)) strings(value, path);
  else map(() => undefined, scalar)(value, path);
};

const extraHosts: Check = (value, path) => {
  if (Array.isArray(value)) strings(value, path);
  else map(() => undefined, stringOrList)(value, path);
};

const command: Check = orNull(textOr(strings));

const attachment: Check = fields({
  aliases: strings,
  interface_name: string,
  ipv4_address: string,
  ipv6_address: string,
  link_local_ips: strings,
  mac_address: string,
  driver_opts: map(() => undefined, numberOrString),
  priority: integer(Number.MIN_SAFE_INTEGER),
  gw_priority: integer(Number.MIN_SAFE_INTEGER),
});

const attachments: Check = (value, path) => {
  if (Array.isArray(value)) strings(value, path);
  else byName(orNull(attachment))(value, path);
};

const dependency: Check = fields(
  {
    restart: boolean,
    required: boolean,
    condition: oneOf("service_started", "service_healthy", "service_completed_successfully"),
  },
  ["condition"],
);

const dependencies: Check = (value, path) => {
  if (Array.isArray(value)) strings(value, path);
  else byName(dependency)(value, path);
};

const longPort: Check = fields(
  {
    name: string,
    mode: string,
    host_ip: string,
    target: number(1, 65_535),
    published: numberOrString,
    protocol: string,
    app_protocol: string,
  },
  ["target"],
);

const publishedPort: Check = (value, path) => {
  if (typeof value === "object") longPort(value, path);
  else numberOrString(value, path);
};

const SERVICE: Readonly<Record<string, Check>> = {
  annotations: listOrDict,
  attach: boolean,
  blkio_config: mapping,
  build: textOr(mapping),
  cap_add: strings,
  cap_drop: strings,
  cgroup: oneOf("host", "private"),
  cgroup_parent: string,
  command,
  configs: items,
  container_name: string,
  cpu_count: numberOrString,
  cpu_percent: numberOrString,
  cpu_period: numberOrString,
  cpu_quota: numberOrString,
  cpu_rt_period: numberOrString,
  cpu_rt_runtime: numberOrString,
  cpu_shares: numberOrString,
  cpus: numberOrString,
  cpuset: string,
  credential_spec: mapping,
  depends_on: dependencies,
  deploy: orNull(
    fields({
      endpoint_mode: string,
      labels: listOrDict,
      mode: string,
      placement: anything,
      replicas: number(0, 10_000),
      resources: anything,
      restart_policy: anything,
      rollback_config: anything,
      update_config: anything,
    }),
  ),
  develop: orNull(mapping),
  device_cgroup_rules: strings,
  devices: items,
  dns: stringOrList,
  dns_opt: strings,
  dns_search: stringOrList,
  domainname: string,
  entrypoint: command,
  env_file: textOr(items),
  environment: listOrDict,
  expose: unique(numberOrString),
  extends: textOr(mapping),
  external_links: strings,
  extra_hosts: extraHosts,
  gpus: textOr(items),
  group_add: unique(numberOrString),
  healthcheck: mapping,
  hostname: string,
  image: string,
  init: boolean,
  ipc: string,
  isolation: string,
  label_file: stringOrList,
  labels: listOrDict,
  links: strings,
  logging: mapping,
  mac_address: string,
  mem_limit: numberOrString,
  mem_reservation: numberOrString,
  mem_swappiness: numberOrString,
  memswap_limit: numberOrString,
  models: anything,
  network_mode: string,
  networks: attachments,
  oom_kill_disable: boolean,
  oom_score_adj: numberOrString,
  pid: orNull(string),
  pids_limit: numberOrString,
  platform: string,
  ports: unique(publishedPort),
  post_start: items,
  pre_start: items,
  pre_stop: items,
  privileged: boolean,
  profiles: strings,
  provider: mapping,
  pull_policy: string,
  pull_refresh_after: string,
  read_only: boolean,
  restart: string,
  runtime: string,
  scale: number(0, 10_000),
  secrets: items,
  security_opt: strings,
  shm_size: numberOrString,
  stdin_open: boolean,
  stop_grace_period: string,
  stop_signal: string,
  storage_opt: mapping,
  sysctls: listOrDict,
  tmpfs: stringOrList,
  tty: boolean,
  ulimits: mapping,
  use_api_socket: boolean,
  user: string,
  userns_mode: string,
  uts: string,
  volumes: items,
  volumes_from: strings,
  working_dir: string,
};

const NETWORK: Check = fields({
  attachable: boolean,
  driver: string,
  driver_opts: map(() => undefined, numberOrString),
  enable_ipv4: boolean,
  enable_ipv6: boolean,
  external: (value, path) => {
    if (typeof value === "object") fields({ name: string })(value, path);
    else boolean(value, path);
  },
  internal: boolean,
  ipam: fields({
    config: list(
      fields({
        aux_addresses: map(() => undefined, string),
        gateway: string,
        ip_range: string,
        subnet: string,
      }),
    ),
    driver: string,
    options: map(() => undefined, string),
  }),
  labels: listOrDict,
  name: string,
});

/** A Compose file, field by field (compose-spec schema/compose-spec.json); what says nothing of networks is looked at from outside. */
export const composeFile: Check = fields({
  configs: orNull(mapping),
  include: items,
  models: orNull(mapping),
  name: string,
  networks: orNull(byName(orNull(NETWORK))),
  secrets: orNull(mapping),
  services: byName(fields(SERVICE)),
  version: numberOrString,
  volumes: orNull(mapping),
});
