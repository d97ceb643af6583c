/** A place in the text of a command. */
export interface Location {
  /** From 1 on. */
  readonly line: number;
  /** From 1 on. */
  readonly column: number;
  readonly lastColumn: number;
}

/**
 * What the nft command refuses. The message has nft's shape: `LINE:COLUMN-COLUMN: Error: WHAT`;
 * refusals of the kernel read `Could not process rule: No such file or directory`.
 */
export class NftablesError extends Error {
  override readonly name = "NftablesError";
  readonly location: Location;
  /** The part of the message after `Error: `. */
  readonly what: string;

  constructor(location: Location, what: string) {
    super(`${location.line}:${location.column}-${location.lastColumn}: Error: ${what}`);
    this.location = location;
    this.what = what;
  }
}

/** Texts of the error numbers that nf_tables returns (strerror(3)). */
const ERRNO_TEXTS = {
  EBUSY: "Device or resource busy",
  EEXIST: "File exists",
  EINVAL: "Invalid argument",
  ELOOP: "Too many levels of symbolic links",
  EMLINK: "Too many links",
  ENFILE: "Too many open files in system",
  ENOENT: "No such file or directory",
  EOPNOTSUPP: "Operation not supported",
} as const;

/** The kernel's no to a command. */
export function kernelRefusal(location: Location, errno: keyof typeof ERRNO_TEXTS): NftablesError {
  return new NftablesError(location, `Could not process rule: ${ERRNO_TEXTS[errno]}`);
}
