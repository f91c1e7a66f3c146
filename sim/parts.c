/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c - answers for parts that are not linked in.
 */
#include "greensim.h"

__attribute__((weak)) bool gs_discrete_run(const gs_world_t *world,
                                           gs_chooser_t *chooser, gs_result_t *result,
                                           gs_error_t *error)
{
    return gs_fail(error, "--mode discrete is not built in");
}
