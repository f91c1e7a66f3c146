/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_private.h - the parts of NEWS: the forecast, what came after loads like
 * this one, what it costs, the decision.
 */
#ifndef GB_NEWS_PRIVATE_H
#define GB_NEWS_PRIVATE_H

#include "gb_news.h"

#define GB_NEWS_ERROR_LOW  (-6.0) /* the histogram's range, in sizes of errors, */
#define GB_NEWS_ERROR_STEP 0.2    /* and the width of its bins */
#define GB_NEWS_DOUBTS     8      /* loads above any so far that are reckoned with */
#define GB_NEWS_ALIKE      64     /* loads that came after loads like this one */
#define GB_NEWS_TRUST_MOST 10.0   /* logarithm of the odds, either way */

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

#define GB_NEWS_LOADS (GB_NEWS_ERRORS + GB_NEWS_ALIKE + GB_NEWS_DOUBTS)

/* A distribution of rates, ascending. */
typedef struct gb_news_load_t {
    uint32_t count;
    double rate[GB_NEWS_LOADS];
    double share[GB_NEWS_LOADS]; /* how likely */
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

/* gb_news_alike.c */

/* What came one set-up after loads like this one: rates, ascending, how likely each,
 * and how far the whole is to be trusted, 0 to 1.  Empty when too little is known. */
typedef struct gb_news_alike_t {
    uint32_t count;
    double rate[GB_NEWS_ALIKE];
    double share[GB_NEWS_ALIKE];
    double trust;
} gb_news_alike_t;

/* A load, and what came one set-up after it (both logarithms), noted once in passed_s:
 * by chance it takes the place of another one. */
void gb_news_alike_note(gb_news_learned_t *learned, float now, float then,
                        double passed_s);

/* After the load `now` came `truth` (logarithms), to which the forecast had given the
 * probability `density` per unit of the logarithm: moves the trust to who knew better.
 * Called once in passed_s; `overlap` forecasts are under way at a time, and count as
 * one. */
void gb_news_alike_judge(gb_news_learned_t *learned, double now, double truth,
                         double density, double overlap, double passed_s);

/* For the load `now` (a logarithm).  Pure; linear in the pairs. */
void gb_news_alike_find(gb_news_alike_t *found, const gb_news_learned_t *learned,
                        double now);

/* Makes a distribution of gb_news_spread() one of both, each as far as it is trusted.
 */
void gb_news_alike_mix(gb_news_load_t *load, const gb_news_alike_t *found);

/* gb_news_record.c */

/* A tick with the mean rate given: is it a record, is it near one? */
void gb_news_watch(gb_news_learned_t *learned, double rate, double passed_s);

/* Corrects a distribution, once, for loads above the record, for a time
 * span_s ahead; all servers carry `full` requests/s. */
void gb_news_doubt(gb_news_load_t *load, const gb_news_learned_t *learned,
                   double span_s, double full);

#endif /* GB_NEWS_PRIVATE_H */
