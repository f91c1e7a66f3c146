/* SPDX-License-Identifier: Apache-2.0
 *
 * The network link of a simulated machine in its own network namespace. */
#ifndef RIG_LINK_H
#define RIG_LINK_H

#include <stdbool.h>

/* Moves this process into the namespace that `ip netns` knows by that name. */
bool link_enter(const char *netns);

/* Gives the interface its address ("10.98.1.11/24") and lets it answer ARP. */
bool link_address(const char *interface, const char *address);

/* What is left of the link when the machine is off: no address and no ARP, but the
 * link itself stays up, so that the card still hears magic packets. */
bool link_silence(const char *interface);

#endif
