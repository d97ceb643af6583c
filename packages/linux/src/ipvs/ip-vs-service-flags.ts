// Flags of a virtual service (include/uapi/linux/ip_vs.h)
export const IP_VS_SVC_F_PERSISTENT = 0x1;
export const IP_VS_SVC_F_ONEPACKET = 0x4;
/** sh and mh: another server where the chosen one takes no connections. */
export const IP_VS_SVC_F_SCHED1 = 0x8;
/** sh and mh: the client's port counts as well as its address. */
export const IP_VS_SVC_F_SCHED2 = 0x10;
export const IP_VS_SVC_F_SCHED3 = 0x20;
