/** Names of the error numbers that the modelled calls return (errno(3)). */
export type Errno =
  | "E2BIG"
  | "EACCES"
  | "EADDRINUSE"
  | "EADDRNOTAVAIL"
  | "EBUSY"
  | "ECONNABORTED"
  | "ECONNREFUSED"
  | "ECONNRESET"
  | "EDESTADDRREQ"
  | "EEXIST"
  | "EHOSTUNREACH"
  | "EINVAL"
  | "ELOOP"
  | "EMSGSIZE"
  | "ENETDOWN"
  | "ENETUNREACH"
  | "ENOBUFS"
  | "ENODEV"
  | "ENOENT"
  | "ENOKEY"
  | "ENOMEM"
  | "ENOPROTOOPT"
  | "ENOSPC"
  | "EOPNOTSUPP"
  | "EPERM"
  | "EPROTO"
  | "ERANGE"
  | "EREMOTE"
  | "ESRCH"
  | "ETIMEDOUT"
  | "EXDEV";

/** A call that the kernel refuses. Nothing has changed. */
export class KernelError extends Error {
  override readonly name = "KernelError";
  readonly errno: Errno;

  constructor(errno: Errno, message: string) {
    super(`${message}: ${errno}`);
    this.errno = errno;
  }
}
