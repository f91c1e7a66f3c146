/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_sim_trace.c - hostile traces (libFuzzer's entry point).
 *
 * What is accepted has rates that are finite and not negative, and can be smoothed,
 * scaled and drawn; what is refused says why and leaves no memory behind.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "sim/greensim.h"

#define SECONDS_MOST 100000 /* longer ones are good, and slow */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(gs_trace_t *trace)
{
    if (!trace->seconds || trace->seconds > GS_SECONDS_MOST || trace->start_day_s < 0 ||
        trace->start_day_s >= 86400) {
        abort();
    }
    if (trace->seconds > SECONDS_MOST) {
        return;
    }
    gs_trace_smooth(trace, 60);
    gs_trace_scale(trace, 0.01, 1e6);
    gs_trace_draw(trace, 1);
    for (uint32_t t = 0; t < trace->seconds; t++) {
        if (!isfinite(trace->rate[t]) || trace->rate[t] < 0 ||
            (double)trace->rate[t] > GS_RATE_MOST) {
            abort();
        }
    }
    if (!(gs_trace_peak(trace) >= 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gs_trace_t trace;
    gs_error_t error = {""};
    double smooth_s = size ? data[0] : 0;

    if (gs_trace_parse(&trace, "fuzz", (const char *)data, size, smooth_s, &error)) {
        check(&trace);
    }
    else if (!error.text[0] || trace.rate) {
        abort();
    }
    gs_trace_free(&trace);
    return 0;
}
