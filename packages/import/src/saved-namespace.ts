import { foldersIn, NamespaceFiles, type SavedFiles } from "./saved-files.ts";
import { LINKS, readLinks, type SavedLink } from "./saved-link.ts";

/** One namespace of a node as it was saved; its devices are read, the rest when it is built. */
export interface SavedNamespace {
  readonly node: string;
  /** Empty for the one that the machine boots with. */
  readonly name: string;
  readonly files: NamespaceFiles;
  readonly links: readonly SavedLink[];
  /** Names of other namespaces by the number that this one has for them. */
  readonly nsids: ReadonlyMap<number, string>;
}

/** Which namespaces a node has: the first file that the collect script writes. */
export const LISTED = "namespaces.txt";

/** What was saved of a node's namespaces. */
export interface SavedNamespaces {
  /** The one that it boots with first. */
  readonly namespaces: readonly SavedNamespace[];
  /** Those that were there and of which nothing was saved: their pods had ended, or the collection broke off. */
  readonly unread: readonly string[];
}

/** All namespaces of a node. @throws InputError */
export function readNamespaces(files: SavedFiles, node: string): SavedNamespaces {
  const root = new NamespaceFiles(files, `${node}/`);
  const names = readNames(root);
  const read = (name: string, own: NamespaceFiles): SavedNamespace => ({
    node,
    name,
    files: own,
    links: readLinks(own),
    nsids: readNsids(own, names),
  });
  const folders = new Map(
    foldersIn(files, `${node}/netns/`).map((name) => [
      name,
      new NamespaceFiles(files, `${node}/netns/${name}/`),
    ]),
  );
  const inner = [...folders].filter(([, own]) => own.has(LINKS));
  const there = new Set([...names.byInode.values(), ...folders.keys()]);
  return {
    namespaces: [read("", root), ...inner.map(([name, own]) => read(name, own))],
    unread: [...there].filter((name) => name !== "" && !folders.get(name)?.has(LINKS)),
  };
}

/** Names that namespaces have here, by inode number and by name under /run/netns. */
interface Names {
  readonly byInode: ReadonlyMap<string, string>;
  readonly byMount: ReadonlyMap<string, string>;
}

/** Inode number, folder (`.` for the one that the machine boots with), name under /run/netns. */
function readNames(root: NamespaceFiles): Names {
  const byInode = new Map<string, string>();
  const byMount = new Map<string, string>();
  for (const { text } of root.lines(LISTED)) {
    const [inode = "", folder = "", mount = folder] = text.split(/\s+/);
    const name = folder === "." ? "" : folder;
    byInode.set(inode, name);
    byMount.set(mount, name);
  }
  return { byInode, byMount };
}

/** `ip -j netns list-id`, and `lsns` for namespaces that have no name under /run/netns. */
function readNsids(files: NamespaceFiles, names: Names): ReadonlyMap<number, string> {
  const nsids = new Map<number, string>();
  for (const fields of files.objects("nsids.json")) {
    const nsid = fields.numberOr("nsid", undefined);
    const mount = fields.stringOr("name", undefined);
    if (nsid !== undefined && mount !== undefined) {
      nsids.set(nsid, names.byMount.get(mount) ?? mount);
    }
  }
  for (const { text } of files.lines("lsns.txt")) {
    const [inode = "", nsid] = text.split(/\s+/);
    const name = names.byInode.get(inode);
    if (name !== undefined && /^\d+$/.test(nsid ?? "")) nsids.set(Number(nsid), name);
  }
  return nsids;
}
