/* SPDX-License-Identifier: Apache-2.0
 *
 * usage.c - what greensim says of itself.
 */
#include "usage.h"
#include "greensim.h"

#include <stdio.h>

static const char usage_text[] =
    "usage: greensim LOAD [FLEET] [POLICIES] [OUTPUT]\n"
    "\n"
    "Load, one of:\n"
    "  --trace FILE            lines SECONDS,REQUESTS_PER_SECOND; - is standard input\n"
    "  --access-log FILE...    access logs of httpd, also .gz\n"
    "  --shape NAME            day, week, flash, bursts or walk\n"
    "and how it is taken:\n"
    "  --log-format FORMAT     a LogFormat string (found out when it is not given)\n"
    "  --length D              of a shape, instead of its own\n"
    "  --smooth D              moving mean, before it is scaled\n"
    "  --scale peak=N          the 99.9th percentile of the minutes becomes N "
    "servers'\n"
    "                          worth (a shape: 0.7 of the servers)\n"
    "  --start HH:MM           time of day at which it begins\n"
    "  --seed N                of all that is random (1)\n"
    "\n"
    "Fleet:\n"
    "  --model FILE            what greenctl model prints; else:\n"
    "  --servers N             (20)\n"
    "  --server NAME|help      one of which the power is published (autoscale2012)\n"
    "  --curve W0,...,W100     11 watts at 0, 10 ... 100 % load, or IDLE:PEAK\n"
    "  --capacity N            requests in flight that a server is filled up to "
    "(cores)\n"
    "and for all of them:\n"
    "  --cores N               requests that it serves at once (capacity, else 8)\n"
    "  --service-time D        that one request takes, mean (120ms)\n"
    "  --late-after D          a response that takes longer is late (500ms)\n"
    "  --rate R                requests/s that one carries within the goal\n"
    "                          (as many as leave 1 % late)\n"
    "  --setup D               from the order to the first request (260s)\n"
    "  --setup-p95 D           its 95 % quantile (the same: it never varies)\n"
    "  --setup-watts W         drawn meanwhile (as published; else the peak)\n"
    "  --off-watts W           drawn switched off (as published; else 5, at most "
    "idle)\n"
    "  --shutdown D            to go off (0s; --mode discrete)\n"
    "  --boot-fails P%         share of boots that fail (0%; --mode discrete)\n"
    "  --service exponential|constant   how long requests take (exponential; --mode "
    "discrete)\n"
    "  --min N, --spare N      GreenAwake min= (1) and spare= (0)\n"
    "\n"
    "Policies:\n"
    "  --policy all|NAME,...   threshold autoscale lcp kpa news reactive hindsight;\n"
    "                          moving-average straight-line opt-reactive "
    "autoscale--\n"
    "                          and plan (--mode discrete) by name only;\n"
    "                          optimum bound oracle always-on are always there (all)\n"
    "  --mode fluid|discrete   (fluid)\n"
    "  --queue fifo|late-last  who is served first of those that wait (fifo)\n"
    "  --queue off             nobody waits in the balancer (--mode discrete)\n"
    "  --dwell-awake D, --dwell-asleep D, --cycles N, --slow-start D\n"
    "                          as GreenDwell and GreenSlowStart (none; --mode "
    "discrete)\n"
    "  --late P%               of the bound: share that may be late (1%)\n"
    "  --budget P%             of news and hindsight: the same (0.5%)\n"
    "  --autoscale-wait D      an idle server goes off (120s x setup / 260s)\n"
    "  --kpa-target P%         of what a server carries (70%)\n"
    "  --threshold wake=P%,sleep=P%   as GreenThreshold\n"
    "  --threshold-hold D      how long the load has to stay low, as GreenDwell "
    "awake=\n"
    "\n"
    "Output:\n"
    "  --json                  instead of the table\n"
    "  --report FILE.html      plots, in one file\n"
    "  --quiet                 no progress on a terminal\n"
    "  --help, --version\n"
    "\n"
    "D: a number with ms, s, m, h or d.  Exit status: 0 done, 1 failed, 2 wrong "
    "usage.\n";

void gs_usage_print(void)
{
    fputs(usage_text, stdout);
}

void gs_usage_servers(void)
{
    const gs_published_t *server;

    for (uint32_t i = 0; (server = gs_published(i)); i++) {
        printf("%-16s %s\n%16s idle %g W, peak %g W, off %g W, booting %g W\n%16s %s\n",
               server->name, server->what, "", server->watts[0], server->watts[10],
               server->off_watts, server->setup_watts, "", server->source);
    }
}
