/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_alike.c - what came one set-up after loads like this one.
 *
 * The forecast has one shape for all its errors, as wide as they were lately.  A load
 * that jumps between levels is not like that: a set-up from now it is either as it is
 * or as high as it always jumps, and nothing between or above.  So pairs of a load and
 * of what came after it are kept, a sample of the past days (reservoir sampling, Vitter
 * 1985), and those that began like now are a distribution of their own, weighted by how
 * like they are (Nadaraya and Watson 1964).
 *
 * How far to trust it, and how far the forecast, follows from how probable either had
 * called what then came (Bayesian model averaging): the logarithm of the odds is the
 * sum of the differences of the logarithms, of the past day.  Forecasts that overlap
 * count as one.  A pair is noted one set-up late, so that nothing is judged by what it
 * has seen.
 */
#include "gb_news_private.h"

#include <math.h>

#define DAY_S        86400.0
#define SAMPLE_S     (2 * DAY_S) /* the sample is of so long */
#define NOTED_MOST   1e9
#define DENSITY_MOST 1e9
#define WIDTH        0.35 /* of likeness, in logarithms of the load */
#define SMEAR        0.1  /* what came is taken for so wide when it is judged */
#define FAR_SQUARED  40   /* widths: next to nothing is left there */
#define ROOT_2PI     2.5066282746310002
#define RANGE        4.0 /* of the logarithm: what was never seen may be anywhere here, */
#define RARE         1e-3 /* and is so probable */
#define PAIRS_LEAST  60   /* fewer say nothing, */
#define LIKE_LEAST   10.0 /* nor do fewer that are like now */
#define LESSON_MOST  3.0  /* a surprise says no more than that, and all of them */
#define TRUST_USED   5.0  /* no more than this */
#define TRUST_S      DAY_S
#define SHARE_LEAST  0.01 /* less trust is none */

/* xorshift (Marsaglia 2003); 0 <= draw < 1. */
static double draw(gb_news_learned_t *learned)
{
    uint32_t x = learned->draw ? learned->draw : UINT32_C(2463534242);

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    learned->draw = x;
    return x / 4294967296.0;
}

void gb_news_alike_note(gb_news_learned_t *learned, float now, float then,
                        double passed_s)
{
    uint32_t at = learned->pairs;
    double least = GB_NEWS_PAIRS * passed_s / SAMPLE_S;

    learned->noted = gb_news_clean(learned->noted + 1, NOTED_MOST);
    if (at < GB_NEWS_PAIRS) {
        learned->pairs++;
    }
    else {
        double share = GB_NEWS_PAIRS / learned->noted;

        if (draw(learned) >= (share > least ? share : least)) {
            return;
        }
        at = (uint32_t)(draw(learned) * GB_NEWS_PAIRS);
    }
    learned->pair[at] = (gb_news_pair_t){now, then};
}

static double bell(double off, double width)
{
    double square = off / width * (off / width);

    return square < FAR_SQUARED ? exp(-0.5 * square) : 0;
}

void gb_news_alike_judge(gb_news_learned_t *learned, double now, double truth,
                         double density, double overlap, double passed_s)
{
    double all = 0, near = 0, lesson;

    if (learned->pairs < PAIRS_LEAST) {
        return;
    }
    for (uint32_t i = 0; i < learned->pairs; i++) {
        double weight = bell((double)learned->pair[i].now - now, WIDTH);

        all += weight;
        if (weight > 0) {
            near += weight * bell((double)learned->pair[i].then - truth, SMEAR);
        }
    }
    lesson = log((near / (SMEAR * ROOT_2PI) + RARE) / (all + RANGE * RARE)) -
             log(gb_news_clean(density, DENSITY_MOST) + RARE / RANGE);
    learned->trust *= 1 - gb_news_clean(passed_s / TRUST_S, 1);
    learned->trust +=
        gb_news_clip(lesson, -LESSON_MOST, LESSON_MOST) / (overlap > 1 ? overlap : 1);
    learned->trust =
        gb_news_clip(learned->trust, -GB_NEWS_TRUST_MOST, GB_NEWS_TRUST_MOST);
}

/* The lowest and the highest of what came. */
static void find_range(const gb_news_learned_t *learned, double *low, double *high)
{
    *low = *high = (double)learned->pair[0].then;
    for (uint32_t i = 1; i < learned->pairs; i++) {
        *low = fmin(*low, (double)learned->pair[i].then);
        *high = fmax(*high, (double)learned->pair[i].then);
    }
}

void gb_news_alike_find(gb_news_alike_t *found, const gb_news_learned_t *learned,
                        double now)
{
    double weight[GB_NEWS_ALIKE] = {0}, load[GB_NEWS_ALIKE] = {0};
    double all = 0, low, high, step;

    found->count = 0;
    found->trust =
        1 / (1 + exp(-gb_news_clip(learned->trust, -GB_NEWS_TRUST_MOST, TRUST_USED)));
    if (learned->pairs < PAIRS_LEAST || found->trust < SHARE_LEAST) {
        return;
    }
    find_range(learned, &low, &high);
    step = (high - low) / GB_NEWS_ALIKE + 1e-9;
    for (uint32_t i = 0; i < learned->pairs; i++) {
        double then = (double)learned->pair[i].then;
        double like = bell((double)learned->pair[i].now - now, WIDTH);
        uint32_t bin =
            (uint32_t)gb_news_clip((then - low) / step, 0, GB_NEWS_ALIKE - 1);

        weight[bin] += like;
        load[bin] += like * then;
        all += like;
    }
    for (uint32_t i = 0; i < GB_NEWS_ALIKE && all >= LIKE_LEAST; i++) {
        double rate = weight[i] > 0 ? exp(load[i] / weight[i]) - learned->shift : 0;

        if (rate > 0) {
            found->rate[found->count] = rate;
            found->share[found->count++] = weight[i] / all;
        }
    }
}

void gb_news_alike_mix(gb_news_load_t *load, const gb_news_alike_t *found)
{
    const gb_news_load_t known = *load;
    uint32_t i = 0, j = 0;

    if (found->count == 0) {
        return;
    }
    load->count = 0;
    while (i < known.count || j < found->count) {
        uint32_t at = load->count++;

        if (j == found->count || (i < known.count && known.rate[i] <= found->rate[j])) {
            load->rate[at] = known.rate[i];
            load->share[at] = (1 - found->trust) * known.share[i++];
        }
        else {
            load->rate[at] = found->rate[j];
            load->share[at] = found->trust * found->share[j++];
        }
    }
}
