/*
 * What one container may have of the tables that all containers of a machine share. A table without shares is whoever's fills
 * it first. The reasons for the figures stand in docs/operator.md.
 */

/**
 * Living connections that a container began, over all protocols; the kernel does not count those in TIME_WAIT. 250 containers
 * with as many fit into the 262,144 entries of a machine with 4 GiB or more.
 */
export const CONNECTIONS = 1024;

/** Packets to the name server by UDP. A look-up is two: one for IPv4 and one for IPv6 addresses. */
export const NAME_QUERIES = { perSecond: 50, burst: 1000 };

/** Connections to the name server by TCP: each is a process there. */
export const NAME_CONNECTIONS = 2;
