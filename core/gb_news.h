/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news.h - NEWS: newsvendor right-sizing with a learned distribution of the load.
 *
 * Every 10 s it forecasts the distribution of the load one set-up time ahead, chooses
 * the number of servers with the lowest cost of servers and of expected late requests,
 * and moves the price of lateness so that the measured late share meets the budget.
 *
 * Sources: the newsvendor problem (Arrow, Harris, Marschak 1951) for the choice;
 * recursive least squares with forgetting for the mean of the forecast; a histogram of
 * past errors in units of their predicted size for its shape; a sample of what came
 * after loads like this one (gb_news_alike.c), and Bayesian model averaging between the
 * two; dual ascent for the price.
 */
#ifndef GB_NEWS_H
#define GB_NEWS_H

#include "gb_supply.h"

#define GB_NEWS_RING     128 /* ticks remembered: set-ups of up to 20 minutes at 10 s */
#define GB_NEWS_FEATURES 10  /* of the past, from which the mean is forecast */
#define GB_NEWS_SCALES   8   /* signs of how far off the forecast will be */
#define GB_NEWS_MEANS    6   /* of the load, over 20 s to 81 minutes */
#define GB_NEWS_ERRORS   100 /* bins of the histogram of errors */
#define GB_NEWS_DAY      144 /* bins of the profile of the day, 10 minutes each */
#define GB_NEWS_LEVELS   32  /* bins of the level of the load, a quarter of e each */
#define GB_NEWS_HOURS    24
#define GB_NEWS_PAIRS    512 /* of a load and of what came one set-up after it */

#define GB_NEWS_LAYOUT 3u

typedef struct gb_news_pair_t {
    float now, then; /* loads, as below */
} gb_news_pair_t;

/* What is worth to survive a restart.  Loads are logarithms of requests/s + shift,
 * times seconds, errors differences of such logarithms. */
typedef struct gb_news_learned_t {
    uint32_t layout; /* GB_NEWS_LAYOUT, or nothing is learned yet */
    uint32_t day_s;  /* second of the day of the latest tick */
    double shift;    /* requests/s; tames the logarithm at low load */
    double seconds;  /* learned from so far; no more than a day is counted */
    double mean[GB_NEWS_MEANS];
    double weight[GB_NEWS_FEATURES]; /* of the features, in the forecast */
    double spread[GB_NEWS_FEATURES][GB_NEWS_FEATURES]; /* P of least squares */
    double scale[GB_NEWS_SCALES];  /* weights of the signs, in the error's logarithm */
    double error[GB_NEWS_ERRORS];  /* how often an error of so many sizes was seen */
    double fast_error, slow_error; /* mean square over half an hour, a day */
    double fast_noise, slow_noise; /* of the load around its minute, 10 minutes, 2 h */
    double level_error[GB_NEWS_LEVELS], level_count[GB_NEWS_LEVELS];
    double hour_error[GB_NEWS_HOURS], hour_count[GB_NEWS_HOURS];
    double price;        /* logarithm of the price of lateness over its start */
    double arrived_rate; /* requests/s, mean of a day */
    double late_rate;    /* of these late */
    double watched_s;    /* learned from so far, */
    double record;       /* the highest rate in it; fades within weeks */
    double near_s;       /* spent near the record; fades within days */
    double trust;        /* in the pairs, not the forecast: logarithm of the odds */
    double noted;        /* pairs so far, of which these were kept: */
    uint32_t pairs;
    uint32_t draw; /* of the generator that says which */
    gb_news_pair_t pair[GB_NEWS_PAIRS];
    double profile[GB_NEWS_DAY];
    uint8_t seen[GB_NEWS_DAY]; /* 1: profile[] is known */
} gb_news_learned_t;

/* A forecast that waits for the truth. */
typedef struct gb_news_tick_t {
    float feature[GB_NEWS_FEATURES];
    float sign[GB_NEWS_SCALES];
    float load;     /* of the tick */
    float mean;     /* the shortest, on which the forecast stands */
    float forecast; /* of the load one set-up time ahead, */
    float size;     /* and how far off it may be */
    uint32_t keep;  /* servers that were worth to be kept */
    uint8_t level, hour;
    uint16_t spare;
} gb_news_tick_t;

