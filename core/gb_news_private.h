/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_private.h - the parts of NEWS: the forecast, what it costs, the decision.
 */
#ifndef GB_NEWS_PRIVATE_H
#define GB_NEWS_PRIVATE_H

#include "gb_news.h"

#define GB_NEWS_ERROR_LOW  (-6.0) /* the histogram's range, in sizes of errors, */
#define GB_NEWS_ERROR_STEP 0.2    /* and the width of its bins */
#define GB_NEWS_DOUBTS     8      /* loads above any so far that are reckoned with */

/* Garbage that would not be garbage in sums: no more than `most`. */
static inline double gb_news_clean(double value, double most)
{
    if (!(value > 0)) {
        return 0;
    }
    return value < most ? value : most;
}

static inline double gb_news_clip(double value, double low, double high)
{
    if (!(value > low)) {
        return low;
    }
    return value < high ? value : high;
}

/* gb_news_forecast.c */

/* A tick of `passed_s` with the mean rate given: the means and the day's profile move,
 * the forecast whose time has come is judged and learned from, a new one is made (into
 * the ring's next place, memory->forecast and ->size).  `ahead` ticks lie between a
 * forecast and its truth.  During the first minute, or the first tick when that is
 * longer, the means are those of `begun_rate`, else it is negative. */
void gb_news_learn(gb_news_t *memory, double rate, double passed_s, double begun_rate,
                   uint32_t ahead, double setup_s, uint32_t day_s);

/* Brings everything that is a logarithm of rate + shift to another shift. */
void gb_news_reshift(gb_news_learned_t *learned, double shift);

/* gb_news_cost.c */

/* A distribution of rates, ascending. */
typedef struct gb_news_load_t {
    uint32_t count;
    double rate[GB_NEWS_ERRORS + GB_NEWS_DOUBTS];
    double share[GB_NEWS_ERRORS + GB_NEWS_DOUBTS]; /* how likely */
} gb_news_load_t;

/* That of exp(forecast + size * error) - shift.  Rates that are not positive are left
 * out. */
void gb_news_spread(gb_news_load_t *load, const gb_news_learned_t *learned,
                    double forecast, double size);

/* What a number of servers costs is weight * its idle power, in mean servers, +
 * theta * its expected late requests/s, in what a mean server carries.  Finds the
 * cheapest for two weights. */
typedef struct gb_news_price_t {
    double theta;
    double per_rate;  /* servers for 1 request/s within the goal */
    uint32_t servers; /* to choose from: 1 .. */
} gb_news_price_t;

void gb_news_cheapest(const gb_news_load_t *load, const gb_supply_t *supply,
                      const gb_news_price_t *price, const double weight[2],
                      uint32_t cheapest[2]);

/* gb_news_record.c */

/* A tick with the mean rate given: is it a record, is it near one? */
void gb_news_watch(gb_news_learned_t *learned, double rate, double passed_s);

/* Corrects a distribution of gb_news_spread() for loads above the record, for a time
 * span_s ahead; all servers carry `full` requests/s. */
void gb_news_doubt(gb_news_load_t *load, const gb_news_learned_t *learned,
                   double span_s, double full);

#endif /* GB_NEWS_PRIVATE_H */
