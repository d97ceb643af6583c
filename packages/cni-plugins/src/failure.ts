import { CNI_ERROR, CniError } from "@cnilab/core";
import { type Errno, KernelError } from "@cnilab/linux";

/** What a plugin prints when it fails by itself: the Go error's text under the catch-all code. */
export function failure(message: string): CniError {
  return new CniError(CNI_ERROR.generic, message);
}

/** The text of errors as Go prints them (`syscall.Errno.Error`). */
const ERRNO_TEXT: Readonly<Partial<Record<Errno, string>>> = {
  EACCES: "permission denied",
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EHOSTUNREACH: "no route to host",
  EINVAL: "invalid argument",
  ELOOP: "too many levels of symbolic links",
  ENETDOWN: "network is down",
  ENETUNREACH: "network is unreachable",
  ENODEV: "no such device",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  EOPNOTSUPP: "operation not supported",
  EPERM: "operation not permitted",
  ERANGE: "numerical result out of range",
  ESRCH: "no such process",
};

/** What a failed call to the kernel adds to a plugin's message. Other errors are passed on as they are. */
export function errnoText(error: unknown): string {
  if (!(error instanceof KernelError)) throw error;
  return ERRNO_TEXT[error.errno] ?? error.errno;
}

/** What vishvananda/netlink says about a device that is not there. */
export const LINK_NOT_FOUND = "Link not found";