/* Memory between ticks, for the shared segment.  Zeroed: begins anew.  What makes no
 * sense is found and forgotten. */
typedef struct gb_news_t {
    gb_news_learned_t learned;
    int64_t called_at_us; /* 0: never */
    int64_t ticked_at_us, due_at_us;
    int64_t
        began_at_us; /* the first call since nothing was known of the past minutes */
    double arrived, late; /* since the latest tick */
    double fresh;         /* arrived since the latest sample of smooth_rate */
    int64_t sampled_at_us;
    double smooth_rate;                /* requests/s, over some 10 s */
    double begun;                      /* requests since began_at_us, up to a minute */
    double before[GB_NEWS_MEANS];      /* the means when it began, */
    double before_s;                   /* and their age; negative: there are none */
    double profile_sum, profile_count; /* of the open bin of the profile */
    double forecast, size;             /* the latest */
    double theta;                      /* the latest price, in servers */
    gb_choice_t choice;                /* the latest answer */
    uint32_t tick_s;                   /* 10, more when the set-up takes long */
    uint32_t next, used;               /* of the ring */
    gb_news_tick_t ring[GB_NEWS_RING];
} gb_news_t;

/* How many servers to have on and to keep.  `budget`: share of requests that may be
 * late (0.005).  To be called every few seconds at most; decides every 10 s and repeats
 * its answer in between.  In the first minute nobody is let go.
 *
 * Always within 1 <= up <= keep <= servers.  Never fails: a clock that runs back, a gap
 * of more than a minute in which somebody came or may have come, and memory that makes
 * no sense begin the minute anew; counts that are negative or no number are none.
 * supply->tail has to have supply->servers rows; with fewer it decides among so many.
 * Cost: see tests/bench; linear in the servers. No lock: one thread at a time. */
gb_choice_t gb_news_decide(gb_news_t *memory, double budget, const gb_supply_t *supply,
                           const gb_demand_t *demand);

/* For pages: what it thinks. */
typedef struct gb_news_view_t {
    bool known;        /* false: nothing decided yet, the rest is 0 */
    double mean_rate;  /* requests/s expected one set-up time ahead */
    double high_rate;  /* a rate that will not be passed in 95 of 100 cases */
    double theta;      /* servers that a late server's worth of requests is worth */
    double late_share; /* measured: mean over the past day */
} gb_news_view_t;

gb_news_view_t gb_news_view(const gb_news_t *memory);

/* Could this have been learned?  Everything finite and in its bounds.  Pure. */
bool gb_news_sane(const gb_news_learned_t *learned);

/* Nothing is learned yet. */
void gb_news_forget(gb_news_learned_t *learned);

/* What is learned, little-endian with a mark, a version and a checksum, in a buffer of
 * GB_NEWS_SAVED_BYTES; returns how many were written, always so many.  What is not sane
 * is saved as if nothing were learned. */
#define GB_NEWS_SAVED_BYTES                                                            \
    (4u * 6u +                                                                         \
     8u * (2u + GB_NEWS_MEANS + GB_NEWS_FEATURES * (1u + GB_NEWS_FEATURES) +           \
           GB_NEWS_SCALES + GB_NEWS_ERRORS + 4u + 2u * GB_NEWS_LEVELS +                \
           2u * GB_NEWS_HOURS + 8u + GB_NEWS_PAIRS + GB_NEWS_DAY) +                    \
     GB_NEWS_DAY + 8u)
size_t gb_news_save(const gb_news_t *memory, uint8_t *out);

/* Reads what gb_news_save wrote; the rest of the memory begins anew.  False, and memory
 * as zeroed, when the bytes are not of this version, damaged, or make no sense. */
bool gb_news_load(gb_news_t *memory, const uint8_t *in, size_t bytes);

#endif /* GB_NEWS_H */
