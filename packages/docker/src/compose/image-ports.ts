import type { ServicePort } from "./port-syntax.ts";

/** Ports that official images declare with `EXPOSE` (their Dockerfiles, docker-library). TCP. */
const EXPOSED: Readonly<Record<string, readonly number[]>> = {
  adminer: [8080],
  caddy: [80, 443, 2019],
  cassandra: [7000, 7001, 7199, 9042, 9160],
  couchdb: [5984, 4369, 9100],
  drupal: [80],
  elasticsearch: [9200, 9300],
  ghost: [2368],
  haproxy: [],
  httpd: [80],
  influxdb: [8086],
  jenkins: [8080, 50000],
  kong: [8000, 8001, 8443, 8444],
  mariadb: [3306],
  memcached: [11211],
  mongo: [27017],
  "mongo-express": [8081],
  mysql: [3306, 33060],
  nats: [4222, 8222, 6222],
  neo4j: [7474, 7473, 7687],
  nextcloud: [80],
  nginx: [80],
  odoo: [8069, 8071, 8072],
  phpmyadmin: [80],
  postgres: [5432],
  rabbitmq: [4369, 5671, 5672, 15691, 15692, 25672],
  redis: [6379],
  redmine: [3000],
  registry: [5000],
  solr: [8983],
  sonarqube: [9000],
  tomcat: [8080],
  traefik: [80],
  valkey: [6379],
  wordpress: [80],
  zookeeper: [2181, 2888, 3888, 8080],
};

/** What programs of an image listen on without being told; nothing for an image that is not known. */
export function imagePorts(image: string): readonly ServicePort[] {
  const [name = "", tag = ""] = imageName(image);
  // php's and wordpress' FPM speaks FastCGI, to a web server beside it.
  if (/\bfpm\b/.test(tag)) return [{ protocol: "tcp", port: 9000 }];
  const ports = Object.hasOwn(EXPOSED, name) ? (EXPOSED[name] ?? []) : [];
  return ports.map((port) => ({ protocol: "tcp", port }));
}

/** Name and tag of an official image; others' images are not known. */
function imageName(image: string): readonly string[] {
  const [plain = ""] = image.replace(/^(?:docker\.io\/)?(?:library\/)?/, "").split("@");
  const at = plain.lastIndexOf(":");
  const [name, tag] = at < 0 ? [plain, ""] : [plain.slice(0, at), plain.slice(at + 1)];
  return name.includes("/") ? ["", ""] : [name, tag];
}
