// router/network_router.go

/** Until a connection is established. */
export const FAST_HEARTBEAT_MS = 500;
export const SLOW_HEARTBEAT_MS = 10_000;
/** Who has not been heard for so long is gone: six slow heartbeats. */
export const HEARTBEAT_TIMEOUT_MS = 60_000;
/** So many are waited for while a connection comes about; they go on behind everything, as where a path never takes them. */
export const AWAITED_HEARTBEATS = 20;
