/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news.h - NEWS: newsvendor right-sizing with a learned distribution of the load.
 *
 * Every 10 s it forecasts the distribution of the load one setup time ahead, chooses the
 * number of servers with the lowest cost of servers and of expected late requests, and
 * moves the price of lateness so that the measured late share meets the budget.
 */
#ifndef GB_NEWS_H
#define GB_NEWS_H

#include "gb_supply.h"

#define GB_NEWS_RING     128 /* ticks remembered: set-ups of up to 20 minutes at 10 s */
#define GB_NEWS_FEATURES 9
#define GB_NEWS_SCALES   8

typedef struct gb_news_t {
    int64_t ticked_at_us;
    /* the rest: owner of gb_news.c */
} gb_news_t;

/* `budget`: share of requests that may be late (0.005). */
gb_choice_t gb_news_decide(gb_news_t *memory, double budget, const gb_supply_t *supply,
                           const gb_demand_t *demand);

#endif /* GB_NEWS_H */
