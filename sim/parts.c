/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c - answers for parts that are not linked in.
 */
#include "greensim.h"

__attribute__((weak)) bool gs_log_read(gs_trace_t *trace, const gs_options_t *options,
                                       gs_error_t *error)
{
    return gs_fail(error, "--access-log is not built in");
}

__attribute__((weak)) bool gs_discrete_run(const gs_world_t *world,
                                           gs_chooser_t *chooser, gs_result_t *result,
                                           gs_error_t *error)
{
    return gs_fail(error, "--mode discrete is not built in");
}

__attribute__((weak)) bool gs_report_write(const char *path, const gs_world_t *world,
                                           const gs_result_t *results, uint32_t count,
                                           gs_error_t *error)
{
    return gs_fail(error, "--report is not built in");
}
