/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_record.c - the highest load that came, and how likely a higher one is.
 *
 * The forecast's errors are those of any time; they say little of loads that never
 * came.  Of n + 1 loads that come in any order the last one is the highest with
 * probability 1/(n + 1) (Renyi 1962, on records).  Loads of the same hours resemble
 * each other, so records are rarer than that; what is used is its square.
 *
 * - At first little is known, whatever the forecast says: loads higher than any so far
 *   are added, anything up to what all servers carry, as somebody bought that many.
 * - Later, where the load has often been near its record without passing it, no more
 *   of the forecast is left above it than that.  Who is on the way to a new record has
 *   not been near it for long, and next to nothing is taken off.
 */
#include "gb_news_private.h"

#include <math.h>

#define DAY_S        86400.0
#define RECORD_DAYS  28.0 /* a record fades by e in so long, */
#define NEAR_DAYS    7.0  /* and what is known of its surroundings, as the errors do */
#define NEAR         0.1  /* part of the record that is near it */
#define WATCHED_MOST 1e9
#define DOUBT_FAINT  1e-6
#define ALIKE        2.0 /* set-ups: loads that are not so far apart count as one */

void gb_news_watch(gb_news_learned_t *learned, double rate, double passed_s)
{
    learned->watched_s = gb_news_clean(learned->watched_s + passed_s, WATCHED_MOST);
    learned->record *= exp(-passed_s / (RECORD_DAYS * DAY_S));
    learned->near_s *= exp(-passed_s / (NEAR_DAYS * DAY_S));
    if (rate > learned->record) {
        double past = (rate - learned->record) / (NEAR * rate);

        learned->near_s *= gb_news_clean(1 - past, 1); /* it is another region now */
        learned->record = rate;
    }
    if (rate > (1 - NEAR) * learned->record) {
        learned->near_s += passed_s;
    }
}

/* After so long without. */
static double likely(double seconds, double span_s)
{
    double share = 1 / (1 + seconds / span_s);

    return share * share;
}

/* Of what is well above the record no more than `most` is left there, the rest becomes
 * the record. */
static void limit(gb_news_load_t *load, double record, double most)
{
    double above = 0;
    uint32_t first = load->count, highest;

    for (; first > 0 && load->rate[first - 1] > (1 + NEAR) * record; first--) {
        above += load->share[first - 1];
    }
    if (first == 0 || above <= most) {
        return;
    }
    for (uint32_t i = first; i < load->count; i++) {
        load->share[i] *= most / above;
    }
    for (highest = first - 1; highest > 0 && load->rate[highest] > record;) {
        highest--;
    }
    load->share[highest] += above - most;
}

/* Adds loads between the record and `full`, evenly by their logarithm. */
static void add_doubt(gb_news_load_t *load, double record, double full, double doubt)
{
    const gb_news_load_t known = *load;
    double step = full > record ? pow(full / record, 1.0 / GB_NEWS_DOUBTS) : 1;
    double rate = record * sqrt(step);
    uint32_t i = 0, added = 0;

    load->count = 0;
    while (i < known.count || added < GB_NEWS_DOUBTS) {
        uint32_t at = load->count++;

        if (added == GB_NEWS_DOUBTS || (i < known.count && known.rate[i] <= rate)) {
            load->rate[at] = known.rate[i];
            load->share[at] = (1 - doubt) * known.share[i++];
            continue;
        }
        load->rate[at] = rate;
        load->share[at] = doubt / GB_NEWS_DOUBTS;
        rate *= step;
        added++;
    }
}

void gb_news_doubt(gb_news_load_t *load, const gb_news_learned_t *learned,
                   double span_s, double full)
{
    double doubt = likely(learned->watched_s, ALIKE * span_s);

    if (!(learned->record > 0) || load->count + GB_NEWS_DOUBTS > GB_NEWS_LOADS) {
        return;
    }
    limit(load, learned->record, likely(learned->near_s, span_s));
    if (doubt > DOUBT_FAINT) {
        add_doubt(load, learned->record, full, doubt);
    }
}
