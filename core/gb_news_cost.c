/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_cost.c - which number of servers is the cheapest for a distribution of rates.
 *
 * How many are late with k servers is counted in one sweep from many servers to few.
 * As the rates ascend and each server that is taken away lowers all marks of the table,
 * two pointers into the rates suffice: above the first all are late, below the second
 * none.  The sweep ends where lateness alone costs more than the best that was found.
 */
#include "gb_news_private.h"

#include <math.h>

#define SHARE_LEAST 1e-7 /* less likely than this does not happen */
#define TIE         1e-9 /* cheaper by less is not cheaper */
/* After an overload all of a line are late until it is drained: by twice the time that
 * it took to fill. */
#define DRAIN_FACTOR 2.0
#define DRAIN_LEAST  0.05 /* share of the capacity that is left to drain with */

void gb_news_spread(gb_news_load_t *load, const gb_news_learned_t *learned,
                    double forecast, double size)
{
    double value =
        exp(forecast + size * (GB_NEWS_ERROR_LOW + 0.5 * GB_NEWS_ERROR_STEP));
    double step = exp(size * GB_NEWS_ERROR_STEP);
    double sum = 0;

    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++) {
        sum += learned->error[i];
    }
    load->count = 0;
    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++, value *= step) {
        double share = learned->error[i] / sum;

        if (share >= SHARE_LEAST && value > learned->shift) {
            load->rate[load->count] = value - learned->shift;
            load->share[load->count++] = share;
        }
    }
}

static double capacity(const gb_supply_t *supply, uint32_t k)
{
    return supply->upto[k].slots / supply->service_s;
}

/* The mean rate that the servers can take, all of them on. */
static double mean_served(const gb_news_load_t *load, double most)
{
    double mean = 0;

    for (uint32_t i = 0; i < load->count; i++) {
        mean += load->share[i] * (load->rate[i] < most ? load->rate[i] : most);
    }
    return mean;
}

/* Of `late` requests/s with capacity `full`: what is late through the line.  `excess`
 * is more than can be served at all. */
static double with_line(const gb_supply_t *supply, double late, double excess,
                        double full, double mean)
{
    double least = DRAIN_LEAST * full + 1.0;
    double left = full - mean > least ? full - mean : least;

    if (supply->late_last) {
        return excess; /* nobody else is */
    }
    return late + DRAIN_FACTOR * mean * (excess < left ? excess / left : 1.0);
}

void gb_news_cheapest(const gb_news_load_t *load, const gb_supply_t *supply,
                      const gb_news_price_t *price, const double weight[2],
                      uint32_t cheapest[2])
{
    const gb_tail_t *tail = supply->tail;
    double idle_watts = supply->upto[supply->servers].idle_watts / supply->servers;
    double mean = mean_served(load, capacity(supply, price->servers));
    double per_late = price->theta * price->per_rate;
    double best[2] = {INFINITY, INFINITY};
    double all_late = 0, all_share = 0; /* of the rates above `top` */
    uint32_t top = load->count, all_k, none_k;

    gb_tail_span(tail, top > 0 ? load->rate[top - 1] : 0, &all_k, &none_k);
    cheapest[0] = cheapest[1] = none_k < price->servers ? none_k : price->servers;
    for (uint32_t k = cheapest[0]; k >= 1; k--) {
        const gb_tail_row_t *row = &tail->rows[k];
        double full = capacity(supply, k);
        double cost = idle_watts > 0 ? supply->upto[k].idle_watts / idle_watts : k;
        double late, excess;

        for (; top > 0 && load->rate[top - 1] >= row->all_rate; top--) {
            all_late += load->share[top - 1] * load->rate[top - 1];
            all_share += load->share[top - 1];
        }
        late = all_late;
        for (uint32_t i = top; i > 0 && load->rate[i - 1] > row->none_rate; i--) {
            late += load->share[i - 1] * load->rate[i - 1] *
                    gb_tail_late(tail, k, load->rate[i - 1]);
        }
        excess = late > full * all_share ? late - full * all_share : 0;
        late = with_line(supply, late, excess, full, mean);
        for (int i = 0; i < 2; i++) {
            double value = weight[i] * cost + per_late * late;

            if (value <= best[i] + TIE) {
                best[i] = value;
                cheapest[i] = k;
            }
        }
        /* With fewer servers at least so many are late. */
        late = supply->late_last ? all_late - full * all_share : all_late;
        if (per_late * late > best[0] + TIE && per_late * late > best[1] + TIE) {
            break;
        }
    }
}
