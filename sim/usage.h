/* SPDX-License-Identifier: Apache-2.0
 *
 * usage.h - what greensim says of itself, on standard output.
 */
#ifndef GREENSIM_USAGE_H
#define GREENSIM_USAGE_H

/* --help */
void gs_usage_print(void);

/* --server help: the servers of which the power is published. */
void gs_usage_servers(void);

#endif /* GREENSIM_USAGE_H */
